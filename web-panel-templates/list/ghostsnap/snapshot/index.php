<?php
// SPDX-License-Identifier: MIT
// What is in one snapshot.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

$snapshot = Ghostsnap\wanted_snapshot($_GET);
$id = Ghostsnap\key_of($snapshot);

// Accounts are folders of their domain; each domain's folder is read only for a few of them. Everything
// else is known without them, so the page never waits in vain.
$domains = array_slice(Ghostsnap\names($snapshot["MAIL"]), 0, 20);
$account = Ghostsnap\account();
$missing = "";
$look = function (int $seconds) use ($account, $id, $domains, &$missing): array {
	$until = time() + $seconds;
	$is_folder = fn($row) => ($row["TYPE"] ?? "") === "dir";
	$found = [];
	foreach ($domains as $domain) {
		$left = $until - time();
		if ($left <= 0) {
			$missing = Ghostsnap\say("This takes too long to be shown here.");
			break;
		}
		$words = [$account, $id, "mail/" . $domain, "json"];
		$answer = Ghostsnap\ask_some("v-ghostsnap-list-user-files", $words, 0, 200, $is_folder, $left);
		$found[$domain] = $answer->rows;
		$missing = $answer->failed() ? $answer->problem() : $missing;
	}
	return $found;
};
$busy = function (string $why) use (&$missing): array {
	$missing = $why;
	return [];
};
$accounts = $domains === [] ? [] : Ghostsnap\in_turn($look, $busy);

Ghostsnap\show("snapshot", ["snapshot" => $snapshot, "accounts" => $accounts, "missing" => $missing]);

<?php
// SPDX-License-Identifier: MIT
// What is in one snapshot.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

$snapshot = Ghostsnap\wanted_snapshot($_GET);
$id = Ghostsnap\key_of($snapshot);

// Accounts are folders of their domain; each domain's folder is read only for a few of them.
$domains = array_slice(Ghostsnap\names($snapshot["MAIL"]), 0, 20);
$account = Ghostsnap\account();
$accounts = $domains === [] ? [] : Ghostsnap\slowly(function (int $seconds) use ($account, $id, $domains): array {
	$until = time() + $seconds;
	$is_folder = fn($row) => ($row["TYPE"] ?? "") === "dir";
	$found = [];
	foreach ($domains as $domain) {
		$words = [$account, $id, "mail/" . $domain, "json"];
		$found[$domain] = Ghostsnap\ask_some("v-ghostsnap-list-user-files", $words, 0, 200, $is_folder, max(0, $until - time()))->rows;
	}
	return $found;
});

Ghostsnap\show("snapshot", ["snapshot" => $snapshot, "accounts" => $accounts]);

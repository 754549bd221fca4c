<?php
// SPDX-License-Identifier: MIT
// What is in one snapshot.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

$snapshot = Ghostsnap\wanted_snapshot($_GET);
$id = Ghostsnap\key_of($snapshot);

// Accounts are folders of their domain; each domain's folder is read only for a few of them.
$accounts = [];
foreach (array_slice(Ghostsnap\names($snapshot["MAIL"]), 0, 20) as $domain) {
	$is_folder = fn($row) => ($row["TYPE"] ?? "") === "dir";
	$words = [Ghostsnap\account(), $id, "mail/" . $domain, "json"];
	$found = Ghostsnap\ask_some("v-ghostsnap-list-user-files", $words, 0, 200, $is_folder);
	$accounts[$domain] = $found->rows;
}

Ghostsnap\show("snapshot", ["snapshot" => $snapshot, "accounts" => $accounts]);

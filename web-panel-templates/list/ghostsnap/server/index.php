<?php
// SPDX-License-Identifier: MIT
// For the administrator: all users with their lights, and what to do first where nothing is set up.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
$health = Ghostsnap\ask_slowly_all("v-ghostsnap-list-health", "json");
$rows = array_filter($health->rows, fn($row) => Ghostsnap\may_see(Ghostsnap\key_of($row)));
// What needs a look comes first.
$order = array_flip(["red", "yellow", "green", "off"]);
usort($rows, fn($a, $b) => [$order[$a["LIGHT"]] ?? 9, Ghostsnap\key_of($a)] <=> [$order[$b["LIGHT"]] ?? 9, Ghostsnap\key_of($b)]);

Ghostsnap\show("server", [
	"rows" => $rows,
	"problem" => $health->problem(),
	// Where it cannot be told, there may be hundreds.
	"is_new" => array_filter($rows, fn($row) => $row["BACKUPS"] !== "0") === [],
]);

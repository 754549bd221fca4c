<?php
// SPDX-License-Identifier: MIT
// Asks before something is restored, and says what will happen. Nothing happens on this page.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../../inc/ghostsnap/restores.php";

$snapshot = Ghostsnap\wanted_snapshot($_GET);
$part = Ghostsnap\given($_GET, "part");
$name = Ghostsnap\given($_GET, "name");
if (Ghostsnap\is_read_only() || !isset(Ghostsnap\RESTORES[$part])) {
	Ghostsnap\go(Ghostsnap\address("/list/ghostsnap/snapshot/", ["snapshot" => Ghostsnap\key_of($snapshot)]));
}
Ghostsnap\show("restore", [
	"snapshot" => $snapshot,
	"part" => $part,
	"name" => $name,
	"is_folder" => Ghostsnap\given($_GET, "kind") === "dir",
]);

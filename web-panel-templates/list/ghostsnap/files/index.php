<?php
// SPDX-License-Identifier: MIT
// The files of one folder of a snapshot, or those of all folders that a search finds.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

$snapshot = Ghostsnap\wanted_snapshot($_GET);
$path = trim(Ghostsnap\given($_GET, "path"), "/");
$search = Ghostsnap\given($_GET, "q");

$first = Ghostsnap\given_first();
$command = $search === "" ? "v-ghostsnap-list-user-files" : "v-ghostsnap-find-user-files";
$words = [Ghostsnap\account(), Ghostsnap\key_of($snapshot), $search === "" ? $path : $search, "json"];
$answer = Ghostsnap\ask_some_slowly($command, $words, $first, Ghostsnap\ROWS_PER_PAGE);

Ghostsnap\show("files", [
	"snapshot" => $snapshot,
	"path" => $path,
	"search" => $search,
	"first" => $first,
	"answer" => $answer,
]);

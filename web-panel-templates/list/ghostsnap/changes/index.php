<?php
// SPDX-License-Identifier: MIT
// What changed between two snapshots of a user, or since one. Without a choice it is what the day of
// the snapshot brought: its predecessor against it.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

$snapshot = Ghostsnap\wanted_snapshot($_GET);
$id = Ghostsnap\key_of($snapshot);
$all = Ghostsnap\ask("v-ghostsnap-list-user-backups", Ghostsnap\account(), "json")->rows;
$ids = array_map(Ghostsnap\key_of(...), $all);
$place = (int) array_search($id, $ids, true);

$with = Ghostsnap\given($_GET, "with");
if ($with !== "now" && !in_array($with, $ids, true)) {
	$with = $place > 0 ? $ids[$place - 1] : "now";
}
$other = (int) array_search($with, $ids, true);
[$before, $after] = match (true) {
	$with === "now" => [$id, ""],
	$other < $place => [$with, $id],
	default => [$id, $with],
};

$path = trim(Ghostsnap\given($_GET, "path"), "/");
$counts = [];
$count = function (array $row) use (&$counts): bool {
	$counts[$row["CHANGE"]] = ($counts[$row["CHANGE"]] ?? 0) + 1;
	return true;
};
$first = Ghostsnap\given_first();
$words = [Ghostsnap\account(), $before, $after, $path, "json"];
$answer = Ghostsnap\ask_some_slowly("v-ghostsnap-diff-user", $words, $first, Ghostsnap\ROWS_PER_PAGE, $count);

Ghostsnap\show("changes", [
	"snapshot" => $snapshot,
	"all" => $all,
	"with" => $with,
	"before" => $all[(int) array_search($before, $ids, true)],
	"path" => $path,
	"first" => $first,
	"answer" => $answer,
	"counts" => $counts,
]);

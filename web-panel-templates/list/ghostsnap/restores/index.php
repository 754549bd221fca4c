<?php
// SPDX-License-Identifier: MIT
// The restores that can be undone, and the question before one is.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

$answer = Ghostsnap\ask("v-ghostsnap-list-user-restores", Ghostsnap\account(), "json");
$wanted = Ghostsnap\given($_GET, "restore");
$found = array_filter($answer->rows, fn($row) => Ghostsnap\key_of($row) === $wanted);
Ghostsnap\show("restores", [
	"restores" => array_reverse($answer->rows),
	"problem" => $answer->problem(),
	"chosen" => array_values($found)[0] ?? null,
]);

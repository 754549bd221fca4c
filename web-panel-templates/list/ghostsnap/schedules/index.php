<?php
// SPDX-License-Identifier: MIT
// For the administrator: what is done again and again, and the question before one is deleted.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
$answer = Ghostsnap\ask("v-ghostsnap-list-schedules", "json");
$wanted = Ghostsnap\given($_GET, "delete");
$found = array_filter($answer->rows, fn($row) => Ghostsnap\key_of($row) === $wanted);
Ghostsnap\show("schedules", [
	"schedules" => $answer->rows,
	"problem" => $answer->problem(),
	"chosen" => array_values($found)[0] ?? null,
]);

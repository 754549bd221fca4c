<?php
// SPDX-License-Identifier: MIT
// The snapshots of a user. An administrator who looks after nobody comes to the server's page first.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../inc/ghostsnap/own.php";

if (Ghostsnap\may_see_server() && Ghostsnap\given($_GET, "view") !== "own") {
	Ghostsnap\go("/list/ghostsnap/server/");
}

$answer = Ghostsnap\ask("v-ghostsnap-list-user-backups", Ghostsnap\account(), "json");
$health = Ghostsnap\ask("v-ghostsnap-list-user-health", Ghostsnap\account(), "json");
Ghostsnap\show("list", [
	"snapshots" => array_reverse($answer->rows),
	"problem" => $answer->problem(),
	"health" => $health->row(),
	// The link leads to something only where the administrator allows it.
	"may_decide" => Ghostsnap\may_decide(Ghostsnap\own_schedule()->row()),
]);

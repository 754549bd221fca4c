<?php
// SPDX-License-Identifier: MIT
// For the administrator: how the backups of a user grow.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
$of = Ghostsnap\given($_GET, "of");
if (!Ghostsnap\may_see($of)) {
	Ghostsnap\go("/list/ghostsnap/server/");
}
$answer = Ghostsnap\ask("v-ghostsnap-list-user-backups", $of, "json");
Ghostsnap\show("growth", ["of" => $of, "answer" => $answer]);

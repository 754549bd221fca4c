<?php
// SPDX-License-Identifier: MIT
// For the administrator: the repositories of this server.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
$health = Ghostsnap\ask_slowly_all("v-ghostsnap-list-repository-health", "json");
$tried = $_SESSION["ghostsnap_tried"] ?? null;
unset($_SESSION["ghostsnap_tried"]);
Ghostsnap\show("repositories", [
	"answer" => Ghostsnap\ask("v-ghostsnap-list-repositories", "json"),
	"health" => array_column($health->rows, null, ""),
	"problem" => $health->problem(),
	"tried" => $tried,
]);

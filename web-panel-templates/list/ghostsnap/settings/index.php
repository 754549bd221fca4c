<?php
// SPDX-License-Identifier: MIT
// For the administrator: the settings of this server.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
$answer = Ghostsnap\ask("v-ghostsnap-list-settings", "json");
Ghostsnap\show("settings", ["rows" => $answer->rows, "problem" => $answer->problem()]);

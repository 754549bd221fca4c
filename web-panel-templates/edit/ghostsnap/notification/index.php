<?php
// SPDX-License-Identifier: MIT
// For the administrator: sends a test to one receiver, or to all of the administrator's.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
Ghostsnap\only_by_post();
Ghostsnap\only_if_may_change();
// A receiver that does not answer is tried for a while; the panel waits for one of them at a time.
$answer = Ghostsnap\ask_slowly("v-ghostsnap-test-notification", Ghostsnap\given($_POST, "receiver"), "json");
$_SESSION["ghostsnap_told"] = [
	"rows" => array_slice($answer->rows, 0, 50),
	"problem" => $answer->rows === [] || $answer->is_cut ? $answer->problem() : "",
];
Ghostsnap\go("/list/ghostsnap/notifications/");

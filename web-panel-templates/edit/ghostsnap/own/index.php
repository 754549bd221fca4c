<?php
// SPDX-License-Identifier: MIT
// Changes a customer's own schedule or exclusions. Whose they are is the account of the session; whether
// they may be changed is the command's word.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../../inc/ghostsnap/own.php";

Ghostsnap\only_by_post();
Ghostsnap\only_if_may_change();
$account = Ghostsnap\account();
$excludes = Ghostsnap\lines_of_form(Ghostsnap\given($_POST, "excludes"));
$answer = match (Ghostsnap\given($_POST, "action")) {
	"schedule" => Ghostsnap\ask("v-ghostsnap-change-user-schedule", $account, Ghostsnap\own_when($_POST)),
	"excludes" => Ghostsnap\ask("v-ghostsnap-change-user-excludes", $account, ...$excludes),
	default => Ghostsnap\go("/list/ghostsnap/own/"),
};
if ($answer->failed()) {
	Ghostsnap\leave_note("danger", $answer->problem());
	// What was typed is not lost.
	$_SESSION["ghostsnap_form"] = array_filter(array_diff_key($_POST, ["token" => 1]), "is_string");
} else {
	Ghostsnap\leave_note("success", Ghostsnap\given($_POST, "action") === "schedule"
		? Ghostsnap\say("Your own schedule has been changed.")
		: Ghostsnap\say("Your exclusions have been changed. They count from the next backup on."));
}
Ghostsnap\go("/list/ghostsnap/own/");

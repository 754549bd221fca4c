<?php
// SPDX-License-Identifier: MIT
// For the administrator: the form of what is done again and again, and what its buttons do.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../inc/ghostsnap/schedules.php";

Ghostsnap\only_for_admins();
$list = "/list/ghostsnap/schedules/";
if ($_SERVER["REQUEST_METHOD"] !== "POST") {
	$name = Ghostsnap\given($_GET, "name");
	$answer = $name === "" ? null : Ghostsnap\ask("v-ghostsnap-list-schedules", "json");
	$found = array_values(array_filter($answer?->rows ?? [], fn($row) => Ghostsnap\key_of($row) === $name))[0] ?? null;
	if ($name !== "" && $found === null) {
		Ghostsnap\leave_note("danger", $answer->failed() ? $answer->problem() : Ghostsnap\say("There is no such schedule."));
		Ghostsnap\go($list);
	}
	$usual = ["name" => "nightly", "do" => "backup", "enabled" => "yes"] + Ghostsnap\when_fields("daily 02:30");
	$form = $_SESSION["ghostsnap_form"] ?? ($found === null ? $usual : Ghostsnap\fields_of_schedule($found));
	unset($_SESSION["ghostsnap_form"]);
	$repositories = Ghostsnap\ask("v-ghostsnap-list-repositories", "json");
	Ghostsnap\show("edit_schedule", [
		"form" => $form,
		"is_new" => $found === null,
		"repositories" => array_map(Ghostsnap\key_of(...), $repositories->rows),
		"problem" => $repositories->problem(),
		"spread" => $found["SPREAD"] ?? "",
	]);
	exit();
}

Ghostsnap\only_by_post();
Ghostsnap\only_if_may_change();
$name = trim(Ghostsnap\given($_POST, "name"));
$action = Ghostsnap\given($_POST, "action");
$words = Ghostsnap\schedule_words($_POST);
$answer = match ($action) {
	"add" => Ghostsnap\ask("v-ghostsnap-add-schedule", $name, ...$words),
	"change" => Ghostsnap\ask("v-ghostsnap-change-schedule", $name, ...$words),
	"switch" => Ghostsnap\ask("v-ghostsnap-change-schedule", $name, "enabled=" . (Ghostsnap\given($_POST, "enabled") === "yes" ? "yes" : "no")),
	"delete" => Ghostsnap\ask("v-ghostsnap-delete-schedule", $name),
	"run" => Ghostsnap\ask("v-ghostsnap-run-schedule", $name, "json"),
	default => Ghostsnap\go($list),
};
if ($answer->failed()) {
	Ghostsnap\leave_note("danger", $answer->problem());
	if (in_array($action, ["add", "change"], true)) {
		// What was typed is not lost.
		$typed = array_diff_key($_POST, ["token" => 1, "action" => 1]);
		$_SESSION["ghostsnap_form"] = array_map(fn($value) => is_array($value) ? implode(",", array_filter($value, "is_string")) : $value, $typed);
		Ghostsnap\go(Ghostsnap\address("/edit/ghostsnap/", ["name" => $action === "change" ? $name : ""]));
	}
	Ghostsnap\go($list);
}
if ($action === "run" && $answer->rows === []) {
	Ghostsnap\leave_note("warning", Ghostsnap\say("What the schedule %s does waits or runs already.", $name));
	Ghostsnap\go("/list/ghostsnap/jobs/?of=all");
}
Ghostsnap\leave_note("success", match ($action) {
	"add" => Ghostsnap\say("The schedule %s has been added.", $name),
	"delete" => Ghostsnap\say("The schedule %s has been deleted.", $name),
	"run" => Ghostsnap\say("The schedule %s has handed its jobs in.", $name),
	default => Ghostsnap\say("The schedule %s has been changed.", $name),
});
Ghostsnap\go(match (true) {
	$action === "run" => "/list/ghostsnap/jobs/?of=all",
	Ghostsnap\given($_POST, "from") === "setup" => "/list/ghostsnap/setup/",
	default => $list,
});

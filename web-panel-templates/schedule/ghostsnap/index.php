<?php
// SPDX-License-Identifier: MIT
// Hands jobs in and takes them back. Every change that a customer can ask for goes through here, as a
// POST with the session's token; the command decides whether it may be.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../inc/ghostsnap/restores.php";

Ghostsnap\only_by_post();
$action = Ghostsnap\given($_POST, "action");
// A folder for download changes nothing.
if ($action !== "download" || Ghostsnap\is_protected()) {
	Ghostsnap\only_if_may_change();
}
// An administrator starts the backup of anybody; everything else is about the account of the session.
$of = Ghostsnap\may_see_server() ? Ghostsnap\given($_POST, "of") : "";
$account = Ghostsnap\account();
$part = Ghostsnap\given($_POST, "part");
$job = Ghostsnap\given($_POST, "job");

if ($of !== "" && $of !== "all" && !Ghostsnap\may_change($of)) {
	Ghostsnap\leave_note("danger", Ghostsnap\say("This account can only be looked at."));
	Ghostsnap\go("/list/ghostsnap/server/");
}
$call = match (true) {
	$action === "backup" => ["v-ghostsnap-schedule-user-backup", $of === "" || $of === "all" ? $account : $of, "", "yes"],
	$action === "restore" && isset(Ghostsnap\RESTORES[$part]) => [Ghostsnap\RESTORES[$part], $account, ...Ghostsnap\restore_words($part, $_POST)],
	$action === "undo" => ["v-ghostsnap-schedule-undo-restore", $account, Ghostsnap\given($_POST, "restore"), "yes", Ghostsnap\given($_POST, "dry_run") === "yes" ? "yes" : ""],
	$action === "download" => ["v-ghostsnap-schedule-download-user-file", $account, Ghostsnap\given($_POST, "snapshot"), Ghostsnap\given_bytes($_POST, "path"), "zip"],
	$action === "export" => ["v-ghostsnap-schedule-user-export", $account, Ghostsnap\given($_POST, "snapshot")],
	default => [],
};
if ($action === "cancel") {
	if ($of === "all" && !Ghostsnap\may_change(Ghostsnap\ask("v-ghostsnap-list-job", $job, "json")->row()["USER"] ?? "")) {
		Ghostsnap\leave_note("danger", Ghostsnap\say("This account can only be looked at."));
		Ghostsnap\go("/list/ghostsnap/jobs/?of=all");
	}
	$answer = $of === "all"
		? Ghostsnap\ask("v-ghostsnap-cancel-job", $job)
		: Ghostsnap\ask("v-ghostsnap-cancel-user-job", $account, $job);
	if ($answer->failed()) {
		Ghostsnap\leave_note("danger", $answer->problem());
	}
	Ghostsnap\go(Ghostsnap\address("/list/ghostsnap/jobs/", ["job" => $job, "of" => $of]));
}
if ($action === "restore" && Ghostsnap\given($_POST, "place") === "copy" && trim(Ghostsnap\given($_POST, "target")) === "") {
	// An empty path means the old place, and that is not what was chosen.
	Ghostsnap\leave_note("danger", Ghostsnap\say("Say where the copy goes."));
	$values = ["snapshot" => Ghostsnap\given($_POST, "snapshot"), "part" => $part, "name" => Ghostsnap\given_bytes($_POST, "name")];
	Ghostsnap\go(Ghostsnap\address("/list/ghostsnap/restore/", $values));
}
if ($call === []) {
	Ghostsnap\go("/list/ghostsnap/?view=own");
}

$answer = Ghostsnap\ask(...[...$call, "json"]);
if ($answer->failed() || $answer->rows === []) {
	Ghostsnap\leave_note("danger", $answer->problem());
	$snapshot = Ghostsnap\given($_POST, "snapshot");
	Ghostsnap\go(match ($action) {
		"undo" => "/list/ghostsnap/restores/",
		"restore" => Ghostsnap\address("/list/ghostsnap/restore/", ["snapshot" => $snapshot, "part" => $part, "name" => Ghostsnap\given_bytes($_POST, "name")]),
		default => Ghostsnap\address("/list/ghostsnap/", ["view" => "own"]),
	});
}
$values = ["job" => Ghostsnap\key_of($answer->row()), "of" => $of === "" ? "" : "all"];
Ghostsnap\go(Ghostsnap\address("/list/ghostsnap/jobs/", $values));

<?php
// SPDX-License-Identifier: MIT
// The jobs of a user, or one of them; for an administrator also those of everybody.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../../inc/ghostsnap/jobs.php";

$id = Ghostsnap\given($_GET, "job");
$of_all = Ghostsnap\given($_GET, "of") === "all" && Ghostsnap\may_see_server();
if ($id === "") {
	$answer = $of_all
		? Ghostsnap\ask("v-ghostsnap-list-jobs", "json")
		: Ghostsnap\ask("v-ghostsnap-list-user-jobs", Ghostsnap\account(), "json");
	$jobs = array_filter($answer->rows, fn($job) => !$of_all || Ghostsnap\may_see($job["USER"]));
	Ghostsnap\show("jobs", ["jobs" => $jobs, "problem" => $answer->problem(), "of_all" => $of_all]);
	exit();
}

$answer = $of_all
	? Ghostsnap\ask("v-ghostsnap-list-job", $id, "json")
	: Ghostsnap\ask("v-ghostsnap-list-user-job", Ghostsnap\account(), $id, "json");
if ($answer->failed() || $answer->rows === [] || ($of_all && !Ghostsnap\may_see($answer->row()["USER"]))) {
	Ghostsnap\leave_note("danger", Ghostsnap\say("There is no such job."));
	Ghostsnap\go("/list/ghostsnap/jobs/");
}
Ghostsnap\show("job", ["job" => $of_all ? Ghostsnap\seen_job($answer->row()) : $answer->row(), "of_all" => $of_all]);

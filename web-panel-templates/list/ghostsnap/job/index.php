<?php
// SPDX-License-Identifier: MIT
// How a job goes, for the script of its page.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../../inc/ghostsnap/jobs.php";

header("Content-Type: application/json");
header("X-Content-Type-Options: nosniff");
header("Cache-Control: no-store");
if (Ghostsnap\given($_GET, "token") !== $_SESSION["token"]) {
	http_response_code(403);
	exit("{}");
}
$of_all = Ghostsnap\given($_GET, "of") === "all" && Ghostsnap\may_see_server();
$id = Ghostsnap\given($_GET, "job");
$answer = $of_all
	? Ghostsnap\ask("v-ghostsnap-list-job", $id, "json")
	: Ghostsnap\ask("v-ghostsnap-list-user-job", Ghostsnap\account(), $id, "json");
if ($answer->failed() || $answer->rows === [] || ($of_all && !Ghostsnap\may_see($answer->row()["USER"]))) {
	http_response_code(404);
	exit("{}");
}
$job = $of_all ? Ghostsnap\seen_job($answer->row()) : $answer->row();
echo json_encode([
	"active" => Ghostsnap\is_active($job),
	"state" => Ghostsnap\state_of_job($job),
	"percent" => $job["PERCENT"] === "" ? null : (int) $job["PERCENT"],
	"progress" => mb_scrub(Ghostsnap\progress_words($job), "UTF-8"),
	"runtime" => Ghostsnap\runtime_words($job),
]);

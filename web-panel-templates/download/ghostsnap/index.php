<?php
// SPDX-License-Identifier: MIT
// Hands out a file of a snapshot, or what a job of the queue made. The command makes a file where the
// web server can serve it from, so that no worker of PHP is held by a slow line. A large file is handed
// to the queue as well: whoever says a wrong size waits no longer than for any other look.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../inc/ghostsnap/jobs.php";

Ghostsnap\only_by_post();
if (Ghostsnap\is_protected()) {
	Ghostsnap\only_if_may_change();
}
$account = Ghostsnap\account();
$snapshot = Ghostsnap\given($_POST, "snapshot");
$path = Ghostsnap\given_bytes($_POST, "path");
$job = Ghostsnap\given($_POST, "job");
$size = Ghostsnap\given($_POST, "size");

$hand_in = function () use ($account, $snapshot, $path): never {
	$answer = Ghostsnap\ask("v-ghostsnap-schedule-download-user-file", $account, $snapshot, $path, "raw", "json");
	if ($answer->failed() || $answer->rows === []) {
		Ghostsnap\leave_note("danger", $answer->problem());
		Ghostsnap\go("/list/ghostsnap/?view=own");
	}
	Ghostsnap\go(Ghostsnap\address("/list/ghostsnap/jobs/", ["job" => Ghostsnap\key_of($answer->row())]));
};
if ($job === "" && (float) $size > Ghostsnap\MOST_AT_ONCE) {
	$hand_in();
}

if ($job !== "") {
	// Something large, which the queue has made.
	$row = Ghostsnap\ask("v-ghostsnap-list-user-job", $account, $job, "json")->row();
	$file = $row === [] ? null : Ghostsnap\file_of_job($row, $account);
	if ($file === null) {
		Ghostsnap\leave_note("danger", Ghostsnap\say("There is no such file, or not any more."));
		Ghostsnap\go("/list/ghostsnap/jobs/");
	}
	$name = preg_replace('/^.*?\.gs-([0-9a-f]{16}-)?/', "", $file);
} else {
	$answer = Ghostsnap\ask_slowly("v-ghostsnap-download-user-file", $account, $snapshot, $path, "raw");
	if ($answer->is_cut) {
		$hand_in();
	}
	$file = Ghostsnap\made_file($answer, $account);
	if ($file === null) {
		Ghostsnap\leave_note("danger", Ghostsnap\say("The file could not be made ready: %s", $answer->problem()));
		$folder = str_contains($path, "/") ? dirname($path) : "";
		Ghostsnap\go(Ghostsnap\address("/list/ghostsnap/files/", ["snapshot" => $snapshot, "path" => $folder]));
	}
	$name = basename($path);
}
$plain = preg_replace('/[^A-Za-z0-9._ -]/', "_", $name);
session_write_close();
header("Content-Type: application/octet-stream");
header("X-Content-Type-Options: nosniff");
header("Content-Disposition: attachment; filename=\"$plain\"; filename*=UTF-8''" . rawurlencode($name));
header("X-Accel-Buffering: no");
header("X-Accel-Redirect: /backup/" . rawurlencode($file));

<?php
// SPDX-License-Identifier: MIT
// For the administrator: from nothing to the first backup. What is done already is seen from the server
// itself, so the page can be left and come back to at any time.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../../inc/ghostsnap/schedules.php";

Ghostsnap\only_for_admins();
$repositories = Ghostsnap\ask("v-ghostsnap-list-repositories", "json");
$schedules = Ghostsnap\ask("v-ghostsnap-list-schedules", "json");
$health = Ghostsnap\ask_slowly_all("v-ghostsnap-list-health", "json");
$tried = $_SESSION["ghostsnap_tried"] ?? null;
unset($_SESSION["ghostsnap_tried"]);
$users = array_filter($health->rows, fn($row) => Ghostsnap\may_see(Ghostsnap\key_of($row)));
// Every night, and everybody.
$is_often = fn($row) => in_array(Ghostsnap\when_fields($row["WHEN"])["rhythm"], ["daily", "hourly", "cron"], true);
$is_nightly = fn($row) => $row["DO"] === "backup" && $row["ENABLED"] === "yes" && $is_often($row) && $row["INCLUDE"] . $row["EXCLUDE"] === "";
Ghostsnap\show("setup", [
	"default" => array_values(array_filter($repositories->rows, fn($row) => $row["DEFAULT"] === "yes"))[0] ?? [],
	"schedule" => array_values(array_filter($schedules->rows, $is_nightly))[0] ?? null,
	"users" => array_values($users),
	// A partial one is none to rely on.
	"backed_up" => count(array_filter($users, fn($row) => $row["DATE"] !== "")),
	"problems" => array_filter([$repositories->problem(), $schedules->problem(), $health->problem()], fn($text) => $text !== ""),
	"tried" => $tried,
]);

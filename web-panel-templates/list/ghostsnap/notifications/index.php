<?php
// SPDX-License-Identifier: MIT
// For the administrator: who is told how backups are, whether it arrives, and what is told.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
$receivers = Ghostsnap\ask("v-ghostsnap-list-notifications", "json");
$settings = Ghostsnap\ask("v-ghostsnap-list-settings", "json");
$tried = $_SESSION["ghostsnap_told"] ?? null;
unset($_SESSION["ghostsnap_told"]);
Ghostsnap\show("notifications", [
	"receivers" => array_values(array_filter($receivers->rows, fn($row) => $row["USER"] === "" || Ghostsnap\may_see($row["USER"]))),
	"settings" => array_values(array_filter($settings->rows, fn($row) => $row["GROUP"] === "notifications")),
	"problems" => array_unique(array_filter([$receivers->problem(), $settings->problem()], fn($text) => $text !== "")),
	"tried" => $tried,
]);

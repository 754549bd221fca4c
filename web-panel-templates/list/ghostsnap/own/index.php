<?php
// SPDX-License-Identifier: MIT
// A customer's own schedule and exclusions, if the administrator allows them.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../../inc/ghostsnap/own.php";

$schedule = Ghostsnap\own_schedule();
$row = $schedule->row();
if (!$schedule->failed() && !Ghostsnap\may_decide($row)) {
	Ghostsnap\leave_note("danger", Ghostsnap\say("The administrator decides when and what is backed up."));
	Ghostsnap\go("/list/ghostsnap/?view=own");
}
$excludes = ($row["EXCLUDES_ALLOWED"] ?? "") === "yes" ? Ghostsnap\ask("v-ghostsnap-list-user-excludes", Ghostsnap\account(), "json") : null;
$form = $_SESSION["ghostsnap_form"] ?? [];
unset($_SESSION["ghostsnap_form"]);
Ghostsnap\show("own", [
	"row" => $row,
	"excludes" => array_map(Ghostsnap\key_of(...), $excludes?->rows ?? []),
	"problems" => array_filter([$schedule->problem(), $excludes?->problem() ?? ""], fn($text) => $text !== ""),
	"form" => $form,
]);

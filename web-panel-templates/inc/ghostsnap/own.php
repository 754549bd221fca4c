<?php
// SPDX-License-Identifier: MIT
// What customers decide about their own backups, where the administrator allows it: the command says
// whether. Whose it is, is the account of the session.
namespace Ghostsnap;

require_once __DIR__ . "/schedules.php";

/** What the account may decide, and when its own backup is due. */
function own_schedule(): Answer {
	return ask("v-ghostsnap-list-user-schedule", account(), "json");
}

function may_decide(array $row): bool {
	return ($row["ALLOWED"] ?? "") === "yes" || ($row["EXCLUDES_ALLOWED"] ?? "") === "yes";
}

/** How often a customer's own backup can be. */
function own_rhythms(): array {
	return ["never" => say("Never")] + array_intersect_key(rhythms(), ["daily" => 1, "weekly" => 1, "monthly" => 1]);
}

/** The fields of the form for the time that the command keeps. */
function own_fields(string $when): array {
	return $when === "" ? ["rhythm" => "never"] + when_fields("daily 02:30") : when_fields($when);
}

/** The time that the form says; nothing for never. */
function own_when(array $form): string {
	return isset(own_rhythms()[given($form, "rhythm")]) && given($form, "rhythm") !== "never" ? when_of_form($form) : "";
}

/** The lines of a text field, without blanks around. */
function lines_of_form(string $text): array {
	return array_values(array_filter(array_map("trim", preg_split('/\R/', $text)), fn($line) => $line !== ""));
}

<?php
// SPDX-License-Identifier: MIT
// What is done again and again: how it is told to a person, and what a form makes of it. Whether it can
// be so is judged by the command.
namespace Ghostsnap;

/** What can be done => how it is called, and which keys are for it alone. */
const TASKS = ["backup", "copy", "forget", "prune", "check", "verify"];

const OF_ONE_TASK = [
	"include" => "backup", "exclude" => "backup", "subset" => "check", "max_time" => "verify",
	"from" => "copy", "to" => "copy", "newest" => "copy",
];

/** Keys with a field of their own, in upper case the columns of a list. */
const PLAIN_KEYS = ["include", "exclude", "repositories", "from", "to", "newest", "subset", "max_time", "hours_max", "load_max"];

/** Keys whose field in a form is called otherwise: `from` says which page a form comes from. */
const FIELDS = ["from" => "copy_from"];

function task_words(string $task): string {
	return [
		"backup" => say("Back users up"),
		"copy" => say("Copy to another repository"),
		"forget" => say("Drop old backups, and free their space"),
		"prune" => say("Free space"),
		"check" => say("Check the repository"),
		"verify" => say("Rehearse restores"),
	][$task] ?? $task;
}

/** Days of a week as the command writes them => for a person. */
function weekdays(): array {
	return [
		"mon" => say("Monday"), "tue" => say("Tuesday"), "wed" => say("Wednesday"), "thu" => say("Thursday"),
		"fri" => say("Friday"), "sat" => say("Saturday"), "sun" => say("Sunday"),
	];
}

/** How often something can be done => for a person. */
function rhythms(): array {
	return [
		"daily" => say("Every day"), "weekly" => say("Every week"), "monthly" => say("Every month"),
		"hourly" => say("Every hour"), "cron" => say("At the times of a cron expression"),
	];
}

/** What the fields of a form show for a time that the command wrote. */
function when_fields(string $when): array {
	$fields = ["rhythm" => "cron", "time" => "02:30", "weekday" => "sun", "day" => "1", "cron" => ""];
	// The command takes capitals as well, and keeps what was written.
	$when = strtolower($when);
	$days = implode("|", array_keys(weekdays()));
	return match (true) {
		$when === "hourly" => ["rhythm" => "hourly"] + $fields,
		preg_match('/^daily (\d\d:\d\d)$/', $when, $at) === 1 => ["rhythm" => "daily", "time" => $at[1]] + $fields,
		preg_match("/^weekly ($days) (\\d\\d:\\d\\d)$/", $when, $at) === 1 => ["rhythm" => "weekly", "weekday" => $at[1], "time" => $at[2]] + $fields,
		preg_match('/^monthly (\d+) (\d\d:\d\d)$/', $when, $at) === 1 => ["rhythm" => "monthly", "day" => $at[1], "time" => $at[2]] + $fields,
		default => ["cron" => $when] + $fields,
	};
}

/** The time that a form says, as the command takes it. */
function when_of_form(array $form): string {
	[$time, $cron] = [trim(given($form, "time")), trim(given($form, "cron"))];
	return match (given($form, "rhythm")) {
		"weekly" => "weekly " . given($form, "weekday") . " " . $time,
		"monthly" => "monthly " . trim(given($form, "day")) . " " . $time,
		"hourly" => "hourly",
		"cron" => $cron,
		default => "daily " . $time,
	};
}

/** When it is due, for a person. Not escaped. */
function when_words(string $when): string {
	$fields = when_fields($when);
	return match ($fields["rhythm"]) {
		"daily" => say("Every day at %s", $fields["time"]),
		"weekly" => say("%s at %s", weekdays()[$fields["weekday"]] ?? $fields["weekday"], $fields["time"]),
		"monthly" => say("Every month on day %s at %s", $fields["day"], $fields["time"]),
		"hourly" => say("Every hour"),
		default => $when,
	};
}

/** Where a copy goes, for a person. Not escaped. */
function copy_words(array $row): string {
	$from = $row["FROM"] === "" ? "default" : $row["FROM"];
	return $row["TO"] === "" ? "" : say("from %s to %s", $from, $row["TO"]);
}

/** The words KEY=VALUE of a form. What is for another task is taken out, so that the task can change. */
function schedule_words(array $form): array {
	$task = given($form, "do");
	$words = ["do=" . $task, "when=" . when_of_form($form), "enabled=" . (given($form, "enabled") === "yes" ? "yes" : "no")];
	foreach (PLAIN_KEYS as $key) {
		// A copy says its repositories in its own keys.
		$is_meant = (OF_ONE_TASK[$key] ?? $task) === $task && !($key === "repositories" && $task === "copy");
		$value = is_array($form[$key] ?? null)
			? implode(",", array_filter($form[$key], "is_string"))
			: trim(given($form, FIELDS[$key] ?? $key));
		if (in_array($key, ["include", "exclude", "repositories", "to"], true)) {
			$value = trim(preg_replace('/[\s,]+/', ",", $value), ",");
		}
		$words[] = $key . "=" . ($is_meant ? $value : "");
	}
	return $words;
}

/** The fields of a form for a schedule that a list has shown. */
function fields_of_schedule(array $row): array {
	$fields = ["name" => key_of($row), "do" => $row["DO"], "enabled" => $row["ENABLED"]] + when_fields($row["WHEN"]);
	foreach (PLAIN_KEYS as $key) {
		$fields[FIELDS[$key] ?? $key] = $row[strtoupper($key)];
	}
	return $fields;
}

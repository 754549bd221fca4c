<?php
// SPDX-License-Identifier: MIT
// How a job is told to a person, for the pages and for the script that looks how it goes.
namespace Ghostsnap;

/** Whether it will still change. */
function is_active(array $job): bool {
	return in_array($job["STATE"] ?? "", ["waiting", "running"], true);
}

function kind_of_job(array $job): string {
	$kinds = [
		"backup" => say("Backup"),
		"restore" => say("Restore"),
		"undo" => say("Undo of a restore"),
		"export" => say("Archive for download"),
		"download" => say("Download"),
		"verify" => say("Restore drill"),
		"copy" => say("Copy to another repository"),
		"care" => say("Care of the repository"),
	];
	return $kinds[$job["KIND"]] ?? $job["KIND"];
}

function icon_of_job(array $job): string {
	$icons = [
		"backup" => icon("fa-vault", "icon-blue"),
		"restore" => icon("fa-arrow-rotate-left", "icon-green"),
		"undo" => icon("fa-rotate-left", "icon-orange"),
		"copy" => icon("fa-copy", "icon-blue"),
		"download" => icon("fa-file-arrow-down", "icon-lightblue"),
		"export" => icon("fa-file-zipper", "icon-lightblue"),
	];
	return $icons[$job["KIND"]] ?? icon("fa-gear", "icon-dim");
}

/** The state in words, with what is waited for or done at the moment. Not escaped. */
function state_of_job(array $job): string {
	return match ($job["STATE"]) {
		"waiting" => $job["WAITS"] === "" ? say("Waiting") : say("Waiting: %s", $job["WAITS"]),
		"running" => say("Running"),
		"done" => say("Done"),
		"partial" => say("Done, but for something"),
		"failed" => say("Failed"),
		"cancelled" => say("Cancelled"),
		"interrupted" => say("Interrupted"),
		default => $job["STATE"],
	};
}

function state_light(array $job): string {
	[$icon, $colour] = match ($job["STATE"]) {
		"done" => ["fa-circle-check", "icon-green"],
		"partial" => ["fa-triangle-exclamation", "icon-orange"],
		"failed", "interrupted" => ["fa-circle-xmark", "icon-red"],
		"cancelled" => ["fa-ban", "icon-dim"],
		"running" => ["fa-gear fa-spin", "icon-blue"],
		default => ["fa-hourglass-half", "icon-dim"],
	};
	return '<span class="ghostsnap-light">' . icon($icon, $colour) . " " . h(state_of_job($job)) . "</span>";
}

/** What a running job is at, in a line. Not escaped. */
function progress_words(array $job): string {
	if ($job["STATE"] !== "running") {
		return "";
	}
	$parts = array_filter([$job["STEP"], $job["OBJECT"]], fn($part) => $part !== "");
	if ((int) $job["BYTES"] > 0) {
		$parts[] = implode(" ", size_parts((float) $job["BYTES"]));
	}
	$left = $job["SECONDS_LEFT"];
	if ($left !== "") {
		$parts[] = (int) $left < 90
			? say_count("%d second left", "%d seconds left", (int) $left)
			: say_count("%d minute left", "%d minutes left", (int) round((int) $left / 60));
	}
	return implode(" · ", $parts);
}

/** How long it took, or takes. */
function runtime_words(array $job): string {
	$seconds = (int) $job["RUNTIME"];
	if ($job["RUNTIME"] === "") {
		return "-";
	}
	return $seconds < 120
		? say_count("%d second", "%d seconds", $seconds)
		: say_count("%d minute", "%d minutes", intdiv($seconds, 60));
}

/** The rows that the job printed. */
function result_rows(array $job): array {
	$rows = json_decode($job["RESULT"] ?? "", true);
	if (!is_array($rows)) {
		return [];
	}
	// The key is the first column; a list has none.
	$with_key = fn($key, $row) => is_array($row) ? ["" => (string) $key] + array_map("strval", array_filter($row, "is_scalar")) : [];
	return array_values(array_filter(array_map($with_key, array_keys($rows), $rows)));
}

/** The job without what it says of users whom the administrator may not see; jobs of all users name them. */
function seen_job(array $job): array {
	if ($job["USER"] !== "" || may_see(root_user())) {
		return $job;
	}
	$rows = json_decode($job["RESULT"] ?? "", true);
	if (is_array($rows)) {
		// Some are rows of users, others say whose they are.
		$is_seen = fn($row, $key) => $key !== root_user() && (!is_array($row) || ($row["USER"] ?? "") !== root_user());
		$job["RESULT"] = json_encode(array_filter($rows, $is_seen, ARRAY_FILTER_USE_BOTH));
	}
	if (str_contains($job["ERROR"], root_user())) {
		$job["ERROR"] = say("Not everything went well.");
	}
	// A text in which anybody may be named.
	return ["LOG" => "", "OBJECT" => ""] + $job;
}

/**
 * What a job is about, without what a person does not ask for: that somebody is told, and the digits of
 * a snapshot, which the page of the snapshot's day says better.
 */
function about_job(array $job): string {
	$parts = array_filter(explode(", ", $job["WHAT"]), fn($part) => $part !== "notify" && !preg_match('/^(snapshot [0-9a-f]{64}|form zip)$/', $part));
	return implode(", ", $parts);
}

/** Whether it only looked, and changed nothing. */
function is_dry_run(array $job): bool {
	return in_array("dry run", explode(", ", $job["WHAT"]), true);
}

/** A value of a job's result as HTML. */
function result_cell(string $column, string $value): string {
	return match (true) {
		in_array($column, ["SIZE", "NEW", "STORED"], true) && ctype_digit($value) => size_html($value),
		$column === "SNAPSHOT" && strlen($value) === 64 => '<a href="' . h(address("/list/ghostsnap/snapshot/", ["snapshot" => $value])) . '">' . h(substr($value, 0, 8)) . "</a>",
		default => '<span class="u-text-break">' . name($value) . "</span>",
	};
}

/** The file that a download or an archive became, if it is one that the account may have. */
function file_of_job(array $job, string $account): ?string {
	if (!in_array($job["KIND"], ["download", "export"], true) || $job["STATE"] !== "done") {
		return null;
	}
	$file = basename(key_of(result_rows($job)[0] ?? []));
	return preg_match("~^" . preg_quote($account, "~") . "\.gs-[A-Za-z0-9._-]+$~", $file) ? $file : null;
}

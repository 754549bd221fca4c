<?php
// SPDX-License-Identifier: MIT
// What can be asked for on a form and which command is asked for it: one table, read by the page that
// asks and by the one that hands the job in. Whom it is about is never on a form.
namespace Ghostsnap;

/** Part of a snapshot => the command that hands its restore in. */
const RESTORES = [
	"all" => "v-ghostsnap-schedule-user-restore",
	"web" => "v-ghostsnap-schedule-restore-web-domain",
	"db" => "v-ghostsnap-schedule-restore-database",
	"mail" => "v-ghostsnap-schedule-restore-mail-domain",
	"account" => "v-ghostsnap-schedule-restore-mail-account",
	"dns" => "v-ghostsnap-schedule-restore-dns-domain",
	"cron" => "v-ghostsnap-schedule-restore-cron-job",
	"file" => "v-ghostsnap-schedule-restore-file",
];

/** The sections of a restore of everything, in the order of the command. */
const SECTIONS = ["web", "dns", "mail", "db", "cron", "udir"];

/** The words of such a command, from what a form brought. */
function restore_words(string $part, array $form): array {
	$snapshot = given($form, "snapshot");
	$name = given_bytes($form, "name");
	$exact = given($form, "exact") === "yes" ? "yes" : "";
	$dry_run = given($form, "dry_run") === "yes" ? "yes" : "";
	$words = match ($part) {
		"all" => array_map(fn($section) => given($form, $section) === "yes" ? "*" : "no", SECTIONS),
		"file" => [$name, given($form, "place") === "copy" ? trim(given($form, "target")) : "", $exact],
		"account" => [$name, $exact],
		"db" => [$name, given($form, "table")],
		"cron" => ["*"],
		default => [$name],
	};
	// These tell the user in the panel how it went.
	$notify = in_array($part, ["file", "account"], true) ? [] : ["yes"];
	// Rows that would point at nothing are never left so from a page.
	$orphans = $part === "db" ? [""] : [];
	return [$snapshot, ...$words, ...$notify, $dry_run, ...$orphans];
}

/** What a part is called in a headline. */
function restore_title(string $part, string $name): string {
	return match ($part) {
		"all" => say("Restore everything"),
		"web" => say("Restore the site %s", $name),
		"db" => say("Restore the database %s", $name),
		"mail" => say("Restore the mail domain %s", $name),
		"account" => say("Restore the mail account %s", $name),
		"dns" => say("Restore the DNS zone %s", $name),
		"cron" => say("Restore the cron jobs"),
		default => say("Restore %s", $name),
	};
}

/** What will happen, in sentences. */
function restore_effects(string $part, bool $is_folder): array {
	return match ($part) {
		"all" => [
			say("What you choose below becomes what it was on that day."),
			say("Files that differ are overwritten. In the public folder of a site, files that were made since go; everywhere else they stay."),
			say("Databases change place with the ones of today in one step; one that fails stays as it is."),
		],
		"web" => [
			say("The site's settings, certificates and files become what they were on that day."),
			say("In its public folder, files that were made since go, but for those with a dot in front. In its other folders they stay."),
			say("Its database and its mail are not touched."),
		],
		"db" => [
			say("The backup is read into a database beside, compared, and only then takes the place of the one of today."),
			say("What was written into it since that day is not in it then."),
			say("The files of the site are not touched."),
		],
		"mail" => [
			say("The domain's settings and accounts become what they were on that day."),
			say("Mails that are gone come back. Mails that are there stay, newer ones too."),
		],
		"account" => [
			say("Mails that are gone come back. Mails that are there stay."),
			say("An account that was deleted is made again, with its password."),
		],
		"dns" => [say("All records of the zone become what they were on that day.")],
		"cron" => [say("All cron jobs become what they were on that day; newer ones go.")],
		default => $is_folder
			? [
				say("The folder gets back what is gone or differs; each file is replaced in one step."),
				say("What was made in it since stays, unless you choose otherwise."),
			]
			: [say("The file gets the content that it had on that day, in one step.")],
	};
}

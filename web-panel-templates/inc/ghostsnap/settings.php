<?php
// SPDX-License-Identifier: MIT
// Settings of the server: how a list of them is shown, and what a form makes of one. What they mean, what
// they may be and who may change them is what the command says.
namespace Ghostsnap;

/** What the groups of the list are called, in the order in which they are shown. */
function setting_groups(): array {
	return [
		"repository" => say("Where backups go"),
		"backup" => say("How users are backed up"),
		"restore" => say("Restores"),
		"keep" => say("Which backups are kept"),
		"watch" => say("When a light turns yellow or red"),
		"queue" => say("The queue of jobs"),
		"notifications" => say("Notifications"),
		"receivers" => say("Webhooks and pings"),
		"customers" => say("What customers may set themselves"),
		"users" => say("For single users"),
		"packages" => say("For single packages"),
		"folders" => say("Folders and files of the server"),
	];
}

/** The rows of a list by their groups; a group that is new to this page comes last, by its word. */
function by_group(array $rows): array {
	$groups = array_fill_keys(array_keys(setting_groups()), []);
	foreach ($rows as $row) {
		$groups[$row["GROUP"]][] = $row;
	}
	return array_filter($groups);
}

function group_title(string $group): string {
	return setting_groups()[$group] ?? $group;
}

/** A value for a person. */
function setting_html(array $row, string $column): string {
	$value = (string) $row[$column];
	if ($value === "") {
		return $row["CHANGE"] === "file" && $row["SET"] === "yes" ? h(say("not shown")) : "-";
	}
	return $row["TYPE"] === "yesno" ? h($value === "yes" ? say("Yes") : say("No")) : name($value);
}

/** What is said of a setting; the command's words, in the language of the session if it has them. */
function setting_about(array $row): string {
	$words = say($row["ABOUT"]);
	return mb_strtoupper(mb_substr($words, 0, 1, "UTF-8"), "UTF-8") . mb_substr($words, 1, null, "UTF-8");
}

/** Whether the panel's command takes a new value. */
function can_be_set(array $row): bool {
	return $row["CHANGE"] === "anywhere";
}

/** Why the panel's command does not. */
function why_not_set(array $row): string {
	return $row["CHANGE"] === "shell" ? say("by root, at a shell") : say("in the file, since it is about a secret");
}

/** The settings as a table, each with what can be done about it. $from is the page to come back to. */
function settings_table(array $rows, string $from): string {
	$html = table_header([say("Setting") => "", say("In force") => "", say("Without it") => "", "" => ""]);
	foreach ($rows as $row) {
		$key = key_of($row);
		$mark = $row["SET"] === "yes" ? ' <span class="ghostsnap-clock">' . h(say("set")) . "</span>" : "";
		$html .= '<div class="units-table-row js-unit">' .
			heading_cell(say("Setting"), h(setting_about($row)) . '<br><span class="ghostsnap-clock u-text-break">' . name($key) . "</span>") .
			cell(say("In force"), '<span class="u-text-break">' . setting_html($row, "VALUE") . "</span>" . $mark) .
			cell(say("Without it"), '<span class="ghostsnap-clock u-text-break">' . setting_html($row, "DEFAULT") . "</span>") .
			'<div class="units-table-cell">' . setting_actions($row, $from) . "</div></div>";
	}
	return '<div class="units-table js-units-container ghostsnap-settings">' . $html . "</div>";
}

function setting_actions(array $row, string $from): string {
	if (is_read_only()) {
		return "";
	}
	if (!can_be_set($row)) {
		return '<span class="ghostsnap-clock">' . h(why_not_set($row)) . "</span>";
	}
	[$key, $html] = [key_of($row), ""];
	if ($row["TYPE"] === "yesno") {
		$is_on = $row["VALUE"] === "yes";
		$html .= row_post("/edit/ghostsnap/setting/", ["key" => $key, "value" => $is_on ? "no" : "yes", "from" => $from], $is_on ? "fa-pause" : "fa-power-off", "icon-blue", $is_on ? say("Switch off") : say("Switch on"));
	}
	$html .= row_link(address("/edit/ghostsnap/setting/", ["key" => $key, "from" => $from]), "fa-pencil", "icon-orange", say("Change"));
	return '<ul class="units-table-row-actions">' . $html . "</ul>";
}

/** The page that a form leads back to. */
function page_of_settings(string $from): string {
	return $from === "notifications" ? "/list/ghostsnap/notifications/" : "/list/ghostsnap/settings/";
}

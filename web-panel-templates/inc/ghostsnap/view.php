<?php
// SPDX-License-Identifier: MIT
// Pieces of HTML that several pages have, in the markup and with the classes of HestiaCP's own pages.
// Functions that return HTML escape what they are given, unless a parameter is called $html.
namespace Ghostsnap;

/** A day as the number in the address of a static file: browsers fetch it anew after an upgrade. */
function asset(string $path): string {
	return $path . "?v=" . @filemtime(dirname(__DIR__, 2) . $path);
}

function icon(string $name, string $colour = ""): string {
	return '<i class="fas ' . h($name) . ($colour === "" ? "" : " " . h($colour)) . '" aria-hidden="true"></i>';
}

/** A button of the toolbar that leads somewhere. */
function toolbar_link(string $to, string $icon, string $colour, string $text, string $class = ""): string {
	return '<a class="button button-secondary ' . h($class) . '" href="' . h($to) . '">' . icon($icon, $colour) . h($text) . "</a>";
}

function back_link(string $to): string {
	return toolbar_link($to, "fa-arrow-left", "icon-blue", say("Back"), "button-back js-button-back");
}

/** What a form needs to be allowed: the token, and the values it carries unseen. */
function hidden(array $values): string {
	$html = "";
	foreach (["token" => $_SESSION["token"]] + $values as $name => $value) {
		$html .= '<input type="hidden" name="' . h($name) . '" value="' . field_value((string) $value) . '">';
	}
	return $html;
}

/** The value of a hidden field. Bytes that are no text travel as base64, under a mark of their own. */
function field_value(string $bytes): string {
	$is_text = mb_check_encoding($bytes, "UTF-8") && !preg_match('/[\r\n]/', $bytes);
	return $is_text && !str_starts_with($bytes, "base64:") ? h($bytes) : "base64:" . base64_encode($bytes);
}

/** What a field made by field_value() holds. */
function given_bytes(array $from, string $name): string {
	$value = given($from, $name);
	if (!str_starts_with($value, "base64:")) {
		return $value;
	}
	$bytes = base64_decode(substr($value, 7), true);
	return $bytes === false || str_contains($bytes, "\0") ? "" : $bytes;
}

/** A button that is a whole form: what it does changes something, so it is posted. */
function post_button(string $to, array $values, string $icon, string $colour, string $text, string $class = "button button-secondary"): string {
	return '<form method="post" action="' . h($to) . '" class="ghostsnap-button js-ghostsnap-busy">' . hidden($values) .
		'<button type="submit" class="' . h($class) . '">' . icon($icon, $colour) . h($text) . "</button></form>";
}

/** What may be done to a row: a link, or a form of one button. */
function row_link(string $to, string $icon, string $colour, string $text): string {
	return '<li class="units-table-row-action"><a class="units-table-row-action-link" href="' . h($to) . '" title="' . h($text) . '">' .
		icon($icon, $colour) . '<span class="ghostsnap-action-text">' . h($text) . "</span></a></li>";
}

function row_post(string $to, array $values, string $icon, string $colour, string $text): string {
	return '<li class="units-table-row-action"><form method="post" action="' . h($to) . '" class="js-ghostsnap-busy">' . hidden($values) .
		'<button type="submit" class="units-table-row-action-link ghostsnap-action-button" title="' . h($text) . '">' .
		icon($icon, $colour) . '<span class="ghostsnap-action-text">' . h($text) . "</span></button></form></li>";
}

/** A cell with the label that a phone shows before it. */
function cell(string $label, string $html, string $class = ""): string {
	return '<div class="units-table-cell ' . h($class) . '">' .
		'<span class="u-hide-desktop u-text-bold">' . h($label) . ":</span> " . $html . "</div>";
}

/** The first cell of a row: what it is about. */
function heading_cell(string $label, string $html): string {
	return '<div class="units-table-cell units-table-heading-cell u-text-bold">' .
		'<span class="u-hide-desktop">' . h($label) . ":</span> " . $html . "</div>";
}

/** The names above a table; an empty one stands over the actions. */
function table_header(array $labels): string {
	$html = "";
	foreach ($labels as $label => $class) {
		$html .= '<div class="units-table-cell ' . h($class) . '">' . h($label) . "</div>";
	}
	return '<div class="units-table-header">' . $html . "</div>";
}

function alert(string $kind, string $text): string {
	$icon = ["danger" => "fa-circle-exclamation", "success" => "fa-circle-check"][$kind] ?? "fa-circle-info";
	return '<div class="inline-alert inline-alert-' . h($kind) . ' u-mb20" role="' . (in_array($kind, ["success", "info"], true) ? "status" : "alert") . '">' .
		icon($icon) . "<p>" . name($text) . "</p></div>";
}

/** What the page before left to say, once. */
function note(): string {
	$note = $_SESSION["ghostsnap_note"] ?? null;
	unset($_SESSION["ghostsnap_note"]);
	return is_array($note) ? alert($note["kind"], $note["text"]) : "";
}

/** What to say where there is nothing to show. */
function nothing(string $icon, string $title, string $text, string $html = ""): string {
	return '<div class="ghostsnap-nothing">' . icon($icon, "icon-dim") . "<h2>" . h($title) . "</h2><p>" . h($text) . "</p>" . $html . "</div>";
}

/** A traffic light with its meaning in words. */
function light(string $colour): string {
	$lights = [
		"green" => ["fa-circle-check", "icon-green", say("Good")],
		"yellow" => ["fa-triangle-exclamation", "icon-orange", say("Look at it")],
		"red" => ["fa-circle-xmark", "icon-red", say("Act")],
		"off" => ["fa-circle-minus", "icon-dim", say("Off")],
	];
	[$icon, $class, $text] = $lights[$colour] ?? ["fa-circle-question", "icon-dim", $colour];
	return '<span class="ghostsnap-light">' . icon($icon, $class) . " " . h($text) . "</span>";
}

/** Whether all of it came. */
function result(string $status): string {
	return $status === "complete"
		? '<span class="ghostsnap-light">' . icon("fa-circle-check", "icon-green") . " " . h(say("Complete")) . "</span>"
		: '<span class="ghostsnap-light">' . icon("fa-triangle-exclamation", "icon-orange") . " " . h(say("Partial")) . "</span>";
}

/** How a customer calls a snapshot: by its day and time. */
function snapshot_title(array $row): string {
	return trim(day($row) . ", " . clock($row), ", ");
}

/** Links to the other pages of the customer. */
function customer_links(string $here): string {
	$pages = [
		"jobs" => ["/list/ghostsnap/jobs/", "fa-list-check", "icon-blue", say("Jobs")],
		"restores" => ["/list/ghostsnap/restores/", "fa-rotate-left", "icon-orange", say("Undo a restore")],
	];
	unset($pages[$here]);
	$html = "";
	foreach ($pages as [$to, $icon, $colour, $text]) {
		$html .= toolbar_link($to, $icon, $colour, $text);
	}
	if (may_see_server()) {
		$html .= toolbar_link("/list/ghostsnap/server/", "fa-server", "icon-purple", say("All users"));
	}
	return $html;
}

/** The way from the home to this folder, each step a link. */
function breadcrumb(string $snapshot, string $path): string {
	$html = '<li><a href="' . h(address("/list/ghostsnap/files/", ["snapshot" => $snapshot])) . '">' . icon("fa-house") . " " . h(say("Home folder")) . "</a></li>";
	$steps = $path === "" ? [] : explode("/", $path);
	foreach ($steps as $at => $step) {
		$to = address("/list/ghostsnap/files/", ["snapshot" => $snapshot, "path" => implode("/", array_slice($steps, 0, $at + 1))]);
		$is_last = $at === count($steps) - 1;
		$html .= "<li>" . ($is_last ? '<span aria-current="page">' . name($step) . "</span>" : '<a href="' . h($to) . '">' . name($step) . "</a>") . "</li>";
	}
	return '<nav class="ghostsnap-path" aria-label="' . h(say("Folder")) . '"><ol>' . $html . "</ol></nav>";
}

/** Links to the pages of a long list. */
function pager(string $path, array $values, int $first, int $shown, int $total): string {
	if ($total <= $shown && $first === 0) {
		return "";
	}
	$html = "";
	if ($first > 0) {
		$html .= toolbar_link(address($path, $values + ["first" => (string) max(0, $first - ROWS_PER_PAGE)]), "fa-arrow-left", "icon-blue", say("Previous"));
	}
	if ($first + $shown < $total) {
		$html .= toolbar_link(address($path, $values + ["first" => (string) ($first + ROWS_PER_PAGE)]), "fa-arrow-right", "icon-blue", say("Next"));
	}
	return '<div class="ghostsnap-pager">' . $html . "</div>";
}

/** The number of the first row, as the address says it. */
function given_first(): int {
	$first = given($_GET, "first");
	return ctype_digit($first) && strlen($first) < 10 ? (int) $first : 0;
}

/** Shows a page in HestiaCP's frame. */
function show(string $page, array $view): void {
	// The frame takes every global variable along; this is ours.
	$GLOBALS["view"] = $view;
	\render_page($GLOBALS["user"], "GHOSTSNAP", "ghostsnap/" . $page);
	$_SESSION["back"] = $_SERVER["REQUEST_URI"];
}

/** What a snapshot holds, in a line. */
function summary(array $row): string {
	$parts = array_filter([
		number_of($row["WEB"] ?? "", fn($n) => say_count("%d site", "%d sites", $n)),
		number_of($row["DB"] ?? "", fn($n) => say_count("%d database", "%d databases", $n)),
		number_of($row["MAIL"] ?? "", fn($n) => say_count("%d mail domain", "%d mail domains", $n)),
		number_of($row["DNS"] ?? "", fn($n) => say_count("%d DNS zone", "%d DNS zones", $n)),
		(int) ($row["CRON"] ?? 0) > 0 ? say_count("%d cron job", "%d cron jobs", (int) $row["CRON"]) : "",
	]);
	return $parts === [] ? say("files of the home folder") : implode(", ", $parts);
}

function number_of(string $list, callable $words): string {
	$count = count(names($list));
	return $count === 0 ? "" : $words($count);
}

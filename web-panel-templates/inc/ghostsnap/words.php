<?php
// SPDX-License-Identifier: MIT
// Words for people: translation, and how sizes, times and names are written. Strings are in the
// catalogue ghostsnap.pot, taken from say() and say_count() by pot.sh; what it lacks a translation
// for is looked up in HestiaCP's own, which has the common ones.
namespace Ghostsnap;

bindtextdomain("ghostsnap", dirname(__DIR__, 2) . "/locale");
bind_textdomain_codeset("ghostsnap", "UTF-8");

/** The text in the language of the session, with values put in. Not escaped. */
function say(string $text, string|int ...$values): string {
	$words = dgettext("ghostsnap", $text);
	if ($words === $text) {
		$words = _($text);
	}
	return $values === [] ? $words : vsprintf($words, $values);
}

/** The same for a number of things. */
function say_count(string $one, string $many, int $count): string {
	return sprintf(dngettext("ghostsnap", $one, $many, $count), $count);
}

/** Escapes a text for HTML, attributes in quotes included. */
function h(string|int|float|null $text): string {
	return htmlspecialchars((string) $text, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5, "UTF-8");
}

/**
 * A name that a customer chose, escaped. What would move or hide text is shown as a number: a
 * right-to-left mark makes `exe.jpg` of `gpj.exe`.
 */
function name(string $text): string {
	$text = mb_scrub($text, "UTF-8");
	$hidden = '/[\p{Cc}\x{61c}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]/u';
	$shown = preg_replace_callback($hidden, fn($c) => sprintf('\u{%x}', mb_ord($c[0], "UTF-8")), $text);
	return h($shown ?? "?");
}

/** Bytes, with one unit that fits: `["1.4", "GB"]`. */
function size_parts(float $bytes): array {
	$units = ["B", "KB", "MB", "GB", "TB"];
	$at = 0;
	while ($bytes >= 1000 && $at < count($units) - 1) {
		$bytes /= 1024;
		$at++;
	}
	$digits = $at === 0 || $bytes >= 99.95 ? 0 : 1;
	return [number_format($bytes, $digits), $units[$at]];
}

/** A size, as the panel's lists show it. */
function size_html(string|float $bytes): string {
	if ($bytes === "") {
		return "-";
	}
	[$number, $unit] = size_parts((float) $bytes);
	return '<span class="u-text-bold">' . h($number) . '</span> <span class="u-text-small">' . h($unit) . "</span>";
}

/** The server's time zone, in which commands print; PHP may think of another one. */
function zone(): \DateTimeZone {
	$link = @readlink("/etc/localtime");
	$found = $link !== false && preg_match('#/zoneinfo/(.+)$#', $link, $name) ? @timezone_open($name[1]) : false;
	return $found ?: new \DateTimeZone(date_default_timezone_get());
}

/** A row's day and time as a moment. */
function moment(array $row): ?\DateTimeImmutable {
	$text = trim(($row["DATE"] ?? "") . " " . ($row["TIME"] ?? ""));
	return $text === "" ? null : (date_create_immutable($text, zone()) ?: null);
}

/** A row's day, `29 Nov 2026`. */
function day(array $row): string {
	$moment = moment($row);
	return $moment === null ? "-" : $moment->format("d") . " " . _($moment->format("M")) . " " . $moment->format("Y");
}

/** A row's time of day, without seconds. */
function clock(array $row): string {
	return moment($row)?->format("H:i") ?? "";
}

/** A moment of these days as commands print it, `01 Dec, 02:30`. */
function brief(string $text): string {
	$moment = moment(["DATE" => $text]);
	return $moment === null ? $text : $moment->format("d") . " " . _($moment->format("M")) . ", " . $moment->format("H:i");
}

/** How long ago a row was. */
function age(array $row): string {
	$moment = moment($row);
	return $moment === null ? "-" : ago(time() - $moment->getTimestamp());
}

function ago(int $seconds): string {
	$minutes = intdiv(max(0, $seconds), 60);
	if ($minutes < 2) {
		return say("just now");
	}
	if ($minutes < 120) {
		return say_count("%d minute ago", "%d minutes ago", $minutes);
	}
	if ($minutes < 48 * 60) {
		return say_count("%d hour ago", "%d hours ago", intdiv($minutes, 60));
	}
	return say_count("%d day ago", "%d days ago", intdiv($minutes, 24 * 60));
}

/** An address of a page with values in it, not escaped. Bytes of names stay what they are. */
function address(string $path, array $values = []): string {
	$values = array_filter($values, fn($value) => $value !== "");
	return $values === [] ? $path : $path . "?" . http_build_query($values, "", "&", PHP_QUERY_RFC3986);
}

<?php
// SPDX-License-Identifier: MIT
// A stand-in for HestiaCP's web/api/index.php as far as access keys go: who may call what, for whom, and
// what a command's end becomes. Written from what a real one answers; it shares no code with it.
const CODES = [0 => 200, 1 => 400, 2 => 422, 5 => 401, 6 => 401, 9 => 401, 10 => 401, 21 => 401];

$root = getenv("GHOSTSNAP_PANEL_ROOT");
$hestia = "$root/usr/local/hestia";

function lines_with_values(string $file): array {
	preg_match_all("/^([A-Z_]+)='(.*)'$/m", (string) @file_get_contents($file), $found);
	return array_combine($found[1], $found[2]);
}

/** Refuses, and says so as a command would. */
function refuse(int $code, string $text): never {
	header("Hestia-Exit-Code: $code");
	http_response_code($code > 99 ? $code : CODES[$code] ?? 400);
	exit(($GLOBALS["asked"]["returncode"] ?? "") === "yes" ? (string) $code : "Error: $text");
}

/** The place of USER among the words of the file's own line of options; 0 if there is none. */
function place_of_user(string $file): int {
	if (!preg_match('/^# options: (.+)$/m', file_get_contents($file), $found)) {
		return 0;
	}
	$words = array_map(fn($word) => strtoupper(trim($word, "[]")), explode(" ", $found[1]));
	$place = array_search("USER", $words, true);
	return $place === false ? 0 : $place + 1;
}

$asked = isset($_POST["access_key"]) ? $_POST : json_decode(file_get_contents("php://input"), true) ?? [];
if (!isset($asked["access_key"], $asked["secret_key"])) {
	refuse(405, "no data that can be read");
}
$settings = lines_with_values("$hestia/conf/hestia.conf");
$level = (int) ($settings["API_SYSTEM"] ?? 0);
if ($level === 0) {
	refuse(11, "the API is switched off");
}
if (!in_array($_SERVER["REMOTE_ADDR"], explode(",", $settings["API_ALLOWED_IP"] ?? ""), true)) {
	refuse(10, "this address may not call");
}
$command = trim($asked["cmd"] ?? "");
if (!preg_match('/^[A-Za-z0-9_-]+$/', $command)) {
	refuse(2, "no command, or not one");
}
$words = [];
for ($number = 1; $number <= 13; $number++) {
	if (isset($asked["arg$number"])) {
		$words["arg$number"] = trim($asked["arg$number"]);
	}
}

$id = basename(trim($asked["access_key"]));
$key = lines_with_values("$hestia/data/access-keys/$id");
if ($id === "" || ($key["SECRET_ACCESS_KEY"] ?? "") !== trim($asked["secret_key"])) {
	refuse(9, "there is no such key, or its secret is another");
}
$is_root = $key["USER"] === "admin";
$file = "$hestia/bin/$command";
$allowed = [];
foreach (array_filter(explode(",", $key["PERMISSIONS"])) as $profile) {
	array_push($allowed, ...explode(",", lines_with_values("$hestia/data/api/" . basename($profile))["COMMANDS"] ?? ""));
}
$may_all = $is_root && $key["PERMISSIONS"] === "";
if (!is_file($file) || (!$may_all && !in_array($command, $allowed, true))) {
	refuse(10, "the key $id may not call $command");
}
if ((lines_with_values("$hestia/data/users/" . $key["USER"] . "/user.conf")["SUSPENDED"] ?? "") === "yes") {
	refuse(9, "the owner of the key is suspended");
}
if (!$is_root && $level < 2) {
	refuse(21, "the API is the administrator's");
}
$place = $is_root ? 0 : place_of_user($file);
if ($place > 0 && ($words["arg$place"] ?? null) !== $key["USER"]) {
	refuse(10, "the key $id is not that user's");
}

exec("$root/sudo " . implode(" ", array_map("escapeshellarg", [$file, ...array_values($words)])), $output, $code);
$text = trim(implode("\n", $output));
header("Hestia-Exit-Code: $code");
if (($asked["returncode"] ?? "") === "yes") {
	exit((string) $code);
}
if ($code === 0) {
	http_response_code($text === "" ? 204 : 200);
	if (json_decode($text, true)) {
		header("Content-Type: application/json; charset=utf-8");
	}
} else {
	http_response_code(CODES[$code] ?? 400);
}
echo $text;

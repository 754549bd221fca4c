<?php
// SPDX-License-Identifier: MIT
// A stand-in for HestiaCP's inc/main.php: what our pages use of it, with the behaviour seen on a real
// one, the refusals included. It shares no code with it.
namespace Hestiacp\quoteshellarg {
	function quoteshellarg(string $argument): string {
		return "'" . str_replace("'", "'\\''", $argument) . "'";
	}
}

namespace {
	use function Hestiacp\quoteshellarg\quoteshellarg;

	$root = getenv("GHOSTSNAP_PANEL_ROOT");
	ini_set("session.save_path", "$root/sessions");
	session_name("HESTIASID");
	session_set_cookie_params(["samesite" => "Strict", "httponly" => true]);
	session_start();
	define("HESTIA_CMD", "$root/sudo $root/usr/local/hestia/bin/");
	$_SESSION["ROOT_USER"] = "admin";
	$_SESSION["POLICY_SYSTEM_PROTECTED_ADMIN"] = is_file("$root/protected-admin") ? "yes" : "no";

	// A page that nobody has clicked at, or that another site sends to, is refused.
	$own = parse_url("http://" . $_SERVER["HTTP_HOST"], PHP_URL_HOST);
	$from = $_SERVER["REQUEST_METHOD"] === "POST" ? $_SERVER["HTTP_ORIGIN"] ?? "http://$own" : $_SERVER["HTTP_REFERER"] ?? "";
	$open = ["/list/web/index.php", "/list/user/index.php", "/list/backup/index.php", "/login/index.php"];
	if (parse_url($from, PHP_URL_HOST) !== $own && !in_array($_SERVER["DOCUMENT_URI"], $open, true)) {
		http_response_code(400);
		exit("Potential CSRF use detected");
	}

	if (!isset($_SESSION["user"]) && !defined("NO_AUTH_REQUIRED")) {
		header("Location: /login/");
		exit();
	}
	$_SESSION["token"] ??= bin2hex(random_bytes(16));
	$_SESSION["look"] ??= "";
	$user_plain = $_SESSION["look"] !== "" ? $_SESSION["look"] : $_SESSION["user"] ?? "";
	$user = quoteshellarg($user_plain);
	$i = 0;

	function verify_csrf($method, $return = false) {
		if (!empty($method["token"]) && $method["token"] === $_SESSION["token"]) {
			return true;
		}
		if ($return) {
			return false;
		}
		header("Location: /login/");
		exit();
	}

	function tohtml($text): string {
		return htmlspecialchars((string) $text, ENT_QUOTES | ENT_SUBSTITUTE, "UTF-8");
	}

	function render_page($user, $TAB, $page) {
		extract($GLOBALS, EXTR_SKIP);
		include $_SERVER["HESTIA"] . "/web/templates/frame.php";
	}
}

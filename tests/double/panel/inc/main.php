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
	// The panel's settings become part of every session, as lines KEY=VALUE say here.
	foreach (is_file("$root/panel.conf") ? file("$root/panel.conf", FILE_IGNORE_NEW_LINES) : [] as $line) {
		[$key, $value] = explode("=", $line, 2);
		$_SESSION[$key] = $value;
	}

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

	/** A value of the user's own file. */
	function value_of(string $name, string $key): string {
		$file = getenv("GHOSTSNAP_PANEL_ROOT") . "/usr/local/hestia/data/users/$name/user.conf";
		$text = preg_match('/^[a-z0-9-]+$/', $name) ? (string) @file_get_contents($file) : "";
		return preg_match("/^$key='(.*)'$/m", $text, $found) ? $found[1] : "";
	}

	function render_page($user, $TAB, $page) {
		// Whoever is suspended is logged out here, and what the page printed before stays printed.
		$is_open = ($_SESSION["POLICY_USER_VIEW_SUSPENDED"] ?? "") === "yes";
		if (!$is_open && $_SESSION["look"] === "" && value_of($_SESSION["user"], "SUSPENDED") === "yes") {
			session_destroy();
			header("Location: /login/");
			exit();
		}
		extract($GLOBALS, EXTR_SKIP);
		include $_SERVER["HESTIA"] . "/web/templates/frame.php";
	}
}

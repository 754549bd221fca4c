<?php
// SPDX-License-Identifier: MIT
// What the panel's web server does: what it refuses, where a page's script lies, and files that a
// page hands over to it by name. GHOSTSNAP_PANEL_ROOT is the machine's folder.
$root = getenv("GHOSTSNAP_PANEL_ROOT");
$docroot = "$root/usr/local/hestia/web";
$refused = '/\.(log|sql|sh|env|bak|map)$/i';
$path = rawurldecode(parse_url("http://panel" . $_SERVER["REQUEST_URI"], PHP_URL_PATH) ?: "/");
if (str_ends_with($path, "/")) {
	$path .= "index.php";
}
$file = realpath($docroot . $path);
if (
	$file === false ||
	!str_starts_with($file, $docroot . "/") ||
	!is_file($file) ||
	preg_match('#^/(inc|src|locale|templates)/#', $path) ||
	preg_match($refused, $path)
) {
	http_response_code(404);
	echo "Not found";
	return;
}
if (!str_ends_with($path, ".php")) {
	$types = ["css" => "text/css", "js" => "text/javascript"];
	header("Content-Type: " . ($types[pathinfo($path, PATHINFO_EXTENSION)] ?? "application/octet-stream"));
	readfile($file);
	return;
}
register_shutdown_function(function () use ($root, $refused) {
	foreach (headers_list() as $line) {
		if (stripos($line, "X-Accel-Redirect:") === 0) {
			header_remove("X-Accel-Redirect");
			$target = rawurldecode(trim(substr($line, 17)));
			$is_page = str_ends_with($target, ".php");
			if ($is_page || !preg_match('#^/backup/[^/]+$#', $target) || preg_match($refused, $target) || !is_file($root . $target)) {
				http_response_code(404);
				return;
			}
			readfile($root . $target);
		}
	}
});
$_SERVER["HESTIA"] = "$root/usr/local/hestia";
$_SERVER["DOCUMENT_ROOT"] = $docroot;
$_SERVER["DOCUMENT_URI"] = $path;
chdir(dirname($file));
include $file;

<?php
// SPDX-License-Identifier: MIT
// HestiaCP refuses pages that nobody has clicked at: a bookmark, a link in a mail. This answers with
// a page that has something to click at instead. It knows no session, says nothing about anybody and
// opens nothing by itself, so the rule keeps its sense; and none of our GET pages changes anything.

if ($_SERVER["REQUEST_METHOD"] === "GET" && empty($_SERVER["HTTP_REFERER"])) {
	$target = htmlspecialchars($_SERVER["REQUEST_URI"], ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5, "UTF-8");
	// Two slashes in front would lead to another machine.
	if (!preg_match('#^/(list|add|edit)/ghostsnap/#', $target)) {
		$target = "/list/ghostsnap/";
	}
	header("Content-Type: text/html; charset=utf-8");
	header("Cache-Control: no-store");
	header("X-Frame-Options: DENY");
	?>
<!doctype html>
<html lang="en">
<head>
	<meta charset="utf-8">
	<title>Backups</title>
	<meta name="viewport" content="width=device-width, initial-scale=1">
	<meta name="referrer" content="same-origin">
	<link rel="stylesheet" href="/css/themes/default.min.css">
	<link rel="stylesheet" href="/css/ghostsnap/pages.css">
</head>
<body>
	<main class="ghostsnap-door">
		<h1>Your backups</h1>
		<p>You came here by a bookmark or a link. One click leads on.</p>
		<p><a class="button" href="<?= $target ?>">Continue</a></p>
	</main>
</body>
</html>
<?php
	exit();
}

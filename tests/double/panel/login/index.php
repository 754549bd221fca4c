<?php
// SPDX-License-Identifier: MIT
// Logs anybody in who says the user's name as the password; an administrator also as somebody else.
define("NO_AUTH_REQUIRED", true);
include $_SERVER["DOCUMENT_ROOT"] . "/inc/main.php";

$wanted = $_GET["loginas"] ?? "";
if ($wanted !== "" && ($_SESSION["userContext"] ?? "") === "admin" && verify_csrf($_GET)) {
	$_SESSION["look"] = $wanted;
	header("Location: /list/web/");
	exit();
}
if ($_SERVER["REQUEST_METHOD"] === "POST") {
	verify_csrf($_POST);
	$name = $_POST["user"];
	if ($name !== "" && $name === $_POST["password"]) {
		session_regenerate_id(true);
		$_SESSION["user"] = $name;
		$_SESSION["userContext"] = value_of($name, "ROLE") === "admin" ? "admin" : "user";
		$_SESSION["userTheme"] = $_POST["theme"] ?? "";
		header("Location: " . ($_SESSION["userContext"] === "admin" ? "/list/user/" : "/list/web/"));
		exit();
	}
}
?>
<!doctype html>
<html lang="en">
<head>
	<meta charset="utf-8">
	<title>Login</title>
	<link rel="icon" href="data:,">
	<?php foreach (glob($_SERVER["HESTIA"] . "/web/js/custom_scripts/*.js") as $script) { ?>
		<script defer src="/js/custom_scripts/<?= rawurlencode(basename($script)) ?>"></script>
	<?php } ?>
</head>
<body class="page-login lang-en">
	<form id="login-form" method="post" action="/login/">
		<input type="hidden" name="token" value="<?= tohtml($_SESSION["token"]) ?>">
		<input type="text" name="user"> <input type="password" name="password"> <input type="text" name="theme">
		<button type="submit">Next</button>
	</form>
</body>
</html>

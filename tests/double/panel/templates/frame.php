<?php
// SPDX-License-Identifier: MIT
// The frame around a page: head, top bar, main menu, foot; the classes are those of HestiaCP.
$is_root = $_SESSION["userContext"] === "admin" && $_SESSION["look"] === "";
$tabs = ["WEB" => "/list/web/", "BACKUP" => "/list/backup/"];
if ($is_root) {
	$tabs = ["USER" => "/list/user/"] + $tabs;
}
?>
<!doctype html>
<html lang="en">
<head>
	<meta charset="utf-8">
	<title><?= tohtml($TAB) ?></title>
	<link rel="icon" href="data:,">
	<meta name="viewport" content="width=device-width, initial-scale=1">
	<link rel="stylesheet" href="/css/themes/default.min.css">
	<?php if (($_SESSION["userTheme"] ?? "") === "dark") { ?>
		<link rel="stylesheet" href="/css/themes/dark.min.css">
	<?php } ?>
	<?php foreach (glob($_SERVER["HESTIA"] . "/web/js/custom_scripts/*.js") as $script) { ?>
		<script defer src="/js/custom_scripts/<?= rawurlencode(basename($script)) ?>"></script>
	<?php } ?>
</head>
<body class="page-<?= strtolower($TAB) ?> lang-en">
<div class="app">
	<div id="token" token="<?= tohtml($_SESSION["token"]) ?>"></div>
	<header class="app-header">
		<div class="top-bar"><div class="container top-bar-inner"><span class="js-account"><?= tohtml($user_plain) ?></span></div></div>
		<nav class="main-menu">
			<div class="container">
				<ul class="main-menu-list">
					<?php foreach ($tabs as $tab => $to) { ?>
						<li class="main-menu-item">
							<a class="main-menu-item-link <?= $tab === $TAB ? "active" : "" ?>" href="<?= $to ?>" title="<?= $tab ?>">
								<p class="main-menu-item-label"><?= $tab ?><i class="fas fa-users"></i></p>
								<ul class="main-menu-stats"><li>of <?= tohtml($user_plain) ?></li></ul>
							</a>
						</li>
					<?php } ?>
				</ul>
			</div>
		</nav>
	</header>
	<main class="app-content">
		<?php include $_SERVER["HESTIA"] . "/web/templates/pages/$page.php"; ?>
	</main>
	<footer class="app-footer"><div class="container">a double of the panel</div></footer>
</div>
<div class="spinner-overlay js-spinner"></div>
</body>
</html>

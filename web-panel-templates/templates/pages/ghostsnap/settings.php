<?php
// SPDX-License-Identifier: MIT
// The settings of this server, in groups.
namespace Ghostsnap;

require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/settings.php";
$groups = by_group($view["rows"]);
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link("/list/ghostsnap/server/") ?>
			<?= toolbar_link("/list/ghostsnap/notifications/", "fa-bell", "icon-orange", say("Notifications")) ?>
			<?php if (!is_read_only()) { ?>
				<?= toolbar_link("/edit/ghostsnap/setting/", "fa-user-gear", "icon-green", say("Set for one user or package")) ?>
			<?php } ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title u-mb20"><?= h(say("Settings")) ?></h1>
	<?= note() ?>
	<?php if ($view["problem"] !== "") { ?>
		<?= alert("danger", $view["problem"]) ?>
	<?php } ?>
	<?php foreach ($groups as $group => $rows) { ?>
		<section aria-labelledby="ghostsnap-group-<?= h($group) ?>">
			<h2 class="ghostsnap-title u-mb10" id="ghostsnap-group-<?= h($group) ?>"><?= h(group_title($group)) ?></h2>
			<?= settings_table($rows, "settings") ?>
		</section>
	<?php } ?>
	<div class="units-table-footer">
		<p><?= h(say("They stand in /etc/ghostsnap/ghostsnap.toml, where your comments stay as they are. Jobs read them when they begin.")) ?></p>
	</div>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

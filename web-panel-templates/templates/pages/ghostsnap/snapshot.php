<?php
// SPDX-License-Identifier: MIT
// What is in a snapshot, each with what can be done to it.
namespace Ghostsnap;

$snapshot = $view["snapshot"];
$id = key_of($snapshot);
$may_restore = !is_read_only();
$restore = fn($part, $name) => address("/list/ghostsnap/restore/", ["snapshot" => $id, "part" => $part, "name" => $name]);
$files = fn($path) => address("/list/ghostsnap/files/", ["snapshot" => $id, "path" => $path]);

$rows = [];
foreach (names($snapshot["WEB"]) as $name) {
	$rows[] = ["web", "fa-earth-americas", say("Site"), $name, "web/" . $name . "/public_html"];
}
foreach (names($snapshot["DB"]) as $name) {
	$rows[] = ["db", "fa-database", say("Database"), $name, ""];
}
foreach (names($snapshot["MAIL"]) as $name) {
	$rows[] = ["mail", "fa-envelopes-bulk", say("Mail domain"), $name, "mail/" . $name];
	foreach ($view["accounts"][$name] ?? [] as $account) {
		$rows[] = ["account", "fa-envelope", say("Mail account"), key_of($account) . "@" . $name, $account["PATH"]];
	}
}
foreach (names($snapshot["DNS"]) as $name) {
	$rows[] = ["dns", "fa-book-atlas", say("DNS zone"), $name, ""];
}
if ((int) $snapshot["CRON"] > 0) {
	$rows[] = ["cron", "fa-clock", say("Cron jobs"), "", ""];
}
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link("/list/ghostsnap/?view=own") ?>
			<?= toolbar_link($files(""), "fa-folder-open", "icon-blue", say("Browse files")) ?>
			<?= toolbar_link(address("/list/ghostsnap/changes/", ["snapshot" => $id]), "fa-code-compare", "icon-purple", say("What changed")) ?>
			<?php if ($may_restore) { ?>
				<?= post_button("/schedule/ghostsnap/", ["action" => "export", "snapshot" => $id], "fa-file-zipper", "icon-lightblue", say("Download everything")) ?>
				<?= toolbar_link($restore("all", ""), "fa-arrow-rotate-left", "icon-green", say("Restore everything")) ?>
			<?php } ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title"><?= h(snapshot_title($snapshot)) ?></h1>
	<p class="ghostsnap-facts">
		<?= h(age($snapshot)) ?> · <?= size_html((float) $snapshot["SIZE"] * 1048576) ?> · <?= result($snapshot["STATUS"]) ?>
	</p>
	<?= note() ?>
	<?php if ($snapshot["STATUS"] !== "complete") { ?>
		<?= alert("warning", say("Something could not be backed up that night. What is listed here can be restored.")) ?>
	<?php } ?>
	<?php if (($snapshot["LEFT_OUT"] ?? "") !== "") { ?>
		<p class="ghostsnap-facts"><?= h(say("Left out of it: %s", str_replace(",", ", ", $snapshot["LEFT_OUT"]))) ?></p>
	<?php } ?>
	<?php if ($view["missing"] !== "") { ?>
		<?= alert("info", say("Not all mail accounts are listed: %s", $view["missing"])) ?>
	<?php } ?>

	<div class="units-table js-units-container">
		<?= table_header([say("Name") => "", say("Type") => "", "" => ""]) ?>
		<?php foreach ($rows as [$part, $icon, $type, $name, $path]) { ?>
			<div class="units-table-row js-unit">
				<?= heading_cell(say("Name"), icon($icon, "icon-dim") . ' <span class="u-text-break">' . ($name === "" ? h(say_count("%d cron job", "%d cron jobs", (int) $snapshot["CRON"])) : name($name)) . "</span>") ?>
				<?= cell(say("Type"), h($type)) ?>
				<div class="units-table-cell">
					<ul class="units-table-row-actions">
						<?php if ($may_restore) { ?>
							<?= row_link($restore($part, $name), "fa-arrow-rotate-left", "icon-green", say("Restore")) ?>
						<?php } ?>
						<?php if ($path !== "") { ?>
							<?= row_link($files($path), "fa-folder-open", "icon-blue", say("Browse files")) ?>
						<?php } ?>
					</ul>
				</div>
			</div>
		<?php } ?>
		<div class="units-table-row js-unit">
			<?= heading_cell(say("Name"), icon("fa-folder", "icon-dim") . " " . h(say("Files and folders of the home"))) ?>
			<?= cell(say("Type"), h(say("Files"))) ?>
			<div class="units-table-cell">
				<ul class="units-table-row-actions">
					<?= row_link($files(""), "fa-folder-open", "icon-blue", say("Browse files")) ?>
				</ul>
			</div>
		</div>
	</div>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

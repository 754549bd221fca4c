<?php
// SPDX-License-Identifier: MIT
// The question before a restore.
namespace Ghostsnap;

$snapshot = $view["snapshot"];
$id = key_of($snapshot);
[$part, $name] = [$view["part"], $view["name"]];
$sections = [
	"web" => [say("Sites"), $snapshot["WEB"]],
	"dns" => [say("DNS zones"), $snapshot["DNS"]],
	"mail" => [say("Mail domains"), $snapshot["MAIL"]],
	"db" => [say("Databases"), $snapshot["DB"]],
	"cron" => [say("Cron jobs"), (int) $snapshot["CRON"] > 0 ? "*" : ""],
	"udir" => [say("Files and folders of the home"), $snapshot["UDIR"]],
];
$folder = str_contains($name, "/") ? dirname($name) : "";
$back = $part === "file"
	? address("/list/ghostsnap/files/", ["snapshot" => $id, "path" => $folder])
	: address("/list/ghostsnap/snapshot/", ["snapshot" => $id]);
$copy = basename($name) . "-" . (moment($snapshot)?->format("Y-m-d") ?? "copy");
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link($back) ?></div>
	</div>
</div>

<div class="container ghostsnap">
	<form method="post" action="/schedule/ghostsnap/" class="form-container js-ghostsnap-busy">
		<?= hidden(["action" => "restore", "snapshot" => $id, "part" => $part, "name" => $name]) ?>
		<h1 class="ghostsnap-question"><?= name(restore_title($part, $name)) ?></h1>
		<p class="u-mb20"><?= h(say("From the backup of %s, %s.", snapshot_title($snapshot), age($snapshot))) ?></p>
		<?= note() ?>
		<ul class="ghostsnap-effects u-mb20">
			<?php foreach (restore_effects($part, $view["is_folder"]) as $effect) { ?>
				<li><?= h($effect) ?></li>
			<?php } ?>
			<li><?= h(say("What is overwritten is kept before, so that you can undo it.")) ?></li>
		</ul>
		<?php if ($snapshot["STATUS"] !== "complete") { ?>
			<?= alert("warning", say("This backup is partial: something could not be backed up that day.")) ?>
		<?php } ?>

		<?php if ($part === "all") { ?>
			<fieldset class="ghostsnap-choices u-mb20">
				<legend class="form-label"><?= h(say("What comes back")) ?></legend>
				<?php foreach ($sections as $section => [$text, $has]) { ?>
					<div class="form-check u-mb10">
						<input class="form-check-input" type="checkbox" name="<?= h($section) ?>" id="ghostsnap-<?= h($section) ?>" value="yes" <?= $has === "" ? "disabled" : "checked" ?>>
						<label for="ghostsnap-<?= h($section) ?>"><?= h($text) ?></label>
					</div>
				<?php } ?>
			</fieldset>
		<?php } ?>

		<?php if ($part === "file") { ?>
			<fieldset class="ghostsnap-choices u-mb20">
				<legend class="form-label"><?= h(say("Where it goes")) ?></legend>
				<div class="form-check u-mb10">
					<input class="form-check-input" type="radio" name="place" id="ghostsnap-there" value="there" checked>
					<label for="ghostsnap-there"><?= h(say("To where it was")) ?>: <code><?= name($name) ?></code></label>
				</div>
				<div class="form-check u-mb10">
					<input class="form-check-input" type="radio" name="place" id="ghostsnap-copy" value="copy">
					<label for="ghostsnap-copy"><?= h(say("Beside it, as a copy")) ?></label>
				</div>
				<label class="form-label" for="ghostsnap-target"><?= h(say("Path of the copy in your home folder")) ?></label>
				<input type="text" class="form-control js-ghostsnap-target" name="target" id="ghostsnap-target" value="<?= h(($folder === "" ? "" : $folder . "/") . $copy) ?>">
			</fieldset>
		<?php } ?>

		<?php if (($part === "file" && $view["is_folder"]) || $part === "account") { ?>
			<div class="form-check u-mb20">
				<input class="form-check-input" type="checkbox" name="exact" id="ghostsnap-exact" value="yes">
				<label for="ghostsnap-exact"><?= h($part === "file" ? say("Also remove what was made in the folder since") : say("Also remove mails that are newer")) ?></label>
			</div>
		<?php } ?>

		<div class="ghostsnap-buttons">
			<button type="submit" class="button" name="dry_run" value="no"><?= icon("fa-arrow-rotate-left") ?><?= h(say("Restore")) ?></button>
			<button type="submit" class="button button-secondary" name="dry_run" value="yes"><?= icon("fa-eye", "icon-blue") ?><?= h(say("Only show what would change")) ?></button>
		</div>
	</form>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

<?php
// SPDX-License-Identifier: MIT
// The form of what is done again and again. Fields that are for something else are hidden by the script;
// without it they say what they are for.
namespace Ghostsnap;

require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/schedules.php";
$form = $view["form"];
$is_new = $view["is_new"];
$value = fn(string $key) => is_string($form[$key] ?? null) ? $form[$key] : "";
$only = fn(string $field, string $for) => ' data-ghostsnap-field="' . h($field) . '" data-ghostsnap-for="' . h($for) . '"';
$field = function (string $key, string $label, string $hint, string $attributes = "", string $type = "text") use ($value): void { ?>
	<div class="u-mb20"<?= $attributes ?>>
		<label for="ghostsnap-<?= h($key) ?>" class="form-label"><?= h($label) ?></label>
		<input type="<?= h($type) ?>" class="form-control" name="<?= h($key) ?>" id="ghostsnap-<?= h($key) ?>" value="<?= h($value($key)) ?>" autocomplete="off" <?= $hint === "" ? "" : 'aria-describedby="ghostsnap-' . h($key) . '-hint"' ?>>
		<?php if ($hint !== "") { ?>
			<small class="hint" id="ghostsnap-<?= h($key) ?>-hint"><?= h($hint) ?></small>
		<?php } ?>
	</div>
<?php };
$select = function (string $key, string $label, array $choices, string $attributes = "") use ($value): void { ?>
	<div class="u-mb20"<?= $attributes ?>>
		<label for="ghostsnap-<?= h($key) ?>" class="form-label"><?= h($label) ?></label>
		<select class="form-select" name="<?= h($key) ?>" id="ghostsnap-<?= h($key) ?>">
			<?php foreach ($choices as $choice => $text) { ?>
				<option value="<?= h($choice) ?>" <?= $value($key) === (string) $choice ? "selected" : "" ?>><?= h($text) ?></option>
			<?php } ?>
		</select>
	</div>
<?php };
$boxes = function (string $key, string $label, string $attributes) use ($value, $view): void {
	$chosen = names($value($key)); ?>
	<fieldset class="ghostsnap-choices u-mb20"<?= $attributes ?>>
		<legend class="form-label"><?= h($label) ?></legend>
		<?php foreach (array_unique([...$view["repositories"], ...$chosen]) as $repository) { ?>
			<div class="form-check u-mb10">
				<input class="form-check-input" type="checkbox" name="<?= h($key) ?>[]" id="ghostsnap-<?= h($key) ?>-<?= h($repository) ?>" value="<?= h($repository) ?>" <?= in_array($repository, $chosen, true) ? "checked" : "" ?>>
				<label for="ghostsnap-<?= h($key) ?>-<?= h($repository) ?>"><?= name($repository) ?></label>
			</div>
		<?php } ?>
	</fieldset>
<?php };
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link("/list/ghostsnap/schedules/") ?></div>
		<div class="toolbar-buttons">
			<button type="submit" class="button" form="ghostsnap-schedule"><?= icon("fa-floppy-disk", "icon-purple") ?><?= h(say("Save")) ?></button>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<form id="ghostsnap-schedule" method="post" action="/edit/ghostsnap/" class="form-container js-ghostsnap-busy js-ghostsnap-choices">
		<?= hidden(["action" => $is_new ? "add" : "change"] + ($is_new ? [] : ["name" => $value("name")])) ?>
		<h1 class="u-mb20"><?= name($is_new ? say("Add a schedule") : say("Change the schedule %s", $value("name"))) ?></h1>
		<?= note() ?>
		<?php if ($view["problem"] !== "") { ?>
			<?= alert("warning", $view["problem"]) ?>
		<?php } ?>
		<?php
		if ($is_new) {
			$field("name", say("Name"), "");
		}
		$select("do", say("What"), array_combine(TASKS, array_map(task_words(...), TASKS)));
		$select("rhythm", say("How often"), rhythms());
		$select("weekday", say("Day of the week (for every week)"), weekdays(), $only("rhythm", "weekly"));
		$field("day", say("Day of the month (for every month)"), "", $only("rhythm", "monthly"));
		$field("time", say("Time of day"), match ($view["spread"]) {
			"" => say("Servers are spread over an hour after it, each always by the same."),
			"0" => "",
			default => say("Servers are spread over %s minutes after it, each always by the same.", $view["spread"]),
		}, $only("rhythm", "daily weekly monthly"), "time");
		$field("cron", say("Cron expression"), say("Minute, hour, day, month, day of the week."), $only("rhythm", "cron"));
		$field("include", say("Only these users (for a backup)"), say("Names or globs such as prod-*, with blanks between; all without any."), $only("do", "backup"));
		$field("exclude", say("Without these users (for a backup)"), "", $only("do", "backup"));
		$field("subset", say("Part of the data (for a check)"), say("day/30 reads all of it within a month; nothing reads no data."), $only("do", "check"));
		$field("max_time", say("Begin no further rehearsal after (for rehearsals)"), say("Such as 2h."), $only("do", "verify"));
		$sources = array_unique(["default", ...$view["repositories"], ...names($value("copy_from"))]);
		$select("copy_from", say("From this repository (for a copy)"), array_combine($sources, $sources), $only("do", "copy"));
		$boxes("to", say("Into these repositories (for a copy)"), $only("do", "copy"));
		$field("newest", say("Only so many of the newest of each user (for a copy)"), say("All without. With a number, older ones that the other repository has dropped do not come again."), $only("do", "copy"));
		$others = implode(" ", array_diff(TASKS, ["copy"]));
		$boxes("repositories", say("Repositories; without a choice those of each user"), $only("do", $others));
		$field("hours_max", say("Longest time in hours"), say("That of the settings without."));
		$field("load_max", say("Wait while the load is above"), "");
		?>
		<div class="form-check u-mb20">
			<input class="form-check-input" type="checkbox" name="enabled" id="ghostsnap-enabled" value="yes" <?= $value("enabled") === "yes" ? "checked" : "" ?>>
			<label for="ghostsnap-enabled"><?= h(say("Switched on")) ?></label>
		</div>
	</form>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

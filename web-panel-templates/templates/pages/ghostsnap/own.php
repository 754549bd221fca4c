<?php
// SPDX-License-Identifier: MIT
// A customer's own schedule and exclusions: each with its form, where it is allowed.
namespace Ghostsnap;

require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/own.php";
require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/jobs.php";
$row = $view["row"];
$form = $view["form"];
$is_asked = fn(string $action) => ($form["action"] ?? "") === $action;
$fields = own_fields($row["WHEN"] ?? "");
if ($is_asked("schedule")) {
	$fields = array_intersect_key($form, $fields) + $fields;
}
$excludes = $is_asked("excludes") ? (string) ($form["excludes"] ?? "") : implode("\n", $view["excludes"]);
$read_only = is_read_only();
$only = fn(string $for) => ' data-ghostsnap-field="rhythm" data-ghostsnap-for="' . h($for) . '"';
$select = function (string $key, string $label, array $choices, string $attributes = "") use ($fields): void { ?>
	<div class="u-mb20"<?= $attributes ?>>
		<label for="ghostsnap-<?= h($key) ?>" class="form-label"><?= h($label) ?></label>
		<select class="form-select" name="<?= h($key) ?>" id="ghostsnap-<?= h($key) ?>">
			<?php foreach ($choices as $choice => $text) { ?>
				<option value="<?= h($choice) ?>" <?= $fields[$key] === (string) $choice ? "selected" : "" ?>><?= h($text) ?></option>
			<?php } ?>
		</select>
	</div>
<?php };
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link("/list/ghostsnap/?view=own") ?></div>
	</div>
</div>

<div class="container ghostsnap">
	<div class="form-container">
		<h1 class="u-mb20"><?= h(say("My schedule and exclusions")) ?></h1>
		<?= note() ?>
		<?php foreach ($view["problems"] as $problem) { ?>
			<?= alert("danger", $problem) ?>
		<?php } ?>
		<?php if (($row["ALLOWED"] ?? "") === "yes") { ?>
			<form id="ghostsnap-own-schedule" method="post" action="/edit/ghostsnap/own/" class="js-ghostsnap-busy js-ghostsnap-choices u-mb20">
				<?= hidden(["action" => "schedule"]) ?>
				<h2 class="u-mb10"><?= h(say("My own backup")) ?></h2>
				<p class="u-mb20"><?= h(say("Beside those that the administrator makes: at most one a day, of your account alone. It begins up to an hour later, always by the same minutes.")) ?></p>
				<?php if ($row["NEXT"] !== "") { ?>
					<p class="ghostsnap-clock u-mb20"><?= h(say("Next: %s", brief($row["NEXT"]))) ?><?= $row["LAST"] === "" ? "" : " · " . h(say("Last: %s", brief($row["LAST"]))) ?><?= $row["STATE"] === "" ? "" : " " . state_light(["STATE" => $row["STATE"], "WAITS" => ""]) ?></p>
				<?php } ?>
				<?php
				$select("rhythm", say("How often"), own_rhythms());
				$select("weekday", say("Day of the week (for every week)"), weekdays(), $only("weekly"));
				?>
				<div class="u-mb20"<?= $only("monthly") ?>>
					<label for="ghostsnap-day" class="form-label"><?= h(say("Day of the month (for every month)")) ?></label>
					<input type="text" class="form-control" name="day" id="ghostsnap-day" inputmode="numeric" value="<?= h($fields["day"]) ?>" autocomplete="off">
				</div>
				<div class="u-mb20"<?= $only("daily weekly monthly") ?>>
					<label for="ghostsnap-time" class="form-label"><?= h(say("Time of day")) ?></label>
					<input type="time" class="form-control" name="time" id="ghostsnap-time" value="<?= h($fields["time"]) ?>">
				</div>
				<?php if (!$read_only) { ?>
					<button type="submit" class="button"><?= icon("fa-floppy-disk", "icon-purple") ?><?= h(say("Save the schedule")) ?></button>
				<?php } ?>
			</form>
		<?php } ?>
		<?php if (($row["EXCLUDES_ALLOWED"] ?? "") === "yes") { ?>
			<form id="ghostsnap-own-excludes" method="post" action="/edit/ghostsnap/own/" class="js-ghostsnap-busy">
				<?= hidden(["action" => "excludes"]) ?>
				<h2 class="u-mb10"><?= h(say("What stays out of my backups")) ?></h2>
				<p class="u-mb20"><?= h(say("What stays out cannot be restored. Databases and everything that is stored already are not touched by this.")) ?></p>
				<div class="u-mb20">
					<label for="ghostsnap-excludes" class="form-label"><?= h(say("Files and folders, one a line")) ?></label>
					<textarea class="form-control" name="excludes" id="ghostsnap-excludes" rows="6" spellcheck="false" aria-describedby="ghostsnap-excludes-hint"><?= "\n" . h($excludes) ?></textarea>
					<small class="hint" id="ghostsnap-excludes-hint"><?= h(say("/web/example.com/public_html/cache is that folder; *.iso is every file of that name, wherever it is.")) ?></small>
				</div>
				<?php if (!$read_only) { ?>
					<button type="submit" class="button"><?= icon("fa-floppy-disk", "icon-purple") ?><?= h(say("Save the exclusions")) ?></button>
				<?php } ?>
			</form>
		<?php } ?>
	</div>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

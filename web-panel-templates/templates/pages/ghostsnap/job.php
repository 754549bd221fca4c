<?php
// SPDX-License-Identifier: MIT
// One job: how it goes, or how it went. The script asks again while it is active; the reload link
// does the same without it.
namespace Ghostsnap;

$job = $view["job"];
$id = key_of($job);
$values = ["job" => $id] + ($view["of_all"] ? ["of" => "all"] : []);
$active = is_active($job);
$rows = result_rows($job);
$shown = array_slice($rows, 0, ROWS_PER_PAGE);
$columns = array_values(array_filter(array_keys($rows[0] ?? []), function ($column) use ($rows) {
	$is_for_programs = in_array($column, ["", "JOB", "NAME"], true) || str_ends_with((string) $column, "_B64");
	return !$is_for_programs && array_filter($rows, fn($row) => ($row[$column] ?? "") !== "") !== [];
}));
$columns = array_slice($columns, 0, 4);
$file = file_of_job($job, account());
$percent = $job["PERCENT"];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link(address("/list/ghostsnap/jobs/", $view["of_all"] ? ["of" => "all"] : [])) ?>
			<?= toolbar_link(address("/list/ghostsnap/jobs/", $values), "fa-rotate-right", "icon-green", say("Reload")) ?>
			<?php if ($active && !is_read_only()) { ?>
				<?= post_button("/schedule/ghostsnap/", ["action" => "cancel"] + $values, "fa-ban", "icon-red", say("Cancel")) ?>
			<?php } ?>
			<?php if ($job["KIND"] === "restore" && !is_dry_run($job) && in_array($job["STATE"], ["done", "partial"], true)) { ?>
				<?= toolbar_link("/list/ghostsnap/restores/", "fa-rotate-left", "icon-orange", say("Undo a restore")) ?>
			<?php } ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title"><?= icon_of_job($job) ?> <?= h(kind_of_job($job)) ?></h1>
	<p class="ghostsnap-facts"><?= name(about_job($job)) ?></p>
	<?= note() ?>

	<div class="ghostsnap-job <?= $active ? "js-ghostsnap-job" : "" ?>" data-address="<?= h(address("/list/ghostsnap/job/", $values + ["token" => $_SESSION["token"]])) ?>">
		<p class="ghostsnap-state" role="status" aria-live="polite">
			<span class="js-ghostsnap-state"><?= state_light($job) ?></span>
			<span class="js-ghostsnap-runtime ghostsnap-clock"><?= h(runtime_words($job)) ?></span>
		</p>
		<?php if ($active) { ?>
			<progress class="ghostsnap-progress js-ghostsnap-bar" max="100" <?= $percent === "" ? "" : 'value="' . h($percent) . '"' ?> aria-label="<?= h(say("Progress")) ?>"></progress>
			<p class="ghostsnap-clock js-ghostsnap-progress"><?= name(progress_words($job)) ?></p>
		<?php } ?>
	</div>

	<?php if (is_dry_run($job) && !$active) { ?>
		<?= alert("info", say("Nothing was changed. This is what would happen.")) ?>
	<?php } ?>
	<?php if ($job["ERROR"] !== "") { ?>
		<?= alert($job["STATE"] === "partial" ? "warning" : "danger", $job["ERROR"]) ?>
	<?php } ?>
	<?php if ($file !== null) { ?>
		<div class="ghostsnap-nothing">
			<?= icon("fa-file-arrow-down", "icon-green") ?>
			<h2><?= h(say("Your file is ready")) ?></h2>
			<p><?= h(say("It can be downloaded for a day.")) ?></p>
			<form method="post" action="/download/ghostsnap/">
				<?= hidden(["job" => $id]) ?>
				<button type="submit" class="button js-ghostsnap-download"><?= icon("fa-download") ?><?= h(say("Download")) ?></button>
			</form>
		</div>
	<?php } elseif ($shown !== [] && $columns !== []) { ?>
		<div class="units-table">
			<?= table_header([say("Object") => ""] + array_fill_keys(array_map(fn($column) => say(ucfirst(strtolower($column))), $columns), "")) ?>
			<?php foreach ($shown as $row) { ?>
				<div class="units-table-row">
					<?= heading_cell(say("Object"), '<span class="u-text-break">' . name(key_of($row)) . "</span>") ?>
					<?php foreach ($columns as $column) { ?>
						<?= cell(say(ucfirst(strtolower($column))), result_cell($column, (string) ($row[$column] ?? ""))) ?>
					<?php } ?>
				</div>
			<?php } ?>
		</div>
		<?php if (count($rows) > count($shown)) { ?>
			<p class="units-table-footer"><?= h(say("The first %d of %d are shown.", count($shown), count($rows))) ?></p>
		<?php } ?>
	<?php } ?>

	<?php if (trim($job["LOG"] ?? "") !== "") { ?>
		<details class="ghostsnap-log">
			<summary><?= h(say("What it said")) ?></summary>
			<pre><?= h(mb_scrub($job["LOG"], "UTF-8")) ?></pre>
		</details>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

<?php
// SPDX-License-Identifier: MIT
// The jobs, newest first.
namespace Ghostsnap;

$jobs = $view["jobs"];
$of_all = $view["of_all"];
$values = $of_all ? ["of" => "all"] : [];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link($of_all ? "/list/ghostsnap/server/" : "/list/ghostsnap/?view=own") ?>
			<?= toolbar_link(address("/list/ghostsnap/jobs/", $values), "fa-rotate-right", "icon-green", say("Reload")) ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title u-mb20"><?= h($of_all ? say("Jobs of all users") : say("Jobs")) ?></h1>
	<?= note() ?>
	<?php if ($view["problem"] !== "") { ?>
		<?= alert("danger", $view["problem"]) ?>
	<?php } elseif ($jobs === []) { ?>
		<?= nothing("fa-list-check", say("No jobs"), say("Backups and restores that are asked for here can be watched in this place.")) ?>
	<?php } else { ?>
		<div class="units-table js-units-container">
			<?= table_header([say("Job") => "", say("About") => "", say("State") => "", say("Asked for") => "u-text-center", say("Took") => "u-text-center"]) ?>
			<?php foreach (array_reverse($jobs) as $job) {
				$open = address("/list/ghostsnap/jobs/", ["job" => key_of($job)] + $values);
				$about = $of_all ? '<span class="u-text-bold">' . name($job["USER"]) . "</span> " : "";
				?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("Job"), icon_of_job($job) . ' <a href="' . h($open) . '">' . h(kind_of_job($job)) . "</a>") ?>
					<?= cell(say("About"), $about . '<span class="u-text-break">' . name(about_job($job)) . "</span>") ?>
					<?= cell(say("State"), state_light($job) . ($job["STATE"] === "running" && $job["PERCENT"] !== "" ? " " . h($job["PERCENT"]) . " %" : "")) ?>
					<?= cell(say("Asked for"), h(age($job)), "u-text-center-desktop") ?>
					<?= cell(say("Took"), h(runtime_words($job)), "u-text-center-desktop") ?>
				</div>
			<?php } ?>
		</div>
		<div class="units-table-footer">
			<p><?= h(say_count("%d job", "%d jobs", count($jobs))) ?></p>
		</div>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

<?php
// SPDX-License-Identifier: MIT
// What is done again and again, each with its next time and how it went last.
namespace Ghostsnap;

require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/schedules.php";
require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/jobs.php";
$chosen = $view["chosen"];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link($chosen === null ? "/list/ghostsnap/server/" : "/list/ghostsnap/schedules/") ?>
			<?php if ($chosen === null) { ?>
				<?= toolbar_link("/edit/ghostsnap/", "fa-circle-plus", "icon-green", say("Add a schedule"), "js-button-create") ?>
			<?php } ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<?php if ($chosen !== null) { ?>
		<form method="post" action="/edit/ghostsnap/" class="form-container js-ghostsnap-busy">
			<?= hidden(["action" => "delete", "name" => key_of($chosen)]) ?>
			<h1 class="ghostsnap-question"><?= name(say("Delete the schedule %s", key_of($chosen))) ?></h1>
			<p class="u-mb20"><?= h(task_words($chosen["DO"])) ?> · <?= name(when_words($chosen["WHEN"])) ?></p>
			<ul class="ghostsnap-effects u-mb20">
				<li><?= h(say("It is not done any more.")) ?></li>
				<li><?= h(say("Jobs that it has handed in stay, and so does every backup.")) ?></li>
			</ul>
			<div class="ghostsnap-buttons">
				<button type="submit" class="button button-danger"><?= icon("fa-trash") ?><?= h(say("Delete")) ?></button>
			</div>
		</form>
	<?php } else { ?>
		<h1 class="ghostsnap-title u-mb20"><?= h(say("Schedules")) ?></h1>
		<?= note() ?>
		<?php if ($view["problem"] !== "") { ?>
			<?= alert("warning", $view["problem"]) ?>
		<?php } ?>
		<?php if ($view["schedules"] === [] && $view["problem"] === "") { ?>
			<?= nothing(
				"fa-calendar-days",
				say("Nothing is done by itself yet"),
				say("A schedule backs users up every night, copies backups elsewhere, drops old ones, checks a repository or rehearses restores."),
				'<p><a class="button" href="/edit/ghostsnap/">' . icon("fa-circle-plus") . h(say("Add a schedule")) . "</a></p>",
			) ?>
		<?php } elseif ($view["schedules"] !== []) { ?>
			<div class="units-table js-units-container">
				<?= table_header([say("Name") => "", say("What") => "", say("When") => "", say("Next") => "", say("Last") => "", "" => ""]) ?>
				<?php foreach ($view["schedules"] as $row) {
					$name = key_of($row);
					$is_on = $row["ENABLED"] === "yes";
					$users = implode(" ", array_filter([$row["INCLUDE"], $row["EXCLUDE"] === "" ? "" : say("without %s", $row["EXCLUDE"])]));
					$details = implode(" · ", array_filter([$users, $row["REPOSITORIES"], copy_words($row), $row["SUBSET"], $row["MAX_TIME"]]));
					$last = $row["LAST"] === "" ? h(say("Never")) : h(brief($row["LAST"]));
					if ($row["STATE"] !== "") {
						$last .= "<br>" . state_light(["STATE" => $row["STATE"], "WAITS" => ""]);
					}
					?>
					<div class="units-table-row js-unit">
						<?= heading_cell(say("Name"), '<a href="' . h(address("/edit/ghostsnap/", ["name" => $name])) . '">' . name($name) . "</a>") ?>
						<?= cell(say("What"), h(task_words($row["DO"])) . ($details === "" ? "" : '<br><span class="ghostsnap-clock u-text-break">' . name($details) . "</span>")) ?>
						<?= cell(say("When"), name(when_words($row["WHEN"]))) ?>
						<?= cell(say("Next"), $is_on ? h(brief($row["NEXT"])) : '<span class="ghostsnap-light">' . icon("fa-circle-minus", "icon-dim") . " " . h(say("Off")) . "</span>") ?>
						<?= cell(say("Last"), $last) ?>
						<div class="units-table-cell">
							<ul class="units-table-row-actions">
								<?= row_post("/edit/ghostsnap/", ["action" => "run", "name" => $name], "fa-play", "icon-green", say("Do it now")) ?>
								<?= row_link(address("/edit/ghostsnap/", ["name" => $name]), "fa-pencil", "icon-orange", say("Change")) ?>
								<?= row_post("/edit/ghostsnap/", ["action" => "switch", "name" => $name, "enabled" => $is_on ? "no" : "yes"], $is_on ? "fa-pause" : "fa-power-off", "icon-blue", $is_on ? say("Switch off") : say("Switch on")) ?>
								<?= row_link(address("/list/ghostsnap/schedules/", ["delete" => $name]), "fa-trash", "icon-red", say("Delete")) ?>
							</ul>
						</div>
					</div>
				<?php } ?>
			</div>
			<div class="units-table-footer">
				<p><?= h(say_count("%d schedule", "%d schedules", count($view["schedules"]))) ?></p>
			</div>
		<?php } ?>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

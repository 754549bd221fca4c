<?php
// SPDX-License-Identifier: MIT
// Sizes of a user's backups over time, as a chart and as the numbers behind it.
namespace Ghostsnap;

require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/chart.php";
$answer = $view["answer"];
$points = [];
foreach ($answer->rows as $row) {
	$bytes = (float) $row["SIZE"] * 1048576;
	$time = moment($row)?->getTimestamp();
	if ($time !== null) {
		$points[] = [$time, $bytes, snapshot_title($row) . ": " . implode(" ", size_parts($bytes))];
	}
}
$title = say("Size of the backups of %s", $view["of"]);
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link("/list/ghostsnap/server/") ?></div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title u-mb20"><?= name($title) ?></h1>
	<?php if ($answer->failed()) { ?>
		<?= alert("danger", $answer->problem()) ?>
	<?php } elseif (count($points) < 2) { ?>
		<?= nothing("fa-chart-line", say("Not enough backups yet"), say("With the second backup there is something to draw.")) ?>
	<?php } else { ?>
		<?= chart($title, $points) ?>
	<?php } ?>
	<?php if ($answer->rows !== []) { ?>
		<div class="units-table js-units-container">
			<?= table_header([say("Day") => "", say("Size") => "u-text-center", say("Result") => "u-text-center"]) ?>
			<?php foreach (array_reverse($answer->rows) as $row) { ?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("Day"), h(day($row)) . ' <span class="ghostsnap-clock">' . h(clock($row)) . "</span>") ?>
					<?= cell(say("Size"), size_html((float) $row["SIZE"] * 1048576), "u-text-center-desktop") ?>
					<?= cell(say("Result"), result($row["STATUS"]), "u-text-center-desktop") ?>
				</div>
			<?php } ?>
		</div>
	<?php } ?>
</div>

<?php
// SPDX-License-Identifier: MIT
// The snapshots of a user, newest first. $view comes from list/ghostsnap/index.php.
namespace Ghostsnap;

$read_only = is_read_only();
$health = $view["health"];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?php if (!$read_only) { ?>
				<?= post_button("/schedule/ghostsnap/", ["action" => "backup"], "fa-circle-plus", "icon-green", say("Back up now")) ?>
			<?php } ?>
			<?= customer_links("list") ?>
			<?php if ($view["may_decide"]) { ?>
				<?= toolbar_link("/list/ghostsnap/own/", "fa-sliders", "icon-purple", say("My schedule and exclusions")) ?>
			<?php } ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="u-text-center u-hide-desktop u-mt20 u-pr30 u-mb20 u-pl30"><?= h(say("Snapshots")) ?></h1>
	<?= note() ?>
	<?php if ($view["problem"] !== "") { ?>
		<?= alert("danger", $view["problem"]) ?>
	<?php } elseif (($health["LIGHT"] ?? "") === "yellow" || ($health["LIGHT"] ?? "") === "red") { ?>
		<?php if ($view["snapshots"] !== [] && $health["REASON"] !== "") { ?>
			<?= alert("warning", say("Your last backup needs a look: %s", $health["REASON"])) ?>
		<?php } ?>
	<?php } ?>

	<?php if ($view["snapshots"] === [] && $view["problem"] === "") { ?>
		<?= nothing(
			"fa-box-open",
			say("No backup yet"),
			say("As soon as there is one, every file, database and mailbox of that day can be looked at and brought back from here."),
		) ?>
	<?php } elseif ($view["snapshots"] !== []) { ?>
		<div class="units-table js-units-container">
			<?= table_header([
				say("Day") => "",
				say("Age") => "u-text-center",
				say("What is in it") => "",
				say("Size") => "u-text-center",
				say("Result") => "u-text-center",
				"" => "",
			]) ?>
			<?php foreach ($view["snapshots"] as $row) {
				$id = key_of($row);
				$open = address("/list/ghostsnap/snapshot/", ["snapshot" => $id]);
				?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("Day"), '<a href="' . h($open) . '">' . h(day($row)) . ' <span class="ghostsnap-clock">' . h(clock($row)) . "</span></a>") ?>
					<?= cell(say("Age"), h(age($row)), "u-text-center-desktop") ?>
					<?= cell(say("What is in it"), h(summary($row))) ?>
					<?= cell(say("Size"), size_html((float) $row["SIZE"] * 1048576), "u-text-center-desktop") ?>
					<?= cell(say("Result"), result($row["STATUS"]), "u-text-center-desktop") ?>
					<div class="units-table-cell">
						<ul class="units-table-row-actions">
							<?= row_link($open, "fa-arrow-rotate-left", "icon-green", say("Restore")) ?>
							<?= row_link(address("/list/ghostsnap/files/", ["snapshot" => $id]), "fa-folder-open", "icon-blue", say("Browse files")) ?>
							<?= row_link(address("/list/ghostsnap/changes/", ["snapshot" => $id]), "fa-code-compare", "icon-purple", say("What changed")) ?>
						</ul>
					</div>
				</div>
			<?php } ?>
		</div>
		<div class="units-table-footer">
			<p>
				<?= h(say_count("%d snapshot", "%d snapshots", count($view["snapshots"]))) ?>
				<?php if (($health["NEXT"] ?? "") !== "") { ?>
					· <?= h(say("Next: %s", brief($health["NEXT"]))) ?>
				<?php } ?>
			</p>
		</div>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

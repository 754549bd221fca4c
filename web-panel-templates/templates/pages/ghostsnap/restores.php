<?php
// SPDX-License-Identifier: MIT
// Restores, newest first, each with its undo.
namespace Ghostsnap;

$chosen = is_read_only() ? null : $view["chosen"];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link($chosen === null ? "/list/ghostsnap/?view=own" : "/list/ghostsnap/restores/") ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<?php if ($chosen !== null) { ?>
		<form method="post" action="/schedule/ghostsnap/" class="form-container js-ghostsnap-busy">
			<?= hidden(["action" => "undo", "restore" => key_of($chosen)]) ?>
			<h1 class="ghostsnap-question"><?= h(say("Undo the restore of %s", snapshot_title($chosen))) ?></h1>
			<p class="u-mb20"><?= name($chosen["OBJECTS"]) ?></p>
			<?= note() ?>
			<ul class="ghostsnap-effects u-mb20">
				<li><?= h(say("What the restore overwrote or removed comes back.")) ?></li>
				<li><?= h(say("What it made goes, unless it was changed since.")) ?></li>
				<li><?= h(say("What is newer than the restore stays.")) ?></li>
				<li><?= h(say("The undo can be undone as well.")) ?></li>
			</ul>
			<div class="ghostsnap-buttons">
				<button type="submit" class="button" name="dry_run" value="no"><?= icon("fa-rotate-left") ?><?= h(say("Undo")) ?></button>
				<button type="submit" class="button button-secondary" name="dry_run" value="yes"><?= icon("fa-eye", "icon-blue") ?><?= h(say("Only show what would change")) ?></button>
			</div>
		</form>
	<?php } else { ?>
		<h1 class="ghostsnap-title u-mb20"><?= h(say("Restores that can be undone")) ?></h1>
		<?= note() ?>
		<?php if ($view["problem"] !== "") { ?>
			<?= alert("danger", $view["problem"]) ?>
		<?php } elseif ($view["restores"] === []) { ?>
			<?= nothing("fa-rotate-left", say("Nothing to undo"), say("Before something is restored, what it overwrites is kept for some days. Such a restore can be undone from here.")) ?>
		<?php } else { ?>
			<div class="units-table js-units-container">
				<?= table_header([say("When") => "", say("What was restored") => "", say("Undone") => "u-text-center", "" => ""]) ?>
				<?php foreach ($view["restores"] as $row) { ?>
					<div class="units-table-row js-unit">
						<?= heading_cell(say("When"), h(day($row)) . ' <span class="ghostsnap-clock">' . h(clock($row)) . "</span>") ?>
						<?= cell(say("What was restored"), '<span class="u-text-break">' . name($row["OBJECTS"]) . "</span>") ?>
						<?= cell(say("Undone"), h($row["UNDONE"] === "" ? say("No") : say("Yes")), "u-text-center-desktop") ?>
						<div class="units-table-cell">
							<?php if (!is_read_only()) { ?>
								<ul class="units-table-row-actions">
									<?= row_link(address("/list/ghostsnap/restores/", ["restore" => key_of($row)]), "fa-rotate-left", "icon-orange", say("Undo")) ?>
								</ul>
							<?php } ?>
						</div>
					</div>
				<?php } ?>
			</div>
		<?php } ?>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

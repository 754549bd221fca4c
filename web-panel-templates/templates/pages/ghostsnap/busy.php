<?php
// SPDX-License-Identifier: MIT
// Somebody's turn has not come: another look is running.
namespace Ghostsnap;
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link("/list/ghostsnap/?view=own") ?></div>
	</div>
</div>

<div class="container ghostsnap">
	<?= note() ?>
	<?= nothing(
		"fa-hourglass-half",
		$view["why"],
		say("Folders, searches and comparisons are read from the backup one after the other, so that the panel stays quick for everybody. None of them takes longer than a minute or two."),
		'<p><a class="button" href="' . h($view["again"]) . '">' . icon("fa-rotate-right") . h(say("Try again")) . "</a></p>",
	) ?>
</div>

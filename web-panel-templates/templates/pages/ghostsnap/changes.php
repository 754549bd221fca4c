<?php
// SPDX-License-Identifier: MIT
// What changed: which two moments, how much in numbers, and the paths.
namespace Ghostsnap;

$snapshot = $view["snapshot"];
$id = key_of($snapshot);
$answer = $view["answer"];
$before = $view["before"];
$words = [
	"added" => ["fa-plus", "icon-green", say("New")],
	"modified" => ["fa-pen", "icon-orange", say("Changed")],
	"removed" => ["fa-minus", "icon-red", say("Gone")],
	"metadata" => ["fa-user-lock", "icon-dim", say("Rights or times")],
];
// What is kept beside the home: configuration and dumps, which are restored as objects.
$is_file = fn($path) => !preg_match('#^(hestia|pam|cron|dns|db|extra)(/|$)|^web/[^/]+/(hestia|conf|template)(/|$)#', $path);
$here = ["snapshot" => $id, "with" => $view["with"], "path" => $view["path"]];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link(address("/list/ghostsnap/snapshot/", ["snapshot" => $id])) ?>
		</div>
		<div class="toolbar-right">
			<form action="/list/ghostsnap/changes/" method="get" class="ghostsnap-compare js-ghostsnap-busy">
				<input type="hidden" name="snapshot" value="<?= h($id) ?>">
				<input type="hidden" name="path" value="<?= h($view["path"]) ?>">
				<label for="ghostsnap-with"><?= h(say("Compare with")) ?></label>
				<select class="form-select" name="with" id="ghostsnap-with">
					<option value="now" <?= $view["with"] === "now" ? "selected" : "" ?>><?= h(say("Files as they are now")) ?></option>
					<?php foreach (array_reverse($view["all"]) as $row) {
						if (key_of($row) !== $id) { ?>
							<option value="<?= h(key_of($row)) ?>" <?= $view["with"] === key_of($row) ? "selected" : "" ?>><?= h(snapshot_title($row)) ?></option>
						<?php }
					} ?>
				</select>
				<button type="submit" class="toolbar-input-submit" title="<?= h(say("Compare")) ?>"><?= icon("fa-arrow-right") ?></button>
			</form>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title">
		<?= h($view["with"] === "now"
			? say("What changed since %s", snapshot_title($before))
			: say("What changed after %s", snapshot_title($before))) ?>
	</h1>
	<p class="ghostsnap-facts">
		<?php foreach ($words as $change => [$icon, $colour, $text]) {
			if (($view["counts"][$change] ?? 0) > 0) { ?>
				<span class="ghostsnap-count"><?= icon($icon, $colour) ?> <?= h($text) ?>: <span class="u-text-bold"><?= h($view["counts"][$change]) ?></span></span>
			<?php }
		} ?>
		<?php if ($view["path"] !== "") { ?>
			<span class="ghostsnap-count"><?= icon("fa-folder", "icon-dim") ?> <?= name($view["path"]) ?></span>
		<?php } ?>
	</p>
	<?= note() ?>
	<?php if ($answer->failed()) { ?>
		<?= alert($answer->rows === [] ? "danger" : "warning", $answer->problem()) ?>
	<?php } ?>
	<?php if ($answer->rows === [] && !$answer->failed()) { ?>
		<?= nothing("fa-equals", say("Nothing changed"), say("The two have the same files with the same content.")) ?>
	<?php } elseif ($answer->rows !== []) { ?>
		<div class="units-table js-units-container">
			<?= table_header([say("File") => "", say("Change") => "", say("Size") => "u-text-center", "" => ""]) ?>
			<?php foreach ($answer->rows as $row) {
				[$icon, $colour, $text] = $words[$row["CHANGE"]] ?? ["fa-question", "icon-dim", $row["CHANGE"]];
				$may_restore = !is_read_only() && $row["CHANGE"] !== "added" && $is_file(key_of($row));
				?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("File"), '<span class="u-text-break">' . name(key_of($row)) . "</span>") ?>
					<?= cell(say("Change"), '<span class="ghostsnap-light">' . icon($icon, $colour) . " " . h($text) . "</span>") ?>
					<?= cell(say("Size"), $row["TYPE"] === "dir" ? "-" : size_html($row["SIZE"]), "u-text-center-desktop") ?>
					<div class="units-table-cell">
						<?php if ($may_restore) { ?>
							<ul class="units-table-row-actions">
								<?= row_link(address("/list/ghostsnap/restore/", ["snapshot" => key_of($before), "part" => "file", "name" => bytes_of(["PATH" => key_of($row)] + $row, "PATH"), "kind" => $row["TYPE"]]), "fa-arrow-rotate-left", "icon-green", say("Restore as it was before")) ?>
							</ul>
						<?php } ?>
					</div>
				</div>
			<?php } ?>
		</div>
		<div class="units-table-footer">
			<p><?= h(say_count("%d change", "%d changes", $answer->total)) ?></p>
			<?= pager("/list/ghostsnap/changes/", $here, $view["first"], count($answer->rows), $answer->total) ?>
		</div>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

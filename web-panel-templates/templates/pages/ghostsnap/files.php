<?php
// SPDX-License-Identifier: MIT
// One folder of a snapshot. Every name in here was chosen by a customer, or by whoever broke in.
namespace Ghostsnap;

$snapshot = $view["snapshot"];
$id = key_of($snapshot);
$answer = $view["answer"];
$path = $view["path"];
$may_restore = !is_read_only();
$may_download = !is_protected();
$here = ["snapshot" => $id, "path" => $path, "q" => $view["search"]];
$is_search = $view["search"] !== "";
$icons = ["dir" => "fa-folder", "symlink" => "fa-link", "fifo" => "fa-arrows-left-right"];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link(address("/list/ghostsnap/snapshot/", ["snapshot" => $id])) ?>
			<?php if (!in_array($path, ["", "web", "mail"], true)) { ?>
				<?php if ($may_download) { ?>
					<?= post_button("/schedule/ghostsnap/", ["action" => "download", "snapshot" => $id, "path" => $path], "fa-file-zipper", "icon-lightblue", say("Download this folder")) ?>
				<?php } ?>
				<?php if ($may_restore) { ?>
					<?= toolbar_link(address("/list/ghostsnap/restore/", ["snapshot" => $id, "part" => "file", "name" => $path, "kind" => "dir"]), "fa-arrow-rotate-left", "icon-green", say("Restore this folder")) ?>
				<?php } ?>
			<?php } ?>
		</div>
		<div class="toolbar-right">
			<div class="toolbar-search">
				<form action="/list/ghostsnap/files/" method="get">
					<input type="hidden" name="snapshot" value="<?= h($id) ?>">
					<input type="hidden" name="path" value="<?= h($path) ?>">
					<input type="search" class="form-control js-search-input" name="q" value="<?= h($view["search"]) ?>" title="<?= h(say("Search by name")) ?>" aria-label="<?= h(say("Search by name")) ?>">
					<button type="submit" class="toolbar-input-submit" title="<?= h(say("Search")) ?>">
						<?= icon("fa-magnifying-glass") ?>
					</button>
				</form>
			</div>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title"><?= h(say("Files of %s", snapshot_title($snapshot))) ?></h1>
	<?= note() ?>
	<?= breadcrumb($id, $path) ?>
	<?php if ($answer->failed()) { ?>
		<?= alert($answer->rows === [] ? "danger" : "warning", $answer->problem()) ?>
	<?php } ?>
	<?php if ($answer->rows === [] && !$answer->failed()) { ?>
		<?= nothing("fa-folder-open", $is_search ? say("Nothing found") : say("This folder is empty"), $is_search ? say("No file of this snapshot has that in its name.") : "") ?>
	<?php } elseif ($answer->rows !== []) { ?>
		<div class="units-table js-units-container">
			<?= table_header([say("Name") => "", say("Size") => "u-text-center", say("Changed") => "u-text-center", "" => ""]) ?>
			<?php foreach ($answer->rows as $row) {
				// A search names files by their path, a folder by their name.
				$inside = bytes_of($is_search ? ["PATH" => key_of($row)] + $row : $row, "PATH");
				$is_folder = $row["TYPE"] === "dir";
				$holds_domains = in_array($inside, ["web", "mail"], true);
				$label = icon($icons[$row["TYPE"]] ?? "fa-file", $is_folder ? "icon-orange" : "icon-dim") . ' <span class="u-text-break">' . name(key_of($row)) . "</span>";
				if ($is_folder) {
					$label = '<a href="' . h(address("/list/ghostsnap/files/", ["snapshot" => $id, "path" => $inside])) . '">' . $label . "</a>";
				} elseif (($row["TARGET"] ?? "") !== "") {
					$label .= ' <span class="ghostsnap-clock">→ ' . name($row["TARGET"]) . "</span>";
				}
				?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("Name"), $label) ?>
					<?= cell(say("Size"), $is_folder ? "-" : size_html($row["SIZE"]), "u-text-center-desktop") ?>
					<?= cell(say("Changed"), h(day($row)) . ' <span class="ghostsnap-clock">' . h(clock($row)) . "</span>", "u-text-center-desktop") ?>
					<div class="units-table-cell">
						<ul class="units-table-row-actions">
							<?php if ($row["TYPE"] === "file" && $may_download) { ?>
								<?= row_post("/download/ghostsnap/", ["snapshot" => $id, "path" => $inside, "size" => $row["SIZE"]], "fa-file-arrow-down", "icon-lightblue", say("Download")) ?>
							<?php } elseif ($is_folder && !$holds_domains && $may_download) { ?>
								<?= row_post("/schedule/ghostsnap/", ["action" => "download", "snapshot" => $id, "path" => $inside], "fa-file-zipper", "icon-lightblue", say("Download as zip")) ?>
							<?php } ?>
							<?php if ($may_restore && !$holds_domains) { ?>
								<?= row_link(address("/list/ghostsnap/restore/", ["snapshot" => $id, "part" => "file", "name" => $inside, "kind" => $row["TYPE"]]), "fa-arrow-rotate-left", "icon-green", say("Restore")) ?>
							<?php } ?>
						</ul>
					</div>
				</div>
			<?php } ?>
		</div>
		<div class="units-table-footer">
			<p><?= h(say_count("%d entry", "%d entries", $answer->total)) ?></p>
			<?= pager("/list/ghostsnap/files/", $here, $view["first"], count($answer->rows), $answer->total) ?>
		</div>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

<?php
// SPDX-License-Identifier: MIT
// The repositories, each with what can be tried out.
namespace Ghostsnap;

$answer = $view["answer"];
$tried = $view["tried"];
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link("/list/ghostsnap/server/") ?>
			<?= toolbar_link("/add/ghostsnap/", "fa-circle-plus", "icon-green", say("Add a repository"), "js-button-create") ?>
			<?= toolbar_link(address("/edit/ghostsnap/setting/", ["key" => "repository"]), "fa-location-dot", "icon-orange", say("Choose a repository")) ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title u-mb20"><?= h(say("Repositories")) ?></h1>
	<?= note() ?>
	<?php foreach (array_filter([$answer->problem(), $view["problem"]], fn($text) => $text !== "") as $problem) { ?>
		<?= alert("danger", $problem) ?>
	<?php } ?>
	<?php if (is_array($tried)) { ?>
		<section class="ghostsnap-tried" aria-label="<?= h(say("Result of the test")) ?>">
			<?= alert($tried["ok"] ? "success" : "danger", $tried["ok"] ? say("%s can be used.", $tried["name"]) : say("%s cannot be used: %s", $tried["name"], $tried["error"])) ?>
			<?php foreach ($tried["rows"] as $row) { ?>
				<p class="ghostsnap-facts"><?= name(implode(" · ", array_filter($row, fn($text) => $text !== ""))) ?></p>
			<?php } ?>
		</section>
	<?php } ?>
	<?php if ($answer->rows !== []) { ?>
		<div class="units-table js-units-container">
			<?= table_header([
				say("Name") => "",
				say("Light") => "",
				say("Address and key file") => "",
				say("Stored") => "u-text-center",
				say("Saved by deduplication") => "u-text-center",
				say("Checked") => "u-text-center",
				"" => "",
			]) ?>
			<?php foreach ($answer->rows as $row) {
				$health = ($view["health"][key_of($row)] ?? []) + array_fill_keys(["LIGHT", "STORED", "RATIO", "CHECKED", "CHECK", "REASON"], "");
				$reason = $health["REASON"] === "" ? "" : '<br><span class="ghostsnap-clock u-text-break">' . name($health["REASON"]) . "</span>";
				$key = $row["KEY_FILE"] === "" ? "" : '<br><span class="ghostsnap-clock u-text-break">' . name($row["KEY_FILE"]) . "</span>";
				?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("Name"), name(key_of($row)) . ($row["DEFAULT"] === "yes" ? '<br><span class="ghostsnap-clock">' . h(say("used by all")) . "</span>" : "")) ?>
					<?= cell(say("Light"), $health["LIGHT"] === "" ? "-" : light($health["LIGHT"]) . $reason) ?>
					<?= cell(say("Address and key file"), '<span class="u-text-break">' . name($row["URL"]) . "</span>" . $key) ?>
					<?= cell(say("Stored"), size_html($health["STORED"]), "u-text-center-desktop") ?>
					<?= cell(say("Saved by deduplication"), $health["RATIO"] === "" ? "-" : h($health["RATIO"] . " : 1"), "u-text-center-desktop") ?>
					<?= cell(say("Checked"), h($health["CHECKED"] === "" ? say("Never") : day(["DATE" => $health["CHECKED"]])), "u-text-center-desktop") ?>
					<div class="units-table-cell">
						<ul class="units-table-row-actions">
							<?= row_post("/add/ghostsnap/", ["action" => "test", "name" => key_of($row)], "fa-plug-circle-check", "icon-green", say("Test")) ?>
						</ul>
					</div>
				</div>
			<?php } ?>
		</div>
		<div class="units-table-footer">
			<p><?= h(say("Copy every key file off this server: without it nobody can read the backups, you included.")) ?></p>
		</div>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

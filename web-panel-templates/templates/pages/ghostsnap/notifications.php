<?php
// SPDX-License-Identifier: MIT
// Who is told how backups are, and whether it arrives; below, what is told.
namespace Ghostsnap;

require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/settings.php";
$read_only = is_read_only();
// What does not arrive comes first, then the administrator's own.
$order = fn($row) => [$row["STATE"] === "failing" ? 0 : 1, $row["USER"] === "" ? 0 : 1];
$receivers = $view["receivers"];
usort($receivers, fn($one, $other) => $order($one) <=> $order($other));
$shown = array_slice($receivers, 0, ROWS_PER_PAGE);
$tried = $view["tried"];
$kinds = ["panel" => say("Panel"), "mail" => say("Mail")];
$state = fn(string $state) => match ($state) {
	"well" => '<span class="ghostsnap-light">' . icon("fa-circle-check", "icon-green") . " " . h(say("Arrives")) . "</span>",
	"failing" => '<span class="ghostsnap-light">' . icon("fa-circle-xmark", "icon-red") . " " . h(say("Does not arrive")) . "</span>",
	default => '<span class="ghostsnap-light">' . icon("fa-circle-minus", "icon-dim") . " " . h(say("Nothing to tell yet")) . "</span>",
};
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= back_link("/list/ghostsnap/server/") ?>
			<?= toolbar_link("/list/ghostsnap/settings/", "fa-gear", "icon-maroon", say("Settings")) ?>
			<?php if (!$read_only && array_filter($receivers, fn($row) => $row["USER"] === "") !== []) { ?>
				<?= post_button("/edit/ghostsnap/notification/", ["receiver" => ""], "fa-paper-plane", "icon-green", say("Send a test to all of the administrator")) ?>
			<?php } ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title u-mb20"><?= h(say("Notifications")) ?></h1>
	<?= note() ?>
	<?php foreach ($view["problems"] as $problem) { ?>
		<?= alert("danger", $problem) ?>
	<?php } ?>
	<?php if (is_array($tried)) { ?>
		<section class="ghostsnap-tried" aria-label="<?= h(say("Result of the test")) ?>">
			<?php if ($tried["problem"] !== "") { ?>
				<?= alert("danger", $tried["problem"]) ?>
			<?php } ?>
			<?php foreach ($tried["rows"] as $row) {
				$is_sent = $row["STATE"] === "sent"; ?>
				<?= alert($is_sent ? "success" : "danger", $is_sent ? say("A test was sent to %s.", key_of($row)) : say("No test reached %s: %s", key_of($row), $row["ERROR"])) ?>
			<?php } ?>
		</section>
	<?php } ?>
	<?php if ($receivers === [] && $view["problems"] === []) { ?>
		<?= nothing(
			"fa-bell-slash",
			say("Nobody is told anything yet"),
			say("Switch the panel on or write mail addresses below. Webhooks stand in the settings file, and their secrets in files of their own."),
		) ?>
	<?php } elseif ($shown !== []) { ?>
		<div class="units-table js-units-container">
			<?= table_header([say("Receiver") => "", say("Kind") => "", say("State") => "", say("Last") => "u-text-center", say("Open troubles") => "u-text-center", "" => ""]) ?>
			<?php foreach ($shown as $row) {
				$since = ($row["SINCE"] ?? "") === "" ? "" : say("since %s", $row["SINCE"]);
				$why = implode(": ", array_filter([$since, $row["ERROR"]], fn($text) => $text !== ""));
				$reason = $why === "" ? "" : '<br><span class="ghostsnap-clock u-text-break">' . name($why) . "</span>";
				$of = $row["USER"] === "" ? "" : '<br><span class="ghostsnap-clock">' . h(say("news of %s", $row["USER"])) . "</span>";
				?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("Receiver"), name(key_of($row)) . $of) ?>
					<?= cell(say("Kind"), name($kinds[$row["KIND"]] ?? $row["KIND"])) ?>
					<?= cell(say("State"), $state($row["STATE"]) . $reason) ?>
					<?= cell(say("Last"), h($row["DATE"] === "" ? say("Never") : day($row) . ", " . clock($row)), "u-text-center-desktop") ?>
					<?= cell(say("Open troubles"), h($row["OPEN"]), "u-text-center-desktop") ?>
					<div class="units-table-cell">
						<?php if (!$read_only) { ?>
							<ul class="units-table-row-actions">
								<?= row_post("/edit/ghostsnap/notification/", ["receiver" => key_of($row)], "fa-paper-plane", "icon-green", say("Send a test")) ?>
							</ul>
						<?php } ?>
					</div>
				</div>
			<?php } ?>
		</div>
		<div class="units-table-footer">
			<p><?= h(say_count("%d receiver", "%d receivers", count($receivers))) ?></p>
		</div>
	<?php } ?>
	<?php if ($view["settings"] !== []) { ?>
		<section aria-labelledby="ghostsnap-told">
			<h2 class="ghostsnap-title u-mb10" id="ghostsnap-told"><?= h(say("What is told, and to whom")) ?></h2>
			<?= settings_table($view["settings"], "notifications") ?>
		</section>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

<?php
// SPDX-License-Identifier: MIT
// All users and their lights; before the first backup, what to do.
namespace Ghostsnap;

$rows = $view["rows"];
$counts = array_count_values(array_column($rows, "LIGHT"));
$has_drills = isset($rows[0]["VERIFIED"]);
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons">
			<?= toolbar_link("/list/ghostsnap/jobs/?of=all", "fa-list-check", "icon-blue", say("Jobs")) ?>
			<?= toolbar_link("/list/ghostsnap/schedules/", "fa-calendar-days", "icon-orange", say("Schedules")) ?>
			<?= toolbar_link("/list/ghostsnap/repositories/", "fa-database", "icon-purple", say("Repositories")) ?>
			<?= toolbar_link("/list/ghostsnap/notifications/", "fa-bell", "icon-orange", say("Notifications")) ?>
			<?= toolbar_link("/list/ghostsnap/settings/", "fa-gear", "icon-maroon", say("Settings")) ?>
			<?= toolbar_link("/list/ghostsnap/?view=own", "fa-user", "icon-green", say("My own snapshots")) ?>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title"><?= h(say("Backups of this server")) ?></h1>
	<p class="ghostsnap-facts">
		<?php foreach (["red", "yellow", "green", "off"] as $colour) {
			if (($counts[$colour] ?? 0) > 0) { ?>
				<span class="ghostsnap-count"><?= light($colour) ?>: <span class="u-text-bold"><?= h($counts[$colour]) ?></span></span>
			<?php }
		} ?>
	</p>
	<?= note() ?>
	<?php if ($view["problem"] !== "") { ?>
		<?= alert("danger", $view["problem"]) ?>
	<?php } ?>

	<?php if ($view["is_new"] && $view["problem"] === "") { ?>
		<section class="ghostsnap-steps" aria-label="<?= h(say("First steps")) ?>">
			<h2><?= h(say("There is no backup yet.")) ?></h2>
			<p class="u-mb10"><?= h(say("Four steps lead to the first one: where to, every night, the backup itself, and its key.")) ?></p>
			<a class="button" href="/list/ghostsnap/setup/"><?= icon("fa-shoe-prints") ?><?= h(say("First steps")) ?></a>
		</section>
	<?php } ?>

	<?php if ($rows !== []) { ?>
		<div class="units-table js-units-container">
			<?= table_header([
				say("User") => "",
				say("Light") => "",
				say("Last complete backup") => "u-text-center",
				say("Backups") => "u-text-center",
				say("Size") => "u-text-center",
				say("Added in 7 days") => "u-text-center",
			] + ($has_drills ? [say("Last verified") => "u-text-center"] : []) + ["" => ""]) ?>
			<?php foreach ($rows as $row) {
				$user = key_of($row);
				$look = address("/login/", ["loginas" => $user, "token" => $_SESSION["token"]]);
				$reasons = array_filter([$row["REASON"], $row["LAST_ERROR"] ?? ""], fn($text) => $text !== "");
				$next = ($row["NEXT"] ?? "") === "" ? "" : '<br><span class="ghostsnap-clock">' . h(say("Next: %s", brief($row["NEXT"]))) . "</span>";
				$reason = implode("", array_map(fn($text) => '<br><span class="ghostsnap-clock u-text-break">' . name($text) . "</span>", $reasons));
				?>
				<div class="units-table-row js-unit">
					<?= heading_cell(say("User"), name($user)) ?>
					<?= cell(say("Light"), light($row["LIGHT"]) . $reason) ?>
					<?= cell(say("Last complete backup"), h(age($row)) . $next, "u-text-center-desktop") ?>
					<?= cell(say("Backups"), h($row["BACKUPS"]), "u-text-center-desktop") ?>
					<?= cell(say("Size"), size_html($row["SIZE"]), "u-text-center-desktop") ?>
					<?= cell(say("Added in 7 days"), size_html($row["WEEK"]), "u-text-center-desktop") ?>
					<?php if ($has_drills) { ?>
						<?= cell(say("Last verified"), h($row["VERIFIED"] === "" ? say("Never") : day(["DATE" => $row["VERIFIED"]])), "u-text-center-desktop") ?>
					<?php } ?>
					<div class="units-table-cell">
						<ul class="units-table-row-actions">
							<?php if (may_change($user)) { ?>
								<?= row_post("/schedule/ghostsnap/", ["action" => "backup", "of" => $user], "fa-circle-plus", "icon-green", say("Back up now")) ?>
							<?php } ?>
							<?= row_link(address("/list/ghostsnap/growth/", ["of" => $user]), "fa-chart-line", "icon-blue", say("Growth")) ?>
							<?php if ($user !== $_SESSION["user"]) { ?>
								<?= row_link($look, "fa-right-to-bracket", "icon-maroon", say("Log in as %s", $user)) ?>
							<?php } ?>
						</ul>
					</div>
				</div>
			<?php } ?>
		</div>
		<div class="units-table-footer">
			<p><?= h(say_count("%d user", "%d users", count($rows))) ?></p>
		</div>
	<?php } ?>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

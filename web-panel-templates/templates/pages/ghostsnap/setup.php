<?php
// SPDX-License-Identifier: MIT
// The first steps, each with what is to do and whether it is done.
namespace Ghostsnap;

$default = $view["default"] + ["URL" => "", "KEY_FILE" => ""];
$name = key_of($view["default"]);
$schedule = $view["schedule"];
$tried = $view["tried"];
$has_backups = $view["backed_up"] > 0;
$step = function (string $title, ?bool $is_done): string {
	[$icon, $colour, $text] = match ($is_done) {
		true => ["fa-circle-check", "icon-green", say("Done")],
		false => ["fa-circle", "icon-dim", say("To do")],
		null => ["fa-key", "icon-orange", say("Yours to do")],
	};
	return "<h3>" . h($title) . ' <span class="ghostsnap-light">' . icon($icon, $colour) . " " . h($text) . "</span></h3>";
};
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link("/list/ghostsnap/server/") ?></div>
	</div>
</div>

<div class="container ghostsnap">
	<h1 class="ghostsnap-title u-mb20"><?= h(say("First steps")) ?></h1>
	<?= note() ?>
	<?php foreach ($view["problems"] as $problem) { ?>
		<?= alert("danger", $problem) ?>
	<?php } ?>
	<section class="ghostsnap-steps" aria-label="<?= h(say("First steps")) ?>">
		<ol>
			<li>
				<?= $step(say("Where to"), $has_backups || ($tried["ok"] ?? false)) ?>
				<?php if ($default["URL"] !== "") { ?>
				<p><?= name(say("Backups go to %s. A place on the same disk protects against mistakes, not against the loss of the disk.", $default["URL"])) ?></p>
				<?php } ?>
				<?php if (is_array($tried)) { ?>
					<?= alert($tried["ok"] ? "success" : "danger", $tried["ok"] ? say("%s can be used.", $tried["name"]) : say("%s cannot be used: %s", $tried["name"], $tried["error"])) ?>
				<?php } ?>
				<div class="ghostsnap-buttons">
					<?= $name === "" ? "" : post_button("/add/ghostsnap/", ["action" => "test", "name" => $name, "from" => "setup"], "fa-plug-circle-check", "icon-green", say("Test this place")) ?>
					<?= toolbar_link("/add/ghostsnap/", "fa-circle-plus", "icon-green", say("Add another place")) ?>
				</div>
				<p><?= h(say("To use another place for everybody, add it and choose it.")) ?> <a href="<?= h(address("/edit/ghostsnap/setting/", ["key" => "repository"])) ?>"><?= h(say("Choose a repository")) ?></a></p>
			</li>
			<li>
				<?= $step(say("Every night"), $schedule !== null) ?>
				<?php if ($schedule !== null) { ?>
					<p><?= name(say("%s: %s, next %s.", key_of($schedule), when_words($schedule["WHEN"]), brief($schedule["NEXT"]))) ?></p>
					<div class="ghostsnap-buttons"><?= toolbar_link("/list/ghostsnap/schedules/", "fa-calendar-days", "icon-orange", say("Schedules")) ?></div>
				<?php } else { ?>
					<p><?= h(say("All users are backed up at night, by jobs that can be watched. Nothing is done by itself before you say so.")) ?></p>
					<div class="ghostsnap-buttons">
						<?= post_button("/edit/ghostsnap/", ["action" => "add", "name" => "nightly", "do" => "backup", "rhythm" => "daily", "time" => "02:30", "enabled" => "yes", "from" => "setup"], "fa-moon", "icon-purple", say("Every night at 02:30")) ?>
						<?= toolbar_link("/edit/ghostsnap/", "fa-clock", "icon-blue", say("Another time")) ?>
					</div>
				<?php } ?>
			</li>
			<li>
				<?= $step(say("The first backup"), $has_backups) ?>
				<p><?= h($has_backups
					? say_count("%d user has a backup.", "%d users have a backup.", $view["backed_up"])
					: say("The first one takes longest; later ones store only what changed.")) ?></p>
				<form method="post" action="/schedule/ghostsnap/" class="ghostsnap-first js-ghostsnap-busy">
					<?= hidden(["action" => "backup"]) ?>
					<label for="ghostsnap-of"><?= h(say("User")) ?></label>
					<select class="form-select" name="of" id="ghostsnap-of">
						<?php foreach ($view["users"] as $row) {
							if (may_change(key_of($row)) && $row["LIGHT"] !== "off") { ?>
								<option value="<?= h(key_of($row)) ?>"><?= name(key_of($row)) ?></option>
							<?php }
						} ?>
					</select>
					<button type="submit" class="button"><?= icon("fa-circle-plus") ?><?= h(say("Back up now")) ?></button>
				</form>
				<?php if ($schedule !== null) { ?>
					<div class="ghostsnap-buttons"><?= post_button("/edit/ghostsnap/", ["action" => "run", "name" => key_of($schedule)], "fa-play", "icon-green", say("Back all users up now")) ?></div>
				<?php } ?>
			</li>
			<li>
				<?= $step(say("The key"), null) ?>
				<?php if ($default["KEY_FILE"] !== "") { ?>
					<p><?= name(say("The first backup makes the key file %s. Without it nobody can read the backups, you included: copy it off this server.", $default["KEY_FILE"])) ?></p>
				<?php } ?>
				<p><?= h(say("A recovery kit is a page with a key of its own, for paper and a safe. Secrets do not pass through the panel, so make it on the shell:")) ?></p>
				<pre class="ghostsnap-shell">ghostsnap key kit -o /root/recovery-kit.txt
ghostsnap key test /root/recovery-kit.txt</pre>
			</li>
		</ol>
	</section>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

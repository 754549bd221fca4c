<?php
// SPDX-License-Identifier: MIT
// The form of one setting; of one for a single user or package its name is asked for, too.
namespace Ghostsnap;

require_once $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/settings.php";
$row = $view["row"];
$is_new = $row === null;
$key = $is_new ? (string) ($view["form"]["key"] ?? "") : key_of($row);
$value = (string) ($view["form"]["value"] ?? ($is_new || $row["SET"] !== "yes" ? "" : $row["VALUE"]));
$usual = $is_new ? "" : (string) $row["DEFAULT"];
$type = $is_new ? "text" : $row["TYPE"];
// A list of words to choose from; without a choice it is the default.
$choices = match (true) {
	$is_new => [],
	$view["names"] !== [] => array_values(array_diff($view["names"], ["default"])),
	default => names($row["CHOICES"]),
};
$words = fn(string $choice) => $type !== "yesno" ? $choice : ($choice === "yes" ? say("Yes") : say("No"));
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link($view["back"]) ?></div>
		<div class="toolbar-buttons">
			<button type="submit" class="button" form="ghostsnap-setting"><?= icon("fa-floppy-disk", "icon-purple") ?><?= h(say("Save")) ?></button>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<form id="ghostsnap-setting" method="post" action="/edit/ghostsnap/setting/" class="form-container js-ghostsnap-busy">
		<?= hidden(["from" => $view["from"]] + ($is_new ? ["new" => "yes"] : ["key" => $key])) ?>
		<h1 class="ghostsnap-question"><?= h($is_new ? say("Set for one user or package") : setting_about($row)) ?></h1>
		<?= note() ?>
		<?php if ($is_new) { ?>
			<div class="u-mb20">
				<label for="ghostsnap-key" class="form-label"><?= h(say("Setting")) ?></label>
				<input type="text" class="form-control" name="key" id="ghostsnap-key" value="<?= h($key) ?>" autocomplete="off" spellcheck="false" aria-describedby="ghostsnap-key-hint" required>
				<small class="hint" id="ghostsnap-key-hint"><?= h(say("Such as users.alice.exclude, users.alice.repository, users.alice.keep.daily or packages.gold.keep.daily.")) ?></small>
			</div>
		<?php } else { ?>
			<p class="ghostsnap-clock u-text-break u-mb20"><?= name($key) ?></p>
		<?php } ?>
		<?php if ($key === "repository" && !$is_new) { ?>
			<?= alert("warning", say("From then on backups go there, and lists, restores and checks are about what is stored there. Backups that exist stay where they are and are not listed any more, until this names their place again. The next backup of each user is a first one.")) ?>
		<?php } ?>
		<div class="u-mb20">
			<label for="ghostsnap-value" class="form-label"><?= h(say("Value")) ?></label>
			<?php if ($choices !== [] && ($value === "" || in_array($value, $choices, true))) { ?>
				<select class="form-select" name="value" id="ghostsnap-value">
					<option value=""><?= $usual === "" ? h(say("Without it")) : name(say("Without it: %s", $words($usual))) ?></option>
					<?php foreach ($choices as $choice) { ?>
						<option value="<?= h($choice) ?>" <?= $choice === $value ? "selected" : "" ?>><?= name($words($choice)) ?></option>
					<?php } ?>
				</select>
			<?php } else { ?>
				<input type="text" class="form-control" name="value" id="ghostsnap-value" value="<?= h($value) ?>" autocomplete="off" spellcheck="false" <?= $type === "number" ? 'inputmode="numeric"' : "" ?> aria-describedby="ghostsnap-value-hint">
				<small class="hint" id="ghostsnap-value-hint"><?= $usual === ""
					? h($type === "list" ? say("Words with commas between; nothing takes it out.") : say("Nothing takes it out."))
					: name(say("Nothing is the default: %s", $words($usual))) ?></small>
			<?php } ?>
		</div>
		<?php if (!$is_new && $row["SET"] === "yes") { ?>
			<div class="ghostsnap-buttons">
				<button type="submit" class="button button-secondary" name="action" value="reset"><?= icon("fa-rotate-left", "icon-blue") ?><?= h($usual === "" ? say("Take it out") : say("Back to the default")) ?></button>
			</div>
		<?php } ?>
	</form>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

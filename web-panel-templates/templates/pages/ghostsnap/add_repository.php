<?php
// SPDX-License-Identifier: MIT
// The form of a new repository.
namespace Ghostsnap;

$form = $view["form"];
$field = function (string $id, string $label, string $example, string $hint = "", bool $required = false) use ($form): void { ?>
	<div class="u-mb20">
		<label for="ghostsnap-<?= h($id) ?>" class="form-label"><?= h($label) ?></label>
		<input type="text" class="form-control" name="<?= h($id) ?>" id="ghostsnap-<?= h($id) ?>" value="<?= h($form[$id] ?? "") ?>" placeholder="<?= h($example) ?>" autocomplete="off" <?= $required ? "required" : "" ?> <?= $hint === "" ? "" : 'aria-describedby="ghostsnap-' . h($id) . '-hint"' ?>>
		<?php if ($hint !== "") { ?>
			<small class="hint" id="ghostsnap-<?= h($id) ?>-hint"><?= h($hint) ?></small>
		<?php } ?>
	</div>
<?php };
?>
<link rel="stylesheet" href="<?= h(asset("/css/ghostsnap/pages.css")) ?>">
<div class="toolbar">
	<div class="toolbar-inner">
		<div class="toolbar-buttons"><?= back_link("/list/ghostsnap/repositories/") ?></div>
		<div class="toolbar-buttons">
			<button type="submit" class="button" form="ghostsnap-add"><?= icon("fa-floppy-disk", "icon-purple") ?><?= h(say("Save")) ?></button>
		</div>
	</div>
</div>

<div class="container ghostsnap">
	<form id="ghostsnap-add" method="post" action="/add/ghostsnap/" class="form-container js-ghostsnap-busy">
		<?= hidden([]) ?>
		<h1 class="u-mb20"><?= h(say("Add a repository")) ?></h1>
		<?= note() ?>
		<?php
		$field("name", say("Name"), "offsite", "", true);
		$field("url", say("Address"), "s3:https://s3.example.com/bucket/server1", say("A folder, or the address of a store, without secrets."), true);
		$field("key_id", say("Id of the access key"), "", say("Of a store that asks for one."));
		$field("secret_file", say("File with the secret"), "/root/s3-secret", say("Secrets stay out of the panel: write it into a file that belongs to root with mode 600."));
		$field("region", say("Region"), "eu-central-1");
		?>
		<div class="u-mb20">
			<label for="ghostsnap-options" class="form-label"><?= h(say("Further options, one a line")) ?></label>
			<textarea class="form-control" name="options" id="ghostsnap-options" rows="3" placeholder="KEY=VALUE"><?= h($form["options"] ?? "") ?></textarea>
		</div>
	</form>
</div>
<script defer src="<?= h(asset("/js/ghostsnap/pages.js")) ?>"></script>

<?php
// SPDX-License-Identifier: MIT
// For the administrator: the form of one setting, and what it does. Without a key it asks for one too.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";
require_once __DIR__ . "/../../../inc/ghostsnap/settings.php";

Ghostsnap\only_for_admins();
if ($_SERVER["REQUEST_METHOD"] !== "POST") {
	[$key, $from] = [Ghostsnap\given($_GET, "key"), Ghostsnap\given($_GET, "from")];
	$list = Ghostsnap\page_of_settings($from);
	$row = null;
	if ($key !== "") {
		$answer = Ghostsnap\ask("v-ghostsnap-list-settings", "json");
		$found = array_filter($answer->rows, fn($row) => Ghostsnap\key_of($row) === $key);
		$row = array_values($found)[0] ?? null;
		if ($row === null || !Ghostsnap\can_be_set($row)) {
			Ghostsnap\leave_note("danger", $answer->failed() ? $answer->problem() : Ghostsnap\say("That is not changed here."));
			Ghostsnap\go($list);
		}
	}
	$names = [];
	if ($key === "repository") {
		$names = array_map(Ghostsnap\key_of(...), Ghostsnap\ask("v-ghostsnap-list-repositories", "json")->rows);
	}
	$form = $_SESSION["ghostsnap_form"] ?? [];
	unset($_SESSION["ghostsnap_form"]);
	Ghostsnap\show("edit_setting", ["row" => $row, "form" => $form, "from" => $from, "names" => $names, "back" => $list]);
	exit();
}

Ghostsnap\only_by_post();
Ghostsnap\only_if_may_change();
[$key, $value, $from] = [trim(Ghostsnap\given($_POST, "key")), trim(Ghostsnap\given($_POST, "value")), Ghostsnap\given($_POST, "from")];
if (Ghostsnap\given($_POST, "action") === "reset") {
	$value = "";
}
$answer = Ghostsnap\ask("v-ghostsnap-change-setting", $key, $value);
if ($answer->failed()) {
	Ghostsnap\leave_note("danger", $answer->problem());
	// What was typed is not lost.
	$_SESSION["ghostsnap_form"] = ["key" => $key, "value" => $value];
	$is_new = Ghostsnap\given($_POST, "new") === "yes";
	Ghostsnap\go(Ghostsnap\address("/edit/ghostsnap/setting/", ["key" => $is_new ? "" : $key, "from" => $from]));
}
Ghostsnap\leave_note("success", Ghostsnap\say("%s has been changed.", $key));
Ghostsnap\go(Ghostsnap\page_of_settings($from));

<?php
// SPDX-License-Identifier: MIT
// For the administrator: gives a repository a name, and tries one out. No secret passes through here:
// the form takes the path of a file that holds it.
include $_SERVER["DOCUMENT_ROOT"] . "/inc/ghostsnap/page.php";

Ghostsnap\only_for_admins();
if ($_SERVER["REQUEST_METHOD"] !== "POST") {
	Ghostsnap\show("add_repository", ["form" => $_SESSION["ghostsnap_form"] ?? []]);
	unset($_SESSION["ghostsnap_form"]);
	exit();
}

Ghostsnap\only_by_post();
Ghostsnap\only_if_may_change();
$name = Ghostsnap\given($_POST, "name");
if (Ghostsnap\given($_POST, "action") === "test") {
	$answer = Ghostsnap\ask_slowly("v-ghostsnap-test-repository", $name, "json");
	$_SESSION["ghostsnap_tried"] = [
		"name" => $name,
		"ok" => !$answer->failed(),
		"error" => $answer->problem(),
		"rows" => array_slice($answer->rows, 0, 20),
	];
	Ghostsnap\go(Ghostsnap\given($_POST, "from") === "setup" ? "/list/ghostsnap/setup/" : "/list/ghostsnap/repositories/");
}

$options = [];
foreach (["key_id", "secret_file", "region"] as $option) {
	$value = trim(Ghostsnap\given($_POST, $option));
	if ($value !== "") {
		$options[] = $option . "=" . $value;
	}
}
foreach (preg_split('/\R/', Ghostsnap\given($_POST, "options")) as $line) {
	if (trim($line) !== "") {
		$options[] = trim($line);
	}
}
$answer = Ghostsnap\ask("v-ghostsnap-add-repository", $name, trim(Ghostsnap\given($_POST, "url")), ...$options);
if ($answer->failed()) {
	Ghostsnap\leave_note("danger", $answer->problem());
	$_SESSION["ghostsnap_form"] = array_filter($_POST, "is_string");
	unset($_SESSION["ghostsnap_form"]["token"]);
	Ghostsnap\go("/add/ghostsnap/");
}
Ghostsnap\leave_note("success", Ghostsnap\say("The repository %s has been added. Test it next.", $name));
Ghostsnap\go("/list/ghostsnap/repositories/");

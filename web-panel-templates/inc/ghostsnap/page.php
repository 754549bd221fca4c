<?php
// SPDX-License-Identifier: MIT
// What every page of Ghostsnap includes first, and all it has to include: the way in, HestiaCP's own
// session, roles and token, the commands, and the pieces of the view. $TAB is for HestiaCP's frame.
$TAB = "GHOSTSNAP";
require __DIR__ . "/door.php";
include $_SERVER["DOCUMENT_ROOT"] . "/inc/main.php";
require_once __DIR__ . "/people.php";
require_once __DIR__ . "/commands.php";
require_once __DIR__ . "/looks.php";
require_once __DIR__ . "/words.php";
require_once __DIR__ . "/view.php";
Ghostsnap\only_if_let_in();

<?php
// SPDX-License-Identifier: MIT
include $_SERVER["DOCUMENT_ROOT"] . "/inc/main.php";
render_page($user, "USER", "list_user");

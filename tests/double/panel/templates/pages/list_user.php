<?php
// SPDX-License-Identifier: MIT
// One of HestiaCP's own pages: a toolbar and nothing more.
?>
<div class="toolbar"><div class="toolbar-inner">
	<div class="toolbar-buttons"><a class="button button-secondary" href="/list/user/">user</a></div>
	<div class="toolbar-right"></div>
</div></div>
<div class="container"><h1>user</h1></div>

<?php
// SPDX-License-Identifier: MIT
// Looks that may take long: they read a repository, which may be far away, or a whole home. The panel
// has four workers for all of its visitors, and who opens four tabs must not hold all of them. So one
// look of a user runs at a time, two of everybody, and none for longer than a bound; what comes beside
// waits a moment and then gets a page that says so; administrators have a turn more. The session is free meanwhile: the other pages of
// the same login need not wait.
namespace Ghostsnap;

/** After which time a look is cut off. */
const LOOK_SECONDS = 90;

/** How long one that comes beside waits for its turn: a click after a click should not hurt. */
const TURN_SECONDS = 3;

/** Looks of all users at the same time: half of the workers. */
const LOOKS_AT_ONCE = 2;

/** Bytes of a file that is made ready for download at once; the queue does what is larger. */
const MOST_AT_ONCE = 64 * 1048576;

/** Asks a command that takes a while. */
function ask_slowly(string $command, string ...$arguments): Answer {
	return ask_some_slowly($command, $arguments, 0, ROWS_PER_PAGE);
}

/** All rows of a command that takes a while. */
function ask_slowly_all(string $command, string ...$arguments): Answer {
	return ask_some_slowly($command, $arguments, 0, PHP_INT_MAX);
}

function ask_some_slowly(string $command, array $arguments, int $first, int $most, ?callable $wanted = null): Answer {
	return slowly(fn(int $seconds) => ask_some($command, $arguments, $first, $most, $wanted, $seconds));
}

/** Does something that takes a while, when its turn comes, and says to it how many seconds it has. */
function slowly(callable $look): mixed {
	return in_turn($look, say_busy(...));
}

/** The same; what happens if the turn does not come, and why it does not, is told to $busy. */
function in_turn(callable $look, callable $busy): mixed {
	// What another tab stores meanwhile is read again afterwards.
	session_write_close();
	$turn = take_turn((string) $_SESSION["user"]);
	try {
		$result = is_array($turn) ? $look(LOOK_SECONDS) : null;
	} finally {
		array_map(fn($lock) => flock($lock, LOCK_UN), is_array($turn) ? $turn : []);
		session_start();
	}
	return is_array($turn) ? $result : $busy($turn);
}

/** The locks of a turn; if it does not come, why not. Not escaped. */
function take_turn(string $user): array|string {
	$until = microtime(true) + TURN_SECONDS;
	$own = wait_for_lock(["user-" . bin2hex($user)], $until);
	if (is_string($own)) {
		return $own !== "" ? $own : say("Another look of yours is still running");
	}
	$slots = array_map(fn($number) => "slot-" . $number, range(1, LOOKS_AT_ONCE));
	// Customers who look without end do not lock out who could do something about it.
	$slot = wait_for_lock(is_admin() ? ["slot-admin", ...$slots] : $slots, $until);
	if (is_string($slot)) {
		flock($own, LOCK_UN);
		return $slot !== "" ? $slot : say("Others are looking at this moment");
	}
	return [$own, $slot];
}

/** The first of these locks that is free; the kernel frees those of a worker that dies. Else what is wrong, or "". */
function wait_for_lock(array $names, float $until): mixed {
	// The folder of the sessions is the panel's alone: in one for everybody anybody could hold them. A
	// command that is left to itself must not have them open, hence the e.
	$files = array_filter(array_map(fn($name) => @fopen(session_save_path() . "/ghostsnap-look-" . $name, "ce"), $names));
	if ($files === []) {
		return say("No lock can be made in the panel's folder of sessions");
	}
	do {
		foreach ($files as $file) {
			if (flock($file, LOCK_EX | LOCK_NB)) {
				return $file;
			}
		}
		usleep(50_000);
	} while (microtime(true) < $until);
	return "";
}

/** Ends the request with a page that says why. */
function say_busy(string $why): never {
	if ($_SERVER["REQUEST_METHOD"] === "POST") {
		leave_note("warning", say("%s. Try again in a minute.", $why));
		go("/list/ghostsnap/");
	}
	// Two slashes in front would lead to another machine.
	$is_ours = preg_match('~^/(list|add|edit)/ghostsnap/~', $_SERVER["REQUEST_URI"]) === 1;
	show("busy", ["why" => $why, "again" => $is_ours ? $_SERVER["REQUEST_URI"] : "/list/ghostsnap/"]);
	exit();
}

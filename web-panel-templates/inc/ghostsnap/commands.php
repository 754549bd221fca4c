<?php
// SPDX-License-Identifier: MIT
// How commands are asked. Pages know nothing of backups: they show rows that v-ghostsnap-* commands
// print. What comes from outside is an argument of its own, quoted, and judged by the command.
namespace Ghostsnap;

use function Hestiacp\quoteshellarg\quoteshellarg;

/** Rows of a folder or a comparison that a page shows. */
const ROWS_PER_PAGE = 500;

/** After which time a list is cut off; most come in less than one. */
const LIST_SECONDS = 20;

/** Characters kept of what a command says that is no row. */
const MOST_TEXT = 4000;

/** A text that came with the request; an array or a zero byte is none. */
function given(array $from, string $name): string {
	$value = $from[$name] ?? "";
	return is_string($value) && !str_contains($value, "\0") ? $value : "";
}

function go(string $address): never {
	header("Location: " . $address);
	exit();
}

/** What the next page says first. HestiaCP's own error_msg becomes part of a script; this does not. */
function leave_note(string $kind, string $text): void {
	$_SESSION["ghostsnap_note"] = ["kind" => $kind, "text" => $text];
}

/** What a command answered. */
final class Answer {
	/** @param array<array<string, string>> $rows */
	public function __construct(
		public readonly int $code,
		public readonly array $rows,
		public readonly string $error,
		public readonly int $total = 0,
		public readonly string $text = "",
		public readonly bool $is_cut = false,
	) {}

	public function failed(): bool {
		return $this->code !== 0;
	}

	/** The only row, or one with nothing in it. */
	public function row(): array {
		return $this->rows[0] ?? [];
	}

	/** What is wrong, as an alert of its own; nothing if all is well. */
	public function problem(): string {
		if (!$this->failed()) {
			return "";
		}
		return $this->error !== "" ? $this->error : say("The command ended with code %d.", $this->code);
	}
}

/**
 * Asks a command; the last argument of one that prints rows is `json`. A list may need a repository that
 * does not answer, and no worker waits for that without end.
 */
function ask(string $command, string ...$arguments): Answer {
	$seconds = str_starts_with($command, "v-ghostsnap-list-") ? LIST_SECONDS : null;
	return ask_some($command, $arguments, 0, PHP_INT_MAX, null, $seconds);
}

/**
 * Asks a command and keeps the rows from $first on that $wanted lets through, $most of them. A folder
 * may hold more entries than PHP has memory for, so rows are read one at a time: commands indent the
 * braces of a row by four spaces and what is in it by eight. With $seconds the answer is cut off then;
 * a command that only looks, or makes a file for nobody but the reader, ends as well.
 */
function ask_some(string $command, array $arguments, int $first, int $most, ?callable $wanted = null, ?int $seconds = null): Answer {
	$line = \HESTIA_CMD . $command;
	foreach ($arguments as $argument) {
		$line .= " " . quoteshellarg($argument);
	}
	// Other tabs of the same login need not wait for a command. What they store is read again afterwards.
	$is_open = session_status() === PHP_SESSION_ACTIVE;
	if ($is_open) {
		session_write_close();
	}
	try {
		return answer_of($line, $first, $most, $wanted, $seconds);
	} finally {
		if ($is_open) {
			session_start();
		}
	}
}

function answer_of(string $line, int $first, int $most, ?callable $wanted, ?int $seconds): Answer {
	$process = proc_open("exec " . $line, [1 => ["pipe", "w"]], $pipes);
	if ($process === false) {
		return new Answer(1, [], say("The command could not be started."));
	}
	$until = $seconds === null ? null : microtime(true) + $seconds;
	[$rows, $total, $text, $error, $row] = [[], 0, "", "", null];
	$lines = lines_of($pipes[1], $until);
	foreach ($lines as $read) {
		if (preg_match('/^    "(.*)": \{$/s', $read, $found)) {
			$row = ['"" : "' . $found[1] . '"'];
		} elseif ($row !== null && str_starts_with($read, "        ")) {
			$row[] = rtrim($read, ",");
		} elseif ($row !== null) {
			$fields = json_decode("{" . implode(",", $row) . "}", true, 4, JSON_INVALID_UTF8_SUBSTITUTE) ?? [];
			if ($wanted === null || $wanted($fields)) {
				if ($total >= $first && count($rows) < $most) {
					$rows[] = $fields;
				}
				$total++;
			}
			$row = null;
		} elseif (str_starts_with($read, "Error: ")) {
			$error = substr($read, 7);
		} else {
			// What is no row: the few lines that a job prints.
			$text = substr($text . "\n" . $read, -MOST_TEXT);
		}
	}
	fclose($pipes[1]);
	if (!$lines->getReturn()) {
		// Waiting for its end is what must not be done.
		return new Answer(1, $rows, say("This takes too long to be shown here."), $total, "", true);
	}
	$code = proc_close($process);
	if ($code !== 0 && $error === "") {
		$error = trim($text, "\n{} ");
	}
	return new Answer($code, $rows, $error, $total, $text);
}

/** The lines of a pipe without their ends; returns whether its end was reached before $until. */
function lines_of($pipe, ?float $until): \Generator {
	$kept = "";
	while (!feof($pipe)) {
		$left = $until === null ? null : max(0.0, $until - microtime(true));
		[$ready, $none] = [[$pipe], null];
		if (stream_select($ready, $none, $none, $left === null ? null : (int) $left, $left === null ? null : (int) (fmod($left, 1) * 1e6)) !== 1) {
			return false;
		}
		$lines = explode("\n", $kept . fread($pipe, 65536));
		$kept = array_pop($lines);
		yield from $lines;
	}
	if ($kept !== "") {
		yield $kept;
	}
	return true;
}

/** The key of a row: what the command names it by. */
function key_of(array $row): string {
	return (string) ($row[""] ?? "");
}

/** The exact bytes of a value that may not be UTF-8. */
function bytes_of(array $row, string $column): string {
	$exact = base64_decode((string) ($row[$column . "_B64"] ?? ""), true);
	return $exact !== false && $exact !== "" ? $exact : (string) ($row[$column] ?? "");
}

/** The file that v-ghostsnap-download-user-file made for the account, without its folder. */
function made_file(Answer $answer, string $account): ?string {
	$name = preg_quote($account, "~") . '\.gs-[0-9a-f]{16}-[A-Za-z0-9._-]+';
	$found = preg_match("~^\S*/backup/($name)\s~m", $answer->text, $file);
	return $found === 1 && !$answer->failed() ? $file[1] : null;
}

/** The names of a list that a row has in one column. */
function names(string $list): array {
	return array_values(array_filter(explode(",", $list), fn($name) => $name !== ""));
}

/** The snapshot that the request names; without it there is nothing to show. */
function wanted_snapshot(array $from): array {
	$wanted = given($from, "snapshot");
	$answer = $wanted === "" ? null : ask("v-ghostsnap-list-user-backup", account(), $wanted, "json");
	if ($answer === null || $answer->row() === []) {
		leave_note("danger", $answer?->is_cut ? $answer->problem() : say("There is no such snapshot."));
		go("/list/ghostsnap/?view=own");
	}
	return $answer->row();
}

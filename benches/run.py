#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares Ghostsnap with other backup programs on equal data; `make bench` runs this.

For each data set and run: first backup, backup of the unchanged tree, backup after a day of
changes, full restore (compared with the source), check that reads all data, then all but the newest
are dropped and the rest is freed. The programs take turns at every step, so that a noisy neighbour
on the machine hits all of them. The README next to this file says what is measured and how to read
it.

Exit codes: 0 done, 1 Ghostsnap failed a step or restored something else than it was given,
2 wrong usage.
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.dont_write_bytecode = True

# The flag above must come before these, so that no cache folder appears next to them.
import data  # noqa: E402
from compare import compare  # noqa: E402
from report import render  # noqa: E402
from tools import SUBJECT, TOOLS, BorgLz4, Tool, Usage  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent
MARKER = ".ghostsnap-bench"
Action = Callable[[Tool, Path], Usage]


def isolated(function: Callable, *arguments: object):
    """Calls a function in a child process and returns its result, which must fit into JSON.

    The peak memory of a command starts with that of the process it was forked from. So this
    process must stay small, and whatever needs memory happens in a child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            with open(writer, "w", encoding="utf-8") as pipe:
                json.dump(function(*arguments), pipe)
            code = 0
        except BaseException:  # whatever it is, it must not reach the caller in this process
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError(f"{function.__name__} failed, see above")
    return json.loads(text)


class Bench:
    """Runs all tools through all steps and collects one row for each command."""

    def __init__(self, options: argparse.Namespace, tools: list[Tool]) -> None:
        self.options = options
        self.tools = tools
        self.rows: list[dict] = []
        self.stamps: dict[str, dict] = {}
        self.problems: list[str] = []
        self.failed: set[str] = set()
        self.broken: set[str] = set()
        self.session = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.versions = {tool.name: tool.version() for tool in tools}

    def run(self) -> None:
        """Runs all sets, each as often as asked for."""
        for name in self.options.sets:
            folder = self.options.work / "data" / f"{name}-{self.options.scale:g}"
            say(f"{name}: preparing the data")
            self.stamps[name] = isolated(data.prepare, name, folder, self.options.scale)
            isolated(data.read_all, folder / "tree")
            for number in range(1, self.options.runs + 1):
                self._run_once(name, folder, number)

    def _run_once(self, name: str, folder: Path, number: int) -> None:
        """One run of one set: all steps, and the data as it was before."""
        self.broken = set()
        tree = folder / "tree"
        for tool in self.tools:
            tool.reset()
        try:
            self._step(name, number, "init", lambda tool, log: tool.init(log))
            for step in ("first", "unchanged"):
                self._step(name, number, step, lambda tool, log: tool.backup(tree, log))
            for day in range(1, data.change_steps(name) + 1):
                isolated(data.change, name, folder, day)
                step = "changed" if day == 1 else f"changed, day {day + 1}"
                self._step(name, number, step, lambda tool, log: tool.backup(tree, log))
            self._step(name, number, "restore", lambda tool, log: self._restore(tool, tree, log))
            self._step(name, number, "check", lambda tool, log: tool.check(log))
            self._step(name, number, "prune", lambda tool, log: tool.prune(log))
            self._step(name, number, "check again", lambda tool, log: tool.check(log))
        finally:
            isolated(data.revert, folder)
            shutil.rmtree(self.options.work / "restore", ignore_errors=True)
            for tool in self.tools:
                shutil.rmtree(tool.folder, ignore_errors=True)

    def _step(self, name: str, number: int, step: str, action: Action) -> None:
        """Lets each tool do one step; who begins changes from run to run."""
        first = number % max(1, len(self.tools))
        for tool in self.tools[first:] + self.tools[:first]:
            if tool.name in self.broken:
                continue
            log = self.options.work / "logs" / f"{name}-{tool.name}-{number}.log"
            load = os.getloadavg()[0]
            usage = action(tool, log)
            self._record(name, number, step, tool, usage, load)
            if usage.exit_code != 0:
                self._fail(tool, f"{name}, run {number}: {tool.name} failed at {step}, "
                           f"see logs/{log.name} in the work folder")

    def _restore(self, tool: Tool, tree: Path, log: Path) -> Usage:
        """Restores into an empty folder and compares; only the restore itself is measured."""
        # Every restore gets a folder of its own that stays until the set is done: ext4 searches
        # long for an inode where thousands were freed a moment ago, and the next tool would pay.
        target = self.options.work / "restore" / f"{tool.name}-{len(self.rows)}"
        target.mkdir(parents=True)
        usage = tool.restore(target, log)
        problems = isolated(compare, tree, target) if usage.exit_code == 0 else []
        if problems:
            self._fail(tool, "; ".join([f"{tool.name} restored something else", *problems]))
        return usage

    def _record(
        self, name: str, number: int, step: str, tool: Tool, usage: Usage, load: float
    ) -> None:
        """Keeps a row, and stores it for later evaluation."""
        row = {
            "session": self.session, "set": name, "scale": self.options.scale, "run": number,
            "step": step, "tool": tool.name, "version": self.versions[tool.name],
            **asdict(usage), "cpu_s": usage.user_s + usage.system_s,
            "repo_mb": isolated(tool.repo_size) / 1e6, "load": load,
        }
        self.rows.append(row)
        with open(self.options.work / "results.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        say(f"{name} {number} {step}: {tool.name} {row['cpu_s']:.2f} CPU s, "
            f"{usage.wall_s:.2f} s, {usage.rss_mb:.0f} MB, repo {row['repo_mb']:.1f} MB")

    def _fail(self, tool: Tool, problem: str) -> None:
        """Notes a failure; the tool sits out the rest of this run."""
        self.broken.add(tool.name)
        self.failed.add(tool.name)
        self.problems.append(problem)
        say(problem)


# --- the command line ----------------------------------------------------------------------


def say(text: str) -> None:
    """Reports progress; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    work = Path(os.environ.get("TMPDIR", "/tmp")) / "ghostsnap-bench"
    tools = [name for name in TOOLS if name != BorgLz4.name]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data, 1.0 is full")
    parser.add_argument("--sets", default="hosting,maildir,random,dumps", help="data sets")
    parser.add_argument("--runs", type=int, default=3, help="runs; the median is reported")
    parser.add_argument("--tools", default=",".join(tools), help=f"of {', '.join(TOOLS)}")
    parser.add_argument("--ghostsnap", metavar="PATH", help="default: the release build")
    parser.add_argument("--program", action="append", default=[], metavar="TOOL=PATH",
                        help="program of a tool, instead of the one on PATH")
    parser.add_argument("--work", type=Path, default=work, help="folder for everything written")
    parser.add_argument("--timeout", type=int, default=7_200, help="seconds for one command")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the report here")
    options = parser.parse_args()
    options.sets, options.tools = options.sets.split(","), options.tools.split(",")
    options.work = options.work.resolve()
    programs = [pair.partition("=") for pair in options.program]
    options.programs = {name: path for name, _, path in programs}
    unknown = (set(options.sets) - set(data.SETS)) | (set(options.tools) - set(TOOLS))
    unknown |= set(options.programs) - set(TOOLS)
    if unknown or options.scale <= 0 or options.runs < 1 or options.timeout < 1:
        parser.error(f"unknown names: {sorted(unknown)}" if unknown else "numbers must be positive")
    return options


def find_tools(options: argparse.Namespace) -> tuple[list[Tool], list[str]]:
    """Returns the tools whose programs exist, and why the others are skipped."""
    tools, skipped = [], []
    for name in dict.fromkeys(options.tools):
        wanted = options.programs.get(name, "borg" if name == BorgLz4.name else name)
        if name == SUBJECT:
            wanted = options.ghostsnap or str(CHECKOUT / "target/release/ghostsnap")
        program = shutil.which(wanted)
        if program is None:
            skipped.append(f"{name} (no program {Path(wanted).name} found)")
        else:
            folder = options.work / "run" / name
            tools.append(TOOLS[name](str(Path(program).absolute()), folder, options.timeout))
    return tools, skipped


def claim_work_folder(work: Path):
    """Takes the work folder for this process, and only if it is ours: it will be deleted from."""
    if work.exists() and any(work.iterdir()) and not (work / MARKER).exists():
        sys.exit(f"{work} is not empty and not a work folder of this benchmark")
    (work / "logs").mkdir(parents=True, exist_ok=True)
    marker = open(work / MARKER, "w", encoding="utf-8")
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"{work} is in use by another benchmark")
    return marker


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    options = parse_arguments()
    # A polite kill is treated as Ctrl-C: the data is put back, the command under way is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    marker = claim_work_folder(options.work)
    for log in (options.work / "logs").glob("*.log"):
        log.unlink()
    tools, skipped = find_tools(options)
    for reason in skipped:
        say(f"skipped: {reason}")
    if not tools:
        say("nothing to run: none of the programs was found")
        return 2
    bench, code = Bench(options, tools), 0
    try:
        bench.run()
    except KeyboardInterrupt:
        bench.problems.append("interrupted, the numbers are incomplete")
        code = 130
    text = render(bench.rows, bench.stamps, bench.versions, skipped, bench.problems)
    print(text, end="")
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    marker.close()
    return 1 if SUBJECT in bench.failed else code


if __name__ == "__main__":
    sys.exit(main())

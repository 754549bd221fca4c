#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares Ghostsnap with restic and rustic on stores: an S3 server and Azurite, near and far.

Starts a SeaweedFS and an Azurite of its own, on loopback, and puts a proxy in front of each that
counts requests and can make the way long. Steps: first backup, backup of the unchanged tree, backup
after a day of changes, listing of all files of the newest snapshot, full restore (compared with the
source). The README next to this file says how to read it.

Exit codes: 0 done, 1 Ghostsnap failed a step or restored something else, 2 it cannot run here.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True

# The flag above must come before these, so that no cache folder appears next to them.
import data  # noqa: E402
from compare import compare  # noqa: E402
from proxy import Proxy  # noqa: E402
from report import machine, median  # noqa: E402
from run import Action, claim_work_folder, isolated, say  # noqa: E402
from servers import SERVERS, TOOLS_FOLDER, Server  # noqa: E402
from tools import SUBJECT, TOOLS, Tool, Usage  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent
PEERS = [SUBJECT, "restic", "rustic"]
LISTING = {SUBJECT: ["ls", "latest", "-R"], "restic": ["ls", "latest"],
           "rustic": ["ls", "latest", "--recursive"]}
METRICS = {"wall_s": ("wall s", ".2f"), "requests": ("requests", ".0f"),
           "connections": ("connections", ".0f"), "cpu_s": ("CPU s", ".2f"),
           "rss_mb": ("RSS MB", ".0f")}
# The goal: less wall time and fewer requests than both, in no more memory than this.
LESS, MEMORY_MAX_MB = ("wall_s", "requests"), 268


class Bench:
    """All steps of all tools, in all stores; one row for each command."""

    def __init__(self, options: argparse.Namespace, tools: list[Tool]) -> None:
        self.options, self.tools = options, tools
        self.folder = options.work / "data" / f"hosting-{options.scale:g}"
        self.tree = self.folder / "tree"
        self.restored = options.work / "restore"
        self.secrets = {tool.name: tool.secrets for tool in tools}
        self.rows: list[dict] = []
        self.problems: list[str] = []
        self.failed: set[str] = set()
        self.broken: set[str] = set()

    def run(self) -> None:
        """Runs it as often as asked for."""
        shutil.rmtree(self.restored, ignore_errors=True)
        self.restored.mkdir()
        isolated(data.prepare, "hosting", self.folder, self.options.scale)
        isolated(data.read_all, self.tree)
        try:
            for number in range(1, self.options.runs + 1):
                for store in self.options.stores:
                    for held_ms in self.options.latency:
                        self._run_once(number, store, held_ms)
        finally:
            shutil.rmtree(self.restored)

    def _run_once(self, number: int, store: str, held_ms: int) -> None:
        """All steps in a new store."""
        self.broken = set()
        with contextlib.ExitStack() as undo:
            server = SERVERS[store](TOOLS_FOLDER, self.options.work / "server")
            undo.callback(server.stop)
            proxy = Proxy(server.port, held_ms, server.certificate())
            undo.callback(proxy.stop)
            undo.callback(isolated, data.revert, self.folder)
            for tool in self.tools:
                tool.reset()
                tool.repo, keys = server.address(tool.name, proxy.port, f"repo-{tool.name}")
                tool.secrets = self.secrets[tool.name] | keys

            def step(name: str, action: Action) -> None:
                self._step(number, server, held_ms, proxy, name, action)

            step("init", lambda tool, log: tool.init(log))
            for name in ("first", "unchanged"):
                step(name, lambda tool, log: tool.backup(self.tree, log))
            isolated(data.change, "hosting", self.folder, 1)
            step("changed", lambda tool, log: tool.backup(self.tree, log))
            step("list", lambda tool, log: tool.run("-r", tool.repo, *LISTING[tool.name], log=log))
            step("restore", self._restore)

    def _step(self, number: int, server: Server, held_ms: int, proxy: Proxy, step: str,
              action: Action) -> None:
        """Lets each tool do one step; who begins changes from run to run."""
        first = number % len(self.tools)
        for tool in self.tools[first:] + self.tools[:first]:
            if tool.name in self.broken:
                continue
            log = self.options.work / "logs" / f"{server.name}-{held_ms}-{tool.name}-{number}.log"
            before, load = (proxy.requests.value, proxy.connections.value), os.getloadavg()[0]
            usage = action(tool, log)
            row = {"run": number, "store": server.name, "held_ms": held_ms, "step": step,
                   "tool": tool.name, "wall_s": usage.wall_s,
                   "requests": proxy.requests.value - before[0],
                   "connections": proxy.connections.value - before[1],
                   "cpu_s": usage.user_s + usage.system_s, "rss_mb": usage.rss_mb,
                   "exit_code": usage.exit_code, "load": load, "scale": self.options.scale}
            self.rows.append(row)
            with open(self.options.work / "results.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            say(f"{number} {server.name} {held_ms} ms {step}: {tool.name} {usage.wall_s:.2f} s, "
                f"{row['cpu_s']:.2f} CPU s, {usage.rss_mb:.0f} MB, {row['requests']} requests")
            if usage.exit_code != 0:
                self._fail(tool, f"{server.name}, {held_ms} ms, run {number}: {tool.name} failed "
                           f"at {step}, see logs/{log.name} in the work folder")

    def _restore(self, tool: Tool, log: Path) -> Usage:
        """Restores into an empty folder and compares; only the restore itself is measured."""
        target = self.restored / f"{tool.name}-{len(self.rows)}"
        target.mkdir()
        usage = tool.restore(target, log)
        problems = isolated(compare, self.tree, target) if usage.exit_code == 0 else []
        isolated(hollow, target)
        if problems:
            self._fail(tool, "; ".join([f"{tool.name} restored something else", *problems]))
        return usage

    def _fail(self, tool: Tool, problem: str) -> None:
        """Notes a failure; the tool sits out the rest of this store."""
        self.broken.add(tool.name)
        self.failed.add(tool.name)
        self.problems.append(problem)
        say(problem)


def hollow(folder: Path) -> None:
    """Gives the space of all files back, and leaves the files: ext4 searches long for an inode where
    thousands were freed a moment ago (minutes without a journal), and the next tool would pay."""
    for path, _ in data.walk_files(folder):
        os.chmod(path, 0o600)
        os.truncate(path, 0)


# --- the report ----------------------------------------------------------------------------


def render(bench: Bench, tools: list[Tool], skipped: list[str]) -> str:
    """Medians as Markdown: a row for each step, in each cell all tools in their order."""
    rows = [row for row in bench.rows if row["exit_code"] == 0]
    loads = [row["load"] for row in rows] or [0.0]
    names = " / ".join(tool.name for tool in tools)
    lines = [f"{machine()}; scale {bench.options.scale:g}, {bench.options.runs} runs, load average "
             f"before the commands {min(loads):.1f} to {max(loads):.1f}; {names}", "",
             *(f"- {tool.name}: {tool.version()}" for tool in tools),
             *(f"- skipped: {reason}" for reason in skipped), "",
             f"| store | latency | step | {' | '.join(title for title, _ in METRICS.values())} |",
             "|---|--:|---|" + "--:|" * len(METRICS)]
    missed = []
    for store, held_ms, step in dict.fromkeys(
        (row["store"], row["held_ms"], row["step"]) for row in rows
    ):
        here = [row for row in rows
                if (row["store"], row["held_ms"], row["step"]) == (store, held_ms, step)]
        cells = []
        for metric, (title, shape) in METRICS.items():
            values = {tool.name: [row[metric] for row in here if row["tool"] == tool.name]
                      for tool in tools}
            found = {name: median(one) for name, one in values.items() if one}
            cells.append(" / ".join(f"{found[name]:{shape}}" if name in found else "-"
                                    for name in values))
            if step != "init" and misses(metric, found):
                missed.append(f"- {store}, {held_ms} ms, {step}: {title} {cells[-1]}")
        lines.append(f"| {store} | {held_ms} ms | {step} | {' | '.join(cells)} |")
    if missed:
        lines += ["", f"Where {SUBJECT} is not below all others, or above 256 MiB:", "", *missed]
    if bench.problems:
        lines += ["", "Problems:", "", *(f"- {problem}" for problem in bench.problems)]
    return "\n".join(lines) + "\n"


def misses(metric: str, found: dict[str, float]) -> bool:
    """Returns whether the goal is missed in one of its numbers."""
    ours, others = found.get(SUBJECT), [found[name] for name in found if name != SUBJECT]
    if ours is None:
        return False
    if metric == "rss_mb":
        return ours > MEMORY_MAX_MB
    return metric in LESS and bool(others) and ours >= min(others)


# --- the command line ----------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    work = Path(os.environ.get("TMPDIR", "/tmp")) / "ghostsnap-bench-stores"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data, 1.0 is full")
    parser.add_argument("--runs", type=int, default=3, help="runs; the median is reported")
    parser.add_argument("--stores", default=",".join(SERVERS), help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--latency", default="0,50", help="milliseconds, commas between")
    parser.add_argument("--tools", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--ghostsnap", metavar="PATH", help="default: the release build",
                        default=str(CHECKOUT / "target/release/ghostsnap"))
    parser.add_argument("--program", action="append", default=[], metavar="TOOL=PATH",
                        help="program of a tool, instead of the one on PATH")
    parser.add_argument("--work", type=Path, default=work, help="folder for everything written")
    parser.add_argument("--timeout", type=int, default=3_600, help="seconds for one command")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the report here")
    options = parser.parse_args()
    options.latency = [int(one) for one in options.latency.split(",")]
    options.stores, options.tools = options.stores.split(","), options.tools.split(",")
    options.work = options.work.resolve()
    programs = [pair.partition("=") for pair in options.program]
    options.programs = {SUBJECT: options.ghostsnap} | {name: path for name, _, path in programs}
    unknown = set(options.stores) - set(SERVERS)
    unknown |= (set(options.tools) | set(options.programs)) - set(PEERS)
    if unknown or options.scale <= 0 or options.runs < 1 or options.timeout < 1:
        parser.error(f"unknown names: {sorted(unknown)}" if unknown else "numbers must be positive")
    return options


def find(options: argparse.Namespace) -> tuple[list[Tool], list[str]]:
    """Returns the tools that are here, and what is skipped and why; leaves the stores that are."""
    tools, skipped = [], []
    for name in dict.fromkeys(options.tools):
        program = shutil.which(options.programs.get(name, name))
        if program is None:
            skipped.append(f"{name} (no program found)")
        else:
            path = str(Path(program).absolute())
            tools.append(TOOLS[name](path, options.work / "run" / name, options.timeout))
    lacking = {store: SERVERS[store].lacks(TOOLS_FOLDER) for store in options.stores}
    skipped += [f"{store} ({', '.join(lacks)} not found; tests/tools/setup.sh installs it)"
                for store, lacks in lacking.items() if lacks]
    options.stores = [store for store, lacks in lacking.items() if not lacks]
    return tools, skipped


def main() -> int:
    """Runs all of it and prints the report."""
    options = parse_arguments()
    # A polite kill is treated as Ctrl-C: the data is put back, the servers end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    marker = claim_work_folder(options.work)
    for log in (options.work / "logs").glob("*.log"):
        log.unlink()
    tools, skipped = find(options)
    for reason in skipped:
        say(f"skipped: {reason}")
    if not tools or not options.stores:
        say("nothing to run")
        return 2
    for tool in tools:
        tool.reset()
    bench, code = Bench(options, tools), 0
    try:
        bench.run()
    except RuntimeError as error:
        bench.problems.append(str(error))
        code = 1
    except KeyboardInterrupt:
        bench.problems.append("interrupted, the numbers are incomplete")
        code = 130
    text = render(bench, tools, skipped)
    print(text, end="")
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    marker.close()
    return 1 if SUBJECT in bench.failed else code


if __name__ == "__main__":
    sys.exit(main())

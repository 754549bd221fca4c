# SPDX-License-Identifier: MIT
"""Renders the rows of a benchmark as Markdown."""

import os
from pathlib import Path

from tools import SUBJECT, TOOLS


def median(values: list[float]) -> float:
    """Returns the median of a list that is not empty."""
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def medians(rows: list[dict], name: str) -> dict[str, dict[str, dict[str, float]]]:
    """Returns step -> tool -> metric -> median over the successful runs, in order of running."""
    groups: dict[str, dict[str, list[dict]]] = {}
    for row in rows:
        if row["set"] == name and row["step"] != "init" and row["exit_code"] == 0:
            groups.setdefault(row["step"], {}).setdefault(row["tool"], []).append(row)
    metrics = ("cpu_s", "user_s", "wall_s", "rss_mb", "repo_mb")
    return {
        step: {
            tool: {metric: median([row[metric] for row in found]) for metric in metrics}
            for tool, found in tools.items()
        }
        for step, tools in groups.items()
    }


def render(
    rows: list[dict], stamps: dict[str, dict], versions: dict[str, str], skipped: list[str],
    problems: list[str],
) -> str:
    """Renders everything: the machine, a table for each set, the ratios, what went wrong."""
    runs = max((row["run"] for row in rows), default=0)
    scales = ", ".join(sorted({f"{stamp['scale']:g}" for stamp in stamps.values()}))
    lines = ["## Benchmark", "", f"{machine()}; scale {scales}; median of {runs} "
             f"run{'s' if runs != 1 else ''}. CPU is user + system time; MB are 10^6 bytes.", ""]
    lines += [f"- {name}: {version}" for name, version in versions.items()]
    lines += [f"- skipped: {reason}" for reason in skipped]
    results = {name: medians(rows, name) for name in stamps}
    for name, stamp in stamps.items():
        lines += set_table(name, stamp, results[name])
    lines += ratio_table(results)
    if problems:
        lines += ["", "### Problems", "", *(f"- {problem}" for problem in problems)]
    return "\n".join(lines) + "\n"


def set_table(name: str, stamp: dict, results: dict) -> list[str]:
    """Renders the absolute numbers of one set."""
    lines = ["", f"### {name}: {stamp['files']:,} files, {stamp['bytes'] / 1e6:,.0f} MB", "",
             "| step | tool | CPU s | user s | wall s | RSS MB | repo MB |",
             "|---|---|--:|--:|--:|--:|--:|"]
    for step, tools in results.items():
        for tool in sorted(tools, key=list(TOOLS).index):
            row = tools[tool]
            lines.append(f"| {step} | {tool} | {row['cpu_s']:.2f} | {row['user_s']:.2f} "
                         f"| {row['wall_s']:.2f} | {row['rss_mb']:.0f} | {row['repo_mb']:.1f} |")
    return lines


def ratio_table(results: dict[str, dict]) -> list[str]:
    """Renders Ghostsnap against the best peer of each step; empty when nothing can be compared."""
    lines = []
    for name, steps in results.items():
        for step, tools in steps.items():
            peers = [tool for tool in tools if tool != SUBJECT]
            if SUBJECT in tools and peers:
                metrics = (("cpu_s", "s"), ("wall_s", "s"), ("repo_mb", "MB"))
                cells = [ratio_cells(tools, peers, metric, unit) for metric, unit in metrics]
                lines.append(f"| {name} | {step} | {' | '.join(cells)} |")
    if not lines:
        return []
    return ["", f"### {SUBJECT} / best peer", "", "Below 1 is better than every peer.", "",
            "| set | step | CPU | best peer | wall | best peer | repo | best peer |",
            "|---|---|--:|---|--:|---|--:|---|", *lines]


def ratio_cells(tools: dict[str, dict], peers: list[str], metric: str, unit: str) -> str:
    """Renders one ratio and the peer it refers to."""
    best = min(peers, key=lambda tool: tools[tool][metric])
    ratio = tools[SUBJECT][metric] / max(tools[best][metric], 1e-3)
    return f"{ratio:.2f} | {best} {tools[best][metric]:.2f} {unit}"


def machine() -> str:
    """Describes the machine by processor, cores and memory, without its name."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Thirty days of one database: what each night adds, and what the last day's restore costs.

Every day 1.25 % of the rows change, scattered evenly over all tables, and 0.3 % are added. Prints
a table for docs/performance.md. Needs the program only; see README.md."""

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from random import Random

import dumps


def scattered(rng: Random, count: int) -> list[int]:
    """Chooses 1.25 % of the rows, anywhere."""
    return sorted(rng.sample(range(count), max(1, count // 80)))


def measured(command: list[str], **options) -> tuple[float, float]:
    """Runs a command; returns its CPU seconds and its wall seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, **options)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, ended - started


def stored(folder: Path) -> int:
    """Returns the bytes of all files of a repository."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Store:
    """A repository of one dump."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.environment = dict(
            os.environ, GHOSTSNAP_PASSWORD="benchmark", GHOSTSNAP_STATE_DIR=str(folder / "state")
        )
        self.run(["init"])

    def run(self, words: list[str], **options) -> tuple[float, float]:
        """Runs the program on the repository."""
        command = [self.program, *words, "--repository", str(self.folder)]
        options.setdefault("stdout", subprocess.DEVNULL)
        return measured(command, env=self.environment, **options)

    def backup(self, dump: Path) -> tuple[float, float]:
        """Stores a dump from standard input, as a database's client would deliver it."""
        with open(dump, "rb") as file:
            return self.run(["backup", "--stdin", "--stdin-filename", "shop.sql"], stdin=file)

    def restore(self, snapshot: str, target: Path) -> tuple[float, float]:
        """Writes a day's dump to a file: the median of three."""
        times = []
        for _ in range(3):
            with open(target, "wb") as file:
                times.append(self.run(["dump", snapshot, "shop.sql"], stdout=file))
        return sorted(times)[1]

    def snapshots(self) -> list[str]:
        """Returns the ids of the days, oldest first."""
        command = [self.program, "snapshots", "--repository", str(self.folder), "--json"]
        text = subprocess.run(command, check=True, env=self.environment, capture_output=True).stdout
        return list(json.loads(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ghostsnap", required=True, help="the program, a release build")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--scale", type=float, default=0.25, help="1 is a dump of 450 MB")
    parser.add_argument("--work", help="where to put dumps and repository (removed afterwards)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ghostsnap-days-", dir=options.work))
    try:
        run(Store(options.ghostsnap, folder / "repository"), folder, options)
    finally:
        shutil.rmtree(folder)


def run(store: Store, folder: Path, options: argparse.Namespace) -> None:
    """Stores day after day and prints what each added."""
    dumps.changed_rows = scattered
    maker, today, tomorrow = dumps.RowMaker(), folder / "today.sql", folder / "tomorrow.sql"
    counts = dumps.write_first_day(maker, today, options.scale)
    first_dump = folder / "first.sql"
    shutil.copyfile(today, first_dump)
    before, first = 0, 0
    print("| day | dump MB | CPU s | added MB | of day 1 |\n|--:|--:|--:|--:|--:|")
    for day in range(1, options.days + 1):
        cpu, _ = store.backup(today)
        total = stored(store.folder)
        added, before = total - before, total
        first = first or added
        megabytes = today.stat().st_size / 1e6
        print(f"| {day} | {megabytes:.1f} | {cpu:.2f} | {added / 1e6:.2f} | {added / first:.1%} |",
              flush=True)
        if day < options.days:
            counts = dumps.write_next_day(maker, today, tomorrow, counts, day + 1)
            tomorrow.rename(today)
    target = folder / "restored.sql"
    ids = store.snapshots()
    for name, snapshot, dump in (("first", ids[0], first_dump), ("last", ids[-1], today)):
        cpu, wall = store.restore(snapshot, target)
        subprocess.run(["cmp", str(target), str(dump)], check=True)
        print(f"restore of the {name} day: {cpu:.2f} s CPU, {wall:.2f} s wall, identical")


if __name__ == "__main__":
    main()

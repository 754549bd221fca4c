#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One backup into two repositories, beside two backups into one each.

Prints a table for docs/performance.md: CPU seconds (user + system) and megabytes read from the disk,
with the data out of the system's cache before each run, for files and for a dump from standard
input; and what it costs to read the same files once more from the cache, which is what each further
repository spends on reading. Needs the program only; see README.md."""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import data  # noqa: E402
import dumps  # noqa: E402

KEYS = ("first", "second")


def forget_cached(folder: Path) -> None:
    """Puts the files of a folder out of the system's cache."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def measured(commands: list[list[str]], stdin: Path | None = None) -> tuple[float, float]:
    """Runs commands one after the other; returns CPU seconds and megabytes read from disks."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        with open(stdin or os.devnull, "rb") as source:
            subprocess.run(command, check=True, stdin=source, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, (after.ru_inblock - before.ru_inblock) * 512 / 1e6


class Pair:
    """Two repositories with keys of their own."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.key = folder / "key"
        for name in KEYS:
            self.call("init", "-r", str(folder / name))

    def words(self, *words: str) -> list[str]:
        return [self.program, *words, "--key-file", str(self.key)]

    def call(self, *words: str) -> None:
        subprocess.run(self.words(*words), check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def apart(self, *words: str) -> list[list[str]]:
        return [self.words("backup", "-r", str(self.folder / name), *words) for name in KEYS]

    def together(self, *words: str) -> list[list[str]]:
        first, second = (str(self.folder / name) for name in KEYS)
        return [self.words("backup", "-r", first, "--also", second, *words)]


def row(name: str, step: str, way: str, cpu: float, read: float) -> None:
    print(f"| {name} | {step} | {way} | {cpu:.2f} | {read:.0f} |", flush=True)


def run(options: argparse.Namespace, folder: Path) -> None:
    print("| data | step | way | CPU s | read MB |\n|---|---|---|--:|--:|")
    for name, make in (("hosting", data.generate_hosting), ("maildir", data.generate_maildir)):
        tree = folder / name
        tree.mkdir()
        make(tree, options.scale)
        for way in ("apart", "together"):
            place = folder / f"{name}-{way}"
            place.mkdir()
            pair = Pair(options.ghostsnap, place)
            for step in ("first", "unchanged"):
                forget_cached(tree)
                cpu, read = measured(getattr(pair, way)(str(tree)))
                row(name, step, "two runs" if way == "apart" else "one run", cpu, read)
            shutil.rmtree(place)
        data.read_all(tree)
        cat = ["sh", "-c", f"find {tree} -type f -print0 | xargs -0 cat"]
        row(name, "", "cat from the cache", *measured([cat]))
        shutil.rmtree(tree)
    dump = folder / "today.sql"
    dumps.write_first_day(dumps.RowMaker(), dump, options.scale)
    for way in ("apart", "together"):
        place = folder / f"dump-{way}"
        place.mkdir()
        pair = Pair(options.ghostsnap, place)
        for step in ("first", "unchanged"):
            forget_cached(folder)
            words = ("--stdin", "--stdin-filename", "shop.sql")
            cpu, read = measured(getattr(pair, way)(*words), dump)
            row("dump", step, "two runs" if way == "apart" else "one run", cpu, read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ghostsnap", required=True, help="the program, a release build")
    parser.add_argument("--scale", type=float, default=0.25, help="1 is 2 GB of files")
    parser.add_argument("--work", help="where to put data and repositories (removed afterwards)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ghostsnap-several-", dir=options.work))
    try:
        run(options, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

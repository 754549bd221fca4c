#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a large repository costs: time and memory of the commands that meet all of it.

For each number of users a repository is made by `benches/scale` (real metadata, content of next to
nothing; see there), then every command runs with the system's cache as the one before left it.
Prints a table for docs/performance.md. Needs the program and the generator only; see README.md."""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools import Usage, measure

FOLDER_FILES = 250


def make_site(folder: Path, files: int, size: int) -> None:
    """Writes the files of the generator's first user, as they were on its first day."""
    for number in range(files):
        below = folder / f"d{number // FOLDER_FILES:04}"
        below.mkdir(parents=True, exist_ok=True)
        text = f"user 0 file {number} day 0\n".encode()
        (below / f"f{number:06}.php").write_bytes(text.ljust(size, b"\0"))


class Repository:
    """A repository of a number of users, and the commands that are measured on it."""

    def __init__(self, program: str, place: Path, folder: Path, site: Path) -> None:
        self.program, self.folder, self.site = program, folder, site
        self.options = ["--repository", str(place), "--key-file", str(folder / "key"), "--quiet"]
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder / "home"),
            "GHOSTSNAP_CACHE_DIR": str(folder / "cache"),
            "GHOSTSNAP_STATE_DIR": str(folder / "state"),
        }

    def run(self, *words: str) -> Usage:
        """Measures one command."""
        command = [self.program, *words, *self.options]
        usage = measure(command, self.environment, self.folder, self.folder / "log", 7200)
        if usage.exit_code != 0:
            raise SystemExit(f"{' '.join(words)} ended with {usage.exit_code}: see {self.folder}/log")
        return usage

    def steps(self) -> list[tuple[str, Usage]]:
        """Every command once, in this order."""
        site = str(self.site)
        return [
            ("open (`stats`)", self.run("stats")),
            ("list snapshots", self.run("snapshots")),
            ("backup, all chunks known", self.run("backup", site)),
            ("backup, unchanged", self.run("backup", site)),
            ("restore one file", self.restore()),
            ("plan a prune", self.run("prune", "--dry-run")),
            ("check the structure", self.run("check")),
        ]

    def restore(self) -> Usage:
        """One file of the site, from the snapshot that was made last."""
        target = self.folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        one = str(self.site / "d0000" / "f000007.php")
        return self.run("restore", "latest", one, "--target", str(target))


def main() -> None:
    """Makes what is missing, measures, prints."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--ghostsnap", default="target/release/ghostsnap")
    words.add_argument("--generator", help="the built benches/scale; built if it is not given")
    words.add_argument("--users", default="10,30,100", help="numbers of users, with commas between")
    words.add_argument("--files", type=int, default=100_000, help="files of a user")
    words.add_argument("--bytes", type=int, default=8192, help="bytes of a file")
    words.add_argument("--days", type=int, default=3, help="days with changes")
    words.add_argument("--snapshots", type=int, default=30, help="snapshots of a user")
    words.add_argument("--work", type=Path, help="folder for the repositories, which stay there")
    given = words.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="ghostsnap-scale-"))
    for name in ("home", "cache", "state"):
        (work / name).mkdir(parents=True, exist_ok=True)
    key = work / "key"
    key.write_text(f"ghostsnap-key-file v1\n{7:064x}\n")
    key.chmod(0o600)
    site = work / "site"
    if not site.exists():
        make_site(site, given.files, given.bytes)
    print("| chunks | command | CPU s | wall s | RSS MB |\n|--:|---|--:|--:|--:|")
    for users in map(int, given.users.split(",")):
        place = work / f"users-{users}"
        if not place.exists():
            generate(given, users, place, key)
        repository = Repository(str(Path(given.ghostsnap).resolve()), place, work, site)
        chunks = f"{users * given.files / 1e6:g} million"
        for step, usage in repository.steps():
            print(f"| {chunks} | {step} | {usage.user_s + usage.system_s:.1f} | {usage.wall_s:.1f}"
                  f" | {usage.rss_mb:.0f} |", flush=True)


def generate(given: argparse.Namespace, users: int, place: Path, key: Path) -> None:
    """Makes a repository."""
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "scale", "--"]
    if given.generator:
        command = [given.generator]
    size = [users, given.files, given.bytes, given.days, given.snapshots]
    subprocess.run([*command, str(place), str(key), *map(str, size)], check=True)


if __name__ == "__main__":
    main()

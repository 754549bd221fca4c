#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares nights of a large user on a real HestiaCP: Ghostsnap, Hestia's tarball, Hestia's restic.

Makes a user of its own (hestia_user.py), backs it up on four nights in each way, and removes it
again. Only for a machine that nobody uses: the user's name must be free, Hestia's services must
run, and Hestia's own settings for restic are replaced for the time of the run. The README next to
this file says what is measured and how to read it.

Exit codes: 0 done, 1 a step of Ghostsnap failed, 2 it cannot run here.
"""

import argparse
import os
import shutil
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True

# The flag above must come before these, so that no cache folder appears next to them.
import data  # noqa: E402
from hestia_user import HESTIA, User, environment, hestia, server  # noqa: E402
from report import machine  # noqa: E402
from run import claim_work_folder  # noqa: E402
from text import Random  # noqa: E402
from tools import Usage, measure  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent
BACKUP = Path("/backup")
RESTIC_CONF = HESTIA / "conf/restic.conf"
NIGHTS = ("first", "unchanged", "1 % changed", "another 1 %", "files only, unchanged")
LOOK_EVERY_S = 0.05
ONE_FILE_BYTES = 10_000


class Way:
    """A way to back the user up. All it leaves is in folders of its own, or named in `scratch`."""

    name = ""

    def __init__(self, user: User, work: Path, timeout_s: int) -> None:
        self.user = user
        self.work = work / self.name
        self.timeout_s = timeout_s
        self.log = work / "logs" / f"{self.name}.log"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def missing(self) -> str:
        """Why it cannot run here; empty if it can."""
        return ""

    def command(self) -> list[str]:
        """The command of one night."""
        raise NotImplementedError

    def stored(self) -> int:
        """Bytes of all its backups."""
        raise NotImplementedError

    def scratch(self) -> list[Path]:
        """Folders that hold what is not a backup, while it runs."""
        return [BACKUP, self.user.home / "backup"]

    def prepare(self) -> None:
        """What is done before a night and is no part of it."""

    def run(self) -> Usage:
        """One night."""
        return measure(self.command(), environment(), self.work, self.log, self.timeout_s)

    def finish(self) -> None:
        """Takes back what it changed in Hestia."""


class Direct(Way):
    """Ghostsnap with its defaults, but for its folders and the wait for a quiet machine."""

    name = "ghostsnap"

    def __init__(self, user: User, work: Path, timeout_s: int, program: str) -> None:
        super().__init__(user, work, timeout_s)
        self.program = program
        self.settings = self.work / "ghostsnap.toml"
        self.repository = self.work / "repository"
        self.settings.write_text(
            f'repository = "{self.repository}"\nkey_file = "{self.work}/key"\n'
            f'log_folder = "{self.work}/log"\nload_wait_minutes = 0\n', encoding="utf-8")

    def words(self, *words: object) -> list[str]:
        """A command of ours."""
        return [self.program, "--config", str(self.settings), *map(str, words)]

    def command(self) -> list[str]:
        return self.words("hestia", "backup", "--user", self.user.name)

    def stored(self) -> int:
        return data.tree_bytes(self.repository)


class Tarball(Way):
    """v-backup-user, with zstd as Hestia sets it up; the tarball of the night before goes first."""

    name = "v-backup-user"

    def missing(self) -> str:
        conf = (HESTIA / "conf/hestia.conf").read_text(encoding="utf-8")
        return "" if "BACKUP_MODE='zstd'" in conf else "Hestia's BACKUP_MODE is not zstd"

    def command(self) -> list[str]:
        return [str(HESTIA / "bin/v-backup-user"), self.user.name, "no"]

    def prepare(self) -> None:
        for tarball in self.tarballs():
            hestia("v-delete-user-backup", self.user.name, tarball.name)

    def tarballs(self) -> list[Path]:
        """The user's tarballs."""
        return sorted(BACKUP.glob(f"{self.user.name}.*.tar"))

    def stored(self) -> int:
        return sum(path.stat().st_size for path in self.tarballs())

    def finish(self) -> None:
        self.prepare()


class Restic(Way):
    """v-backup-user-restic into a folder, with the retention that Hestia's panel proposes."""

    name = "v-backup-user-restic"

    def missing(self) -> str:
        program = shutil.which("restic")
        if program is None:
            return "no program restic found"
        text = os.popen(f"{program} backup --help").read()
        return "" if "--read-concurrency" in text else "Hestia's way needs restic 0.15 or newer"

    def command(self) -> list[str]:
        return [str(HESTIA / "bin/v-backup-user-restic"), self.user.name, "no"]

    def prepare(self) -> None:
        # It leaves the copies of its last night in the home.
        shutil.rmtree(self.user.home / "backup", ignore_errors=True)
        if not (self.work / "repository").exists():
            (self.work / "repository").mkdir()
            self.before = RESTIC_CONF.read_bytes() if RESTIC_CONF.exists() else None
            RESTIC_CONF.write_text(
                f"REPO='{self.work}/repository/'\nSNAPSHOTS='30'\nKEEP_DAILY='8'\n"
                "KEEP_WEEKLY='5'\nKEEP_MONTHLY='3'\nKEEP_YEARLY='-1'\n", encoding="utf-8")
            hestia("v-change-user-config-value", self.user.name, "BACKUPS_INCREMENTAL", "yes")

    def stored(self) -> int:
        return data.tree_bytes(self.work / "repository")

    def finish(self) -> None:
        before = getattr(self, "before", None)
        if before is not None:
            RESTIC_CONF.write_bytes(before)
        elif (self.work / "repository").exists():
            RESTIC_CONF.unlink(missing_ok=True)


class Peak:
    """The most that some folders held at once, beyond what they held at the start."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.bytes = 0
        self.start = self._now()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _now(self) -> int:
        total = 0
        for folder in self.folders:
            for path, _, names in os.walk(folder):
                for name in names:
                    try:
                        total += os.lstat(f"{path}/{name}").st_blocks * 512
                    except FileNotFoundError:
                        continue
        return total

    def _watch(self) -> None:
        while not self.stop.wait(LOOK_EVERY_S):
            self.bytes = max(self.bytes, self._now() - self.start)

    def __enter__(self) -> "Peak":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = max(self.bytes, self._now() - self.start)
        self.stop.set()
        self.thread.join()


def servers_cpu() -> float:
    """Seconds of CPU that the machine's database servers have used so far, children included."""
    files = [*Path("/run/mysqld").glob("*.pid"), *Path("/run/postgresql").glob("*.pid")]
    servers = {path.read_text(encoding="utf-8").split()[0] for path in files}
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat.parent.name in servers:
            ticks += sum(map(int, fields[11:15]))
        elif fields[1] in servers:
            # One that is still there is not yet among its parent's ended children.
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def night(way: Way) -> dict:
    """One night of one way, as a row of the table."""
    way.prepare()
    stored, cpu = way.stored(), servers_cpu()
    with Peak(way.scratch()) as peak:
        usage = way.run()
    added = way.stored() - stored
    temporary = peak.bytes - (added if isinstance(way, Tarball) else 0)
    return {"way": way.name, "cpu_s": usage.user_s + usage.system_s, "wall_s": usage.wall_s,
            "servers_s": servers_cpu() - cpu, "rss_mb": usage.rss_mb, "added_mb": added / 1e6,
            "temporary_mb": max(0, temporary) / 1e6, "code": usage.exit_code}


def dumps_alone(user: User, work: Path, timeout_s: int) -> float:
    """CPU seconds of the dump programs alone, with nobody to read what they say."""
    total = 0.0
    for engine, database in user.databases:
        row = server(engine)
        env = {**environment(), "MYSQL_PWD": row["PASSWORD"], "PGPASSWORD": row["PASSWORD"]}
        if engine == "mysql":
            command = ["mariadb-dump", "--no-defaults", f"--user={row['USER']}",
                       "--single-transaction", "--routines", "--events", "--triggers",
                       "--hex-blob", "--skip-dump-date", "--default-character-set=utf8mb4",
                       database]
        else:
            command = ["pg_dump", "-w", "-h", row["HOST"], "-U", row["USER"], "-c", "--inserts",
                       "-O", "-x", database]
        usage = measure(command, env, work, Path("/dev/null"), timeout_s)
        if usage.exit_code != 0:
            raise RuntimeError(f"{command[0]} of {database} failed with {usage.exit_code}")
        total += usage.user_s + usage.system_s
    return total


def without_databases(user: User, on: bool) -> None:
    """Takes the databases out of the user's backups, or lets them in again."""
    path = HESTIA / "data/users" / user.name / "backup-excludes.conf"
    if on:
        path.write_text("WEB=''\nDNS=''\nMAIL=''\nDB='*'\nCRON=''\nUSER=''\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


def one_file(way: Direct, gigabytes: float) -> dict:
    """Lets the repository grow to a size, and gives one small file of the user back."""
    place, piece = way.work / "filler", 512 << 20
    place.mkdir()
    while (rest := int(gigabytes * 1e9) - way.stored()) > 0:
        rng = Random(rest)
        with open(place / "noise", "wb") as file:
            for _ in range(min(rest, piece) // (4 << 20) + 1):
                file.write(rng.randbytes(4 << 20))
        command = way.words("-r", way.repository, "--key-file", way.work / "key", "backup", place)
        if measure(command, environment(), way.work, way.log, way.timeout_s).exit_code != 0:
            raise RuntimeError(f"filling the repository failed, see {way.log}")
    shutil.rmtree(place)
    files = [path for path, size in data.walk_files(way.user.site)
             if ONE_FILE_BYTES * 0.9 < size < ONE_FILE_BYTES * 1.1 and "/new-" not in path]
    lost = Path(sorted(files)[len(files) // 2])
    content = lost.read_bytes()
    lost.unlink()
    path = lost.relative_to(way.user.home)
    usage = measure(way.words("hestia", "restore-file", way.user.name, "latest", path, "--force"),
                    environment(), way.work, way.log, way.timeout_s)
    if usage.exit_code != 0 or lost.read_bytes() != content:
        raise RuntimeError(f"the file did not come back, see {way.log}")
    return {"repository_gb": way.stored() / 1e9, "file_bytes": len(content),
            "wall_s": usage.wall_s, "cpu_s": usage.user_s + usage.system_s}


def render(options: argparse.Namespace, user: User, rows: list[dict], notes: list[str]) -> str:
    """Renders everything as Markdown."""
    files, size = user.volume()
    lines = [f"{machine()}; scale {options.scale:g}: {files:,} files, {size / 1e6:,.0f} MB. CPU is "
             "user + system time of the command and its children; MB are 10^6 bytes.", "",
             "| night | way | CPU s | servers' CPU s | wall s | RSS MB | temporary MB | added MB |",
             "|---|---|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        failed = "" if row["code"] == 0 else f" (exit code {row['code']})"
        lines.append(
            f"| {row['night']} | {row['way']}{failed} | {row['cpu_s']:.2f} | {row['servers_s']:.2f}"
            f" | {row['wall_s']:.2f} | {row['rss_mb']:.0f} | {row['temporary_mb']:.1f}"
            f" | {row['added_mb']:.1f} |")
    lines += ["", f"{Direct.name} divided by another way:", "",
              "| night | way | CPU | wall | added |", "|---|---|--:|--:|--:|"]
    ours = {row["night"]: row for row in rows if row["way"] == Direct.name}
    for row in rows:
        if row["way"] != Direct.name and row["night"] in ours:
            cells = [f"{ours[row['night']][key] / max(row[key], 1e-3):.3f}"
                     for key in ("cpu_s", "wall_s", "added_mb")]
            lines.append(f"| {row['night']} | {row['way']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *notes]) + "\n"


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--user", default="gsbench", help="the user to make; must not exist")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the user, 1.0 is full")
    parser.add_argument("--ghostsnap", default=str(CHECKOUT / "target/release/ghostsnap"))
    parser.add_argument("--work", type=Path, default=Path("/home/ghostsnap-bench"),
                        help="folder for everything written; on the disk of the homes")
    parser.add_argument("--timeout", type=int, default=7_200, help="seconds for one command")
    parser.add_argument("--repository-gb", type=float, default=0,
                        help="also let the repository grow to this, and restore one file")
    parser.add_argument("--keep", action="store_true", help="leave the user and the repositories")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the report here")
    return parser.parse_args()


def run(options: argparse.Namespace, user: User, notes: list[str]) -> list[dict]:
    """All nights in all ways that are there."""
    program = str(Path(options.ghostsnap).resolve())
    ways: list[Way] = [Direct(user, options.work, options.timeout, program)]
    for kind in (Tarball, Restic):
        way = kind(user, options.work, options.timeout)
        if why := way.missing():
            notes.append(f"Skipped: {way.name} ({why}).")
        else:
            ways.append(way)
    rows: list[dict] = []
    try:
        for number, name in enumerate(NIGHTS):
            if name in ("1 % changed", "another 1 %"):
                user.change(number - 1)
            if name.startswith("files only"):
                without_databases(user, True)
            # Who begins changes from night to night.
            first = number % len(ways)
            for way in ways[first:] + ways[:first]:
                if name.startswith("files only") and isinstance(way, Restic):
                    continue  # It knows no exclusions.
                row = {"night": name, **night(way)}
                rows.append(row)
                say(f"{name}: {way.name} {row['cpu_s']:.2f} CPU s, {row['wall_s']:.2f} s, "
                    f"{row['added_mb']:.1f} MB more, exit code {row['code']}")
        without_databases(user, False)
        alone = dumps_alone(user, options.work, options.timeout)
        notes.append(f"The dump programs alone, writing to nobody: {alone:.2f} CPU s.")
        if options.repository_gb:
            found = one_file(ways[0], options.repository_gb)
            notes.append(
                f"One file of {found['file_bytes']:,} bytes from a repository of "
                f"{found['repository_gb']:.1f} GB: {found['wall_s']:.2f} s, "
                f"{found['cpu_s']:.2f} CPU s.")
    finally:
        for way in ways:
            way.finish()
    return rows


def say(text: str) -> None:
    """Reports progress; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    options = parse_arguments()
    if os.geteuid() != 0 or not (HESTIA / "bin").is_dir():
        say("this needs root and a HestiaCP")
        return 2
    user = User(options.user, options.scale, options.work)
    if user.exists():
        say(f"the user {options.user} exists; this benchmark makes and removes a user of its own")
        return 2
    marker = claim_work_folder(options.work)
    notes: list[str] = []
    try:
        say("making the user")
        started = time.monotonic()
        user.make()
        say(f"made in {time.monotonic() - started:.0f} s")
        rows = run(options, user, notes)
        text = render(options, user, rows, notes)
    finally:
        if not options.keep:
            user.remove()
            shutil.rmtree(options.work, ignore_errors=True)
        marker.close()
    print(text, end="")
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    return 1 if any(row["code"] for row in rows if row["way"] == Direct.name) else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The backup programs, and how the cost of their commands is measured."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from data import tree_bytes

# The repositories hold nothing but generated data.
PASSWORD = "only-for-benchmarks"
SUBJECT = "ghostsnap"


@dataclass(frozen=True)
class Usage:
    """What one command cost, as the kernel accounts for it and the children it waited for."""

    user_s: float
    system_s: float
    wall_s: float
    rss_mb: float
    exit_code: int

    def then(self, next_one: "Usage") -> "Usage":
        """Returns what both cost, one after the other."""
        return Usage(
            self.user_s + next_one.user_s, self.system_s + next_one.system_s,
            self.wall_s + next_one.wall_s, max(self.rss_mb, next_one.rss_mb), next_one.exit_code,
        )


def measure(
    command: list[str], environment: dict[str, str], folder: Path, log: Path, timeout_s: int
) -> Usage:
    """Runs one command to its end, its output going to `log`; kills it after `timeout_s`."""
    os.sync()
    with open(log, "ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        started = time.monotonic()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )
        # wait4 restarts after the handler and then sees the killed process.
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.alarm(timeout_s)
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            signal.alarm(0)
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    rss_mb = usage.ru_maxrss * 1024 / 1e6
    return Usage(usage.ru_utime, usage.ru_stime, wall_s, rss_mb, process.returncode)


class Tool:
    """A backup program with one repository; every folder it may write to is its own.

    Subclasses say which command does what. All of them encrypt."""

    name = ""
    version_argument = "--version"
    secrets: dict[str, str] = {}

    def __init__(self, program: str, folder: Path, timeout_s: int) -> None:
        self.program = program
        self.folder = folder
        self.repo = folder / "repo"
        self.timeout_s = timeout_s
        self.backups = 0

    def reset(self) -> None:
        """Removes repository and caches: each run starts from nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("home", "cache", "tmp"):
            (self.folder / name).mkdir(parents=True)
        self.backups = 0

    def environment(self) -> dict[str, str]:
        """Returns the whole environment: no setting of the user changes a measurement."""
        own = {"HOME": "home", "XDG_CONFIG_HOME": "home", "XDG_STATE_HOME": "home",
               "XDG_DATA_HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp",
               "GHOSTSNAP_STATE_DIR": "home"}
        paths = {key: str(self.folder / value) for key, value in own.items()}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **paths, **self.secrets}

    def run(self, *arguments: object, log: Path, folder: Path | None = None) -> Usage:
        """Measures one command of this program."""
        command = [self.program, *map(str, arguments)]
        return measure(command, self.environment(), folder or self.folder, log, self.timeout_s)

    def version(self) -> str:
        """Returns the first line of what the program says about itself."""
        output = subprocess.run(
            [self.program, self.version_argument], env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        ).stdout.strip()
        return output.splitlines()[0] if output else "unknown version"

    def init(self, log: Path) -> Usage:
        """Creates the repository."""
        raise NotImplementedError

    def backup(self, source: Path, log: Path) -> Usage:
        """Stores the tree."""
        raise NotImplementedError

    def restore(self, target: Path, log: Path) -> Usage:
        """Restores the newest backup into an empty folder."""
        raise NotImplementedError

    def check(self, log: Path) -> Usage:
        """Verifies the repository and reads all data in it."""
        raise NotImplementedError

    def prune(self, log: Path) -> Usage:
        """Drops all backups but the newest, and frees what only they needed."""
        raise NotImplementedError

    def both(self, first: tuple, second: tuple, log: Path) -> Usage:
        """Measures two commands as one; the second only after the first ended well."""
        one = self.run(*first, log=log)
        return one if one.exit_code != 0 else one.then(self.run(*second, log=log))

    def repo_size(self) -> int:
        """Returns the bytes of the repository."""
        return tree_bytes(self.repo)


class Ghostsnap(Tool):
    """This project, with its defaults."""

    name = SUBJECT
    secrets = {"GHOSTSNAP_PASSWORD": PASSWORD}

    def init(self, log: Path) -> Usage:
        return self.run("-r", self.repo, "init", log=log)

    def backup(self, source: Path, log: Path) -> Usage:
        return self.run("-r", self.repo, "backup", source, log=log)

    def restore(self, target: Path, log: Path) -> Usage:
        return self.run("-r", self.repo, "restore", "latest", "--target", target, log=log)

    def check(self, log: Path) -> Usage:
        return self.run("-r", self.repo, "check", "--read-data", log=log)

    def prune(self, log: Path) -> Usage:
        repo = ("-r", self.repo)
        forget = (*repo, "forget", "--keep-last", "1", "--force")
        return self.both(forget, (*repo, "prune", "--now"), log)


class Restic(Ghostsnap):
    """restic with its defaults; compression `auto` where the version has it."""

    name = "restic"
    version_argument = "version"

    def __init__(self, program: str, folder: Path, timeout_s: int) -> None:
        super().__init__(program, folder, timeout_s)
        self.secrets = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(folder / "cache")}
        command = [program, "backup", "--help"]
        about = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        self.compression = ["--compression", "auto"] if "--compression" in about else []

    def backup(self, source: Path, log: Path) -> Usage:
        return self.run("-r", self.repo, *self.compression, "backup", source, log=log)

    def prune(self, log: Path) -> Usage:
        repo = ("-r", self.repo)
        return self.both((*repo, "forget", "--keep-last", "1"), (*repo, "prune"), log)


class Rustic(Ghostsnap):
    """rustic, which writes restic's format; zstd at level 3."""

    name = "rustic"

    def __init__(self, program: str, folder: Path, timeout_s: int) -> None:
        super().__init__(program, folder, timeout_s)
        self.secrets = {"RUSTIC_PASSWORD": PASSWORD, "RUSTIC_CACHE_DIR": str(folder / "cache")}

    def init(self, log: Path) -> Usage:
        return self.run("-r", self.repo, "init", "--set-compression", "3", log=log)

    def restore(self, target: Path, log: Path) -> Usage:
        return self.run("-r", self.repo, "restore", "latest", target, log=log)

    def prune(self, log: Path) -> Usage:
        repo = ("-r", self.repo)
        prune = (*repo, "prune", "--instant-delete")
        return self.both((*repo, "forget", "--keep-last", "1"), prune, log)


class Borg(Tool):
    """borg 1.x with BLAKE2b ids and zstd at level 3."""

    name = "borg"
    compression = "zstd,3"

    def __init__(self, program: str, folder: Path, timeout_s: int) -> None:
        super().__init__(program, folder, timeout_s)
        self.secrets = {"BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": str(folder / "cache")}

    def init(self, log: Path) -> Usage:
        return self.run("init", "--encryption", "repokey-blake2", self.repo, log=log)

    def backup(self, source: Path, log: Path) -> Usage:
        self.backups += 1
        archive = f"{self.repo}::{self.backups}"
        return self.run("create", "--compression", self.compression, archive, source, log=log)

    def restore(self, target: Path, log: Path) -> Usage:
        return self.run("extract", f"{self.repo}::{self.backups}", log=log, folder=target)

    def check(self, log: Path) -> Usage:
        return self.run("check", "--verify-data", self.repo, log=log)

    def prune(self, log: Path) -> Usage:
        compact = ("compact", "--threshold", "5", self.repo)
        return self.both(("prune", "--keep-last", "1", self.repo), compact, log)


class BorgLz4(Borg):
    """borg with its default compression, which is faster and weaker."""

    name = "borg-lz4"
    compression = "lz4"


TOOLS: dict[str, type[Tool]] = {
    tool.name: tool for tool in (Ghostsnap, Restic, Borg, BorgLz4, Rustic)
}

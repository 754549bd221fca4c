#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a streamed dump of a live database costs beside the dump itself.

Starts a MariaDB and a PostgreSQL server of its own, fills one database in each, and measures CPU:
the dump program alone, writing to /dev/null, against `ghostsnap hestia backup` of a user who has
nothing but that database (which starts the same program with the same options), on the first night
and on nights on which nothing changed. Prints a table for docs/performance.md; see README.md."""

import argparse
import os
import pwd
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import dumps

ENGINES = ("mysql", "pgsql")
PASSWORD = "benchmark"


def measured(command: list[str], **options) -> float:
    """Runs a command; returns the CPU seconds of it and of the programs it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, check=True, **streams, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median(numbers: list[float]) -> float:
    """Returns the middle one."""
    return sorted(numbers)[len(numbers) // 2]


def found(name: str) -> str:
    """Returns the path of a program of a server."""
    folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
    folders += [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    for folder in folders:
        if os.access(f"{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    raise SystemExit(f"{name} is not installed")


class Server:
    """A database server of our own, for one run."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        folder.mkdir()
        account = {"mysql": "mysql", "pgsql": "postgres"}[engine]
        self.demote = None
        if os.geteuid() == 0:
            who = pwd.getpwnam(account)
            os.chown(folder, who.pw_uid, who.pw_gid)
            self.demote = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        command = self._mysql() if engine == "mysql" else self._pgsql()
        log = open(folder / "log", "wb")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/",
                                        **(self.demote or {}))
        for _ in range(300):
            if self.sql("SELECT 1;", quiet=True):
                return
            time.sleep(0.1)
        raise SystemExit((folder / "log").read_text())

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/",
                       **(self.demote or {}))

    def _mysql(self) -> list[str]:
        data = f"--datadir={self.folder}/data"
        self._run([found("mariadb-install-db"), "--no-defaults", "--skip-test-db", data,
                   "--auth-root-authentication-method=normal"])
        # Only this run knows of the server, so that root needs no password.
        return [found("mariadbd"), "--no-defaults", data, f"--socket={self.folder}/s",
                f"--port={self.port}", "--bind-address=127.0.0.1",
                "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=512M",
                "--max-allowed-packet=64M", f"--pid-file={self.folder}/pid"]

    def _pgsql(self) -> list[str]:
        data = f"{self.folder}/data"
        self._run([found("initdb"), "--auth=trust", "-U", "postgres", "-E", "UTF8", "--no-sync",
                   "-D", data])
        return [found("postgres"), "-D", data, "-k", str(self.folder), "-h", "127.0.0.1",
                "-p", self.port, "-F", "-c", "shared_buffers=256MB"]

    def client(self) -> list[str]:
        """The command that runs SQL."""
        if self.engine == "mysql":
            return ["/usr/bin/mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", self.port,
                    "-u", "root", "-N"]
        return ["/usr/bin/psql", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-X", "-q",
                "-v", "ON_ERROR_STOP=1"]

    def sql(self, text: str, quiet: bool = False) -> bool:
        """Runs statements; whether they went well."""
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if quiet else {}
        return subprocess.run(self.client(), input=text.encode(), **streams).returncode == 0

    def dump(self) -> list[str]:
        """The command that Ghostsnap runs to dump the database."""
        if self.engine == "mysql":
            return ["/usr/bin/mariadb-dump", "--no-defaults", "-h", "127.0.0.1", "-P", self.port,
                    "-u", "root", "--single-transaction", "--routines", "--events", "--triggers",
                    "--skip-dump-date", "--hex-blob", "--default-character-set=utf8mb4",
                    "--max-allowed-packet=1G", "bench_shop"]
        return ["/usr/bin/pg_dump", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres",
                "-c", "--inserts", "-O", "-x", "-d", "bench_shop"]

    def cpu(self) -> float:
        """CPU seconds of the server so far, its processes of now and before among them."""
        parents, spent = {}, {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            number = int(path.parent.name)
            parents[number], spent[number] = int(fields[1]), sum(map(int, fields[11:15]))
        total = 0
        for number in spent:
            ancestor = number
            while ancestor > 1 and ancestor != self.process.pid:
                ancestor = parents.get(ancestor, 0)
            total += spent[number] if ancestor == self.process.pid else 0
        return total / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends the server."""
        self.process.kill()
        self.process.wait()


def fill(server: Server, scale: float) -> None:
    """Makes the database: the shop of dumps.py, row by row."""
    server.sql("CREATE DATABASE bench_shop;")
    maker = dumps.RowMaker()
    client = server.client() + ["-D" if server.engine == "mysql" else "-d", "bench_shop"]
    with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        send = process.stdin.write
        for table in dumps.TABLES:
            columns = table.template.count(",") + 1
            names = ", ".join(f"c{number} text" for number in range(1, columns))
            send(f"CREATE TABLE {table.name} (id int PRIMARY KEY, {names});\n".encode())
            rng, count = dumps.random_for("dump", table.name), dumps.scaled(table.rows, scale)
            for start in range(0, count, 2_000):
                ids = list(range(start, min(start + 2_000, count)))
                rows = b",\n".join(maker.rows(table, ids, rng))
                send(f"INSERT INTO {table.name} VALUES\n".encode() + rows + b";\n")
        process.stdin.close()
        if process.wait() != 0:
            raise SystemExit("the database could not be filled")
    if server.engine == "pgsql":
        server.sql("\\c bench_shop\nVACUUM ANALYZE;")


def make_hestia(folder: Path, server: Server) -> dict[str, str]:
    """A HestiaCP with one user who has nothing but the database; returns the environment."""
    root = folder / "usr/local/hestia"
    user = root / "data/users/bench"
    for path in (root / "bin", root / "conf", user, folder / "home/bench", folder / "backup",
                 folder / "etc", folder / "usr/bin"):
        path.mkdir(parents=True)
    for tool in ("mariadb", "mariadb-dump", "psql", "pg_dump"):
        (folder / "usr/bin" / tool).symlink_to(f"/usr/bin/{tool}")
    for command in ("v-log-action", "v-add-user-notification"):
        (root / "bin" / command).write_text("#!/bin/sh\n")
        (root / "bin" / command).chmod(0o755)
    (root / "conf/hestia.conf").write_text("DB_SYSTEM='mysql,pgsql'\nBACKUP_SYSTEM='local'\n"
                                           "BACKUP_LA_LIMIT='1000000'\n")
    admin = {"mysql": "root", "pgsql": "postgres"}[server.engine]
    (root / f"conf/{server.engine}.conf").write_text(
        f"HOST='127.0.0.1' USER='{admin}' PASSWORD='' PORT='{server.port}'\n")
    (user / "user.conf").write_text("NAME='bench'\nBACKUPS='5'\nSUSPENDED='no'\nTIME='07:03:50'\n"
                                    "DATE='2026-11-22'\n")
    (user / "db.conf").write_text(
        f"DB='bench_shop' DBUSER='bench_u' MD5='' HOST='127.0.0.1' TYPE='{server.engine}' "
        "CHARSET='UTF8' U_DISK='250' SUSPENDED='no'\n")
    for name in ("passwd", "shadow", "group"):
        (folder / "etc" / name).write_text("bench:x:1005:1005::/home/bench:/bin/bash\n")
    return {"PATH": "/usr/bin:/bin", "GHOSTSNAP_HESTIA_BELOW": str(folder)}


def run(engine: str, folder: Path, options: argparse.Namespace) -> None:
    """Measures one engine and prints its rows."""
    server = Server(engine, folder / engine)
    try:
        fill(server, options.scale)
        environment = make_hestia(folder / f"hestia-{engine}", server)
        dump = server.dump()
        size = len(subprocess.run(dump, check=True, stdout=subprocess.PIPE).stdout) / 1e6
        backup = [options.ghostsnap, "hestia", "backup", "--user", "bench"]
        first = measured(backup, env=environment)
        piped = ["/bin/sh", "-c", '"$@" | cat', "sh", *dump]
        alone, through, nightly, serving = [], [], [], []
        for _ in range(options.runs):
            before = server.cpu()
            alone.append(measured(dump))
            serving.append(server.cpu() - before)
            through.append(measured(piped))
            nightly.append(measured(backup, env=environment))
        base, same = median(alone), median(nightly)
        rows = [("the dump program alone", base), ("the same into `cat`", median(through)),
                ("first night", first), ("a night without changes", same)]
        for name, cpu in rows:
            print(f"| {engine} | {size:.0f} | {name} | {cpu:.2f} | {cpu / base:.2f} |", flush=True)
        print(f"| {engine} | {size:.0f} | (the server, for one dump) | {median(serving):.2f} | |")
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ghostsnap", required=True, help="the program, a release build")
    parser.add_argument("--scale", type=float, default=0.55, help="1 is a dump of 450 MB")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--work", help="where to put the servers (removed afterwards)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ghostsnap-dump-", dir=options.work))
    folder.chmod(0o755)
    print("| engine | dump MB | what | CPU s | of the dump alone |\n|---|--:|---|--:|--:|")
    try:
        for engine in options.engines.split(","):
            run(engine, folder, options)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

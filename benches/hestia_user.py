# SPDX-License-Identifier: MIT
"""A large user of a real HestiaCP for the benchmark: made, changed by a day, and removed again.

At scale 1.0: one site of 60,000 files and 1.6 GB (the data set `hosting`), ten mailboxes with
50,000 messages (`maildir`), and three databases whose dumps have about 200 MB each, two of MariaDB
and one of PostgreSQL (the rows of `dumps`). Everything goes through Hestia's own commands and
belongs to whom Hestia would give it; the user must not exist before, and nobody else's data is
touched.
"""

import os
import shutil
import subprocess
from pathlib import Path

import data
from dumps import TABLES, RowMaker, Table, changed_rows
from text import random_for, scaled

HESTIA = Path("/usr/local/hestia")
PASSWORD = "Bench-" + "only-0"
DOMAIN = "bench.example"
MAILBOXES = 10
# Of the sizes in data.py and dumps.py.
MAIL_SHARE = 0.25
ROWS_SHARE = 0.45
STATEMENT_ROWS = 2_000


def hestia(command: str, *arguments: object) -> str:
    """Runs one of Hestia's commands, which must succeed; returns what it printed."""
    done = subprocess.run(
        [str(HESTIA / "bin" / command), *map(str, arguments)], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, env=environment(),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def environment() -> dict[str, str]:
    """Returns the environment in which an admin's shell runs Hestia's commands."""
    path = f"{HESTIA}/bin:{os.environ['PATH']}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HESTIA": str(HESTIA), "HOME": "/root", "LANG": "C.UTF-8"}


class User:
    """The user, and a folder of ours in which a change can be remembered."""

    def __init__(self, name: str, scale: float, work: Path) -> None:
        self.name = name
        self.scale = scale
        self.work = work
        self.home = Path("/home") / name
        self.site = self.home / "web" / DOMAIN / "public_html"
        self.mail = self.home / "mail" / DOMAIN
        self.databases = [("mysql", f"{name}_shop"), ("mysql", f"{name}_blog"),
                          ("pgsql", f"{name}_data")]

    def exists(self) -> bool:
        """Whether Hestia knows the user."""
        return (HESTIA / "data/users" / self.name).exists()

    def make(self) -> None:
        """Makes the user with all content. A user of that name must not exist."""
        hestia("v-add-user", self.name, PASSWORD, f"{self.name}@bench.example")
        hestia("v-add-web-domain", self.name, DOMAIN)
        hestia("v-add-mail-domain", self.name, DOMAIN)
        for number in range(MAILBOXES):
            hestia("v-add-mail-account", self.name, DOMAIN, f"user{number}", PASSWORD)
        self._fill("site", self.site, data.generate_hosting, self.scale, "")
        self._fill("mail", self.mail, data.generate_maildir, self.scale * MAIL_SHARE, "mail")
        for engine, database in self.databases:
            suffix = database.removeprefix(f"{self.name}_")
            hestia("v-add-database", self.name, suffix, suffix, PASSWORD, engine)
            self._fill_database(engine, database)

    def _fill(self, part: str, target: Path, generate, scale: float, group: str) -> None:
        """Generates a set straight into the home, and gives it to the user."""
        folder = self._folder(part, target)
        umask = os.umask(0)
        generate(folder, scale)
        os.umask(umask)
        self._own(target, group)

    def _folder(self, part: str, target: Path) -> Path:
        """The folder of a data set whose tree is a folder of the home."""
        folder = self.work / part
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / "tree"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        return folder

    def _own(self, target: Path, group: str) -> None:
        group = group or self.name
        subprocess.run(["chown", "-R", f"{self.name}:{group}", str(target)], check=True)

    def _fill_database(self, engine: str, database: str) -> None:
        maker = RowMaker()
        with client(engine, database) as sql:
            for table in TABLES:
                sql.write(create_table(table))
                rng = random_for("hestia", database, table.name)
                count = self.rows(table)
                for start in range(0, count, STATEMENT_ROWS):
                    ids = list(range(start, min(start + STATEMENT_ROWS, count)))
                    rows = b",".join(maker.rows(table, ids, rng))
                    sql.write(b"INSERT INTO " + table.name.encode() + b" VALUES " + rows + b";\n")

    def rows(self, table: Table) -> int:
        """How many rows a table has on the first day."""
        return scaled(table.rows, self.scale * ROWS_SHARE)

    def change(self, day: int) -> None:
        """A day passes: 1 % of the files, of the mails and of the rows change."""
        for part, target, group in (("site", self.site, ""), ("mail", self.mail, "mail")):
            folder = self._folder(part, target)
            journal = data.Journal(folder)
            known = len(journal.added)
            data.change_files(folder, journal, f"hestia-{part}-{day}")
            for path in journal.added[known:]:
                shutil.chown(path, self.name, group or self.name)
            journal.save(data.REFERENCE + day * data.DAY)
        for engine, database in self.databases:
            with client(engine, database) as sql:
                for table in TABLES:
                    rng = random_for("hestia", database, table.name, day)
                    ids = changed_rows(rng, self.rows(table))
                    for start in range(0, len(ids), STATEMENT_ROWS):
                        some = ",".join(map(str, ids[start:start + STATEMENT_ROWS]))
                        sql.write(update(table, day, some))

    def remove(self) -> None:
        """Removes the user and what was remembered of changes."""
        if self.exists():
            hestia("v-delete-user", self.name)
        for part in ("site", "mail"):
            shutil.rmtree(self.work / part, ignore_errors=True)

    def volume(self) -> tuple[int, int]:
        """Files and bytes in the home, without those of root."""
        files = [size for _, size in data.walk_files(self.home)]
        return len(files), sum(files)


class client:  # noqa: N801 - used like a function
    """A database client that reads statements, as the administrator; fails with the first error."""

    def __init__(self, engine: str, database: str) -> None:
        row = server(engine)
        variables = dict(environment())
        if engine == "mysql":
            self.defaults = Path("/dev/shm") / f"ghostsnap-bench-{os.getpid()}.cnf"
            handle = os.open(self.defaults, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(handle, "w", encoding="utf-8") as file:
                file.write(f"[client]\nuser='{row['USER']}'\npassword='{row['PASSWORD']}'\n")
            command = ["mariadb", f"--defaults-file={self.defaults}", database]
        else:
            self.defaults = None
            variables["PGPASSWORD"] = row["PASSWORD"]
            command = ["psql", "-X", "-q", "-w", "-h", row["HOST"], "-U", row["USER"], "-d",
                       database, "-v", "ON_ERROR_STOP=1"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, env=variables)

    def __enter__(self) -> "client":
        return self

    def write(self, text: bytes) -> None:
        """Sends statements."""
        assert self.process.stdin
        self.process.stdin.write(text)

    def __exit__(self, kind, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        code = self.process.wait()
        if self.defaults:
            self.defaults.unlink(missing_ok=True)
        if code != 0 and kind is None:
            raise RuntimeError(f"the database client failed with {code}")


def server(engine: str) -> dict[str, str]:
    """Hestia's row of the local server of this engine."""
    for line in (HESTIA / f"conf/{engine}.conf").read_text(encoding="utf-8").splitlines():
        parts = line.split("'")
        row = {key.strip().rstrip("="): value for key, value in zip(parts[::2], parts[1::2])}
        if row.get("HOST") == "localhost":
            return row
    raise RuntimeError(f"Hestia has no local server of {engine}")


def create_table(table: Table) -> bytes:
    """The statement that makes a table of `dumps.TABLES`: what is no id may be anything."""
    columns = ["id bigint PRIMARY KEY"]
    columns += [f"c{number} text" for number in range(1, column_count(table))]
    return f"CREATE TABLE {table.name} ({', '.join(columns)});\n".encode()


def column_count(table: Table) -> int:
    """How many columns the rows of a template have: commas outside of quotes, and one."""
    outside = "".join(table.template.split("'")[::2])
    return outside.count(",") + 1


def update(table: Table, day: int, ids: str) -> bytes:
    """Changes the second column of some rows."""
    return f"UPDATE {table.name} SET c1 = '{day * 7919}' WHERE id IN ({ids});\n".encode()

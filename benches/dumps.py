# SPDX-License-Identifier: MIT
"""The data set `dumps`: the SQL dump of one shop on four days.

Extended INSERT statements in the layout of mariadb-dump. From day to day 1 % of the rows change
(70 % of these in the newest 5 % of the rows, 30 % anywhere) and 0.3 % are appended.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

from text import DAY, REFERENCE, draw, make_words, random_for, scaled, zipf_table

MIB = 1 << 20
DUMP_DAYS = 4
STATEMENT_BYTES = MIB


@dataclass(frozen=True)
class Table:
    """One table of the dump: its row is a template whose first field is the id.

    Fields: w = a word, p = some words, n = a number, d = a moment that grows with the id."""

    name: str
    rows: int
    template: str
    fields: str


TABLES = (
    Table("shop_meta", 1_250_000, "(%s,%s,'_%s_%s','%s')", "nwwp"),
    Table("shop_orders", 650_000,
          "(%s,%s,'%s','wc-%s','%s.%s','%s %s','%s@%s.example','%s',NULL)", "ndwnnwwwwd"),
    Table("shop_comments", 495_000,
          "(%s,%s,'%s','%s@%s.example','','203.0.113.7','%s','%s %s','1','','comment',0,%s)",
          "nwwwdppn"),
    Table("shop_posts", 218_000,
          "(%s,1,'%s','<p>%s %s</p><p>%s %s %s</p>','%s','publish','open','%s-%s','%s',%s)",
          "dpppppwwwdn"),
)


class RowMaker:
    """Makes rows of a table, whole columns at once."""

    def __init__(self) -> None:
        rng = random_for("rows")
        words = make_words(rng, 6_000, 4)
        self.words = zipf_table(rng, words)
        self.numbers = [str(rng.randrange(10 ** rng.randrange(1, 7))) for _ in range(65_536)]
        prose = zipf_table(rng, words)
        self.phrases = [" ".join(draw(rng, prose, rng.randrange(3, 13))) for _ in range(65_536)]

    def rows(self, table: Table, ids: list[int], rng: Random) -> list[bytes]:
        """Makes one row for each id."""
        width, count = len(table.fields) + 1, len(ids)
        cells: list[object] = [None] * (width * count)
        cells[0::width] = ids
        for index, field in enumerate(table.fields, start=1):
            cells[index::width] = self._column(field, ids, rng)
        text = "\n".join([table.template] * count) % tuple(cells)
        return text.encode().split(b"\n")

    def _column(self, field: str, ids: list[int], rng: Random) -> list[str]:
        if field == "d":
            return list(map(row_moment, ids, rng.randbytes(len(ids))))
        source = {"w": self.words, "n": self.numbers, "p": self.phrases}[field]
        return draw(rng, source, len(ids))


def row_moment(number: int, noise: int) -> str:
    """Formats the moment of a row: about one row in a minute, never a costly strftime."""
    day, minute = divmod(number, 1_440)
    return (f"{2018 + day // 336 % 8}-{day // 28 % 12 + 1:02d}-{day % 28 + 1:02d} "
            f"{minute // 60:02d}:{minute % 60:02d}:{noise % 60:02d}")


class DumpFile:
    """Writes the layout of mariadb-dump: statements of up to 1 MiB, one row on a line.

    Statements end where their size says, so a longer row moves the ends of all later ones."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "wb", buffering=MIB)
        self.file.write(b"/*M!999999\\- enable the sandbox mode */ \n-- Host: localhost\n")
        self.name = ""
        self.rows: list[bytes] = []
        self.size = 0

    def begin(self, name: str) -> None:
        """Starts a table."""
        self.name = name
        self.file.write(f"\nDROP TABLE IF EXISTS `{name}`;\nLOCK TABLES `{name}` WRITE;\n".encode())

    def add(self, rows: list[bytes]) -> None:
        """Adds rows to the table."""
        for row in rows:
            self.rows.append(row)
            self.size += len(row) + 2
            if self.size > STATEMENT_BYTES:
                self._flush()

    def end(self) -> None:
        """Ends the table."""
        self._flush()
        self.file.write(b"UNLOCK TABLES;\n")

    def finish(self) -> None:
        """Ends the dump."""
        self.file.write(b"\n-- Dump completed\n")
        self.file.close()

    def _flush(self) -> None:
        if self.rows:
            self.file.write(f"INSERT INTO `{self.name}` VALUES\n".encode())
            self.file.write(b",\n".join(self.rows) + b";\n")
        self.rows, self.size = [], 0


def generate_dumps(folder: Path, scale: float) -> None:
    """The dumps of four days; the first is in the tree, the others wait."""
    os.umask(0o022)
    maker = RowMaker()
    tree = folder / "tree"
    tree.mkdir()
    (folder / "days").mkdir()
    paths = [tree / "shop.sql"]
    paths += [folder / f"days/day-{day}.sql" for day in range(2, DUMP_DAYS + 1)]
    counts = write_first_day(maker, paths[0], scale)
    for day in range(2, DUMP_DAYS + 1):
        counts = write_next_day(maker, paths[day - 2], paths[day - 1], counts, day)
    for day, path in enumerate(paths):
        os.utime(path, ns=((REFERENCE + day * DAY) * 10**9 + 12_345_678,) * 2)
    os.utime(tree, ns=(REFERENCE * 10**9,) * 2)


def write_first_day(maker: RowMaker, path: Path, scale: float) -> dict[str, int]:
    """Writes the first dump and returns the number of rows of each table."""
    dump, counts = DumpFile(path), {}
    for table in TABLES:
        rng = random_for("dump", table.name)
        counts[table.name] = scaled(table.rows, scale)
        dump.begin(table.name)
        for start in range(0, counts[table.name], 2_000):
            ids = list(range(start, min(start + 2_000, counts[table.name])))
            dump.add(maker.rows(table, ids, rng))
        dump.end()
    dump.finish()
    return counts


def write_next_day(
    maker: RowMaker, before: Path, after: Path, counts: dict[str, int], day: int
) -> dict[str, int]:
    """Writes the dump of the next day: 1 % of the rows changed, 0.3 % more."""
    dump, grown = DumpFile(after), {}
    with open(before, "rb", buffering=MIB) as lines:
        for table in TABLES:
            rng, count = random_for("dump", table.name, day), counts[table.name]
            ids = changed_rows(rng, count)
            changed = dict(zip(ids, maker.rows(table, ids, rng), strict=True))
            grown[table.name] = count + scaled(count * 3 // 1_000, 1.0)
            dump.begin(table.name)
            copy_rows(lines, dump, count, changed)
            dump.add(maker.rows(table, list(range(count, grown[table.name])), rng))
            dump.end()
    dump.finish()
    return grown


def changed_rows(rng: Random, count: int) -> list[int]:
    """Chooses 1 % of the rows: 70 % of them in the newest 5 %, 30 % anywhere."""
    total = max(1, count // 100)
    newest = range(count - max(1, count // 20), count)
    chosen = set(rng.sample(newest, min(len(newest), total * 7 // 10)))
    chosen.update(rng.sample(range(count), total - total * 7 // 10))
    return sorted(chosen)


def copy_rows(lines, dump: DumpFile, count: int, changed: dict[int, bytes]) -> None:
    """Copies the next `count` rows of an older dump, with the changed ones in their places."""
    number = 0
    while number < count:
        line = next(lines)
        if line.startswith(b"("):
            # A row ends with a comma or, as the last of its statement, with a semicolon.
            dump.add([changed.get(number) or line[:-2]])
            number += 1

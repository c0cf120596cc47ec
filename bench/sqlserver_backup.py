"""How fast SQL Server backups are read: as text, into files, and into PostgreSQL beside psql with the same text.

Usage: python -m bench.sqlserver_backup [--runs 3] [--rows 1000000] [--only WORD ...]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.backup_data import COLUMN_TYPES, DATABASE, FORMS, ROWS, Prepared, digest, prepared
from bench.machine import facts
from bench.processes import Failed, Usage, processor_s, program, run
from bench.report import Column, Row, publish
from tests.servers.postgres import SUPERUSER, PostgresServer, Unavailable, available, running
from tests.servers.postgres import program as server_program

FLAVOR = "pg18"
TUNING = ("shared_buffers=256MB", "max_wal_size=4GB", "autovacuum=off")
PSQL = "psql \\copy of the same text"
MEMORY_MB = 200
"""What no process of ours may exceed, however large the file is."""
COLUMNS = (
    Column("wall s", "wall_s", 2),
    Column("x psql", "wall_s", against=PSQL),
    Column("rows/s", "rows_s", 0),
    Column("MB/s", "mb_s"),
    Column("CPU s", "cpu_s", 2),
    Column("server CPU s", "server_s", 2),
    Column("both x psql", "both_s", against=PSQL),
    Column("rows/CPU s", "rows_cpu", 0),
    Column("peak MB", "peak_mb", 0),
)
SUM = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM dbo.big t"


@dataclass(frozen=True)
class Place:
    """Where one run does its work."""

    folder: Path
    server: PostgresServer
    at_work: list[float] = field(default_factory=list)
    """The server's processor seconds when its work was done, before anybody looked at the result."""

    def done(self) -> None:
        self.at_work.append(processor_s(self.server.pid))


Work = Callable[[Prepared, Place], Usage]
OfForm = Callable[[str, Prepared, Place], Usage]


def python(module: str, *words: object) -> Usage:
    return run([sys.executable, "-m", f"bench.{module}", *map(str, words)])


def read_as_text(form: str, data: Prepared, place: Place) -> Usage:
    out = place.folder / "text"
    usage = python("backup_reading", "text", data.file(form), out)
    if digest(out) != digest(data.text):
        raise Failed("the text is not that of the rows")
    return usage


def unpack(data: Prepared, place: Place) -> Usage:
    out = place.folder / "tape"
    usage = python("backup_reading", "unpack", data.file("compressed"), out)
    if out.stat().st_size < data.file("uncompressed").stat().st_size // 2:
        raise Failed("too little came out")
    return usage


def export(form: str, data: Prepared, place: Place) -> Usage:
    file = str(data.file(form))
    usage = run([program(), "backup", "export", file, "--to", str(place.folder / "csv"), "--format", "csv"])
    (out,) = (place.folder / "csv").rglob("*.csv")
    with out.open("rb") as lines:
        if sum(1 for _ in lines) != data.rows + 1:
            raise Failed("not as many lines as rows")
    return usage


def psql(data: Prepared, place: Place) -> Usage:
    """The lower bound: a table that is there, and text that somebody has written already."""
    usage = _copied(data, place)
    place.done()
    return usage


def job(form: str, data: Prepared, place: Place) -> Usage:
    """All that a job does, from the start of its process to its end."""
    login = (SUPERUSER, place.server.password)
    usage = python("file_job", data.file(form), "postgresql", place.server.port, place.folder / "state", *login)
    place.done()
    found = place.server.sql(SUM, DATABASE)
    place.server.sql(f'DROP DATABASE "{DATABASE}"')
    _copied(data, place)
    if found != place.server.sql(SUM, DATABASE):
        raise Failed("the rows are not those of the text")
    return usage


def contestants() -> Iterator[tuple[str, str, Work]]:
    """The kind of work, who does it, and how."""
    for form in FORMS:
        yield f"read, {form}", "Sterna, COPY text into a file", partial(read_as_text, form)
        yield f"read, {form}", "sterna backup export, csv", partial(export, form)
    yield "unpack", "Sterna, into a file", unpack
    yield "into PostgreSQL", PSQL, psql
    for form in FORMS:
        yield "into PostgreSQL", f"Sterna, {form}", partial(job, form)


def measure(row: Row, work: Work, data: Prepared, size: int) -> None:
    """One run. ``size``: bytes that count as its work."""
    if row.failure:
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sterna-bench-"))
        server = stack.enter_context(running(FLAVOR, *TUNING))
        before = processor_s(server.pid)
        try:
            place = Place(Path(folder), server)
            usage = work(data, place)
            if usage.peak_mb > MEMORY_MB and row.contestant != PSQL:
                raise Failed(f"it took {usage.peak_mb:.0f} MB of memory")
        except (Failed, ValueError) as failure:
            row.failure = str(failure)
            return
    row.add(wall_s=usage.wall_s, rows_s=data.rows / usage.wall_s, mb_s=size / usage.wall_s / 1e6)
    if place.at_work:
        row.add(server_s=place.at_work[0] - before, both_s=usage.cpu_s + place.at_work[0] - before)
    row.add(cpu_s=usage.cpu_s, rows_cpu=data.rows / usage.cpu_s, peak_mb=usage.peak_mb)
    print(f"{row.work} | {row.contestant} | {usage.wall_s:.2f} s", file=sys.stderr, flush=True)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--rows", type=int, default=ROWS)
    words.add_argument(
        "--only", nargs="+", default=[""], help="contestants or works whose names hold one of these"
    )
    asked = words.parse_args()
    if reason := available(FLAVOR):
        raise Unavailable(reason)
    machine, data = facts(), prepared(asked.rows)
    chosen: Mapping[tuple[str, str], Work] = {
        (kind, who): work
        for kind, who, work in contestants()
        if any(word in f"{kind} {who}" for word in asked.only)
    }
    rows = [Row(kind, who) for kind, who in chosen]
    size = data.file("uncompressed").stat().st_size  # what is unpacked, in all kinds of work
    for _ in range(asked.runs):  # in turn, so that a passing load falls on all alike
        for row in rows:
            measure(row, chosen[row.work, row.contestant], data, size)
    publish("sqlserver_backup", machine, rows, COLUMNS)
    return any(row.failure for row in rows)


def _copied(data: Prepared, place: Place) -> Usage:
    """A database of the same name, with the same table, filled by psql."""
    place.server.create_database(DATABASE)
    place.server.sql("CREATE SCHEMA dbo", DATABASE)
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(COLUMN_TYPES))
    place.server.sql(f"CREATE TABLE dbo.big ({columns})", DATABASE)
    words = server_program(FLAVOR, "psql")
    if words is None:
        raise Failed("there is no psql")
    return run([*words, "-Xqd", place.server.dsn(DATABASE), "-c", f"\\copy dbo.big FROM '{data.text}'"])


if __name__ == "__main__":
    sys.exit(main())

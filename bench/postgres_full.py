"""How long a full copy of a PostgreSQL database takes: Sterna, and the tools that people use instead.

Usage: python -m bench.postgres_full [--runs 3] [--scale 1] [--only WORD ...]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.machine import facts
from bench.postgres_data import DATABASE, FLAVOR, TABLES, empty, loaded, pgcopydb, same, size, tool
from bench.processes import Failed, Usage, migrate_words, run
from bench.report import Column, Row, publish
from tests.servers.postgres import PostgresServer, Unavailable, available

DEFAULT = "pgcopydb 0.18, default"
COLUMNS = (
    Column("wall s", "wall_s", 2),
    Column("x pgcopydb", "wall_s", against=DEFAULT),
    Column("CPU s", "cpu_s", 2),
    Column("peak MB", "peak_mb", 0),
)

Copy = Callable[[PostgresServer, PostgresServer, Path], Usage]


def pipes(source: PostgresServer, target: PostgresServer, folder: Path) -> Usage:
    """Binary COPY from server to server, two tables at once; everything else by pg_dump and pg_restore."""
    near, far, dump = source.dsn(DATABASE), target.dsn(DATABASE), folder / "schema"
    psql, restore = tool("psql"), tool("pg_restore")
    out = f'{psql} -qd "{near}" -c "COPY public.$1 TO STDOUT (FORMAT binary)"'
    into = f'{psql} -qd "{far}" -c "COPY public.$1 FROM STDIN (FORMAT binary)"'
    (folder / "copy").write_text(f"{out} | {into}\n")
    return _shell(
        f"""
        {tool("pg_dump")} -s -Fc -f {dump} '{near}'
        {restore} --section=pre-data -d '{far}' {dump}
        printf '%s\\n' {" ".join(TABLES)} | xargs -P 2 -n 1 bash -e {folder / "copy"}
        {restore} -j 2 --section=post-data -d '{far}' {dump}
        """
    )


def dump_and_restore(*options: str) -> Copy:
    """pg_dump with two jobs into a folder, then pg_restore with two."""

    def copy(source: PostgresServer, target: PostgresServer, folder: Path) -> Usage:
        dump = folder / "dump"
        return _shell(
            f"""
            {tool("pg_dump")} -Fd -j 2 {" ".join(options)} -f {dump} '{source.dsn(DATABASE)}'
            {tool("pg_restore")} -j 2 -d '{target.dsn(DATABASE)}' {dump}
            """
        )

    return copy


def copydb(*options: str) -> Copy:
    """pgcopydb with two table jobs and two index jobs."""

    def copy(source: PostgresServer, target: PostgresServer, folder: Path) -> Usage:
        word, path = pgcopydb()
        sides = f"--source '{source.dsn(DATABASE)}' --target '{target.dsn(DATABASE)}' --dir {folder / 'work'}"
        return _shell(
            f"""
            export PATH={path}:$PATH
            {word} clone {sides} --table-jobs 2 --index-jobs 2 {" ".join(options)}
            """
        )

    return copy


def sterna(source: PostgresServer, target: PostgresServer, folder: Path) -> Usage:
    urls = [server.dsn(DATABASE) for server in (source, target)]
    return run(migrate_words(urls, folder / "state", "full"))


CONTESTANTS: dict[str, Copy] = {
    DEFAULT: copydb(),
    "pgcopydb 0.18, binary, no vacuum": copydb("--use-copy-binary", "--skip-vacuum"),
    "psql COPY piped, binary, 2 at once": pipes,
    "pg_dump -Fd -j2 -Z0, pg_restore -j2": dump_and_restore("-Z0"),
    "pg_dump -Fd -j2, pg_restore -j2": dump_and_restore(),
    "Sterna": sterna,
}


def measure(source: PostgresServer, row: Row, copy: Copy) -> None:
    """One run onto a fresh target, both sides compared afterwards."""
    if row.failure:
        return
    with empty() as target, tempfile.TemporaryDirectory(prefix="sterna-bench-") as folder:
        try:
            usage = copy(source, target, Path(folder))
            if not same(source, target):
                raise Failed("the two sides differ afterwards")
        except Failed as failure:
            row.failure = str(failure)
            return
    row.add(wall_s=usage.wall_s, cpu_s=usage.cpu_s, peak_mb=usage.peak_mb)
    print(f"{row.contestant} | {usage.wall_s:.2f} s", file=sys.stderr, flush=True)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--scale", type=float, default=1, help="size of the data")
    words.add_argument("--only", nargs="+", default=[""], help="contestants whose names hold one of these")
    asked = words.parse_args()
    if reason := available(FLAVOR):
        raise Unavailable(reason)
    machine = facts()
    chosen = {name: copy for name, copy in CONTESTANTS.items() if any(word in name for word in asked.only)}
    with loaded(asked.scale) as source:
        work = f"{size(source) / 1e6:,.0f} MB"
        rows = [Row(work, contestant) for contestant in chosen]
        for _ in range(asked.runs):  # in turn, so that a passing load falls on all alike
            for row in rows:
                measure(source, row, chosen[row.contestant])
    publish("postgres_full", machine, rows, COLUMNS)
    return any(row.failure for row in rows)


def _shell(script: str) -> Usage:
    return run(["bash", "-euo", "pipefail", "-c", script])


if __name__ == "__main__":
    sys.exit(main())

"""How fast the contents of two PostgreSQL databases are compared: Sterna, and the query that people write by hand.

Both sides hold the same rows; a comparison that finds a difference, or none where there is one, has no number.

Usage: python -m bench.postgres_compare [--runs 3] [--scale 1] [--only WORD ...]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.machine import facts
from bench.postgres_data import DATABASE, FLAVOR, SUM, TABLES, empty, loaded, same, tool
from bench.processes import Failed, Usage, program, run
from bench.report import Column, Row, publish
from tests.servers.postgres import PostgresServer, Unavailable, available

BY_HAND = "sum of hashes, both sides at once"
COLUMNS = (
    Column("wall s", "wall_s", 2),
    Column("MB/s", "rate", 0),
    Column("x by hand", "rate", against=BY_HAND),
    Column("CPU s", "cpu_s", 2),
    Column("peak MB", "peak_mb", 0),
)
_SIZE = (
    "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)

Compare = Callable[[PostgresServer, PostgresServer], Usage]


def by_hand(source: PostgresServer, target: PostgresServer) -> Usage:
    """One sum of all rows' hashes for each table, on both servers at the same time."""
    sums = "; ".join(SUM.format(name) for name in TABLES)
    asked = [f'{tool("psql")} -qAtX -d "{server.dsn(DATABASE)}" -c "{sums}"' for server in (source, target)]
    return run(["bash", "-euo", "pipefail", "-c", f"diff <({asked[0]}) <({asked[1]})"])


def sterna(source: PostgresServer, target: PostgresServer) -> Usage:
    urls = [server.dsn(DATABASE) for server in (source, target)]
    return run([program(), "compare", *urls, "--json"])


CONTESTANTS: dict[str, Compare] = {BY_HAND: by_hand, "Sterna": sterna}


def copy(source: PostgresServer, target: PostgresServer) -> None:
    """The same rows on the target. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="sterna-bench-") as folder:
        dump = Path(folder) / "dump"
        words = f"""
            {tool("pg_dump")} -Fd -j 2 -Z0 -f {dump} '{source.dsn(DATABASE)}'
            {tool("pg_restore")} -j 2 -d '{target.dsn(DATABASE)}' {dump}
            """
        run(["bash", "-euo", "pipefail", "-c", words])
    if not same(source, target):
        raise Failed("the two sides differ from the beginning")


def notices(source: PostgresServer, target: PostgresServer, compare: Compare) -> bool:
    """Whether a comparison sees that one value of one row is another."""
    change = "UPDATE public.child SET note = '{}' WHERE id = 1"
    kept = source.sql("SELECT note FROM public.child WHERE id = 1", DATABASE)[0][0]
    target.sql(change.format("another"), DATABASE)
    try:
        compare(source, target)
    except Failed:
        return True
    finally:
        target.sql(change.format(kept), DATABASE)
    return False


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--scale", type=float, default=1, help="size of the data")
    words.add_argument("--only", nargs="+", default=[""], help="contestants whose names hold one of these")
    asked = words.parse_args()
    if reason := available(FLAVOR):
        raise Unavailable(reason)
    machine = facts()
    chosen = {name: each for name, each in CONTESTANTS.items() if any(word in name for word in asked.only)}
    with loaded(asked.scale) as source, empty() as target:
        copy(source, target)
        megabytes = int(source.sql(_SIZE, DATABASE)[0][0]) / 1e6
        rows = [Row(f"{megabytes:,.0f} MB", name) for name in chosen]
        for number in range(asked.runs):  # in turn, so that a passing load falls on all alike
            for row in rows:
                measure(row, megabytes, partial(chosen[row.contestant], source, target))
                if number == 0 and not row.failure and not notices(source, target, chosen[row.contestant]):
                    row.failure = "it did not see a difference"
    publish("postgres_compare", machine, rows, COLUMNS)
    return any(row.failure for row in rows)


def measure(row: Row, megabytes: float, compare: Callable[[], Usage]) -> None:
    """One run."""
    if row.failure:
        return
    try:
        usage = compare()
    except Failed as failure:
        row.failure = str(failure)
        return
    row.add(wall_s=usage.wall_s, rate=megabytes / usage.wall_s, cpu_s=usage.cpu_s, peak_mb=usage.peak_mb)
    print(f"{row.contestant} | {usage.wall_s:.2f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

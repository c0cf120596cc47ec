"""Cuts a table into ranges of its whole key, so that no query runs for long.

Only where both servers are sure to order the key alike and where reading in its order is not reading all over the
disk; other tables are read in one pass each. The source's index is walked for where the ranges begin.
"""

from collections.abc import AsyncIterator, Sequence

from sterna.engines.postgres.compare.asking import ask, texts
from sterna.engines.postgres.compare.bisecting import Pair, Scope, steered
from sterna.engines.postgres.compare.pairs import Match, Side

RANGE_BYTES = 64 << 20
LEAST_ROWS, MOST_ROWS = 1000, 400_000
SCATTERED = 0.5
"""Below this correlation of key and place (``pg_stats``) a range is read all over the disk."""

_ORDERED = {
    "bigint", "date", "integer", "numeric", "oid", "smallint", "timestamp with time zone",
    "timestamp without time zone", "uuid", "bytea",
}  # fmt: skip
"""Types whose order depends on no locale."""


async def scopes(pair: Pair, match: Match) -> AsyncIterator[Scope]:
    """The ranges one after the other, or the whole table. Raises psycopg.Error."""
    rows = max(match.rows, 0) or match.size // 100
    if match.size <= RANGE_BYTES or match.whole or not await _in_ranges(pair, match.path):
        yield Scope(rows)
        return
    step = min(MOST_ROWS, max(LEAST_ROWS, RANGE_BYTES * max(rows, 1) // match.size))
    low: Sequence[str] | None = None
    while True:
        high = await _boundary(pair.source, low, step)
        yield _scope(pair.source, low, high, step)
        if high is None:
            return
        low = high


async def _in_ranges(pair: Pair, path: Sequence[str]) -> bool:
    key = pair.source.columns.key
    if not pair.source.by_key or any(type_.partition("(")[0] not in _ORDERED for _, type_ in key):
        return False
    found = await ask(pair.source.connection, _CORRELATION, [path[1], path[2], key[0][0]])
    if not found or found[0][0] is None:
        return key[0][1] != "uuid"
    return abs(float(found[0][0])) >= SCATTERED


_CORRELATION = "SELECT correlation FROM pg_stats WHERE schemaname = $1 AND tablename = $2 AND attname = $3"


async def _boundary(side: Side, low: Sequence[str] | None, step: int) -> Sequence[str] | None:
    """The key of the last row of a range that begins after ``low``; None: it goes to the end."""
    keys = ", ".join(side.keys)
    after = _compared(side, ">", 1) if low is not None else "true"
    query = f"SELECT {keys} FROM {side.relation} WHERE {after} ORDER BY {keys} OFFSET {step - 1} LIMIT 1"  # noqa: S608
    async with steered(side.connection, True):
        rows = await texts(side.connection, query, tuple(low or ()))
    return [str(value) for value in rows[0]] if rows else None


def _scope(side: Side, low: Sequence[str] | None, high: Sequence[str] | None, step: int) -> Scope:
    conditions: list[str] = []
    parameters: list[str] = []
    for sign, bound in ((">", low), ("<=", high)):
        if bound is not None:
            conditions.append(_compared(side, sign, len(parameters) + 1))
            parameters += bound
    return Scope(step, " AND ".join(conditions), tuple(parameters))


def _compared(side: Side, sign: str, first: int) -> str:
    """``("a", "b") > ($1::integer, $2::uuid)``; the types are built in, so that both sides know them."""
    places = (f"${first + at}::{type_}" for at, (_, type_) in enumerate(side.columns.key))
    return f"({', '.join(side.keys)}) {sign} ({', '.join(places)})"

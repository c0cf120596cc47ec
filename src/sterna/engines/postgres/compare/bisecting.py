"""Finds the rows that differ: checksums of buckets of rows, then the rows of those buckets that differ.

Rows go into buckets by a hash of their key, which needs no order that both servers would have to share. A table
without a key is a multiset: its rows go by the hash of all they hold, and how often each comes is compared.
Both servers send the rows of differing buckets ordered by that hash, so memory does not grow with their number.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sterna.engines.postgres.compare.asking import Row, ask, pages
from sterna.engines.postgres.compare.pairs import Side
from sterna.engines.postgres.connection import Connection

FEW = 1000
"""Rows that are looked at one by one without another round of checksums."""
MANY = 200_000
"""Rows that are too many to be read again for the buckets alone."""
BUCKET_ROWS = 250
MOST_BUCKETS = 1 << 16
AT_ONCE = 500
"""Keys in one query by key."""

Identity = tuple[str, ...]
"""The key of a row as texts; of a table without a key, the hash of all that the row holds."""
Seen = tuple[int, int]
"""How many rows an identity has, and the sum of their hashes; there ought to be one."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """Some of a table's rows: all, or those in a range of the key."""

    rows: int
    """As believed; -1: not known."""
    condition: str = ""
    parameters: tuple[object, ...] = ()

    @property
    def steered(self) -> bool:
        """Whether an index must be used whatever the statistics say."""
        return bool(self.condition)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tables that are compared, each over a connection of its own."""

    source: Side
    target: Side

    async def both(self, read: Callable[[Side], Coroutine[Any, Any, T]]) -> tuple[T, T]:
        """Read both at the same time."""
        first = asyncio.create_task(read(self.source))
        second = asyncio.create_task(read(self.target))
        try:
            return await first, await second
        finally:
            for task in (first, second):
                task.cancel()
            await asyncio.gather(first, second, return_exceptions=True)


Suspected = Callable[[Identity], Awaitable[None]]
"""Told of each row that seems to differ; may take its time."""


async def search(
    pair: Pair, scope: Scope, suspected: Suspected, enough: Callable[[], bool]
) -> tuple[int, int, int]:
    """Compare the rows in scope, naming those that seem to differ to ``suspected``.

    Once there is ``enough``, rows of buckets that one side does not have at all are only counted. Gives the
    number of rows on the source and on the target, and how many were only counted. Raises psycopg.Error.
    """
    mask = buckets(scope.rows) - 1 if scope.rows > MANY and not scope.condition else 0
    mine, its = await pair.both(lambda side: summary(side, scope, mask))
    rows = _total(mine), _total(its)
    differing = _differing(mine, its)
    if differing and not mask and max(rows) > FEW and not (enough() and min(rows) == 0):
        mask = buckets(max(rows)) - 1
        mine, its = await pair.both(lambda side: summary(side, scope, mask))
        differing = _differing(mine, its)
    counted = 0
    if enough():
        one_sided = [each for each in differing if each not in mine or each not in its]
        counted = sum((mine.get(each) or its[each])[0] for each in one_sided)
        differing = [each for each in differing if each in mine and each in its]
    if differing:
        await _compare_rows(pair, scope, mask, differing, suspected)
    return *rows, counted


def buckets(rows: int) -> int:
    """Into how many buckets so many rows go, a power of two."""
    return min(MOST_BUCKETS, 1 << max(0, (rows // BUCKET_ROWS).bit_length()))


def _total(buckets: Mapping[int, Seen]) -> int:
    return sum(count for count, _ in buckets.values())


def _differing(mine: Mapping[int, Seen], its: Mapping[int, Seen]) -> list[int]:
    return [each for each in sorted(mine.keys() | its.keys()) if mine.get(each) != its.get(each)]


async def summary(side: Side, scope: Scope, mask: int) -> Mapping[int, Seen]:
    """Number of rows and sum of hashes for each bucket that has rows."""
    if side.columns.key:
        inner = side.reading(f"{side.key_hash} & {mask} AS bucket, {side.row_hash} AS h", scope.condition)
    else:
        inner = side.reading(f"{side.row_hash} AS h", scope.condition)
        inner = f"SELECT h & {mask} AS bucket, h FROM ({inner} OFFSET 0) AS hashed"  # noqa: S608
    if not mask:
        inner = f"SELECT 0 AS bucket, h FROM ({side.reading(f'{side.row_hash} AS h', scope.condition)}) AS hashed"  # noqa: S608
    query = f"SELECT bucket, count(*), sum(h)::text FROM ({inner}) AS rows GROUP BY bucket"  # noqa: S608
    async with steered(side.connection, scope.steered):
        rows = await ask(side.connection, query, scope.parameters)
    return {bucket: (count, int(total)) for bucket, count, total in rows}


@asynccontextmanager
async def steered(connection: Connection, wanted: bool) -> AsyncIterator[None]:
    """A transaction in which rows are found by index, also in a table that was never analysed."""
    if not wanted:
        yield
        return
    async with connection.transaction():
        await ask(connection, _STEER)
        yield


_STEER = (
    "SELECT set_config(name, 'off', true) FROM pg_settings "
    "WHERE name IN ('enable_seqscan', 'enable_hashjoin', 'enable_mergejoin')"
)


async def _compare_rows(
    pair: Pair, scope: Scope, mask: int, differing: Sequence[int], suspected: Suspected
) -> None:
    chosen = () if mask == 0 else differing
    async with (
        pair.source.connection.transaction(),
        pair.target.connection.transaction(),
        steered(pair.source.connection, scope.steered),
        steered(pair.target.connection, scope.steered),
        aclosing(_bunches(pair.source, scope, mask, chosen)) as mine,
        aclosing(_bunches(pair.target, scope, mask, chosen)) as its,
    ):
        async for left, right in _merged(mine, its):
            for identity in left.keys() | right.keys():
                if left.get(identity) != right.get(identity):
                    await suspected(identity)


Bunch = tuple[int, dict[Identity, Seen]]
"""A key's hash, and what has it: all but always one identity."""


async def _bunches(side: Side, scope: Scope, mask: int, chosen: Sequence[int]) -> AsyncGenerator[Bunch, None]:
    at: int | None = None
    bunch: dict[Identity, Seen] = {}
    query, parameters = _rows_query(side, scope, mask, chosen)
    async with aclosing(pages(side.connection, query, parameters)) as answer:
        async for page in answer:
            for row in page:
                if at is not None and row[0] != at:
                    yield at, bunch
                    bunch = {}
                at = row[0]
                bunch |= entry(row[1:])
    if at is not None:
        yield at, bunch


def _rows_query(side: Side, scope: Scope, mask: int, chosen: Sequence[int]) -> tuple[str, Sequence[object]]:
    """Rows of buckets: the key's hash, the identity, how many, the sum of their hashes; ordered by the first."""
    names = [f"t{number}" for number in range(len(side.keys))]
    texts = "".join(f", {key}::text AS {name}" for key, name in zip(side.keys, names, strict=True))
    place = f"${len(scope.parameters) + 1}::bigint[]"
    parameters = [*scope.parameters, *([list(chosen)] if chosen else [])]
    if not names:
        inner = side.reading(f"{side.row_hash} AS h", scope.condition) + " OFFSET 0"
        inside = f" WHERE h & {mask} = ANY ({place})" if chosen else ""
        listed = "h, h::text AS identity, count(*), sum(h)::text"
        return f"SELECT {listed} FROM ({inner}) AS rows{inside} GROUP BY h ORDER BY h", parameters  # noqa: S608
    both = f"{side.key_hash} & {mask} = ANY ({place})" if chosen else ""
    condition = " AND ".join(f"({each})" for each in (scope.condition, both) if each)
    inner = side.reading(f"{side.key_hash} AS kh{texts}, {side.row_hash} AS h", condition)
    listed = ", ".join(["kh", *names])
    query = f"SELECT {listed}, count(*), sum(h)::text FROM ({inner}) AS rows GROUP BY {listed} ORDER BY kh"  # noqa: S608
    return query, parameters


def entry(row: Row) -> dict[Identity, Seen]:
    """From identity, count and sum."""
    *identity, count, total = row
    return {tuple(identity): (count, int(total))}


async def _merged(
    mine: AsyncIterator[Bunch], its: AsyncIterator[Bunch]
) -> AsyncIterator[tuple[dict[Identity, Seen], dict[Identity, Seen]]]:
    """What both have under each hash, in order."""
    left, right = await anext(mine, None), await anext(its, None)
    while left or right:
        if right is None or (left and left[0] < right[0]):
            assert left
            yield left[1], {}
            left = await anext(mine, None)
        elif left is None or right[0] < left[0]:
            yield {}, right[1]
            right = await anext(its, None)
        else:
            yield left[1], right[1]
            left, right = await anext(mine, None), await anext(its, None)


async def lookup(side: Side, identities: Sequence[Identity]) -> dict[Identity, Seen]:
    """What there is now of some identities; those that are not there are left out. Raises psycopg.Error."""
    if not side.by_key:
        return await _lookup_by_scan(side, identities)
    found: dict[Identity, Seen] = {}
    async with steered(side.connection, True):
        for at in range(0, len(identities), AT_ONCE):
            some = identities[at : at + AT_ONCE]
            for number, count, total in await ask(side.connection, _lookup_query(side), arrays(some)):
                found[some[number - 1]] = count, int(total)
    return found


def arrays(identities: Sequence[Identity]) -> list[object]:
    """One array for each column of the key."""
    return [list(column) for column in zip(*identities, strict=True)]


def asked(side: Side) -> str:
    """The keys given as arrays, as rows ``asked(t0, …, number)``, for a FROM."""
    places = ", ".join(f"${number}::text[]" for number in range(1, len(side.keys) + 1))
    names = ", ".join(f"t{number}" for number in range(len(side.keys)))
    return f"unnest({places}) WITH ORDINALITY AS asked({names}, number)"


def matching(side: Side) -> str:
    """The condition that ``rows.k0 …`` are the asked key."""
    each = (f"rows.k{number} = asked.t{number}::{type_}" for number, type_ in enumerate(side.key_types))
    return " AND ".join(each)


def _lookup_query(side: Side) -> str:
    keys = "".join(f"{key} AS k{number}, " for number, key in enumerate(side.keys))
    inner = side.reading(f"{keys}{side.row_hash} AS h")
    return (
        f"SELECT asked.number, count(*), sum(rows.h)::text FROM {asked(side)} "  # noqa: S608
        f"JOIN ({inner}) AS rows ON {matching(side)} GROUP BY asked.number"
    )


async def _lookup_by_scan(side: Side, identities: Sequence[Identity]) -> dict[Identity, Seen]:
    """The same in one pass over the table."""
    if not side.columns.key:
        inner = side.reading(f"{side.row_hash} AS h") + " OFFSET 0"
        query = (
            f"SELECT h::text, count(*), sum(h)::text FROM ({inner}) AS rows "  # noqa: S608
            "WHERE h = ANY ($1::bigint[]) GROUP BY h"
        )
        parameters: list[object] = [[int(identity[0]) for identity in identities]]
    else:
        texts = [f"{key}::text" for key in side.keys]
        tuples = ", ".join(f"${number}::text[]" for number in range(1, len(texts) + 1))
        inside = f"({', '.join(texts)}) IN (SELECT * FROM unnest({tuples}))"  # noqa: S608
        inner = side.reading(f"{', '.join(texts)}, count(*), sum({side.row_hash})::text", inside)
        query, parameters = f"{inner} GROUP BY {', '.join(texts)}", arrays(identities)
    return {key: seen for row in await ask(side.connection, query, parameters) for key, seen in entry(row).items()}

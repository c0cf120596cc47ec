"""Makes rows of the target what they are on the source.

While a job follows, an older state must not go over a newer one, and the job must not meet what it does not
expect. So: read the row on the source, wait until the job has applied everything up to then, stop the job's
writing (its checkpoint's row is locked, which each of its transactions locks first), and read the source again. A
row that is still as it was first read has no change that the job has yet to apply, and is written; what comes
later the job applies on top. Any other row is tried again.
"""

from collections.abc import Mapping, Sequence

import psycopg

from sterna.core.plan import Path
from sterna.engines.postgres.compare.asking import ask, texts
from sterna.engines.postgres.compare.bisecting import (
    Identity,
    Pair,
    Seen,
    arrays,
    asked,
    lookup,
    matching,
    steered,
)
from sterna.engines.postgres.compare.following import Following
from sterna.engines.postgres.compare.pairs import Side
from sterna.engines.postgres.names import SCHEMA, quoted

MOST_BYTES = 16 << 20
"""What rows in one transaction on the target weigh together, roughly."""
BY_KEY, BY_SCAN = 200, 5000
"""How many they are at most, where an index finds them and where the whole table has to be read for them."""
TRIES = 3
WAIT_SECONDS = 30.0
"""How long a job that follows has to get up to the source."""
LOCK_SECONDS = 30
"""How long a transaction on the target may keep a repair waiting."""

Values = Sequence[str | None]


async def mend(pair: Pair, to: Path, identities: Sequence[Identity], following: Following, weight: int) -> None:
    """Mend rows, as many as the source lets stand still. What was mended the next look tells.

    ``weight``: bytes in a row, roughly. Raises psycopg.Error where the target
    refuses a row.
    """
    at_once = max(1, min(BY_KEY if pair.source.by_key else BY_SCAN, MOST_BYTES // max(1, weight)))
    replica = await _without_triggers(pair.target)
    for at in range(0, len(identities), at_once):
        left: Sequence[Identity] = identities[at : at + at_once]
        for _ in range(TRIES):
            left = await _mend_some(pair, to, left, following, replica)
            if not left:
                break


async def _without_triggers(target: Side) -> bool:
    """Keep triggers and foreign keys from acting on what is mended, where rights allow. Whether they do."""
    try:
        await ask(target.connection, "SET session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


async def _mend_some(
    pair: Pair, to: Path, identities: Sequence[Identity], following: Following, replica: bool
) -> Sequence[Identity]:
    """Those that have to be tried again."""
    first = await lookup(pair.source, identities) if following.job else {}
    if following.job and not await following.wait(await following.mark(), WAIT_SECONDS):
        return ()
    async with pair.target.connection.transaction():
        await ask(pair.target.connection, f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        if following.job:
            await ask(pair.target.connection, f"SELECT FROM {quoted(SCHEMA, 'job')} FOR UPDATE")
        await ask(pair.target.connection, f"LOCK TABLE {pair.target.relation} IN SHARE ROW EXCLUSIVE MODE")
        async with pair.source.connection.transaction():
            await ask(pair.source.connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            mine = await lookup(pair.source, identities)
            moving = [each for each in identities if following.job and first.get(each) != mine.get(each)]
            its = await lookup(pair.target, identities)
            wrong = [each for each in identities if each not in moving and mine.get(each) != its.get(each)]
            rows = await _fetch(pair.source, [each for each in wrong if each in mine])
        await _write(Writer(pair.target, to, replica), wrong, mine, its, rows)
    return moving


async def _fetch(side: Side, identities: Sequence[Identity]) -> dict[Identity, Values]:
    """What can be written of some rows, as texts."""
    if not identities:
        return {}
    written = [quoted(name) for name, _ in side.columns.compared if name not in side.columns.generated]
    names = [f"c{number}" for number in range(len(written))]
    columns = "".join(f", {column} AS {name}" for column, name in zip(written, names, strict=True))
    listed = "".join(f", rows.{name}" for name in names)
    if side.columns.key:
        keys = ", ".join(f"{key} AS k{number}" for number, key in enumerate(side.keys))
        inner = side.reading(keys + columns)
        query = f"SELECT asked.number{listed} FROM {asked(side)} JOIN ({inner}) AS rows ON {matching(side)}"  # noqa: S608
        async with steered(side.connection, side.by_key):
            found = await texts(side.connection, query, arrays(identities))
        return {identities[int(number or 0) - 1]: values for number, *values in found}
    inner = side.reading(f"{side.row_hash} AS h{columns}", f"{side.row_hash} = ANY ($1::bigint[])")
    query = f"SELECT DISTINCT ON (rows.h) rows.h{listed} FROM ({inner}) AS rows ORDER BY rows.h"  # noqa: S608
    found = await texts(side.connection, query, [[int(identity[0]) for identity in identities]])
    return {(str(number),): values for number, *values in found}


class Writer:
    """Writes single rows inside the caller's transaction."""

    def __init__(self, side: Side, to: Path, replica: bool) -> None:
        self._side = side
        self._table = quoted(*to[1:])
        self.replica = replica
        self.connection = side.connection
        self.keyed = bool(side.columns.key)
        columns = side.columns
        self._written = [name for name, _ in columns.compared if name not in columns.generated]
        keys = {name for name, _ in columns.key}
        self._set = [at for at, name in enumerate(self._written) if name not in keys]
        self.updates = bool(columns.key) and not (columns.always - keys)
        """Whether every column outside the key can be set."""

    async def delete(self, identity: Identity) -> None:
        """Delete the rows that have a key."""
        query = f"DELETE FROM {self._side.relation} WHERE {self._which(1)}"  # noqa: S608
        await ask(self._side.connection, query, identity)

    async def delete_surplus(self, surplus: Mapping[Identity, int]) -> None:
        """Delete so many of the rows that are alike."""
        some = self._side.reading(f"tableoid, ctid AS place, {self._side.row_hash} AS h") + " OFFSET 0"
        ranked = f"SELECT *, row_number() OVER (PARTITION BY h) AS number FROM ({some}) AS rows WHERE h = ANY ($1)"  # noqa: S608
        query = (
            f"DELETE FROM {self._side.relation} WHERE (tableoid, ctid) IN ("  # noqa: S608
            f"SELECT tableoid, place FROM ({ranked}) AS ranked "
            "JOIN unnest($1::bigint[], $2::bigint[]) AS asked(hash, count) ON h = hash AND number <= count)"
        )
        hashes = [int(identity[0]) for identity in surplus]
        await ask(self._side.connection, query, [hashes, list(surplus.values())])

    async def insert(self, values: Values) -> None:
        names = ", ".join(quoted(name) for name in self._written)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        query = f"INSERT INTO {self._table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({places})"  # noqa: S608
        await ask(self._side.connection, query, values)

    async def update(self, identity: Identity, values: Values) -> None:
        """Set all columns but the key's."""
        if not self._set:
            return
        sets = ", ".join(f"{quoted(self._written[at])} = ${number}" for number, at in enumerate(self._set, 1))
        query = f"UPDATE {self._side.relation} SET {sets} WHERE {self._which(len(self._set) + 1)}"  # noqa: S608
        await ask(self._side.connection, query, [*(values[at] for at in self._set), *identity])

    def _which(self, first: int) -> str:
        keys = zip(self._side.keys, self._side.key_types, strict=True)
        return " AND ".join(f"{key} = ${first + at}::{type_}" for at, (key, type_) in enumerate(keys))


async def _write(
    writer: Writer,
    wrong: Sequence[Identity],
    mine: dict[Identity, Seen],
    its: dict[Identity, Seen],
    rows: dict[Identity, Values],
) -> None:
    """Mend in place; where rows exchange values that must be unique, take them all away first.

    Not where triggers act: what is taken away could take other rows with it.
    """
    try:
        async with writer.connection.transaction(), writer.connection.pipeline():
            await _in_place(writer, wrong, mine, its, rows)
    except psycopg.errors.IntegrityError:
        if not writer.replica:
            raise
        async with writer.connection.pipeline():
            await _anew(writer, wrong, mine, its, rows)


async def _in_place(
    writer: Writer,
    wrong: Sequence[Identity],
    mine: Mapping[Identity, Seen],
    its: Mapping[Identity, Seen],
    rows: Mapping[Identity, Values],
) -> None:
    if not writer.keyed or not writer.updates:
        await _anew(writer, wrong, mine, its, rows)
        return
    both = [each for each in wrong if _count(its, each) == _count(mine, each) == 1]
    for identity in both:
        await writer.update(identity, rows[identity])
    single = set(both)
    await _anew(writer, [each for each in wrong if each not in single], mine, its, rows)


async def _anew(
    writer: Writer,
    wrong: Sequence[Identity],
    mine: Mapping[Identity, Seen],
    its: Mapping[Identity, Seen],
    rows: Mapping[Identity, Values],
) -> None:
    """Delete everything that is too much or wrong, then insert what lacks."""
    kept = {each: 0 if writer.keyed else min(_count(mine, each), _count(its, each)) for each in wrong}
    surplus = {each: _count(its, each) - kept[each] for each in wrong if _count(its, each) > kept[each]}
    if writer.keyed:
        for identity in surplus:
            await writer.delete(identity)
    elif surplus:
        await writer.delete_surplus(surplus)
    for identity in wrong:
        for _ in range(_count(mine, identity) - kept[identity]):
            await writer.insert(rows[identity])


def _count(seen: Mapping[Identity, Seen], identity: Identity) -> int:
    return seen[identity][0] if identity in seen else 0

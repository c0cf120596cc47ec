"""Puts a difference into words: which row, which columns, and the statement that mends it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sterna.core.comparison import Difference
from sterna.core.plan import Path
from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.compare.bisecting import Identity, Pair, arrays, asked, matching, steered
from sterna.engines.postgres.compare.pairs import Side
from sterna.engines.postgres.compare.settling import Suspect
from sterna.engines.postgres.names import literal, quoted, shown

LONGEST_KEY = 200
LONGEST_REMEDY = 4000
"""Longer ones are left out rather than cut: half a statement mends nothing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One row as texts."""

    digests: Sequence[int | None]
    """A hash of each column's text."""
    values: Sequence[str | None] | None
    """None: too much to show."""


async def describe(pair: Pair, path: Path, to: Path, suspects: Sequence[Suspect]) -> list[Difference]:
    """Words for a few rows, read once more from both sides. Raises psycopg.Error."""
    identities = [suspect.identity for suspect in suspects]
    if not pair.source.columns.key:
        mine, its = await pair.both(lambda side: _by_hash(side, identities))
        return [_of_multiset(path, to, pair.source, each, mine, its) for each in suspects]
    mine, its = await pair.both(lambda side: _by_key(side, identities))
    return [
        _of_row(path, to, pair.source, each, mine.get(each.identity), its.get(each.identity)) for each in suspects
    ]


async def _by_key(side: Side, identities: Sequence[Identity]) -> dict[Identity, Shown]:
    if not identities:
        return {}
    keys = "".join(f"{key} AS k{number}, " for number, key in enumerate(side.keys))
    query = (
        f"SELECT asked.number, rows.digests, rows.texts FROM {asked(side)} "  # noqa: S608
        f"JOIN ({side.reading(keys + _shown(side))}) AS rows ON {matching(side)}"
    )
    async with steered(side.connection, side.by_key):
        found = await ask(side.connection, query, arrays(identities))
    return {identities[number - 1]: Shown(digests, values) for number, digests, values in found}


async def _by_hash(side: Side, identities: Sequence[Identity]) -> dict[Identity, Shown]:
    if not identities:
        return {}
    condition = f"{side.row_hash} = ANY ($1::bigint[])"
    inner = side.reading(f"{side.row_hash} AS h, {_shown(side)}", condition)
    query = f"SELECT DISTINCT ON (h) h::text AS identity, digests, texts FROM ({inner}) AS rows ORDER BY h"  # noqa: S608
    found = await ask(side.connection, query, [[int(identity[0]) for identity in identities]])
    return {(number,): Shown(digests, values) for number, digests, values in found}


def _shown(side: Side) -> str:
    names = [quoted(name) for name, _ in side.columns.compared]
    digests = ", ".join(
        side.hashing.of_text.format(f"{side.hashing.text(*column)}::text") for column in side.columns.compared
    )
    weight = " + ".join(f"coalesce(octet_length({name}::text), 0)" for name in names)
    texts = ", ".join(f"{name}::text" for name in names)
    return f"ARRAY[{digests}] AS digests, CASE WHEN {weight} <= {LONGEST_REMEDY} THEN ARRAY[{texts}] END AS texts"


def _of_row(
    path: Path, to: Path, side: Side, suspect: Suspect, mine: Shown | None, its: Shown | None
) -> Difference:
    keys = [name for name, _ in side.columns.key]
    pairs = ", ".join(f"{name}={_short(text)}" for name, text in zip(keys, suspect.identity, strict=True))
    name = f"{shown(path)} {pairs}"
    which = " AND ".join(
        f"{quoted(key)} = {literal(text)}" for key, text in zip(keys, suspect.identity, strict=True)
    )
    if suspect.source is None:
        return Difference(name, "extra", _copies(suspect.target), _delete(to, which))
    if suspect.target is None:
        return Difference(name, "missing", "", _insert(to, side, mine))
    if suspect.target[0] > 1:
        return Difference(name, "extra", _copies(suspect.target))
    if not mine or not its:
        return Difference(name, "value")
    columns = [column for column, _ in side.columns.compared]
    differing = [at for at, digest in enumerate(mine.digests) if digest != its.digests[at]]
    detail = ", ".join(columns[at] for at in differing)
    return Difference(name, "value", detail, _update(to, columns, differing, mine, which))


def _of_multiset(
    path: Path, to: Path, side: Side, suspect: Suspect, mine: dict[Identity, Shown], its: dict[Identity, Shown]
) -> Difference:
    row = mine.get(suspect.identity) or its.get(suspect.identity)
    sample = ", ".join("NULL" if text is None else text for text in row.values) if row and row.values else ""
    more = (suspect.source or (0, 0))[0] - (suspect.target or (0, 0))[0]
    name = f"{shown(path)} ({_short(sample)})"
    if more > 0:
        return Difference(
            name, "missing", f"{more} of this row", _insert(to, side, mine.get(suspect.identity)) * (more == 1)
        )
    return Difference(name, "extra", f"{-more} of this row")


def _insert(to: Path, side: Side, row: Shown | None) -> str:
    written = [at for at, (name, _) in enumerate(side.columns.compared) if name not in side.columns.generated]
    if row is None or row.values is None:
        return ""
    names = ", ".join(quoted(side.columns.compared[at][0]) for at in written)
    values = ", ".join(_value(row.values[at]) for at in written)
    return _whole(f"INSERT INTO {quoted(*to[1:])} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values});")  # noqa: S608


def _delete(to: Path, which: str) -> str:
    return _whole(f"DELETE FROM {quoted(*to[1:])} WHERE {which};")  # noqa: S608


def _update(to: Path, columns: Sequence[str], differing: Sequence[int], row: Shown, which: str) -> str:
    if row.values is None or not differing:
        return ""
    sets = ", ".join(f"{quoted(columns[at])} = {_value(row.values[at])}" for at in differing)
    return _whole(f"UPDATE {quoted(*to[1:])} SET {sets} WHERE {which};")  # noqa: S608


def _whole(statement: str) -> str:
    return statement if len(statement) <= LONGEST_REMEDY else ""


def _value(text: str | None) -> str:
    return "NULL" if text is None else literal(text)


def _copies(seen: tuple[int, int] | None) -> str:
    count = seen[0] if seen else 0
    return f"{count} rows with this key" if count > 1 else ""


def _short(text: str) -> str:
    plain = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return plain if len(plain) <= LONGEST_KEY else plain[:LONGEST_KEY] + "…"

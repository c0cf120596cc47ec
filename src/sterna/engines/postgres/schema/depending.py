"""What needs what: pg_depend, told between the items that were read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sterna.engines.postgres.schema.reader import Reader, key
from sterna.engines.postgres.schema.things import Item, Key


@dataclass(frozen=True, slots=True)
class Needs:
    """The other items that an item needs, and the columns of tables."""

    items: Mapping[Key, frozenset[Key]]
    columns: Mapping[Key, frozenset[tuple[Key, int]]]

    def of(self, item: Item) -> frozenset[Key]:
        return self.items.get(item.key, frozenset())


async def read_needs(reader: Reader, items: Mapping[Key, Item]) -> Needs:
    """What each item needs; but not a table its parents, nor a sequence the table that owns it."""
    home = _homes(items.values())
    rows = await reader.rows(_QUERY)
    for row in rows:
        if row.deptype == "e" and (extension := key(row.refclass, row.refobjid)) in items:
            home[key(row.class_, row.objid)] = extension
    found: dict[Key, set[Key]] = defaultdict(set)
    columns: dict[Key, set[tuple[Key, int]]] = defaultdict(set)
    for row in rows:
        edge = _edge(row, home, items)
        if edge:
            found[edge[0]].add(edge[1])
            if row.refobjsubid and items[edge[1]].columns:
                columns[edge[0]].add((edge[1], row.refobjsubid))
    for item in items.values():
        found[item.key] |= {home.get(each, each) for each in (*item.needs, *((item.of,) if item.of else ()))}
        found[item.key].discard(item.key)
    return Needs(
        {each: frozenset(needed) for each, needed in found.items()},
        {each: frozenset(needed) for each, needed in columns.items()},
    )


_QUERY = """
    SELECT d.classid::regclass::text AS class_, d.objid, d.refclassid::regclass::text AS refclass, d.refobjid,
           d.refobjsubid, d.deptype::text
      FROM pg_depend d
     WHERE d.objid >= 16384 AND d.refobjid >= 16384 AND d.refclassid <> 'pg_namespace'::regclass"""


def _homes(items: Iterable[Item]) -> dict[Key, Key]:
    """In which item a thing is found."""
    home = {}
    for item in items:
        home[item.key] = item.key
        home |= dict.fromkeys(item.parts, item.key)
    return home


def _edge(row: Any, home: Mapping[Key, Key], items: Mapping[Key, Item]) -> tuple[Key, Key] | None:
    needing = home.get(key(row.class_, row.objid).replace("pg_catalog.", ""))
    needed = home.get(key(row.refclass, row.refobjid).replace("pg_catalog.", ""))
    if row.deptype == "e" or not needing or not needed or needing == needed:
        return None
    item = items[needing]
    if needed in item.above or needed == item.owner_table:
        return None
    return needing, needed


def in_order(items: Sequence[Item], needs: Mapping[Key, Iterable[Key]]) -> list[Item]:
    """Every item after those that it needs, otherwise in the order given. In a circle the first one given wins."""
    by_key = {item.key: item for item in items}
    done: dict[Key, Item] = {}
    visiting: set[Key] = set()
    for first in items:
        stack = [(first.key, iter(_needed(first.key, needs, by_key)))]
        if first.key in done:
            continue
        visiting.add(first.key)
        while stack:
            current, rest = stack[-1]
            following = next((each for each in rest if each not in done and each not in visiting), None)
            if following is None:
                done[current] = by_key[current]
                visiting.discard(current)
                stack.pop()
            else:
                visiting.add(following)
                stack.append((following, iter(_needed(following, needs, by_key))))
    return list(done.values())


def _needed(of: Key, needs: Mapping[Key, Iterable[Key]], by_key: Mapping[Key, Item]) -> list[Key]:
    return sorted(each for each in needs.get(of, ()) if each in by_key)

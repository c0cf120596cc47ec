"""What sequences stand at."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Mapping

from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.schema.reader import OUR_SCHEMA, Reader, key
from sterna.engines.postgres.schema.renaming import Renaming
from sterna.engines.postgres.schema.things import Item, Key, Sequence


async def read_counters(reader: Reader, taken: Mapping[Key, Item], renaming: Renaming) -> tuple[Sequence, ...]:
    """The sequences that are taken, those of identity columns with their tables."""
    homes = {part: item for item in taken.values() for part in (item.key, *item.parts)}
    query = f"""
        SELECT c.oid, n.nspname, c.relname, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcycle,
               d.refobjid AS identity_of,
               has_sequence_privilege(c.oid, 'SELECT') AS readable
          FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i'
               AND d.refclassid = 'pg_class'::regclass
         WHERE c.relpersistence <> 't' AND {OUR_SCHEMA} ORDER BY n.nspname, c.relname"""
    found = []
    for row in await reader.rows(query):
        if key("pg_class", row.oid) not in homes:
            continue
        last = called = None
        if row.readable:
            stood = await reader.rows(f"SELECT last_value, is_called FROM {quoted(row.nspname, row.relname)}")
            last, called = stood[0].last_value, stood[0].is_called
        found.append(
            Sequence(
                (row.nspname, row.relname),
                renaming.pair(row.nspname, row.relname),
                row.seqstart,
                row.seqincrement,
                row.seqmin,
                row.seqmax,
                row.seqcycle,
                last,
                bool(called),
            )
        )
    return tuple(found)

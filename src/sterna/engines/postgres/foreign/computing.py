"""Gives up computed columns that PostgreSQL computes as each row comes, and SQL Server when it is read."""

from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.foreign.building import tell_left
from sterna.engines.postgres.foreign.drafts import Drafted, Left
from sterna.engines.postgres.foreign.naming import column_name
from sterna.engines.postgres.names import quoted, shown


async def drop_computed(target: Connection, table: Drafted, why: str, tell: Teller) -> bool:
    """Drop those of which the source keeps no values. False: the table was made without any."""
    computed = {name for name, _ in table.computed}
    columns = [each for each in table.source.columns if each.name in computed and not each.stored]
    if not columns:
        return False
    there = await (await target.execute(_THERE, (quoted(*table.to[1:]),))).fetchall()
    gone = [each for each in columns if (column_name(each.name),) in there]
    if gone:
        drops = ", ".join(f"DROP COLUMN {quoted(column_name(each.name))}" for each in gone)
        await target.execute(f"ALTER TABLE {quoted(*table.to[1:])} {drops}".encode())
        at, reason = shown(table.source.path), f"no column: for some rows it has no value. {why}"
        tell_left([Left("computed column", f"{at}.{each.name}", each.computed, reason) for each in gone], tell)
    return True


_THERE = """
    SELECT attname::text FROM pg_attribute
     WHERE attrelid = to_regclass(%s) AND attgenerated <> '' AND NOT attisdropped"""

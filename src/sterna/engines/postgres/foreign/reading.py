"""Reads tables of the target back, to prove that they hold what was sent."""

# ruff: noqa: S608 - names in statements are quoted

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sterna.core.digest import Digest, Running
from sterna.core.errors import NeedsOperator, NotFound, Unsupported
from sterna.core.plan import Endpoint, Path, Plan
from sterna.core.schema import Table
from sterna.engines.postgres.connection import bulk, sqlstate, translated
from sterna.engines.postgres.foreign.naming import column_name, place
from sterna.engines.postgres.foreign.slices import Slices
from sterna.engines.postgres.names import quoted, shown

if TYPE_CHECKING:
    import asyncpg

STRETCH = 4096
"""Blocks that are read in one go: 32 MB, as servers are usually built."""
FOUND_SINCE = 14
"""From 14 on, PostgreSQL reads the blocks alone that a condition on ``ctid`` names."""


async def digest(plan: Plan, table: Table) -> Digest:
    """What the plan's target holds of a table that another kind of source described.

    Raises NotFound where it is not there, Unsupported where it has other columns, Unreachable, AccessDenied.
    """
    to = place(plan.selection, table.path)
    if to is None:
        raise NotFound(f"{shown(table.path)} is not moved")
    columns = [column_name(column.name) for column in table.columns if column.stored]
    try:
        return await digest_at(plan.target, to, columns)
    except NeedsOperator as trouble:
        if trouble.__cause__ is None or sqlstate(trouble.__cause__) != "3D000":
            raise
        raise NotFound(f"The target has no database {to[0]}") from trouble


async def digest_at(
    endpoint: Endpoint, to: Path, columns: Sequence[str], purpose: str = "sterna digest"
) -> Digest:
    """The same for a table of the target by its own name, and those of its columns."""
    with translated(endpoint):
        connection = await bulk(endpoint, to[0], purpose=purpose)
        try:
            return await digest_on(connection, to, columns)
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class Blocks:
    """A stretch of a table as it lies in its file."""

    first: int
    stop: int | None = None
    """None: to its end."""

    def conditions(self) -> list[str]:
        """What holds for the rows in it; none for the whole table."""
        found = [f"ctid >= '({self.first},0)'::tid"] if self.first else []
        return [*found, f"ctid < '({self.stop},0)'::tid"] if self.stop is not None else found


WHOLE = Blocks(0)


async def stretches(
    connection: "asyncpg.Connection[Any]", tables: Sequence[Path]
) -> Sequence[tuple[Path, Blocks]]:
    """Tables of the connection's database in stretches that can be read at the same time.

    A table is one stretch where it is short, or the server would not find stretches quickly.
    """
    if connection.get_server_version().major < FOUND_SINCE:
        return [(to, WHOLE) for to in tables]
    query = (
        "SELECT coalesce(pg_relation_size(to_regclass(name)) / current_setting('block_size')::int8, 0) AS blocks "
        "FROM unnest($1::text[]) WITH ORDINALITY AS t(name, number) ORDER BY number"
    )
    sizes = await connection.fetch(query, [quoted(*to[1:]) for to in tables])
    return [(to, each) for to, row in zip(tables, sizes, strict=True) for each in _cut(row["blocks"])]


def _cut(blocks: int) -> Sequence[Blocks]:
    starts: list[int | None] = [*range(0, max(1, blocks - STRETCH // 2), STRETCH), None]
    return [Blocks(first, stop) for first, stop in pairwise(starts) if first is not None]


async def digest_on(
    connection: "asyncpg.Connection[Any]", to: Path, columns: Sequence[str], blocks: Blocks = WHOLE
) -> Digest:
    """The same on a connection to the table's database; one that it was not left to finish with is of no use."""
    running = Running()

    async def take(data: bytes) -> None:
        running.take(data)

    slices = await Slices.of(connection, to, columns)
    conditions = blocks.conditions()
    long = await slices.rows(conditions)
    names = ", ".join(quoted(column) for column in columns)
    conditions += [f"NOT ({slices.where})"] if long else []
    query = f"SELECT {names} FROM ONLY {quoted(*to[1:])}"
    query += f" WHERE {' AND '.join(conditions)}" if conditions else ""
    try:
        await connection.copy_from_query(query, output=take, format="text")
        for at in long:
            await slices.take(at, running)
    except Exception as error:
        if sqlstate(error) in ("42P01", "3F000"):
            raise NotFound(f"The target has no table {shown(to)}") from error
        if sqlstate(error) == "42703":
            raise Unsupported(f"{shown(to)} on the target has other columns") from error
        raise
    return running.close()

"""Reads tables of the target back, to prove that they hold what was sent."""

# ruff: noqa: S608 - names in statements are quoted

from collections.abc import Sequence
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


async def digest_on(connection: "asyncpg.Connection[Any]", to: Path, columns: Sequence[str]) -> Digest:
    """The same on a connection to the table's database; one that it was not left to finish with is of no use."""
    running = Running()

    async def take(data: bytes) -> None:
        running.take(data)

    slices = await Slices.of(connection, to, columns)
    long = await slices.rows()
    names = ", ".join(quoted(column) for column in columns)
    query = f"SELECT {names} FROM ONLY {quoted(*to[1:])}" + (f" WHERE NOT ({slices.where})" if long else "")
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

"""Between the objects that a client picks, keyed by their names on the source, and a selection."""

from collections.abc import ItemsView, Iterator, Mapping, Sequence
from typing import Any

from sterna.api.drs.objects import BETWEEN, DEFAULT_SCHEMA, Row, kept_row
from sterna.api.drs.v5.bodies import Column, Database, DbObject, Schema, Table
from sterna.api.errors import Told
from sterna.core.change import Name
from sterna.core.plan import Path, Picked, Rename, Selection
from sterna.core.ports import Found

MOST_TABLES = 50000
"""How many tables one selection may name, as the cloud has it."""


def selection_of(engine: str, wanted: DbObject) -> Selection:
    """Raises Told for a selection that this engine does not have."""
    if wanted.object_scope == "all":
        return Selection()
    if not wanted.object_info:
        raise Told("DRS.M00201", "object_info")
    if engine == "redis":
        return _of_keyspaces(wanted)
    whole = wanted.object_scope == "database"
    picked = [it for key, database in wanted.object_info.items() for it in _database(key, database, whole=whole)]
    return Selection(objects=tuple(picked))


def _of_keyspaces(wanted: DbObject) -> Selection:
    """Whole databases by their numbers."""
    databases = {key: database.name or key for key, database in wanted.object_info.items()}
    if any(database.tables or database.schemas for database in wanted.object_info.values()):
        raise Told("DRS.M00302")
    if not all(it.isascii() and it.isdigit() for pair in databases.items() for it in pair):
        raise Told("DRS.M00202", "object_info")
    renames = tuple(Rename(old, new) for old, new in databases.items() if old != new)
    return Selection(only=tuple(databases), renames=renames)


def _database(key: str, database: Database, *, whole: bool) -> Iterator[Picked]:
    to = database.name or key
    if whole or database.all or not (database.schemas or database.tables):
        yield _picked((key,), (to,))
        return
    for name, schema in database.schemas.items():
        yield from _schema((key, name), (to, schema.name or name), schema)
    for name, table in database.tables.items():
        yield _table((key, DEFAULT_SCHEMA, name), (to, DEFAULT_SCHEMA), table)


def _schema(path: Path, to: Path, schema: Schema) -> Iterator[Picked]:
    if schema.all or not schema.tables:
        yield _picked(path, to)
        return
    for name, table in schema.tables.items():
        yield _table((*path, name), to, table)


def _table(path: Path, schema_to: Path, table: Table) -> Picked:
    if any(column.additional or column.value or column.name not in ("", name) for name, column in _columns(table)):
        raise Told("DRS.M00305.columns")
    if table.config_conditions:
        raise Told("DRS.M00202", "config_conditions")
    left_out = {name for name, column in _columns(table) if column.filtered}
    columns = tuple(name for name, _ in _columns(table) if name not in left_out) if left_out else ()
    to = (table.db_alias_name or schema_to[0], table.schema_alias_name or schema_to[1], table.name or path[2])
    where = " AND ".join(f"({condition})" for condition in table.filter_conditions)
    return _picked(path, to, columns, where)


def _columns(table: Table) -> ItemsView[str, Column]:
    return table.columns.items()


def _picked(path: Path, to: Path, columns: tuple[str, ...] = (), where: str = "") -> Picked:
    return Picked(path, () if to == path else to, columns, where)


def infos_of(selection: Selection) -> list[Mapping[str, str | None]]:
    """The same as v3 shows it: a row for each object."""
    paths = [(it.path, it.to) for it in selection.objects] or [((name,), ()) for name in selection.only]
    return [_row(path, to) for path, to in paths]


def _row(path: Path, to: Path) -> Mapping[str, str | None]:
    renamed = to[-1] if to and to[-1] != path[-1] else ""
    kind = _KINDS[len(path) - 1]
    return kept_row(Row(BETWEEN.join(path), kind, "true", path[-1], BETWEEN.join(path[:-1]), renamed))


_KINDS = ("database", "schema", "table")


def names_of(chosen: Mapping[str, Database]) -> tuple[Name, ...]:
    """The tables, schemas or databases that are to be compared."""
    picked = [it for key, database in chosen.items() for it in _database(key, database, whole=False)]
    return tuple(Name(it.path) for it in picked)


def object_info(found: Sequence[Found], *, synchronized: bool = False) -> dict[str, Any]:
    """What a server holds, in the shape in which a client picks from it."""
    info: dict[str, Any] = {}
    for each in found:
        name, *inner = each.path
        database = info.setdefault(name, {"name": name, "all": False, "is_synchronized": synchronized})
        if inner:
            schema = database.setdefault("schemas", {}).setdefault(inner[0], {"name": inner[0], "all": False})
        if len(inner) == 2:
            schema.setdefault("tables", {})[inner[1]] = {
                "name": inner[1], "type": each.kind, "all": True, "is_synchronized": synchronized,
            }  # fmt: skip
    for database in info.values():
        schemas = database.get("schemas", {}).values()
        database["total_table_num"] = sum(len(schema.get("tables", {})) for schema in schemas)
    return info


def counted(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a client picked, with the number of tables of each database."""
    return {name: {**database, "total_table_num": _tables_in(database)} for name, database in info.items()}


def _tables_in(database: Mapping[str, Any]) -> int:
    schemas = database.get("schemas", {}).values()
    return len(database.get("tables", {})) + sum(len(schema.get("tables", {})) for schema in schemas)

"""The statements that write rows of one table, one row at a time or many.

Parameters are declared with the types of the target's columns, so that the types' own input functions read the
log's text: no value is ever cut or rounded by a cast. Many rows travel as one array for each column.
"""

# ruff: noqa: S608 - names go through ``quoted``, values are parameters

from collections.abc import Callable, Iterable, Sequence

from sterna.core.errors import ApplyFailed
from sterna.engines.postgres.pipeline import Statement, Step
from sterna.engines.postgres.shape import Field, Shape
from sterna.engines.postgres.wire.pgoutput import Cell, Cells, Unchanged

_TEXTS = 1009
_INT4S = 1007
_IDENTICAL = frozenset({16, 17, 20, 21, 23, 25, 26, 1043, 1082, 1083, 1114, 1184, 2950})
"""Types whose values are equal only if they are written alike: bool, bytea, whole numbers, texts, dates and times,
uuid. Texts only byte by byte, not in every collation."""
_COLLATED = frozenset({25, 1043})

Fields = tuple[Field, ...]


class Statements:
    """One table's statements, each made once."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._made: dict[object, Statement] = {}

    def insert(self, cells: Cells) -> Step:
        """One row."""
        fields = self._shape.fields
        return Step(self._once("insert", lambda: _insert(self._shape)), _values(fields, cells))

    def update(self, cells: Cells, fields: Fields, old: Cells) -> Step:
        """Set ``fields`` of the row that was ``old``, or has its key; none if a fixed column is not the same."""
        shape = self._shape
        nulls = _nulls(shape, old)
        statement = self._once(("update", fields, nulls), lambda: _update(shape, fields, nulls))
        return Step(statement, _values(fields, cells) + _told(shape, old) + _values(_also(shape), cells))

    def delete(self, old: Cells) -> Step:
        """The row that was ``old``, or has its key."""
        shape = self._shape
        nulls = _nulls(shape, old)
        return Step(self._once(("delete", nulls), lambda: _delete(shape, nulls)), _told(shape, old))

    def exists(self, old: Cells) -> Step:
        """Gives a row if the one that was ``old``, or has its key, is there."""
        shape = self._shape
        nulls = _nulls(shape, old)
        return Step(self._once(("exists", nulls), lambda: _exists(shape, nulls, ())), _told(shape, old))

    def stays(self, cells: Cells, old: Cells) -> Step:
        """The same where an update sets nothing: gives none if a fixed column is not the same."""
        shape = self._shape
        nulls = _nulls(shape, old)
        statement = self._once(("stays", nulls), lambda: _exists(shape, nulls, _also(shape)))
        return Step(statement, _told(shape, old) + _values(_also(shape), cells))

    def insert_many(self, rows: Sequence[Cells]) -> Step:
        shape = self._shape
        return Step(self._once("insert many", lambda: _insert_many(shape)), arrays(shape.fields, rows))

    def update_many(self, fields: Fields, rows: Sequence[Cells]) -> Step:
        """Set ``fields`` of the rows with these keys."""
        shape = self._shape
        statement = self._once(("update many", fields), lambda: _update_many(shape, fields))
        return Step(statement, arrays(shape.key + shape.fixed + fields, rows))

    def delete_many(self, rows: Sequence[Cells]) -> Step:
        """The rows with these keys."""
        shape = self._shape
        return Step(self._once("delete many", lambda: _delete_many(shape)), arrays(shape.key, rows))

    def delete_images(self, rows: Sequence[Cells], copies: Sequence[int]) -> Step:
        """Whole rows of a table without key, and how many of each.

        They are compared as they are written, so that of equal values that are not the same, like 1.0 and 1.00,
        the right one goes; and the table is read once, not once for each row.
        """
        shape = self._shape
        statement = self._once("delete images", lambda: _delete_images(shape))
        return Step(statement, [*arrays(shape.fields, rows), b"{%s}" % ",".join(map(str, copies)).encode()])

    def _once(self, name: object, make: Callable[[], Statement]) -> Statement:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = make()
        return found


# -- one row ------------------------------------------------------------------------------------------------------


def _insert(shape: Shape) -> Statement:
    if not shape.fields:
        return Statement(f"INSERT INTO {shape.table} DEFAULT VALUES")
    marks = ", ".join(f"${number}" for number in range(1, len(shape.fields) + 1))
    into = f"{shape.table} ({_names(shape.fields)})"
    return Statement(f"INSERT INTO {into} OVERRIDING SYSTEM VALUE VALUES ({marks})", _types(shape.fields))


def _update(shape: Shape, fields: Fields, nulls: tuple[bool, ...]) -> Statement:
    sets = ", ".join(f"{each.name} = ${number}" for number, each in enumerate(fields, 1))
    where, types = _where(shape, len(fields) + 1, nulls, _also(shape))
    return Statement(f"UPDATE {shape.table} AS t SET {sets} WHERE {where}", _types(fields) + types)


def _delete(shape: Shape, nulls: tuple[bool, ...]) -> Statement:
    where, types = _where(shape, 1, nulls)
    return Statement(f"DELETE FROM {shape.table} AS t WHERE {where}", types)


def _exists(shape: Shape, nulls: tuple[bool, ...], also: Fields) -> Statement:
    where, types = _where(shape, 1, nulls, also)
    return Statement(f"SELECT 1 FROM {shape.table} AS t WHERE {where} LIMIT 1", types)


def _also(shape: Shape) -> Fields:
    """What an update looks at beside the key: columns that it could not set if they had changed."""
    return shape.fixed if shape.key else ()


def _where(shape: Shape, number: int, nulls: tuple[bool, ...], also: Fields = ()) -> tuple[str, tuple[int, ...]]:
    """Which row: by its key (and ``also``), or one of those that are the same in every column."""
    if shape.key:
        matched = shape.key + also
        parts = [f"t.{each.name} {each.column.equals} ${n}" for n, each in enumerate(matched, number)]
        return " AND ".join(parts), _types(matched)
    same: list[str] = []
    present: list[Field] = []
    for each, null in zip(shape.fields, nulls, strict=True):
        if null:
            same.append(f"m.{each.name} IS NULL")
        else:
            same.append(_same(f"m.{each.name}", f"${number + len(present)}", each))
            present.append(each)
    one = f"FROM {shape.table} AS m WHERE {' AND '.join(same) or 'true'} LIMIT 1"
    where = f"t.ctid = (SELECT m.ctid {one})"
    if shape.target.kind == "p":
        where += f" AND t.tableoid = (SELECT m.tableoid {one})"
    return where, _types(tuple(present))


def _same(column: str, mark: str, field: Field) -> str:
    """Equal in every letter; an index can serve where equality is enough."""
    type_oid = field.column.type_oid
    if type_oid in _COLLATED:
        return f'{column} = {mark} AND {column} COLLATE "C" = {mark}'
    return f"{column} = {mark}" if type_oid in _IDENTICAL else f"{column}::text = {mark}::text"


def _nulls(shape: Shape, old: Cells) -> tuple[bool, ...]:
    return () if shape.key else tuple(old[each.at] is None for each in shape.fields)


def _told(shape: Shape, old: Cells) -> list[bytes | None]:
    """The values that ``_where`` wants."""
    if shape.key:
        return _values(shape.key, old)
    return [value for value in _values(shape.fields, old) if value is not None]


def _values(fields: Fields, cells: Cells) -> list[bytes | None]:
    return [_sent(cells[each.at]) for each in fields]


def _sent(cell: Cell) -> bytes | None:
    if isinstance(cell, Unchanged):
        raise ApplyFailed("The source's log leaves out a value that the target needs")
    return cell


# -- many rows ----------------------------------------------------------------------------------------------------


def _insert_many(shape: Shape) -> Statement:
    source, types = _unnested(shape.fields)
    into = f"{shape.table} ({_names(shape.fields)})"
    taken = ", ".join(_taken(shape.fields))
    return Statement(f"INSERT INTO {into} OVERRIDING SYSTEM VALUE SELECT {taken} FROM {source}", types)


def _update_many(shape: Shape, fields: Fields) -> Statement:
    matched = shape.key + shape.fixed
    source, types = _unnested(matched + fields)
    taken = _taken(matched + fields)
    pairs = zip(fields, taken[len(matched) :], strict=True)
    sets = ", ".join(f"{each.name} = {value}" for each, value in pairs)
    return Statement(f"UPDATE {shape.table} AS t SET {sets} FROM {source} WHERE {_matched(matched)}", types)


def _delete_many(shape: Shape) -> Statement:
    source, types = _unnested(shape.key)
    return Statement(f"DELETE FROM {shape.table} AS t USING {source} WHERE {_matched(shape.key)}", types)


def _delete_images(shape: Shape) -> Statement:
    source, types = _unnested(shape.fields, counted=True)
    wanted = f"SELECT ROW({', '.join(_taken(shape.fields))})::text AS image, sum(s.copies) AS copies FROM {source}"
    own = ", ".join(f"m.{each.name}" for each in shape.fields)
    numbered = (
        "SELECT m.tableoid AS part, m.ctid AS place, w.copies, row_number() OVER (PARTITION BY w.image) AS number "
        f"FROM ({wanted} GROUP BY 1) AS w JOIN {shape.table} AS m ON ROW({own})::text = w.image"
    )
    if shape.target.kind == "p":
        chosen = f"SELECT n.part, n.place FROM ({numbered}) AS n WHERE n.number <= n.copies"
        return Statement(f"DELETE FROM {shape.table} AS t WHERE (t.tableoid, t.ctid) IN ({chosen})", types)
    chosen = f"SELECT n.place FROM ({numbered}) AS n WHERE n.number <= n.copies"
    return Statement(f"DELETE FROM {shape.table} AS t WHERE t.ctid = ANY (ARRAY({chosen}))", types)


def _unnested(fields: Fields, *, counted: bool = False) -> tuple[str, tuple[int, ...]]:
    """A table ``s`` of ``c1`` … made of arrays, and the types of the parameters."""
    names = [f"c{number}" for number in range(1, len(fields) + 1)]
    types = [each.column.array_oid or _TEXTS for each in fields]
    if counted:
        names.append("copies")
        types.append(_INT4S)
    marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    return f"unnest({marks}) AS s({', '.join(names)})", tuple(types)


def _taken(fields: Fields) -> list[str]:
    """The values of ``_unnested``, as the columns' types."""
    numbered = enumerate(fields, 1)
    return [f"s.c{n}" if each.column.array_oid else f"s.c{n}::{each.column.type}" for n, each in numbered]


def _matched(fields: Fields) -> str:
    pairs = zip(fields, _taken(fields), strict=True)
    return " AND ".join(f"t.{each.name} {each.column.equals} {value}" for each, value in pairs)


def arrays(fields: Fields, rows: Sequence[Cells]) -> list[bytes | None]:
    """One array of each field's values, as the server reads arrays."""
    return [array([row[each.at] for row in rows]) for each in fields]


def array(cells: Sequence[Cell]) -> bytes:
    """A text array's literal: every value in quotes, NULL without."""
    try:
        plain = b'","'.join(cells)  # type: ignore[arg-type] # what is not bytes is told by the error
    except TypeError:
        return b"{%s}" % b",".join(map(_element, cells))
    if b"\\" in plain or plain.count(b'"') != 2 * (len(cells) - 1):
        return b"{%s}" % b",".join(map(_element, cells))
    return b'{"%s"}' % plain if cells else b"{}"


def _element(cell: Cell) -> bytes:
    value = _sent(cell)
    return b"NULL" if value is None else b'"%s"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _types(fields: Iterable[Field]) -> tuple[int, ...]:
    return tuple(each.column.type_oid for each in fields)


def _names(fields: Iterable[Field]) -> str:
    return ", ".join(each.name for each in fields)

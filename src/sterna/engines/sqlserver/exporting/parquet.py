"""Rows as Parquet, in exact types. Row groups are bounded in bytes, and no long value is held: memory is flat.

``datetime2(7)`` counts nanoseconds, which reach from 1677 to 2262: a column with a value beyond becomes text, and
the table is written again from its beginning.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, cast

from sterna.core.errors import BadData, Unsupported
from sterna.core.schema import Column, Kind, Type
from sterna.engines.sqlserver.exporting.apart import Sink, Value
from sterna.engines.sqlserver.exporting.texts import Unicode, encoded, text_of
from sterna.engines.sqlserver.wire.longs import Long
from sterna.engines.sqlserver.wire.moments import DAY, Instant, Time, Timestamp
from sterna.engines.sqlserver.wire.rows import Row

GROUP_BYTES = 16 << 20
GROUP_ROWS = 1 << 16
BATCH_BYTES = 4 << 20
BATCH_ROWS = 4096
EPOCH = 719_162
"""1970-01-01, in days from 0001-01-01."""
_LARGEST = 1 << 63

_OF_ANY_LENGTH = (Kind.TEXT, Kind.BINARY, Kind.XML, Kind.JSON, Kind.GEOMETRY, Kind.OTHER)

Convert = Callable[[object], object]


class Parquet:
    """Writes Parquet files. Raises Unsupported where pyarrow is not installed."""

    def __init__(self) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise Unsupported(
                "Parquet files are written by pyarrow, which is not installed", hint="pip install 'pyarrow>=18'"
            ) from None
        self._arrow: Any = pyarrow
        self._parquet: Any = pyarrow.parquet

    def write(
        self, file: BinaryIO, columns: Sequence[Column], rows: Callable[[], Iterable[Row]], unicode: Unicode
    ) -> None:
        """All rows, streamed; ``rows`` is asked again if a column has to become text.

        Raises BadData for values that are none of their type, and what reading raises.
        """
        as_text: set[int] = set()
        before = unicode.replaced
        while True:
            try:
                return self._write(file, columns, rows(), frozenset(as_text), unicode)
            except _BeyondError as far:
                as_text.add(far.column)
                unicode.replaced = before
                file.seek(0)
                file.truncate()

    def _write(
        self,
        file: BinaryIO,
        columns: Sequence[Column],
        rows: Iterable[Row],
        as_text: frozenset[int],
        unicode: Unicode,
    ) -> None:
        arrow = self._arrow
        types = [arrow.string() if n in as_text else self._type(column.type) for n, column in enumerate(columns)]
        converts = [
            text_of(column) if n in as_text else _convert(n, column, unicode) for n, column in enumerate(columns)
        ]
        schema = arrow.schema(
            [
                arrow.field(unicode.clean(column.name, column.name), kind, nullable=column.nullable)
                for column, kind in zip(columns, types, strict=True)
            ]
        )
        # Both keep copies of values; for values of any length neither is worth it.
        short = [
            field.name for field, column in zip(schema, columns, strict=True) if not _of_any_length(column.type)
        ]
        words = {"compression": "zstd", "use_dictionary": short or False, "write_statistics": short or False}
        sink = Sink(file)
        with self._parquet.ParquetWriter(sink, schema, **words) as writer:
            for number, group in enumerate(_groups(self._batches(schema, columns, converts, rows, unicode))):
                writer.write_table(arrow.Table.from_batches([each.rows for each in group], schema))
                for place, values in group[0].apart.items():
                    column = columns[place]
                    sink.put(arrow, number, place, values, column.nullable, column.name)
            sink.keep()
        sink.finish()

    def _batches(
        self,
        schema: Any,
        columns: Sequence[Column],
        converts: Sequence[Convert],
        rows: Iterable[Row],
        unicode: Unicode,
    ) -> Iterator["_Batch"]:
        for some in _some(rows, [n for n, column in enumerate(columns) if _may_be_long(column.type)]):
            arrays = []
            apart: dict[int, list[Value]] = {}
            for number, (column, kind, convert, values) in enumerate(
                zip(columns, schema, converts, zip(*some, strict=True), strict=True)
            ):
                try:
                    given = [None if value is None else convert(value) for value in values]
                    if any(type(value) is Long for value in values):
                        apart[number] = [_apart(value, column.name, unicode) for value in given]
                        given = [None if column.nullable else ""] * len(given)
                    arrays.append(self._arrow.array(given, kind.type))
                except (ValueError, OverflowError, self._arrow.ArrowException) as wrong:
                    raise BadData(f"column {column.name}: {wrong}") from wrong
            yield _Batch(self._arrow.record_batch(arrays, schema=schema), apart)

    def _type(self, kind: Type) -> Any:
        arrow = self._arrow
        match kind.kind:
            case Kind.BOOLEAN:
                return arrow.bool_()
            case Kind.INTEGER:
                return {8: arrow.uint8(), 16: arrow.int16(), 32: arrow.int32(), 64: arrow.int64()}[kind.bits]
            case Kind.DECIMAL:
                return arrow.decimal128(kind.precision, kind.scale)
            case Kind.FLOAT:
                return arrow.float32() if kind.bits == 32 else arrow.float64()
            case Kind.DATE:
                return arrow.date32()
            case Kind.TIME:
                return arrow.time64(_unit(kind))
            case Kind.TIMESTAMP:
                return arrow.timestamp(_unit(kind))
            case Kind.TIMESTAMP_ZONED:
                return arrow.timestamp(_unit(kind), "UTC")
            case Kind.BINARY | Kind.OTHER:
                return arrow.binary()
            case _:
                return arrow.string()


@dataclass(frozen=True)
class _Batch:
    """Some rows."""

    rows: Any
    """Of Arrow, with nothing in the columns that are written apart."""
    apart: Mapping[int, Sequence[Value]]
    """Those, by their numbers: the rows are a row group of their own if there are some."""


class _BeyondError(Exception):
    """A moment that nanoseconds do not reach."""

    def __init__(self, column: int) -> None:
        self.column = column
        super().__init__(column)


def _unit(kind: Type) -> str:
    return "ns" if kind.scale > 6 else "us"


def _convert(number: int, column: Column, unicode: Unicode) -> Convert:
    """From a value of the reader to what an Arrow array of the column's type takes."""
    fine = column.type.scale > 6
    match column.type.kind:
        case Kind.TIME:
            return lambda value: _scaled(cast(Time, value).ticks, fine)
        case Kind.TIMESTAMP | Kind.TIMESTAMP_ZONED:
            return lambda value: _moment(number, cast(Timestamp | Instant, value), fine)
        case Kind.UUID | Kind.VARIANT | Kind.TEXT | Kind.XML | Kind.JSON | Kind.GEOMETRY:
            return _texts(column, unicode)
        case _:
            return lambda value: value


def _scaled(ticks: int, fine: bool) -> int:
    return ticks * 100 if fine else ticks // 10


def _moment(column: int, value: Timestamp | Instant, fine: bool) -> int:
    found = _scaled((value.days - EPOCH) * DAY + value.ticks, fine)
    # Arrow takes the lowest number of all for a null.
    if not -_LARGEST < found < _LARGEST:
        raise _BeyondError(column)
    return found


def _apart(value: object, column: str, unicode: Unicode) -> Value:
    """A value of a column that is written apart."""
    if not isinstance(value, Long):
        return value.encode() if isinstance(value, str) else cast(bytes | None, value)
    if value.binary:
        return partial(iter, cast(Iterable[bytes], value))
    anew = unicode.once()

    def pieces() -> Iterator[bytes]:
        unicode = anew()
        return (encoded(cast(str, piece), column, unicode) for piece in value)

    return pieces


def _texts(column: Column, unicode: Unicode) -> Convert:
    to_text = text_of(column)

    def convert(value: object) -> object:
        if type(value) is Long:
            return value
        text = to_text(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            return unicode.clean(text, column.name)
        return text

    return convert


def _of_any_length(kind: Type) -> bool:
    return kind.length < 0 and kind.kind in _OF_ANY_LENGTH


def _may_be_long(kind: Type) -> bool:
    return not 0 <= kind.length <= 256 and kind.kind in _OF_ANY_LENGTH


def _some(rows: Iterable[Row], long: Sequence[int]) -> Iterator[list[Row]]:
    """A few rows at a time, bounded in bytes: with long values among them, as many as a row group has."""
    some: list[Row] = []
    size, most = 0, BATCH_BYTES
    for row in rows:
        some.append(row)
        for value in (row[n] for n in long):
            if type(value) is Long:
                size, most = size + value.size, GROUP_BYTES
            elif value is not None:
                size += len(cast(bytes | str, value))
        if len(some) >= BATCH_ROWS or size >= most:
            yield some
            some, size, most = [], 0, BATCH_BYTES
    if some:
        yield some


def _groups(batches: Iterable[_Batch]) -> Iterator[list[_Batch]]:
    """Batches for a row group each."""
    group: list[_Batch] = []
    size = rows = 0
    for batch in batches:
        if batch.apart:
            if group:
                yield group
            yield [batch]
            group, size, rows = [], 0, 0
            continue
        group.append(batch)
        size += batch.rows.nbytes
        rows += batch.rows.num_rows
        if size >= GROUP_BYTES or rows >= GROUP_ROWS:
            yield group
            group, size, rows = [], 0, 0
    if group:
        yield group

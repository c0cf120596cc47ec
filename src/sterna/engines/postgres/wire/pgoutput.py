"""pgoutput's messages, protocol 1, turned into values.

The layouts are PostgreSQL's documentation, "Logical Replication Message Formats". A stream of them is kept as
frames: four bytes of length (big-endian, without themselves), then the message as the server sent it. Values stay
bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct, error
from typing import Final, NamedTuple

from sterna.core.errors import BadData


class Unchanged:
    """Stands for a TOASTed value that an update did not touch, and that was therefore not sent."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged()

Cell = bytes | None | Unchanged
"""A value in its text form; None is NULL."""
Cells = list[Cell]


class Row(NamedTuple):
    """One row inserted, updated or deleted."""

    kind: str
    """``I``, ``U`` or ``D``."""
    relation: int
    old: Cells | None
    """What the row was: all of it, or its key with all else None; None: only the new row tells its key."""
    whole: bool
    """``old`` is the whole row (REPLICA IDENTITY FULL), not its key alone."""
    new: Cells | None
    """None for a delete."""


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column as the source's log describes it."""

    name: str
    key: bool
    """It belongs to the replica identity; with FULL every column does."""
    type_oid: int
    typmod: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it is from here on in the stream. Generated columns are not among its columns."""

    oid: int
    schema: str
    table: str
    identity: str
    """``d`` primary key, ``i`` an index, ``f`` the full row, ``n`` nothing."""
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction begins; ``lsn`` is where its commit stands in the source's log."""

    lsn: int
    time_us: int
    """Of the commit, microseconds since 2000-01-01 UTC."""
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """It ends; ``end`` is the position behind it."""

    lsn: int
    end: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction came to the source from elsewhere."""

    lsn: int
    name: str


@dataclass(frozen=True, slots=True)
class Type:
    """The name of a type that is not built in."""

    oid: int
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Truncation:
    """Tables were emptied by one statement."""

    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody called ``pg_logical_emit_message``."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


Message = Row | Relation | Begin | Commit | Origin | Type | Truncation | Said

_LENGTH = Struct(">I")
_OID = Struct(">I")
_COUNT = Struct(">H")
_LSN = Struct(">Q")
_BEGIN = Struct(">QqI")
_COMMIT = Struct(">BQQq")
_COLUMN = Struct(">Ii")
_MESSAGE = Struct(">BQ")

MOST_COLUMNS = 1664
"""More than any table of PostgreSQL can have."""


def frames(data: bytes) -> Iterator[bytes]:
    """The messages of a run of frames. Raises BadData if the last one is cut short."""
    at, size = 0, len(data)
    while at < size:
        if size - at < 4:
            raise BadData("A frame of the source's log ends within its length")
        start = at + 4
        at = start + _LENGTH.unpack_from(data, at)[0]
        if at > size:
            raise BadData("A frame of the source's log is cut short")
        yield data[start:at]


def framed(messages: Iterator[bytes] | list[bytes]) -> bytes:
    """The reverse of ``frames``."""
    return b"".join(part for each in messages for part in (_LENGTH.pack(len(each)), each))


def messages(data: bytes) -> Iterator[Message]:
    """Decode a run of frames. Raises BadData."""
    return map(decode, frames(data))


Change = Row | Relation | Type | Truncation
_FRAMING = frozenset(b"BCOM")
"""Messages that say nothing about rows: where transactions begin and end, and what others said."""


def changes(data: bytes) -> list[Change]:
    """The messages of a run of frames that say something about rows. Raises BadData."""
    found: list[Change] = []
    at, size = 0, len(data)
    while at < size:
        start = at + 4
        if start < size:
            at = start + _LENGTH.unpack_from(data, at)[0]
        if not start < at <= size:
            raise BadData("A frame of the source's log is cut short")
        if data[start] not in _FRAMING:
            found.append(_change(data[start:at]))
    return found


def _change(message: bytes) -> Change:
    value = decode(message)
    if isinstance(value, Begin | Commit | Origin | Said):
        raise BadData("A frame of the source's log is malformed")
    return value


def decode(message: bytes) -> Message:
    """One message. Raises BadData for one that is unknown, cut short or too long."""
    try:
        reader = _READERS[message[:1]]
    except KeyError:
        raise BadData(f"The source's log holds a message of unknown kind {message[:1]!r}") from None
    try:
        value, end = reader(message)
    except (error, IndexError, UnicodeDecodeError, ValueError) as problem:
        raise BadData(
            f"The source's log holds a malformed message of kind {message[:1]!r}: {problem}"
        ) from problem
    if end != len(message):
        raise BadData(f"The source's log holds a message of kind {message[:1]!r} of the wrong length")
    return value


def _insert(message: bytes) -> tuple[Row, int]:
    if message[5] != _NEW:
        raise ValueError("an insert without its row")
    new, end = _cells(message, 6)
    return Row("I", _OID.unpack_from(message, 1)[0], None, False, new), end


def _update(message: bytes) -> tuple[Row, int]:
    old: Cells | None = None
    at, kind = 5, message[5]
    if kind in (_KEY, _OLD):
        old, at = _cells(message, 6)
    if message[at] != _NEW:
        raise ValueError("an update without its new row")
    new, end = _cells(message, at + 1)
    return Row("U", _OID.unpack_from(message, 1)[0], old, kind == _OLD, new), end


def _delete(message: bytes) -> tuple[Row, int]:
    kind = message[5]
    if kind not in (_KEY, _OLD):
        raise ValueError("a delete without its row")
    old, end = _cells(message, 6)
    return Row("D", _OID.unpack_from(message, 1)[0], old, kind == _OLD, None), end


_NEW, _KEY, _OLD = b"NKO"
_TEXT, _NULL, _TOAST = b"tnu"


def _cells(message: bytes, at: int) -> tuple[Cells, int]:
    """A row's values from ``at`` on, and where they end."""
    count = _COUNT.unpack_from(message, at)[0]
    at += 2
    cells: Cells = []
    for _ in range(count):
        kind = message[at]
        if kind == _TEXT:
            start = at + 5
            at = start + _LENGTH.unpack_from(message, at + 1)[0]
            if at > len(message):
                raise ValueError("a value is cut short")
            cells.append(message[start:at])
            continue
        if kind == _NULL:
            cells.append(None)
        elif kind == _TOAST:
            cells.append(UNCHANGED)
        else:
            raise ValueError(f"a value of unknown form {kind:#x}")
        at += 1
    return cells, at


def _relation(message: bytes) -> tuple[Relation, int]:
    oid = _OID.unpack_from(message, 1)[0]
    schema, at = _string(message, 5)
    table, at = _string(message, at)
    identity, count = chr(message[at]), _COUNT.unpack_from(message, at + 1)[0]
    if identity not in "dfin" or count > MOST_COLUMNS:
        raise ValueError(f"a table with identity {identity!r} and {count} columns")
    at += 3
    columns = []
    for _ in range(count):
        flags = message[at]
        name, at = _string(message, at + 1)
        type_oid, typmod = _COLUMN.unpack_from(message, at)
        at += 8
        columns.append(RelationColumn(name, bool(flags & 1), type_oid, typmod))
    return Relation(oid, schema or "pg_catalog", table, identity, tuple(columns)), at


def _begin(message: bytes) -> tuple[Begin, int]:
    return Begin(*_BEGIN.unpack_from(message, 1)), 21


def _commit(message: bytes) -> tuple[Commit, int]:
    _, lsn, end, time = _COMMIT.unpack_from(message, 1)
    return Commit(lsn, end, time), 26


def _origin(message: bytes) -> tuple[Origin, int]:
    name, end = _string(message, 9)
    return Origin(_LSN.unpack_from(message, 1)[0], name), end


def _type(message: bytes) -> tuple[Type, int]:
    schema, at = _string(message, 5)
    name, end = _string(message, at)
    return Type(_OID.unpack_from(message, 1)[0], schema or "pg_catalog", name), end


def _truncate(message: bytes) -> tuple[Truncation, int]:
    count, flags = _OID.unpack_from(message, 1)[0], message[5]
    end = 6 + 4 * count
    if end != len(message):
        raise ValueError("a list of tables of the wrong length")
    relations = tuple(_OID.unpack_from(message, at)[0] for at in range(6, end, 4))
    return Truncation(relations, bool(flags & 1), bool(flags & 2)), end


def _said(message: bytes) -> tuple[Said, int]:
    flags, lsn = _MESSAGE.unpack_from(message, 1)
    prefix, at = _string(message, 10)
    end = at + 4 + _LENGTH.unpack_from(message, at)[0]
    return Said(bool(flags & 1), lsn, prefix, message[at + 4 : end]), end


def _string(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(b"\0", at)
    return message[at:end].decode(), end + 1


_READERS: dict[bytes, Callable[[bytes], tuple[Message, int]]] = {
    b"I": _insert,
    b"U": _update,
    b"D": _delete,
    b"R": _relation,
    b"B": _begin,
    b"C": _commit,
    b"O": _origin,
    b"Y": _type,
    b"T": _truncate,
    b"M": _said,
}

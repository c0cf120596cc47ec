"""One record of the log done to one page, or taken back: exactly, or not at all.

What a record of the log says was there before has to be there; anything else raises ValueError, and the page is of
no more use then. What is known of the operations was found in real logs of 2008 R2 (inserts, changes, splits,
allocation), or is by their public names (deletes, ghosts).
"""

import struct
from collections.abc import Callable

from sterna.engines.sqlserver.wire.base import PAGE
from sterna.engines.sqlserver.wire.logrecords import Change
from sterna.engines.sqlserver.wire.rowpage import COMPRESSED_RECORD, HEAD, TEXT_PAGES, RowPage, size_of

FORMAT, INSERT, DELETE, MODIFY, MODIFYHEADER, MODIFY_COLUMNS, SET_BITS = 1, 2, 3, 4, 5, 6, 7
FREE_SPACE, DELETE_SPLIT, EXPUNGE, POINTERS = 0xA, 0xB, 0xD, 0x13

HEAP, CLUSTERED, INDEX_LEAF, INDEX_INTERIOR, TEXT_MIX, TEXT_TREE = 1, 2, 3, 4, 5, 6
GAM, SGAM, IAM, PFS, IDENTITY, OBJECT_ID, FILEHEADER, SCHEMA_VERSION = 8, 9, 10, 11, 12, 13, 0x11, 0x12
GHOST, BOOT, SYSTEM_CONFIGURATION, BOOT_CHECKPOINT, DIFFERENTIAL_MAP, BULK_MAP = 0x13, 0x14, 0x15, 0x17, 0x18, 0x19

OF_NO_ROWS = frozenset(
    {INDEX_LEAF, INDEX_INTERIOR, GAM, SGAM, OBJECT_ID, FILEHEADER, SCHEMA_VERSION, BOOT}
    | {SYSTEM_CONFIGURATION, BOOT_CHECKPOINT, DIFFERENTIAL_MAP, BULK_MAP}
)
"""Contexts of pages that are not looked at for a table's rows."""
_STABLE = (HEAP, TEXT_MIX, TEXT_TREE)
"""Here a record keeps its slot; elsewhere the slots behind it move."""
_ORDERED = (CLUSTERED, IDENTITY, GHOST)

INDEX_PAGE = 2
_DATA, _MAP = 1, 10
_COMPRESSED_PAGE = 0x80
_GHOST_DATA = 6
_FIRST_PAGE, _FIRST_MAP = 27, 39
"""Places in a row of sysallocunits."""


def formatted(change: Change) -> bytes:
    """The fresh page that FORMAT_PAGE makes. Raises ValueError for kinds of pages that are not known."""
    kind, flags = change.data[0x30], change.data[0x31]
    if kind not in (_DATA, INDEX_PAGE, *TEXT_PAGES, _MAP) or flags & _COMPRESSED_PAGE:
        raise ValueError(f"a page of type {kind} was made with contents")
    if len(change.data) > change.number(2) + 2 and any(change.elements()):
        raise ValueError("a page was made with contents")
    file, page = change.place
    head = bytearray(HEAD)
    head[:4] = bytes((1, kind, flags, change.data[0x32]))
    head[6:8] = change.bytes_at(0x2E, 2)
    head[8:14] = change.bytes_at(0x34, 6)
    head[14:16] = change.bytes_at(0x3A, 2)
    head[16:22] = change.bytes_at(0x3C, 6)
    head[24:28] = change.bytes_at(0x20, 4)
    struct.pack_into("<IH", head, 32, page, file)
    if kind != _MAP:
        return RowPage(head, []).render()
    return _fresh_map(head, change)


def _fresh_map(head: bytearray, change: Change) -> bytes:
    """An allocation map: a record of where it begins and of single pages, and one of bits."""
    first = bytearray(94)
    struct.pack_into("<BBH", first, 0, 0, 0, 94)
    first[40:46] = change.bytes_at(0x44, 6)
    bits = bytearray(7992)
    struct.pack_into("<BBH", bits, 0, 0, 0, 7992)
    return RowPage(head, [bytes(first), bytes(bits)]).render()


def shift_of(change: Change) -> tuple[int, int] | None:
    """From which slot on the change moves records of a page in order, and by how much; None: it moves none."""
    if change.context not in _ORDERED:
        return None
    if change.operation == INSERT:
        return change.slot, len(_rows(change))
    if change.operation == DELETE and change.context != GHOST:
        return change.slot, -1
    if change.operation == EXPUNGE:
        return change.slot, -1
    if change.operation == DELETE_SPLIT:
        return change.slot, -change.number(0x36)
    return None


def apply(page: RowPage, change: Change) -> None:
    """Do the change to a page of records. Raises ValueError."""
    _DO[change.operation if change.operation in _DO else None](page, change, change.slot)


def take_back(page: RowPage, change: Change, slot: int) -> None:
    """Undo the change to a page of records; ``slot``: where the record lies by now. Raises ValueError."""
    _UNDO[change.operation if change.operation in _UNDO else None](page, change, slot)


def _unknown(page: RowPage, change: Change, slot: int) -> None:
    raise ValueError(f"operation {change.operation:#x} in context {change.context} is not known")


def _rows(change: Change) -> list[bytes]:
    """The rows of an insert: all elements but the last two, which are of the locks."""
    elements = change.elements()
    rows = elements[:-2] if len(elements) > 2 else elements[:1]
    if not rows or not all(rows):
        raise ValueError("an insert without a row")
    return rows


def _insert(page: RowPage, change: Change, slot: int) -> None:
    rows = _rows(change)
    if any(not row[0] & COMPRESSED_RECORD and size_of(row, 0, page.head[1]) != len(row) for row in rows):
        raise ValueError("an inserted row is not as long as it says")
    if change.context in _STABLE:
        if len(rows) != 1:
            raise ValueError("several rows were inserted at once")
        _put(page, slot, rows[0])
    elif change.context in _ORDERED:
        if slot > len(page.records):
            raise ValueError(f"a record was inserted at {slot} of {len(page.records)}")
        page.records[slot:slot] = rows
    else:
        _unknown(page, change, slot)


def _put(page: RowPage, slot: int, record: bytes) -> None:
    """Into a slot that has to be empty."""
    if slot >= PAGE // 2:
        raise ValueError(f"slot {slot} cannot be")
    page.records.extend([None] * (slot + 1 - len(page.records)))
    if page.records[slot] is not None:
        raise ValueError(f"record {slot} is there already")
    page.records[slot] = record


def _delete(page: RowPage, change: Change, slot: int) -> None:
    _expect(page.at(slot), 0, change.elements()[0])
    if change.context in _STABLE:
        page.records[slot] = None
    elif change.context == GHOST:
        page.records[slot] = _as_ghost(page.at(slot))
    elif change.context in _ORDERED:
        del page.records[slot]
    else:
        _unknown(page, change, slot)


def _as_ghost(record: bytes) -> bytes:
    if record[0] & COMPRESSED_RECORD:
        return bytes((record[0] & ~0x1C | 3 << 2,)) + record[1:]
    return bytes((record[0] & ~0x0E | _GHOST_DATA << 1,)) + record[1:]


def _expunge(page: RowPage, change: Change, slot: int) -> None:
    record = page.at(slot)
    ghost = record[0] >> 2 & 7 in (1, 3) if record[0] & COMPRESSED_RECORD else record[0] >> 1 & 7 in (5, 6, 7)
    if change.context not in _ORDERED or not ghost:
        raise ValueError(f"record {slot} was cleared away, and is no ghost")
    del page.records[slot]


def _expect(record: bytes, at: int, before: bytes) -> None:
    if record[at : at + len(before)] != before:
        raise ValueError("what was on the page before a change is not what the log says")


def _replace(record: bytes, at: int, before: bytes, after: bytes) -> bytes:
    if at > len(record):
        raise ValueError("a change lies beyond its record")
    _expect(record, at, before)
    return record[:at] + after + record[at + len(before) :]


def _images(change: Change) -> tuple[bytes, bytes]:
    elements = change.elements()
    if len(elements) < 2:
        raise ValueError("a change does not say what it changed")
    return elements[0], elements[1]


def _modify(page: RowPage, change: Change, slot: int) -> None:
    before, after = _images(change)
    page.records[slot] = _replace(page.at(slot), change.number(0x38), before, after)


def _modify_back(page: RowPage, change: Change, slot: int) -> None:
    before, after = _images(change)
    page.records[slot] = _replace(page.at(slot), change.number(0x38), after, before)


def _pieces(change: Change) -> list[tuple[int, int, bytes, bytes]]:
    """Places before and after, and what was there before and after."""
    elements = change.elements()
    count = len(elements[0]) // 4 if elements else 0
    if not count or len(elements) != 4 + 2 * count:
        raise ValueError("a change of several columns is not made as it should be")
    places = struct.unpack(f"<{2 * count}H", elements[0][: 4 * count])
    return [
        (places[2 * piece], places[2 * piece + 1], elements[4 + 2 * piece], elements[5 + 2 * piece])
        for piece in range(count)
    ]


def _modify_columns(page: RowPage, change: Change, slot: int) -> None:
    page.records[slot] = _rebuilt(page.at(slot), _pieces(change))


def _modify_columns_back(page: RowPage, change: Change, slot: int) -> None:
    pieces = [(after, before, new, old) for before, after, old, new in _pieces(change)]
    page.records[slot] = _rebuilt(page.at(slot), pieces)


def _rebuilt(record: bytes, pieces: list[tuple[int, int, bytes, bytes]]) -> bytes:
    made, read = bytearray(), 0
    for before, after, old, new in pieces:
        made += record[read:before]
        if before < read or len(made) != after:
            raise ValueError("the pieces of a change do not fit together")
        _expect(record, before, old)
        made += new
        read = before + len(old)
    return bytes(made + record[read:])


def _modify_header(page: RowPage, change: Change, slot: int) -> None:
    before, after = _images(change)
    _in_header(page, change.number(0x38), before, after)


def _modify_header_back(page: RowPage, change: Change, slot: int) -> None:
    before, after = _images(change)
    _in_header(page, change.number(0x38), after, before)


def _in_header(page: RowPage, at: int, before: bytes, after: bytes) -> None:
    if len(before) != len(after) or at + len(after) > HEAD:
        raise ValueError("a change lies beyond the header of its page")
    _expect(bytes(page.head), at, before)
    page.head[at : at + len(after)] = after


def _delete_split(page: RowPage, change: Change, slot: int) -> None:
    if len(page.records) - slot != change.number(0x36):
        raise ValueError("a page was split at another place than the log says")
    del page.records[slot:]


def _set_pointers(page: RowPage, change: Change, slot: int) -> None:
    """A row of sysallocunits gets other first pages. That of the root is not kept up: nothing here reads it."""
    record = bytearray(page.at(slot))
    which = change.number(0x30)
    if len(record) < _FIRST_MAP + 6:
        raise ValueError("a row of allocation units is too short")
    if which == 1:
        record[_FIRST_PAGE : _FIRST_PAGE + 6] = change.bytes_at(0x48, 6)
    elif which == 2:
        record[_FIRST_MAP : _FIRST_MAP + 6] = change.bytes_at(0x48, 6)
    else:
        raise ValueError(f"pointers of kind {which} were changed")
    page.records[slot] = bytes(record)


def _insert_back(page: RowPage, change: Change, slot: int) -> None:
    rows = _rows(change)
    for row in rows:
        _expect(page.at(slot), 0, row)
        if change.context in _STABLE:
            page.records[slot] = None
        else:
            del page.records[slot]


def _delete_back(page: RowPage, change: Change, slot: int) -> None:
    row = change.elements()[0]
    if change.context in _STABLE:
        _put(page, slot, row)
    elif change.context == GHOST:
        _expect(page.at(slot), 0, _as_ghost(row))
        page.records[slot] = row
    elif change.context in _ORDERED and slot <= len(page.records):
        page.records.insert(slot, row)
    else:
        _unknown(page, change, slot)


def _nothing(page: RowPage, change: Change, slot: int) -> None:
    """A page that was made and is not allocated is of no account."""


_Act = Callable[[RowPage, Change, int], None]
_DO: dict[int | None, _Act] = {
    INSERT: _insert,
    DELETE: _delete,
    MODIFY: _modify,
    MODIFYHEADER: _modify_header,
    MODIFY_COLUMNS: _modify_columns,
    DELETE_SPLIT: _delete_split,
    EXPUNGE: _expunge,
    POINTERS: _set_pointers,
    None: _unknown,
}
_UNDO: dict[int | None, _Act] = {
    FORMAT: _nothing,
    INSERT: _insert_back,
    DELETE: _delete_back,
    MODIFY: _modify_back,
    MODIFYHEADER: _modify_header_back,
    MODIFY_COLUMNS: _modify_columns_back,
    None: _unknown,
}


def apply_to_map(page: bytes, change: Change, back: bool = False) -> bytes:
    """Do a change to a page that tells of space (PFS) or allocation (IAM), or take it back. Raises ValueError."""
    whole = bytearray(page)
    if change.operation == MODIFYHEADER:
        before, after = _images(change)
        _in_bytes(whole, change.number(0x38), before, after, back)
        return bytes(whole)
    start = struct.unpack_from("<H", page, PAGE - 2 * change.slot - 2)[0] if change.slot < 2 else 0
    if start < HEAD:
        raise ValueError(f"there is no record {change.slot}")
    if change.operation == MODIFY:
        before, after = _images(change)
        _in_bytes(whole, start + change.number(0x38), before, after, back)
    elif change.operation == SET_BITS:
        _set_bits(whole, start, change, back)
    elif change.operation == FREE_SPACE:
        new, old = change.bytes_at(0x32, 1), change.bytes_at(0x33, 1)
        _in_bytes(whole, start + change.number(0x30), old, new, back)
    else:
        raise ValueError(f"operation {change.operation:#x} in context {change.context} is not known")
    return bytes(whole)


def _in_bytes(page: bytearray, at: int, before: bytes, after: bytes, back: bool) -> None:
    if back:
        before, after = after, before
    if len(before) != len(after) or at + len(after) > PAGE:
        raise ValueError("a change lies beyond its page")
    if page[at : at + len(before)] != before:
        raise ValueError("what was on the page before a change is not what the log says")
    page[at : at + len(after)] = after


def _set_bits(page: bytearray, start: int, change: Change, back: bool) -> None:
    first, count, value = change.number(0x30), change.number(0x32), bool(change.number(0x34)) != back
    if start + (first + count + 7) // 8 > PAGE:
        raise ValueError("bits lie beyond their page")
    for bit in range(first, first + count):
        at, mask = start + bit // 8, 1 << bit % 8
        page[at] = page[at] | mask if value else page[at] & ~mask

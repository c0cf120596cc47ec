"""The system base tables, from which everything about a database is learnt: how their rows lie on their pages.

They are read without any catalogue: their columns are known here by heart, and later versions of SQL Server only
add columns behind these. The facts come from real files of 2005 to 2025, in which syscolpars tells of them too.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from sys import intern
from typing import Protocol

from sterna.core.errors import BadData

PAGE = 8192
DATA_PAGE = 1
MOST_PAGES = 1 << 22
"""More pages than any real catalogue has (32 GB): beyond it, a chain is taken for a forgery."""

Pointer = tuple[int, int]
"""File and page; (0, 0): none."""
_END = struct.Struct("<H")


class Pages(Protocol):
    """Pages by their place, as the backup holds them."""

    def page(self, file_id: int, page_id: int) -> bytes:
        """8192 bytes, torn bits undone. Raises BadData for a page that is not there."""
        ...

    def has(self, file_id: int, page_id: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a base table."""

    name: str
    offset: int
    """From the record's start; negative: the variable column of that number, from 1 on."""
    size: int = 0
    number: bool = False
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns of a base table by their names."""

    every: Mapping[str, Field]
    numbers: Mapping[str, tuple[Callable[[bytes, int], tuple[int, ...]], int, int]]
    """How to read it, from where, and where it ends."""


class Row:
    """One row, as its record has it: a catalogue may have a million. What it does not have is 0 or empty."""

    __slots__ = ("_fields", "_record")

    def __init__(self, record: bytes, fields: Fields) -> None:
        """``record``: up to the end of its last value. Raises struct.error or IndexError for one that is cut."""
        self._record = record
        self._fields = fields

    def __getitem__(self, name: str) -> int:
        found = self._fields.numbers.get(name)
        if found is None:
            return 0
        read, start, end = found
        record = self._record
        return read(record, start)[0] if end <= record[2] | record[3] << 8 else 0

    def text(self, name: str) -> str:
        """Names come again and again: each is in memory once."""
        return intern(self.raw(name).decode("utf-16-le", "replace"))

    def raw(self, name: str) -> bytes:
        field = self._fields.every.get(name)
        if field is None:
            return b""
        if field.offset > 0:
            end = field.offset + field.size
            return self._record[field.offset : end] if end <= _END.unpack_from(self._record, 2)[0] else b""
        ends, start = _variable(self._record)
        number = -field.offset - 1
        if number >= len(ends):
            return b""
        return self._record[(ends[number - 1] & 0x7FFF) if number else start : ends[number] & 0x7FFF]

    def is_elsewhere(self, name: str) -> bool:
        """Whether its data is a pointer to where the value lies."""
        field = self._fields.every.get(name)
        ends, _ = _variable(self._record)
        number = -field.offset - 1 if field else -1
        return 0 <= number < len(ends) and ends[number] & 0x8000 != 0

    def pointer(self, name: str) -> Pointer:
        """A page's place."""
        return pointer(self.raw(name).ljust(6, b"\0"), 0)


_NUMBERS = {"i8": (8, True), "i4": (4, True), "i2": (2, True), "u1": (1, False)}
_FORMS = {(8, True): "<q", (4, True): "<i", (2, True): "<h", (1, False): "<B"}
_FIXED = {"dt": 8, "p6": 6, "c2": 2, "b16": 16}


def fields(description: str) -> tuple[Field, ...]:
    """``id i4, name nv, …`` as places in a record: fixed columns from byte 4 on, variable ones by their number."""
    found: list[Field] = []
    offset, variable = 4, 0
    for piece in description.split(","):
        name, form = piece.split()
        if form in _NUMBERS:
            size, signed = _NUMBERS[form]
            found.append(Field(name, offset, size, True, signed))
            offset += size
        elif form in _FIXED:
            found.append(Field(name, offset, _FIXED[form]))
            offset += _FIXED[form]
        else:
            variable += 1
            found.append(Field(name, -variable))
    return tuple(found)


ROWSET_COLUMNS, ROWSET_COLUMNS_2005, ROWSETS, UNITS, COLUMNS_2005 = 3, 4, 5, 7, 13
ROWSET_VALUES = 9
"""From 2012 on."""
FILE_GROUPS, OBJECTS, COLUMNS, PROPERTIES, TYPES, INDEXES = 23, 34, 41, 49, 50, 54
INDEX_COLUMNS, VALUES, CLASSES, REFERENCES = 55, 60, 64, 74

DESCRIPTIONS = {
    ROWSET_COLUMNS: "rsid i8, rscolid i4, hbcolid i4, rcmodified i8, ti i4, cid i4, ordkey i2, maxinrowlen i2,"
    "status i4, offset i4, nullbit i4, bitpos i2, colguid vb",
    ROWSET_COLUMNS_2005: "rowsetid i8, rowsetcolid i4, hobtcolid i4, status i4, rcmodified i8, maxinrowlen i2",
    ROWSETS: "rowsetid i8, ownertype u1, idmajor i4, idminor i4, numpart i4, status i4, fgidfs i2, rcrows i8,"
    "cmprlevel u1",
    UNITS: "auid i8, type u1, ownerid i8, status i4, fgid i2, pgfirst p6, pgroot p6, pgfirstiam p6, pcused i8,"
    "pcdata i8, pcreserved i8",
    COLUMNS_2005: "hobtid i8, hobtcolumnid i4, status i4, ordkey i2, xtype u1, length i2, prec u1, scale u1,"
    "collationid i4, offsetleaf i2, offsetint i2, bitposleaf u1, bitposint u1, nullbitleaf i2, nullbitint i2",
    ROWSET_VALUES: "valclass u1, id i8, subid i8, valnum i4, value sv, imageval lob",
    FILE_GROUPS: "dbfragid i4, phfgid i4, fgid i4, type c2, fgguid b16, lgfgid i4, status i4, name nv",
    OBJECTS: "id i4, name nv, nsid i4, nsclass u1, status i4, type c2, pid i4, pclass u1, intprop i4,"
    "created dt, modified dt, status2 i4",
    COLUMNS: "id i4, number i2, colid i4, name nv, xtype u1, utype i4, length i2, prec u1, scale u1,"
    "collationid i4, status i4, maxinrow i2, xmlns i4, dflt i4, chk i4, idtval vb",
    PROPERTIES: "class u1, id i4, subid i4, name nv, value sv",
    TYPES: "id i4, schid i4, name nv, xtype u1, length i2, prec u1, scale u1, collationid i4, status i4,"
    "created dt, modified dt, dflt i4, chk i4",
    INDEXES: "id i4, indid i4, name nv, status i4, intprop i4, fillfact u1, type u1, tinyprop u1, dataspace i4,"
    "lobds i4, rowset i8",
    INDEX_COLUMNS: "idmajor i4, idminor i4, subid i4, status i4, intprop i4, tinyprop1 u1, tinyprop2 u1",
    VALUES: "valclass u1, objid i4, subobjid i4, valnum i4, value sv, imageval lob",
    CLASSES: "class u1, id i4, name nv, status i4, type c2, intprop i4, created dt, modified dt",
    REFERENCES: "class u1, depid i4, depsubid i4, indepid i4, indepsubid i4, status i4",
}
FIELDS = {table: fields(text) for table, text in DESCRIPTIONS.items()}
KNOWN_ROWSETS = frozenset((ROWSET_COLUMNS, ROWSET_COLUMNS_2005, ROWSETS, UNITS, COLUMNS_2005))
"""Tables whose rowset is their id << 16."""


def pointer(data: bytes, at: int) -> Pointer:
    """The page pointer at that place."""
    page, file = struct.unpack_from("<IH", data, at)
    return file, page


def slots(page: bytes) -> Iterator[int]:
    """Where the records of a page begin. Raises BadData for places outside the page."""
    count: int = struct.unpack_from("<H", page, 22)[0]
    if count > (PAGE - 96) // 2:
        raise BadData(f"A page of the catalogue says that it has {count} records.")
    for offset in reversed(struct.unpack_from(f"<{count}H", page, PAGE - 2 * count)):
        if offset >= PAGE - 2 * count:
            raise BadData(f"A record of the catalogue begins at byte {offset} of its page.")
        if offset >= 96:
            yield offset


def rows(page: bytes, columns: tuple[Field, ...]) -> Iterator[Row]:
    """The rows of a page of a base table. Raises BadData."""
    fields = _named(columns)
    for start in slots(page):
        if page[start] >> 1 & 7 in (0, 1):
            try:
                yield _row(page, start, fields)
            except (struct.error, IndexError) as wrong:
                raise BadData("A record of the catalogue does not fit in its page.") from wrong


def _row(page: bytes, start: int, fields: Fields) -> Row:
    end: int = _END.unpack_from(page, start + 2)[0]
    if not 4 <= end <= PAGE - start:
        raise IndexError
    ends, after = _variable(page, start)
    last = max((each & 0x7FFF for each in ends), default=0)
    return Row(page[start : start + max(after, last)], fields)


def _variable(data: bytes, start: int = 0) -> tuple[tuple[int, ...], int]:
    """The ends of the variable columns of the record that begins there, and where the first of them begins."""
    end: int = _END.unpack_from(data, start + 2)[0]
    status, at = data[start], start + end
    if status & 0x10:
        at += 2 + (int.from_bytes(data[at : at + 2], "little") + 7) // 8
    if not status & 0x20:
        return (), at - start
    count: int = _END.unpack_from(data, at)[0]
    return struct.unpack_from(f"<{count}H", data, at + 2), at + 2 + 2 * count - start


@cache
def _named(columns: tuple[Field, ...]) -> Fields:
    numbers = {
        field.name: (
            struct.Struct(_FORMS[field.size, field.signed]).unpack_from,
            field.offset,
            field.offset + field.size,
        )
        for field in columns
        if field.number
    }
    return Fields({field.name: field for field in columns}, numbers)


def chain(pages: Pages, first: Pointer) -> Iterator[bytes]:
    """Pages by their ``next``. Raises BadData for one that was there before, or is no page of rows."""
    seen: set[Pointer] = set()
    place = first
    while place != (0, 0):
        if place in seen or len(seen) > MOST_PAGES:
            raise BadData(f"The chain of pages from {first[0]}:{first[1]} comes back to {place[0]}:{place[1]}.")
        seen.add(place)
        page = pages.page(*place)
        if page[1] != DATA_PAGE or page[3]:
            raise BadData(
                f"Page {place[0]}:{place[1]} should hold rows of a base table, and is of type {page[1]}."
            )
        yield page
        place = pointer(page, 16)


def rows_of(found: Iterable[bytes], columns: tuple[Field, ...]) -> Iterator[Row]:
    """The rows of these pages."""
    for page in found:
        yield from rows(page, columns)

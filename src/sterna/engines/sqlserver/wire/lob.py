"""Values that do not lie in their row: the pointers in the row, and the trees of pages they lead to.

A pointer is 16 bytes (text, ntext, image, and MAX types "out of row"), or a root in the row whose first byte is 2
(a column pushed out of a row that was too long) or 4 (a MAX type). Both lead to records of kind "fragment" on
pages of type 3 and 4.
"""

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire.records import FRAGMENT, HEADER, PAGE, where

Fetch = Callable[[int, int], bytes]
"""(page, file) -> the 8192 bytes of that page."""

LARGEST = 512 << 20
"""Bytes of the largest value that is read; a larger one is refused."""
_DEEPEST = 12
_SMALL, _INTERNAL, _DATA, _OLD_ROOT, _ROOT, _NULL = 0, 2, 3, 4, 5, 8


class Place(NamedTuple):
    page: int
    file: int
    slot: int


class Link(NamedTuple):
    """One step down, and the size of the value up to its end."""

    upto: int
    place: Place


def whole(pointer: bytes, fetch: Fetch) -> bytes | None:
    """The value that a pointer leads to; None: it is null.

    Raises ValueError for bytes that are no pointer or no such tree, BadData for a page that is not there,
    Unsupported for a value of more than 512 MB.
    """
    found = pieces(pointer, fetch)
    return None if found is None else b"".join(found)


def pieces(pointer: bytes, fetch: Fetch) -> Iterator[bytes] | None:
    """The same piece by piece, some KB each; they raise the same."""
    place = _far(pointer)
    if place is None:
        return _Walk(fetch).through(_near(pointer), _DEEPEST)
    return _Walk(fetch).below(place, _DEEPEST) if place != _NOWHERE else None


def size(pointer: bytes, fetch: Fetch) -> int:
    """How many bytes it has; 0 where it lies in a single record. Raises as ``whole`` does."""
    place = _far(pointer)
    if place == _NOWHERE:
        return 0
    links = _near(pointer) if place is None else _links_of(fragment(fetch(place.page, place.file), place.slot))
    return links[-1].upto if links else 0


_NOWHERE = Place(0, 0, 0)


def _far(pointer: bytes) -> Place | None:
    """Where a pointer of 16 bytes leads; None: it is of the other form."""
    if len(pointer) != 16:
        return None
    page, file, slot = struct.unpack_from("<IHH", pointer, 8)
    return Place(page, file, slot) if page or file else _NOWHERE


def _near(pointer: bytes) -> list[Link]:
    """What a root within the row leads to."""
    if len(pointer) < 12 or pointer[0] not in (2, 4) or (len(pointer) - 12) % 12:
        raise ValueError(f"{len(pointer)} bytes that are no pointer to a value")
    return _links(pointer, 12, (len(pointer) - 12) // 12, "<IIHH")


def _links_of(record: bytes) -> list[Link]:
    """What a record leads to; nothing: it holds a value, or none."""
    kind = struct.unpack_from("<H", record, 12)[0]
    if kind in (_DATA, _SMALL, _NULL):
        return []
    if kind not in (_INTERNAL, _OLD_ROOT, _ROOT) or len(record) < 20:
        raise ValueError(f"a part of a value has the kind {kind}")
    count = struct.unpack_from("<H", record, 16)[0]
    form, start = ("<QIHH", 20) if kind == _INTERNAL else ("<IIHH", 24)
    return _links(record, start, count, form)


def _links(data: bytes, start: int, count: int, form: str) -> list[Link]:
    size = struct.calcsize(form)
    if start + count * size > len(data):
        raise ValueError("the list of a value's parts is cut off")
    parts = (struct.unpack_from(form, data, start + i * size) for i in range(count))
    links = [Link(upto, Place(page, file, slot)) for upto, page, file, slot in parts]
    if any(later.upto < link.upto for link, later in pairwise(links)):
        raise ValueError("the parts of a value are out of order")
    if links and links[-1].upto > LARGEST:
        raise Unsupported(f"A value of {links[-1].upto} bytes; the most that is read is {LARGEST}.")
    return links


class _Walk:
    """One value's tree. Each place is entered once."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._seen: set[Place] = set()

    def through(self, links: list[Link], depth: int) -> Iterator[bytes]:
        """All parts in order. Each has the size that its link says."""
        before = 0
        for link in links:
            got = 0
            for data in self.below(link.place, depth - 1) or ():
                got += len(data)
                if got > link.upto - before:
                    break
                yield data
            if got != link.upto - before:
                raise ValueError(f"a part of a value has {got} bytes where {link.upto - before} are said")
            before = link.upto

    def below(self, place: Place, depth: int) -> Iterator[bytes] | None:
        if depth < 0 or place in self._seen:
            raise ValueError("the tree of a value goes in a circle or is too deep")
        self._seen.add(place)
        record = fragment(self._fetch(place.page, place.file), place.slot)
        return self._contents(record, depth)

    def _contents(self, record: bytes, depth: int) -> Iterator[bytes] | None:
        kind = struct.unpack_from("<H", record, 12)[0]
        if kind == _DATA:
            return iter([record[14:]])
        if kind == _SMALL:
            return iter([_small(record)])
        if kind == _NULL:
            return None
        return self.through(_links_of(record), depth)


def _small(record: bytes) -> bytes:
    (length,) = struct.unpack_from("<H", record, 14)
    if 20 + length > len(record):
        raise ValueError("a small value is cut off")
    return record[20 : 20 + length]


def fragment(page: bytes, slot: int) -> bytes:
    """The record of a value's part. Raises ValueError if there is none at that place."""
    if len(page) != PAGE:
        raise BadData(f"A page of {len(page)} bytes.")
    (count,) = struct.unpack_from("<H", page, 22)
    limit = PAGE - 2 * count
    if page[1] not in (3, 4) or slot >= count or limit < HEADER:
        raise ValueError(f"{where(page, slot)} holds no part of a value")
    (at,) = struct.unpack_from("<H", page, PAGE - 2 * slot - 2)
    if not HEADER <= at <= limit - 14:
        raise ValueError(f"{where(page, slot)} is empty")
    (length,) = struct.unpack_from("<H", page, at + 2)
    if page[at] >> 1 & 7 != FRAGMENT or not 14 <= length <= limit - at:
        raise ValueError(f"{where(page, slot)} is no part of a value")
    return page[at : at + length]

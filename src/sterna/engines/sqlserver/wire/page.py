"""A page of a database file: its header, its slots, and two ways of guarding it against torn writes."""

import struct
from dataclasses import dataclass

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import sums

SIZE = 8192
EXTENT = 8
"""Pages of an extent."""
EXTENT_SIZE = SIZE * EXTENT
HEAD = 96
DATA, INDEX, TEXT_MIX, TEXT_TREE, SORT = 1, 2, 3, 4, 7
GAM, SGAM, IAM, PFS, BOOT, FILE_HEADER, DIFF_MAP, ML_MAP = 8, 9, 10, 11, 13, 15, 16, 17
FILLER = 0x65
"""Type of the pages that fill the data up to a multiple of 1 MB."""
LAST_TYPE = 20
COMPRESSED = 0x80
"""Type flag: the page begins with compression information."""
ENCRYPTED, TORN_BITS, CHECKSUM = 0x8, 0x100, 0x200
_HEADER = struct.Struct("<BBBBHHIHHIHHIHHIHHIIHIHHI")
_SECTOR = 512

Pointer = tuple[int, int]
"""File and page; (0, 0): none."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first 96 bytes of a page."""

    version: int
    type: int
    type_flags: int
    level: int
    """In the B-tree, 0: leaf."""
    flags: int
    index_id: int
    previous: Pointer
    min_length: int
    """Bytes of the fixed part of a record."""
    next: Pointer
    slot_count: int
    object_id: int
    free_bytes: int
    free_offset: int
    page_id: int
    file_id: int
    lsn: int
    """As a decimal number, like all LSNs here."""
    ghosts: int
    check: int
    """Checksum, or the bits that were displaced."""


def header(page: bytes) -> Header:
    """The header of a page of 8192 bytes, or of its first 64."""
    (
        version, kind, type_flags, level, flags, index_id, previous_page, previous_file, min_length, next_page,
        next_file, slot_count, object_id, free_bytes, free_offset, page_id, file_id, _reserved, vlf, block, slot,
        _transaction, _transaction_high, ghosts, check,
    ) = _HEADER.unpack_from(page)  # fmt: skip
    return Header(
        version=version,
        type=kind,
        type_flags=type_flags,
        level=level,
        flags=flags,
        index_id=index_id,
        previous=(previous_file, previous_page),
        min_length=min_length,
        next=(next_file, next_page),
        slot_count=slot_count,
        object_id=object_id,
        free_bytes=free_bytes,
        free_offset=free_offset,
        page_id=page_id,
        file_id=file_id,
        lsn=vlf * 10**15 + block * 10**5 + slot,
        ghosts=ghosts,
        check=check,
    )


def own_id(page: bytes, at: int = 0) -> Pointer:
    """File and page that the page at this place names as its own; (0, 0): it was never formatted."""
    if page[at] != 1 or not 1 <= page[at + 1] <= LAST_TYPE:
        return (0, 0)
    return (
        int.from_bytes(page[at + 36 : at + 38], "little"),
        int.from_bytes(page[at + 32 : at + 36], "little"),
    )


def pointer(data: bytes, at: int) -> Pointer:
    """The six bytes {page, file} at this place."""
    return (int.from_bytes(data[at + 4 : at + 6], "little"), int.from_bytes(data[at : at + 4], "little"))


def slots(page: bytes) -> tuple[int, ...]:
    """Where each record of a page begins, by slot; empty slots are 0. Raises BadData for one outside the page."""
    count = int.from_bytes(page[22:24], "little")
    end = SIZE - 2 * count
    if end < HEAD:
        raise BadData(f"Page {_name(page)} says that it has {count} records")
    found = struct.unpack_from(f"<{count}H", page, end)[::-1]
    if count and max(found) >= end:
        raise BadData(f"A record of page {_name(page)} begins outside the page")
    return tuple(each if each >= HEAD else 0 for each in found)


def checksum_ok(page: bytes) -> bool:
    """Whether the page is as it was written, as far as it can tell: by its checksum or its torn bits."""
    flags = int.from_bytes(page[4:6], "little")
    if flags & CHECKSUM:
        return sums.of_page(page) == int.from_bytes(page[60:64], "little")
    if flags & TORN_BITS:
        return len({page[end] & 3 for end in range(2 * _SECTOR - 1, SIZE, _SECTOR)}) == 1
    return True


def check_failed(page: bytes) -> str:
    """What to say of a page for which ``checksum_ok`` is false."""
    what = "checksum" if page[5] & CHECKSUM >> 8 else "torn-page pattern"
    return f"the {what} of the page is wrong"


def untorn(page: bytes) -> bytes:
    """The page with the bits that torn-page detection displaced where they belong; others as they are.

    A page that was guarded so once, and now has a checksum, keeps the flag; its checksum lies where the bits lay.
    """
    if page[5] & (TORN_BITS | CHECKSUM) >> 8 != TORN_BITS >> 8:
        return page
    kept = int.from_bytes(page[60:64], "little")
    whole = bytearray(page)
    for sector in range(1, SIZE // _SECTOR):
        end = sector * _SECTOR + _SECTOR - 1
        whole[end] = whole[end] & 0xFC | kept >> 2 * sector & 3
    return bytes(whole)


def _name(page: bytes) -> str:
    return f"{int.from_bytes(page[36:38], 'little')}:{int.from_bytes(page[32:36], 'little')}"

"""Backups that lie: chains that bite their own tail, counts beyond all measure, pages that are something else."""

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sterna.core.errors import BadData, NotFound, Unsupported
from tests.backups.database import BOOT_PAGE, Built, build
from tests.backups.describe import Db
from tests.backups.fuzz import read_backup
from tests.backups.pages import DATA, INDEX, MIX, TREE, Page
from tests.backups.reading import blobs, opened, read
from tests.backups.scenes import lobs, shop, squeezed, tall
from tests.backups.writer import Set, write_backup

Lie = Callable[[Built], None]
SECONDS = 20


def pages_of(built: Built, type_: int) -> list[Page]:
    """All pages of a type."""
    return [page for page in built.image.pages.values() if page.type == type_]


def patched(page: Page, slot: int, at: int, raw: bytes) -> None:
    """Bytes of a record, changed."""
    record = bytearray(page.records[slot] or b"")
    record[at : at + len(raw)] = raw
    page.records[slot] = bytes(record)


def iam_bites_its_tail(built: Built) -> None:
    """Every IAM chain is a circle."""
    for unit in built.image.units:
        for page in unit.maps.values():
            page.next = page.place


def leaves_bite_their_tail(built: Built) -> None:
    """The leaf level of every index goes round."""
    for page in pages_of(built, DATA):
        page.next = page.place


def indexes_point_at_themselves(built: Built) -> None:
    """Every child of an index page is the page itself."""
    for page in pages_of(built, INDEX):
        for slot, record in enumerate(page.records):
            patched(page, slot, len(record or b"") - 6, struct.pack("<IH", page.place[1], page.place[0]))


def trees_point_at_themselves(built: Built) -> None:
    """Every link of inner LOB records leads back to its own page."""
    for page in pages_of(built, TREE):
        for slot, record in enumerate(page.records):
            count = struct.unpack_from("<H", record or b"", 16)[0]
            for link in range(count):
                patched(page, slot, 20 + 16 * link + 8, struct.pack("<IHH", page.place[1], page.place[0], slot))


def trees_grow_beyond_measure(built: Built) -> None:
    """Inner LOB records claim 65535 links."""
    for page in pages_of(built, TREE):
        for slot in range(len(page.records)):
            patched(page, slot, 16, b"\xff\xff")


def values_claim_other_sizes(built: Built) -> None:
    """Data records of LOB trees say a length of their own."""
    for page in pages_of(built, MIX):
        for slot in range(len(page.records)):
            patched(page, slot, 2, b"\xff\x7f")


def the_boot_page_points_nowhere(built: Built) -> None:
    """The entry to the catalogue is a page of another kind."""
    patched(built.image.pages[BOOT_PAGE], 0, 516, struct.pack("<IH", 2, 1))


def the_boot_page_points_beyond_the_file(built: Built) -> None:
    """The entry to the catalogue is not in the backup."""
    patched(built.image.pages[BOOT_PAGE], 0, 516, struct.pack("<IH", 0x7FFFFFFF, 1))


def records_end_beyond_the_page(built: Built) -> None:
    """The fixed part of every row is 65535 bytes long."""
    for page in pages_of(built, DATA):
        for slot, record in enumerate(page.records):
            if record:
                patched(page, slot, 2, b"\xff\xff")


def columns_beyond_measure(built: Built) -> None:
    """Every row claims 65535 columns."""
    for page in pages_of(built, DATA):
        for slot, record in enumerate(page.records):
            end = struct.unpack_from("<H", record or bytes(4), 2)[0]
            if record and not page.flags and end + 2 <= len(record):
                patched(page, slot, end, b"\xff\xff")


def rows_that_are_never_there(built: Built) -> None:
    """The counts of rows and pages are of another world."""
    for page in pages_of(built, DATA):
        for slot, record in enumerate(page.records):
            if record and page.unit in (5, 7):
                patched(page, slot, 31 if page.unit == 5 else 45, b"\xff" * 7 + b"\x7f")


LIES: list[Lie] = [
    iam_bites_its_tail,
    leaves_bite_their_tail,
    indexes_point_at_themselves,
    trees_point_at_themselves,
    trees_grow_beyond_measure,
    values_claim_other_sizes,
    the_boot_page_points_nowhere,
    the_boot_page_points_beyond_the_file,
    records_end_beyond_the_page,
    columns_beyond_measure,
    rows_that_are_never_there,
]


@pytest.mark.parametrize("lie", LIES, ids=[lie.__name__ for lie in LIES])
def test_a_lie_ends_soon_and_in_words(tmp_path: Path, lie: Lie) -> None:
    """Everything is read that can be; nothing but errors of our own comes out, and in time."""
    built = build(Db("Lies", [*lobs(), *shop(), tall(300), *squeezed("page")]))
    built.image.finish()
    lie(built)
    (path,) = write_backup(tmp_path / "lie.bak", [Set(built)])
    began = time.process_time()
    read_backup(blobs([path]))
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("lie", [trees_point_at_themselves, values_claim_other_sizes, trees_grow_beyond_measure])
def test_a_large_value_that_lies_is_an_error_and_not_another_value(tmp_path: Path, lie: Lie) -> None:
    """The table of deep trees cannot be read."""
    built = build(Db("Lies", lobs()))
    lie(built)
    (path,) = write_backup(tmp_path / "lie.bak", [Set(built)])
    (backup,) = opened([path]).values()
    table = next(table for table in backup.tables if table.path[-1] == "deep")
    with pytest.raises((BadData, Unsupported, NotFound)):
        read(backup, table)

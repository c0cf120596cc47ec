"""Values that lie outside their rows: pointers, trees of pages, and trees that lie."""

import struct

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import lob
from sterna.engines.sqlserver.wire.records import Physical
from sterna.engines.sqlserver.wire.rows import Rows
from tests.unit.bak_pages import fixed_var, layout, lob_page, page

Pages = dict[int, bytes]


def data(content: bytes) -> bytes:
    return struct.pack("<H", 3) + content


def small(content: bytes) -> bytes:
    return struct.pack("<HHI", 0, len(content), 0) + content


def links(form: str, places: list[tuple[int, int, int]]) -> bytes:
    """``places``: size up to there, page, slot."""
    return b"".join(struct.pack(form, upto, number, 1, slot) for upto, number, slot in places)


def root(places: list[tuple[int, int, int]], kind: int = 5) -> bytes:
    return struct.pack("<HHHHI", kind, 5, len(places), 0, 0) + links("<IIHH", places)


def inner(places: list[tuple[int, int, int]], level: int = 0) -> bytes:
    return struct.pack("<HHHH", 2, 4, len(places), level) + links("<QIHH", places)


def pointer(number: int, slot: int = 0) -> bytes:
    return struct.pack("<QIHH", 99, number, 1, slot)


def inline(places: list[tuple[int, int, int]], kind: int = 4) -> bytes:
    return bytes([kind]) + bytes(11) + links("<IIHH", places)


def value(point: bytes, pages: Pages) -> bytes | None:
    def fetch(number: int, file: int) -> bytes:
        if number not in pages:
            raise BadData(f"Page {file}:{number} is not there.")
        return pages[number]

    return lob.whole(point, fetch)


def test_a_small_value_lies_in_its_root() -> None:
    assert value(pointer(9), {9: lob_page([small(b"hello")], number=9)}) == b"hello"


def test_a_value_of_one_part_is_its_data() -> None:
    assert value(pointer(9, 1), {9: lob_page([small(b"x"), data(b"hello")], number=9)}) == b"hello"


def test_a_null_value_is_none() -> None:
    assert value(pointer(9), {9: lob_page([struct.pack("<H", 8) + bytes(6)], number=9)}) is None
    assert value(bytes(16), {}) is None


@pytest.mark.parametrize("kind", [4, 5])
def test_a_root_leads_to_its_parts_in_order(kind: int) -> None:
    pages = {
        9: lob_page([root([(3, 10, 0), (8, 10, 1)], kind)], number=9),
        10: lob_page([data(b"abc"), data(b"defgh")], number=10),
    }
    assert value(pointer(9), pages) == b"abcdefgh"


def test_a_tree_of_four_levels_is_walked() -> None:
    pages = {
        9: lob_page([root([(9, 11, 0), (12, 12, 0)])], number=9),
        11: lob_page([inner([(4, 13, 0), (9, 13, 1)], 1)], number=11, kind=4),
        12: lob_page([data(b"xyz")], number=12),
        13: lob_page([inner([(2, 14, 0), (4, 14, 1)]), inner([(5, 14, 2)])], number=13, kind=4),
        14: lob_page([data(b"ab"), data(b"cd"), data(b"efghi")], number=14),
    }
    assert value(pointer(9), pages) == b"abcdefghixyz"


@pytest.mark.parametrize("kind", [2, 4])
def test_a_root_in_the_row_leads_to_its_parts(kind: int) -> None:
    assert value(inline([(3, 10, 0)], kind), {10: lob_page([data(b"abc")], number=10)}) == b"abc"


def test_an_inline_root_without_parts_is_empty() -> None:
    assert value(inline([]), {}) == b""


LONG = Physical("long", 231, -1, offset=-1, nullbit=1)
OLD = Physical("old", 99, 16, offset=-2, nullbit=2)


def test_rows_take_their_long_values_from_other_pages() -> None:
    pages = {
        10: lob_page([data("très long".encode("utf-16-le")), small("vieux\0".encode("utf-16-le"))], number=10)
    }
    record = fixed_var(b"", [inline([(18, 10, 0)]), pointer(10, 1)], columns=2, complex_ones=[1])
    near = fixed_var(b"", ["près".encode("utf-16-le"), pointer(10, 1)], columns=2, nulls=[2])
    rows = Rows(layout(LONG, OLD), lambda number, file: pages[number], unstorable="replace")
    assert list(rows.values(page([record, near]))) == [("très long", "vieux\0"), ("près", None)]
    assert rows.copy_text(page([record, near])) == ("très long\tvieux�\nprès\t\\N\n".encode(), 2)
    assert rows.losses.characters == 1


def test_a_page_that_is_not_there_is_named_with_its_row() -> None:
    record = fixed_var(b"", [inline([(18, 10, 0)])], columns=1, complex_ones=[1])
    with pytest.raises(BadData, match=r"dbo.things: Page 1:77, record 0, column long: .*10.*not there"):
        list(Rows(layout(LONG)).values(page([record])))


CIRCLE = {9: lob_page([root([(3, 11, 0)])], number=9), 11: lob_page([inner([(3, 11, 0)])], number=11)}


@pytest.mark.parametrize(
    ("point", "pages", "message"),
    [
        (pointer(9), CIRCLE, "circle"),
        (pointer(9), {9: lob_page([root([(5, 9, 1), (3, 9, 2)]), data(b"abcde")], number=9)}, "out of order"),
        (pointer(9), {9: lob_page([root([(4, 9, 1)]), data(b"abc")], number=9)}, "has 3 bytes where 4 are said"),
        (pointer(9), {9: lob_page([root([(2, 9, 1)]), data(b"abc")], number=9)}, "has 3 bytes where 2 are said"),
        (pointer(9), {9: lob_page([struct.pack("<HHHHI", 5, 5, 900, 0, 0)], number=9)}, "cut off"),
        (pointer(9), {9: lob_page([struct.pack("<HHI", 0, 500, 0)], number=9)}, "small value is cut off"),
        (pointer(9), {9: lob_page([struct.pack("<HHI", 7, 0, 0)], number=9)}, "the kind 7"),
        (pointer(9, 3), {9: lob_page([data(b"")], number=9)}, "holds no part"),
        (pointer(9), {9: page([fixed_var(b"", columns=1)], number=9)}, "holds no part"),
        (pointer(9), {9: page([fixed_var(bytes(20), columns=1)], number=9, kind=3)}, "is no part"),
        (b"\7" + bytes(11), {}, "no pointer"),
        (b"\4" + bytes(12), {}, "no pointer"),
        (b"", {}, "no pointer"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_trees_that_lie_are_refused(point: bytes, pages: Pages, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        value(point, pages)


def test_a_tree_too_deep_is_refused() -> None:
    pages = {n: lob_page([inner([(1, n + 1, 0)])], number=n) for n in range(9, 40)}
    with pytest.raises(ValueError, match="too deep"):
        value(pointer(9), pages)


def test_a_value_of_more_than_512_mb_is_refused_before_it_is_read() -> None:
    with pytest.raises(Unsupported, match="A value of 536870913 bytes"):
        value(inline([(536_870_913, 10, 0)]), {})

"""Which code page the text of a collation is stored in, and its bytes into text as Windows reads them.

The numbers of collations, families and sort orders are those that CollationProperty(…, 'CollationID') gives.
"""

import codecs
from collections.abc import Callable
from functools import cache

from sterna.core.errors import Unsupported

UTF8 = 0x80
UTF8_PAGE = 65001
_PAGES: dict[int, str] = {
    1250: "04 0d 13 14 16 17 18 1c 2a 4c 4e 58",
    1251: "06 15 1b 37 39 3a 4d 4f 54 64",
    1253: "07",
    1254: "1a 38 63",
    1255: "0c",
    1256: "01 02 25 50 51",
    1257: "1d 1e 1f",
    1258: "20",
    874: "19",
    932: "10 2b 30 48 49",
    936: "24 2e 31 32 43 44",
    949: "11 40",
    950: "03 2f 33 34 3e 41 42 45 46",
}
_FAMILIES = {int(family, 16): page for page, families in _PAGES.items() for family in families.split()}
_SORT_ORDERS = (
    (30, 34, 437),
    (40, 44, 850),
    (49, 49, 850),
    (55, 61, 850),
    (50, 54, 1252),
    (183, 186, 1252),
    (80, 96, 1250),
    (104, 108, 1251),
    (112, 124, 1253),
    (128, 130, 1254),
    (136, 138, 1255),
    (144, 146, 1256),
    (152, 160, 1257),
    (210, 219, 1252),
)
DOUBLE = {932: "cp932", 936: "gbk", 949: "cp949", 950: "cp950"}
SINGLE_BYTE = frozenset({437, 850, 874, *range(1250, 1259)})
_BEST_FIT: dict[int, dict[int, int]] = {
    874: {0xDB + i: 0xF8C1 + i for i in range(4)} | {0xFC + i: 0xF8C5 + i for i in range(4)},
    936: {0x80: 0x20AC, 0xFF: 0xF8F5},
    949: {0x80: 0x80, 0xFF: 0xF8F7},
    950: {0x80: 0x80, 0xFF: 0xF8F8},
    1253: {0xAA: 0xF8F9, 0xD2: 0xF8FA, 0xFF: 0xF8FB},
    1255: {0xCA: 0x05BA, 0xFB: 0xF894, 0xFC: 0xF895, 0xFF: 0xF896} | {0xD9 + i: 0xF88D + i for i in range(7)},
    1257: {0xA1: 0xF8FC, 0xA5: 0xF8FD},
}
"""Bytes that a code page leaves undefined and Windows reads all the same (its tables of best fit); others stay
as they are: 0x81 of 1252 is U+0081."""


def code_page(collation: int) -> int:
    """The number of the code page: 65001 for UTF-8. 0, no collation at all, is taken for 1252."""
    sort = collation >> 24 & 0xFF
    if sort:
        return next((page for low, high, page in _SORT_ORDERS if low <= sort <= high), 1252)
    return UTF8_PAGE if collation & UTF8 else _FAMILIES.get(collation & 0x7F, 1252)


Decoder = Callable[[bytes], str]


@cache
def decoder(page: int) -> Decoder:
    """A function from bytes in that code page to text. Raises Unsupported for a code page that is not known.

    What the code page does not define is kept apart as ``undefined`` says.
    """
    if page == UTF8_PAGE:
        return lambda raw: raw.decode("utf-8", "surrogateescape")
    if page in DOUBLE:
        return _double(page)
    table = single_byte(page)
    return lambda raw: codecs.charmap_decode(raw, "strict", table)[0]


@cache
def single_byte(page: int) -> str:
    """The 256 characters of a code page of single bytes. Raises Unsupported for another."""
    if page not in SINGLE_BYTE:
        raise Unsupported(f"Code page {page} is not known, or has more than single bytes.")
    return "".join(_one(page, byte) for byte in range(256))


def _one(page: int, byte: int) -> str:
    fitting = _BEST_FIT.get(page, {}).get(byte)
    if fitting is not None:
        return chr(fitting)
    try:
        return bytes([byte]).decode(f"cp{page}")
    except UnicodeDecodeError:
        return chr(byte)


def _double(page: int) -> Decoder:
    name = DOUBLE[page]

    def decode(raw: bytes) -> str:
        try:
            return raw.decode(name)
        except UnicodeDecodeError:
            return _piecewise(raw, page)

    return decode


def _piecewise(raw: bytes, page: int) -> str:
    """Text with bytes that Python does not define in it: these as Windows reads them, or as ``undefined``."""
    name, done = DOUBLE[page], ""
    while raw:
        try:
            return done + raw.decode(name)
        except UnicodeDecodeError as fault:
            done += raw[: fault.start].decode(name)
            raw = raw[fault.start :]
        fit = _BEST_FIT.get(page, {}).get(raw[0])
        lone = fit is not None or len(raw) == 1 or raw[1] < 0x40
        done += chr(fit) if fit is not None else (not lone and pair(page, raw[0], raw[1])) or undefined(raw[0])
        raw = raw[1 if lone else 2 :]
    return done


def undefined(byte: int) -> str:
    """Bytes that are no text become half of a surrogate pair, which can be told from all text."""
    return chr(0xDC00 + byte)


def pair(page: int, lead: int, trail: int) -> str:
    """The character of a pair of bytes, those that users define in the private area; empty: there is none."""
    try:
        text = bytes((lead, trail)).decode(DOUBLE[page])
    except UnicodeDecodeError:
        text = _private(page, lead, trail)
    return text if len(text) == 1 else ""


_PRIVATE: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    936: ((0xAA, 0xAF, 0xA1, 0xE000), (0xF8, 0xFE, 0xA1, 0xE234), (0xA1, 0xA7, 0x40, 0xE4C6)),
    949: ((0xC9, 0xC9, 0xA1, 0xE000), (0xFE, 0xFE, 0xA1, 0xE05E)),
    950: ((0xFA, 0xFE, 0x40, 0xE000), (0x8E, 0xA0, 0x40, 0xE311), (0x81, 0x8D, 0x40, 0xEEB8),
          (0xC6, 0xC6, 0xA1, 0xF6B1), (0xC7, 0xC8, 0x40, 0xF70F)),
}  # fmt: skip
"""Where users define characters of their own: leading bytes from and to, first trailing byte, first character."""


def _private(page: int, lead: int, trail: int) -> str:
    for first, last, start, point in _PRIVATE.get(page, ()):
        row = _trails(page, start)
        if first <= lead <= last and trail in row:
            return chr(point + (lead - first) * len(row) + row.index(trail))
    return ""


@cache
def _trails(page: int, start: int) -> tuple[int, ...]:
    """The trailing bytes of a row, in order."""
    high = tuple(range(0xA1, 0xFF))
    if start == 0xA1:
        return high
    low = tuple(range(0x40, 0x7F))
    return (*low, *range(0x80, 0xA1)) if page == 936 else low + high

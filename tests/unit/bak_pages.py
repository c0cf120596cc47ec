"""Pages of SQL Server made by hand: what the tests of reading rows begin with. Written from the format alone."""

import struct
from collections.abc import Sequence
from itertools import accumulate

from sterna.engines.sqlserver.wire.records import Layout, Physical

PAGE, HEADER = 8192, 96


def page(
    records: Sequence[bytes],
    *,
    number: int = 77,
    file: int = 1,
    kind: int = 1,
    flags: int = 0,
    information: bytes = b"",
) -> bytes:
    """A page with these records one behind the other, after what page compression puts there."""
    made = bytearray(PAGE)
    struct.pack_into("<BBB", made, 0, 1, kind, flags)
    struct.pack_into("<H", made, 22, len(records))
    struct.pack_into("<IH", made, 32, number, file)
    made[HEADER : HEADER + len(information)] = information
    at = HEADER + len(information)
    for slot, record in enumerate(records):
        made[at : at + len(record)] = record
        struct.pack_into("<H", made, PAGE - 2 * slot - 2, at)
        at += len(record)
    assert at <= PAGE - 2 * len(records), "too much for a page"
    return bytes(made)


def fixed_var(
    fixed: bytes,
    varying: Sequence[bytes] = (),
    *,
    columns: int,
    nulls: Sequence[int] = (),
    complex_ones: Sequence[int] = (),
    kind: int = 0,
    second: int = 0,
    tail: bytes = b"",
) -> bytes:
    """A record. ``nulls``: NULL bits from 1 on; ``complex_ones``: places among ``varying`` from 1 on."""
    bitmap = sum(1 << bit - 1 for bit in nulls).to_bytes(columns + 7 >> 3, "little")
    status = 0x10 | kind << 1 | (0x20 if varying else 0)
    head = struct.pack("<BBH", status, second, 4 + len(fixed)) + fixed + struct.pack("<H", columns) + bitmap
    if not varying:
        return head + tail
    start = len(head) + 2 + 2 * len(varying)
    ends = list(accumulate((len(piece) for piece in varying), initial=start))[1:]
    marked = [end | (0x8000 if place + 1 in complex_ones else 0) for place, end in enumerate(ends)]
    return head + struct.pack(f"<H{len(marked)}H", len(marked), *marked) + b"".join(varying) + tail


def compressed(pieces: Sequence[bytes | int | None], *, kind: int = 0, complex_ones: Sequence[int] = ()) -> bytes:
    """A "CD" record. None: null; -1: a bit that is set; another number: the page's dictionary; ``complex_ones``:
    places among ``pieces`` from 0 on.
    """
    codes = [_code(piece, place in complex_ones) for place, piece in enumerate(pieces)]
    short = b"".join(_short(piece, code) for piece, code in zip(pieces, codes, strict=True))
    clusters = bytes((len(pieces) - 1) // 30)
    long = [(place, piece) for place, piece in enumerate(pieces) if codes[place] == 10]
    count = bytes([len(pieces)]) if len(pieces) < 128 else struct.pack(">H", 0x8000 | len(pieces))
    nibbles = bytes(low | high << 4 for low, high in zip(codes[::2], [*codes[1::2], 0], strict=False))
    made = bytes([1 | kind << 2 | (0x20 if long else 0)]) + count + nibbles + clusters + short
    if not long:
        return made
    ends = list(accumulate(len(piece) for _, piece in long if isinstance(piece, bytes)))
    marked = [end | (0x8000 if place in complex_ones else 0) for (place, _), end in zip(long, ends, strict=True)]
    data = b"".join(piece for _, piece in long if isinstance(piece, bytes))
    return made + b"\1" + struct.pack(f"<H{len(marked)}H", len(marked), *marked) + clusters + data


def _code(piece: bytes | int | None, elsewhere: bool) -> int:
    if piece is None:
        return 0
    if isinstance(piece, int):
        return 11 if piece < 0 else 12
    return len(piece) + 1 if len(piece) <= 8 and not elsewhere else 10


def _short(piece: bytes | int | None, code: int) -> bytes:
    if code == 12 and isinstance(piece, int):
        return bytes([piece])
    return piece if isinstance(piece, bytes) and code < 10 else b""


def information(anchor: bytes, words: Sequence[bytes] | None = None) -> bytes:
    """What page compression puts behind a page's header: the anchor record, the dictionary."""
    if words is None:
        return struct.pack("<BHH", 2, 0, 5 + len(anchor)) + anchor
    ends = list(accumulate(len(word) for word in words))
    dictionary = struct.pack(f"<H{len(ends)}H", len(ends), *ends) + b"".join(words)
    offset = 7 + len(anchor)
    return struct.pack("<BHHH", 6, 0, offset, offset + len(dictionary)) + anchor + dictionary


def lob_page(fragments: Sequence[bytes], *, number: int, kind: int = 3) -> bytes:
    """A page of parts of values. Each fragment: its type (u16) and what follows."""
    return page(
        [struct.pack("<BBHQ", 8, 0, 12 + len(fragment), 1) + fragment for fragment in fragments],
        number=number,
        kind=kind,
    )


def layout(*columns: Physical, compression: int = 0) -> Layout:
    return Layout(columns, compression, "dbo.things")

"""Records under row and page compression ("CD" records), and the anchors and dictionaries of pages."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from tests.backups.describe import Put, Raw, Value
from tests.backups.kinds import TEXTUAL, stored
from tests.backups.layout import Layout, Spot
from tests.backups.pages import Page
from tests.backups.records import Off

NULL, EMPTY, LONG, TRUE, SYMBOL = 0, 1, 10, 11, 12
BUDGET = 6500
WIDE = Context(prec=60)
WINDOWS = (0x80, 0xC0, 0x400, 0x600, 0x900, 0x3040, 0x30A0, 0xFF00)


@dataclass(frozen=True)
class Cell:
    """A column's bytes; ``code`` where none are kept (NULL, true), ``pointer``: they point out of the row."""

    raw: bytes = b""
    code: int | None = None
    pointer: bool = False


Held = tuple[list[Cell], int, bytes]
"""A row's columns, the kind of its record, its versioning tag."""


def biased(value: int) -> bytes:
    """An integer in as few bytes as hold it, big-endian, moved up by half the range; 0 needs none."""
    if value == 0:
        return b""
    size = 1
    while not -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
        size += 1
    return (value + (1 << 8 * size - 1)).to_bytes(size, "big")


def vardecimal(value: Decimal) -> bytes:
    """A decimal: sign and exponent in a byte, then ten bits for every three digits."""
    if value == 0:
        return b""
    digits = "".join(map(str, value.normalize(WIDE).as_tuple().digits))
    exponent = value.adjusted()
    head = (0x80 if value > 0 else 0) | (exponent + 64)
    groups = [int(digits[i : i + 3].ljust(3, "0")) for i in range(0, len(digits), 3)]
    bits = "".join(f"{group:010b}" for group in groups)
    bits += "0" * (-len(bits) % 8)
    return bytes([head]) + int(bits, 2).to_bytes(len(bits) // 8, "big").rstrip(b"\0")


def scsu(text: str) -> bytes:
    """Text by the Standard Compression Scheme for Unicode: the predefined windows, quotes for the rest."""
    out, window = bytearray(), 0
    for unit in utf16(text):
        base = WINDOWS[window]
        if unit in (0, 9, 10, 13) or 0x20 <= unit < 0x80:
            out.append(unit)
        elif unit < 0x20:
            out += bytes([1, unit])
        elif base <= unit < base + 128:
            out.append(unit - base + 0x80)
        elif found := [n for n, start in enumerate(WINDOWS) if start <= unit < start + 128]:
            window = found[0]
            out += bytes([0x10 + window, unit - WINDOWS[window] + 0x80])
        else:
            out += bytes([0x0E, unit >> 8, unit & 0xFF])
    return bytes(out)


def utf16(text: str) -> list[int]:
    """The code units of a text."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return list(struct.unpack(f"<{len(raw) // 2}H", raw))


def unicode_bytes(text: str) -> bytes:
    """SCSU where that is shorter and odd in length, else UTF-16."""
    packed = scsu(text)
    raw = text.encode("utf-16-le", "surrogatepass")
    return packed if len(packed) % 2 and len(packed) < len(raw) else raw


def squeezed(spot: Spot, value: Value) -> bytes:
    """A value, not NULL and not a bit, as row compression keeps it."""
    kind, collation = spot.kind, spot.col.collation
    if isinstance(value, Raw):
        return value.stored
    raw = stored(kind, value, collation)
    if kind.xtype in (52, 56, 127, 60, 122):
        return biased(int.from_bytes(raw, "little", signed=True))
    if kind.xtype == 61:
        ticks, days = struct.unpack("<Ii", raw)
        return biased(days << 32 | ticks)
    if kind.xtype in (106, 108) and isinstance(value, int | Decimal):
        return vardecimal(Decimal(value))
    if kind.xtype in (59, 62):
        return raw.lstrip(b"\0")
    if kind.xtype in (231, 239) and isinstance(value, str) and kind.length != -1:
        return unicode_bytes(value.rstrip(" ") if kind.xtype == 239 else value)
    if kind.xtype == 175:
        return raw.rstrip(b" ")
    if kind.xtype in (40, 41, 42, 43, 173, 48):
        return raw.rstrip(b"\0")
    return raw


def nibbles(codes: Sequence[int]) -> bytes:
    """Codes of four bits, the low one first."""
    padded = [*codes, 0] if len(codes) % 2 else list(codes)
    return bytes(padded[i] | padded[i + 1] << 4 for i in range(0, len(padded), 2))


def cd_record(cells: Sequence[Cell], form: int = 0, tag: bytes = b"") -> bytes:
    """A CD record, with a versioning tag behind it or not."""
    codes, short, long = [], b"", []
    shorts, longs = [0] * ((len(cells) - 1) // 30 + 1), [0] * ((len(cells) - 1) // 30 + 1)
    for number, cell in enumerate(cells):
        code = code_of(cell)
        codes.append(code)
        if code == LONG:
            long.append(cell)
            longs[number // 30] += 1
        elif code not in (NULL, EMPTY, TRUE):
            short += cell.raw
            shorts[number // 30] += len(cell.raw)
    count = bytes([len(cells)]) if len(cells) < 128 else struct.pack(">H", len(cells) | 0x8000)
    out = bytes([1 | (2 if tag else 0) | form << 2 | (0x20 if long else 0)]) + count + nibbles(codes)
    out += bytes(shorts[:-1]) + short
    if long:
        ends, end = b"", 0
        for cell in long:
            end += len(cell.raw)
            ends += struct.pack("<H", end | (0x8000 if cell.pointer else 0))
        out += struct.pack("<BH", 1, len(long)) + ends + bytes(longs[:-1]) + b"".join(cell.raw for cell in long)
    return out + tag


def code_of(cell: Cell) -> int:
    """The four bits of a column."""
    if cell.code is not None:
        return cell.code
    if not cell.raw:
        return EMPTY
    return LONG if len(cell.raw) > 8 or cell.pointer else len(cell.raw) + 1


@dataclass
class Compressor:
    """Writes rows as CD records; ``off`` takes large values out of the row."""

    layout: Layout
    off: Off
    prepare: Callable[[Put], object]
    """Told of every row before its columns are written."""

    def cells(self, row: Put) -> list[Cell]:
        """A row's columns."""
        self.prepare(row)
        return [
            self.cell(spot, row.uniquifier if spot.source is None else row.values[spot.source])
            for spot in self.layout.until(row.columns).spots
        ]

    def cell(self, spot: Spot, value: Value) -> Cell:
        """A column's bytes."""
        if value is None:
            return Cell(code=NULL)
        if spot.kind.xtype == 104:
            return Cell(code=TRUE if value else EMPTY)
        if spot.offset < 0 and spot.source is not None:
            piece = self.off(spot, stored(spot.kind, value, spot.col.collation))
            return Cell(piece[0], pointer=True) if piece else Cell(squeezed(spot, value))
        return Cell(squeezed(spot, value))

    def pages(self, rows: Sequence[Put], whole: bool, fresh: Callable[[], Page]) -> Iterator[Page]:
        """Fill pages with rows; ``whole``: under page compression."""
        held: list[Held] = []
        size = 0
        for row in rows:
            cells, form = self.cells(row), 3 if row.ghost else 0
            tag = bytes(range(14)) if row.versioned else b""
            length = len(cd_record(cells, form, tag)) + 4
            if held and size + length > BUDGET:
                yield self.page(held, whole, fresh())
                held, size = [], 0
            held.append((cells, form, tag))
            size += length
        if held:
            yield self.page(held, whole, fresh())

    def page(self, held: list[Held], whole: bool, page: Page) -> Page:
        """A page of rows."""
        rows = [cells for cells, _, _ in held]
        if whole and len(rows) > 1:
            page.flags = 0x80
            page.extra, rows = self.shared(rows)
        page.ghosts = sum(form == 3 for _, form, _ in held)
        for cells, (_, form, tag) in zip(rows, held, strict=True):
            page.add(cd_record(cells, form, tag))
        return page

    def shared(self, rows: list[list[Cell]]) -> tuple[bytes, list[list[Cell]]]:
        """The page's anchor and dictionary, and the rows as they refer to them."""
        anchors = [anchor_of([row[i] for row in rows if i < len(row)]) for i in range(len(self.layout.spots))]
        rows = [[prefixed(cell, anchor) for cell, anchor in zip(row, anchors, strict=False)] for row in rows]
        again = Counter(cell.raw for row in rows for cell in row if cell.code is None and not cell.pointer)
        words = [raw for raw, times in again.most_common(200) if times > 1 and len(raw) > 1]
        if words:
            rows = [[worded(cell, words) for cell in row] for row in rows]
        has_anchor = any(anchor is not None for anchor in anchors)
        if not has_anchor and not words:
            return struct.pack("<BHH", 0, 0, 5), rows
        return information(anchors if has_anchor else None, words, len(rows)), rows


def anchor_of(cells: Sequence[Cell]) -> bytes | None:
    """The value of a column that others share the longest beginning with."""
    values = [cell.raw for cell in cells if cell.code is None and not cell.pointer and cell.raw]
    starts = Counter(raw[:2] for raw in values if len(raw) >= 3)
    if not starts or starts.most_common(1)[0][1] < 2:
        return None
    start = starts.most_common(1)[0][0]
    return max((raw for raw in values if raw[:2] == start and len(raw) >= 3), key=len)


def prefixed(cell: Cell, anchor: bytes | None) -> Cell:
    """A column under an anchor: how much of it to take, and what follows."""
    if anchor is None or cell.pointer or cell.code is not None:
        return cell
    if cell.raw == anchor:
        return Cell()
    same = 0
    while same < min(len(cell.raw), len(anchor)) and cell.raw[same] == anchor[same]:
        same += 1
    head = bytes([same]) if same < 128 else struct.pack(">H", same | 0x8000)
    return Cell(head + cell.raw[same:])


def worded(cell: Cell, words: Sequence[bytes]) -> Cell:
    """A column by its place in the dictionary."""
    if cell.code is not None or cell.pointer or cell.raw not in words:
        return cell
    return Cell(bytes([words.index(cell.raw)]), code=SYMBOL)


def information(anchors: Sequence[bytes | None] | None, words: Sequence[bytes], rows: int) -> bytes:
    """The compression information after the page header."""
    anchor = b""
    if anchors is not None:
        anchor = cd_record([Cell(code=NULL) if raw is None else Cell(raw) for raw in anchors])
    head = 3 + (2 if words else 0) + 2
    book = b""
    if words:
        end, ends = 0, b""
        for word in words:
            end += len(word)
            ends += struct.pack("<H", end)
        book = struct.pack("<H", len(words)) + ends + b"".join(words)
    flags = (2 if anchor else 0) | (4 if words else 0)
    out = struct.pack("<BH", flags, rows)
    if words:
        out += struct.pack("<H", head + len(anchor))
    return out + struct.pack("<H", head + len(anchor) + len(book)) + anchor + book


__all__ = ["TEXTUAL", "Compressor", "biased", "cd_record", "scsu", "vardecimal"]

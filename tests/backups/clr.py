"""Values of hierarchyid, geometry, geography and xml as stored bytes, each with the text it must become."""

import struct
from collections.abc import Sequence

from tests.backups.describe import Raw

Point = tuple[float, ...]
VALID, ONE_POINT, ONE_SEGMENT, HAS_Z, HAS_M = 4, 8, 16, 1, 2
STROKE, INNER, OUTER = 1, 0, 2


def points(values: Sequence[Point]) -> bytes:
    """Pairs of doubles, then all heights, then all measures."""
    out = b"".join(struct.pack("<dd", *value[:2]) for value in values)
    for place in (2, 3):
        out += b"".join(struct.pack("<d", value[place]) for value in values if len(value) > place)
    return out


def one_point(srid: int, point: Point, text: str) -> Raw:
    """A single point, the short form."""
    flags = VALID | ONE_POINT | (HAS_Z if len(point) > 2 else 0) | (HAS_M if len(point) > 3 else 0)
    return Raw(struct.pack("<iBB", srid, 1, flags) + points([point]), text)


def segment(srid: int, start: Point, end: Point, text: str) -> Raw:
    """A line of two points, the short form."""
    return Raw(struct.pack("<iBB", srid, 1, VALID | ONE_SEGMENT) + points([start, end]), text)


def shape(
    srid: int,
    where: Sequence[Point],
    figures: Sequence[tuple[int, int]],
    shapes: Sequence[tuple[int, int, int]],
    text: str,
) -> Raw:
    """Any shape: points, figures (kind, first point), shapes (parent, first figure, kind)."""
    flags = VALID | (HAS_Z if where and len(where[0]) > 2 else 0)
    out = struct.pack("<iBBI", srid, 1, flags, len(where)) + points(where)
    out += struct.pack("<I", len(figures)) + b"".join(struct.pack("<Bi", *figure) for figure in figures)
    out += struct.pack("<I", len(shapes)) + b"".join(struct.pack("<iiB", *one) for one in shapes)
    return Raw(out, text)


SQUARE: list[Point] = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
HOLE: list[Point] = [(1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]
LINE: list[Point] = [(0, 0), (1, 1.5), (2, 0)]
GEOMETRY = [
    one_point(0, (1.5, -2), "POINT (1.5 -2)"),
    segment(0, (0, 0), (3, 4), "LINESTRING (0 0, 3 4)"),
    shape(0, LINE, [(STROKE, 0)], [(-1, 0, 2)], "LINESTRING (0 0, 1 1.5, 2 0)"),
    shape(
        27700, SQUARE + HOLE, [(OUTER, 0), (INNER, 5)], [(-1, 0, 3)],
        "SRID=27700;POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 1 2, 2 2, 2 1, 1 1))",
    ),
    shape(
        0, [(1, 2), (3, 4)], [(STROKE, 0), (STROKE, 1)], [(-1, 0, 4), (0, 0, 1), (0, 1, 1)],
        "MULTIPOINT ((1 2), (3 4))",
    ),
    shape(
        0, [(9, 9), *LINE], [(STROKE, 0), (STROKE, 1)], [(-1, 0, 7), (0, 0, 1), (0, 1, 2)],
        "GEOMETRYCOLLECTION (POINT (9 9), LINESTRING (0 0, 1 1.5, 2 0))",
    ),
    shape(0, [], [], [(-1, -1, 7)], "GEOMETRYCOLLECTION EMPTY"),
]  # fmt: skip
GEOGRAPHY = [
    one_point(4326, (47, 12), "SRID=4326;POINT (12 47)"),
    segment(4326, (10, 20), (30, 40), "SRID=4326;LINESTRING (20 10, 40 30)"),
]


class Xml:
    """Binary XML: names are defined before their first use and numbered from 1."""

    def __init__(self) -> None:
        self.out = bytes.fromhex("dfff01b004")
        self.names: dict[str, int] = {}

    def name(self, name: str) -> bytes:
        """The number of a name; its definition goes before."""
        if name not in self.names:
            self.names[name] = len(self.names) + 1
            self.out += b"\xf0" + bytes([len(name)]) + name.encode("utf-16-le")
            self.out += b"\xef" + bytes([0, 0, self.names[name]])
        return bytes([self.names[name]])

    def open(self, name: str, **attributes: str) -> "Xml":
        """An element begins."""
        number = self.name(name)
        self.out += b"\xf8" + number
        for key, value in attributes.items():
            number = self.name(key)
            self.out += b"\xf6" + number + self.said(value)
        self.out += b"\xf5" if attributes else b""
        return self

    def said(self, text: str) -> bytes:
        """Text."""
        return b"\x11" + bytes([len(text)]) + text.encode("utf-16-le")

    def text(self, text: str) -> "Xml":
        """Text within an element."""
        self.out += self.said(text)
        return self

    def close(self) -> "Xml":
        """An element ends."""
        self.out += b"\xf7"
        return self


XML = [
    Raw(Xml().open("a").close().out, "<a/>"),
    Raw(
        Xml()
        .open("root", id="1", note='"<&')
        .text("x & y")
        .open("b")
        .text("ü")
        .close()
        .open("b")
        .close()
        .close()
        .out,
        '<root id="1" note="&quot;&lt;&amp;">x &amp; y<b>ü</b><b/></root>',
    ),
]

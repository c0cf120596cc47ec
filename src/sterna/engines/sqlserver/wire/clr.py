"""hierarchyid, geometry and geography, as [MS-SSCLRT] lays them out, into the text that SQL Server shows."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from sterna.core.errors import Unsupported

_PATTERNS = (
    # (fixed bits with x for those of the number, the first number of the range)
    ("01xx", 0),
    ("100xx", 4),
    ("101xxx", 8),
    ("110xx0x1xxx", 16),
    ("1110xxx0xxx0x1xxx", 80),
    ("11110xxxxx0xxx0x1xxx", 1104),
    ("111110xxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx", 5200),
    ("111111xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx", 4294972496),
    ("00111xxx", -8),
    ("0010xx0x1xxx", -72),
    ("000110xxxxx0xxx0x1xxx", -4168),
    ("000101xxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx", -4294971464),
    ("000100xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxx", -281479271682120),
)
"""The forms a number of a path has; a bit after it says whether the step ends (1) or goes on after a dot (0)."""


def hierarchy_path(raw: bytes) -> str:
    """``/1/2.3/`` of a hierarchyid. Raises ValueError for bytes that are none."""
    if len(raw) > 892:
        raise ValueError(f"a hierarchyid of {len(raw)} bytes")
    bits = "".join(f"{byte:08b}" for byte in raw)
    at, text = 0, "/"
    while "1" in bits[at:]:
        at, number = _ordinal(bits, at)
        ends = bits[at : at + 1] == "1"
        at += 1
        text += f"{number}/" if ends else f"{number - 1}."
    if text.endswith("."):
        raise ValueError("a hierarchyid that stops after a dot")
    return text


def _ordinal(bits: str, at: int) -> tuple[int, int]:
    for pattern, first in _PATTERNS:
        piece = bits[at : at + len(pattern)]
        pairs = list(zip(pattern, piece, strict=False))
        if len(piece) == len(pattern) and all(form in ("x", bit) for form, bit in pairs):
            digits = "".join(bit for form, bit in pairs if form == "x")
            return at + len(pattern), first + int(digits, 2)
    raise ValueError("bits that are no step of a hierarchyid")


_POINT, _LINE, _POLYGON, _POINTS, _LINES, _POLYGONS, _COLLECTION = 1, 2, 3, 4, 5, 6, 7
_ARC, _COMPOUND, _CURVE_POLYGON, _GLOBE = 8, 9, 10, 11
_WORDS = {
    1: "POINT", 2: "LINESTRING", 3: "POLYGON", 4: "MULTIPOINT", 5: "MULTILINESTRING", 6: "MULTIPOLYGON",
    7: "GEOMETRYCOLLECTION", 8: "CIRCULARSTRING", 9: "COMPOUNDCURVE", 10: "CURVEPOLYGON", 11: "FULLGLOBE",
}  # fmt: skip
_ARC_FIGURE, _COMPOUND_FIGURE = 2, 3
_HAS_Z, _HAS_M, _SINGLE_POINT, _SINGLE_LINE = 1, 2, 8, 16


class _Figure(NamedTuple):
    kind: int
    """Version 1: 0 inner ring, 1 stroke, 2 outer ring. Version 2: 0 point, 1 line, 2 arc, 3 compound curve."""
    start: int


class _Shape(NamedTuple):
    parent: int
    figure: int
    kind: int


class _Spatial(NamedTuple):
    version: int
    word: str
    """What goes before the brackets: Z, M or ZM, and a blank."""
    points: list[str]
    """The coordinates of each, as text."""
    figures: list[_Figure]
    shapes: list[_Shape]
    segments: bytes
    """Of compound curves: 0 a line, 1 an arc, 2 and 3 the first of several."""


def well_known_text(raw: bytes, *, geography: bool) -> str:
    """The text of a spatial value, ``SRID=4326;`` before it unless the reference system is 0 or -1.

    The fourth number of a point is a measure; without a height before it the shape says ``M``. Raises ValueError
    or struct.error for bytes that are none, Unsupported for the whole globe.
    """
    (srid,) = struct.unpack_from("<i", raw)
    text = _text(_parsed(raw, geography))
    return text if srid in (0, -1) else f"SRID={srid};{text}"


def _text(value: _Spatial) -> str:
    if not value.shapes:
        raise ValueError("a spatial value without a shape")
    return _Writer(value).shape(0, 0)


def _parsed(raw: bytes, geography: bool) -> _Spatial:
    version, flags = struct.unpack_from("<BB", raw, 4)
    if version not in (1, 2):
        raise Unsupported(f"A spatial value of version {version}.")
    if flags & (_SINGLE_POINT | _SINGLE_LINE):
        count, at = (1 if flags & _SINGLE_POINT else 2), 6
    else:
        count, at = _count(raw, 6, 16)
    points = _points(raw, at, count, flags, geography)
    at += count * (16 + 8 * bool(flags & _HAS_Z) + 8 * bool(flags & _HAS_M))
    if flags & (_SINGLE_POINT | _SINGLE_LINE):
        kind = _POINT if flags & _SINGLE_POINT else _LINE
        return _Spatial(version, _MARKS[flags & 3], points, [_Figure(1, 0)], [_Shape(-1, 0, kind)], b"")
    count, at = _count(raw, at, 5)
    figures = [_Figure(*struct.unpack_from("<Bi", raw, at + 5 * i)) for i in range(count)]
    count, at = _count(raw, at + 5 * count, 9)
    shapes = [_Shape(*struct.unpack_from("<iiB", raw, at + 9 * i)) for i in range(count)]
    _check(points, figures, shapes)
    at += 9 * count
    segments = b""
    if version == 2 and at < len(raw):
        count, at = _count(raw, at, 1)
        segments = raw[at : at + count]
    return _Spatial(version, _MARKS[flags & 3], points, figures, shapes, segments)


def _count(raw: bytes, at: int, size: int) -> tuple[int, int]:
    (count,) = struct.unpack_from("<I", raw, at)
    if count * size > len(raw):
        raise ValueError("a spatial value is cut off")
    return count, at + 4


def _check(points: list[str], figures: list[_Figure], shapes: list[_Shape]) -> None:
    """Each figure begins where the one before it ended, each shape belongs to an earlier one."""
    starts = [figure.start for figure in figures]
    if starts != sorted(starts) or any(not 0 <= start <= len(points) for start in starts):
        raise ValueError("the figures of a spatial value are out of order")
    firsts = [shape.figure for shape in shapes if shape.figure >= 0]
    if firsts != sorted(firsts) or any(first >= len(figures) for first in firsts):
        raise ValueError("the shapes of a spatial value are out of order")
    if any(not (-1 if not i else 0) <= shape.parent < max(i, 0) for i, shape in enumerate(shapes)):
        raise ValueError("the shapes of a spatial value do not form a tree")


def _points(raw: bytes, at: int, count: int, flags: int, geography: bool) -> list[str]:
    pairs = struct.unpack_from(f"<{2 * count}d", raw, at)
    at += 16 * count
    columns: list[list[str]] = [[_digits(x) for x in pairs[i::2]] for i in ((1, 0) if geography else (0, 1))]
    for flag in (_HAS_Z, _HAS_M):
        if flags & flag:
            numbers = struct.unpack_from(f"<{count}d", raw, at)
            columns.append(["NaN" if x != x else _digits(x) for x in numbers])
            at += 8 * count
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _digits(value: float) -> str:
    if value - value != 0:
        raise ValueError("a coordinate that is no number")
    text = repr(value)
    return text.removesuffix(".0")


_MARKS = ("", "Z ", "M ", "ZM ")


class _Writer:
    """Writes the shapes of one value. Depth is bounded."""

    def __init__(self, value: _Spatial) -> None:
        self._value = value
        self._word = value.word
        self._segments = iter(value.segments)
        self._children: dict[int, list[int]] = {}
        for index, shape in enumerate(value.shapes):
            self._children.setdefault(shape.parent, []).append(index)

    def shape(self, index: int, depth: int) -> str:
        kind = self._value.shapes[index].kind
        if kind not in _WORDS:
            raise ValueError(f"a spatial shape of kind {kind}")
        if kind == _GLOBE:
            raise Unsupported(f"A spatial value of the kind {_WORDS[kind]}.")
        body = self._body(index, depth)
        return f"{_WORDS[kind]} {self._word if body else ''}{body or 'EMPTY'}"

    def _body(self, index: int, depth: int) -> str:
        if depth > 32:
            raise ValueError("a spatial value is nested too deep")
        kind = self._value.shapes[index].kind
        if kind in (_POINT, _LINE, _ARC):
            return next((f"({', '.join(points)})" for points in self._figures(index)), "")
        if kind == _POLYGON:
            return _bracketed(f"({', '.join(points)})" for points in self._figures(index))
        if kind == _COMPOUND:
            return next((self._pieces(points) for points in self._figures(index)), "")
        if kind == _CURVE_POLYGON:
            return _bracketed(
                self._ring(*one) for one in zip(self._kinds(index), self._figures(index), strict=False)
            )
        inside = self._children.get(index, [])
        if kind == _COLLECTION:
            return _bracketed(self.shape(child, depth + 1) for child in inside)
        return _bracketed(self._body(child, depth + 1) or "EMPTY" for child in inside)

    def _figures(self, index: int) -> Iterator[list[str]]:
        """The points of each figure of a shape."""
        first = self._value.shapes[index].figure
        if first < 0:
            return
        for number in range(first, self._after(index)):
            start = self._value.figures[number].start
            later = self._value.figures[number + 1 :][:1]
            yield self._value.points[start : later[0].start if later else len(self._value.points)]

    def _kinds(self, index: int) -> Iterator[int]:
        first = self._value.shapes[index].figure
        return (figure.kind for figure in self._value.figures[max(first, 0) : self._after(index)])

    def _ring(self, kind: int, points: list[str]) -> str:
        if kind == _COMPOUND_FIGURE:
            return f"COMPOUNDCURVE {self._word}{self._pieces(points)}"
        plain = f"({', '.join(points)})"
        return f"CIRCULARSTRING {self._word}{plain}" if kind == _ARC_FIGURE else plain

    def _pieces(self, points: list[str]) -> str:
        """A compound curve's lines and arcs, each beginning where the last one ended. Uses up its segments."""
        pieces: list[tuple[bool, list[str]]] = []
        at = 0
        while at < len(points) - 1:
            segment = next(self._segments, None)
            if segment is None or segment > 3 or (segment < 2 and not pieces):
                raise ValueError("the segments of a spatial value do not fit its points")
            arc, first = bool(segment & 1), segment >= 2
            if first:
                pieces.append((arc, [points[at]]))
            pieces[-1][1].extend(points[at + 1 : at + (3 if arc else 2)])
            at += 2 if arc else 1
        return _bracketed(
            f"{f'CIRCULARSTRING {self._word}' if arc else ''}({', '.join(one)})" for arc, one in pieces
        )

    def _after(self, index: int) -> int:
        """The first figure that belongs to a later shape."""
        later = (shape.figure for shape in self._value.shapes[index + 1 :] if shape.figure >= 0)
        return next(later, len(self._value.figures))


def _bracketed(parts: Iterator[str]) -> str:
    inside = ", ".join(parts)
    return f"({inside})" if inside else ""

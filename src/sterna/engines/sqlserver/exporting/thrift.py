"""Thrift's compact form, as far as Parquet needs it to say where pages lie.

Source: "Thrift Compact protocol encoding" of Apache Thrift.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_WHOLE = (I16, I32, I64)
_DEEPEST = 16
_MOST_IN_SHORT = 14
"""Elements of a list, and steps between numbers of fields, that share a byte with the type."""


@dataclass
class Field:
    """A field of a structure."""

    kind: int
    value: object
    """A number, bytes, a list (Items), or a structure (Struct)."""


@dataclass
class Items:
    """A list."""

    kind: int
    values: list[object]


Struct = dict[int, Field]
"""Fields by their numbers, in their order."""


class Reader:
    """Reads values one after the other. Raises ValueError or IndexError for what is none."""

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self.at = at
        self._data = data

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and kind of each field of a structure; its value has to be read before the next."""
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else _signed(self._number())
            yield number, head & 15

    def struct(self, depth: int = _DEEPEST) -> Struct:
        """A whole structure."""
        return {number: Field(kind, self.value(kind, depth - 1)) for number, kind in self.fields()}

    def items(self) -> tuple[int, int]:
        """The kind of a list's values, and how many there are."""
        head = self._byte()
        return head & 15, self._number() if head >> 4 == 15 else head >> 4

    def value(self, kind: int, depth: int = _DEEPEST) -> object:
        """A value that is no field's truth: those are their kind."""
        if depth < 0:
            raise ValueError("structures are nested too deep")
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind in _WHOLE:
            return _signed(self._number())
        if kind == STRUCT:
            return self.struct(depth)
        if kind == LIST:
            of, count = self.items()
            return Items(of, [self._element(of, depth - 1) for _ in range(count)])
        size = {BYTE: 1, DOUBLE: 8}.get(kind)
        if size is None:
            if kind != BINARY:
                raise ValueError(f"a value of kind {kind}")
            size = self._number()
        self.at += size
        return bytes(self._data[self.at - size : self.at])

    def _element(self, kind: int, depth: int) -> object:
        """In lists, unlike in fields, a truth takes a byte."""
        return self._byte() == TRUE if kind in (TRUE, FALSE) else self.value(kind, depth)

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7


def struct_bytes(fields: Struct) -> bytes:
    """A structure, its end included."""
    out = bytearray()
    before = 0
    for number, field in fields.items():
        kind = field.kind if field.kind not in (TRUE, FALSE) else TRUE if field.value else FALSE
        out += field_head(number, kind, before)
        if kind not in (TRUE, FALSE):
            out += value_bytes(kind, field.value)
        before = number
    return bytes(out) + b"\0"


def field_head(number: int, kind: int, before: int) -> bytes:
    """What stands before the value of a field. ``before``: the number of the field before it, 0 for none."""
    if 1 <= number - before <= _MOST_IN_SHORT + 1:
        return bytes([number - before << 4 | kind])
    return bytes([kind]) + _number(_unsigned(number))


def list_head(kind: int, count: int) -> bytes:
    """What stands before the values of a list."""
    return bytes([count << 4 | kind]) if count <= _MOST_IN_SHORT else bytes([0xF0 | kind]) + _number(count)


def value_bytes(kind: int, value: object) -> bytes:
    """A value as ``Reader.value`` gives it."""
    if kind in _WHOLE and isinstance(value, int):
        return _number(_unsigned(value))
    if kind == STRUCT and isinstance(value, dict):
        return struct_bytes(value)
    if kind == LIST and isinstance(value, Items):
        return list_head(value.kind, len(value.values)) + b"".join(
            _element(value.kind, one) for one in value.values
        )
    if isinstance(value, bytes):
        return _number(len(value)) + value if kind == BINARY else value
    raise ValueError(f"a value of kind {kind}")


def _element(kind: int, value: object) -> bytes:
    return struct.pack("B", TRUE if value else FALSE) if kind in (TRUE, FALSE) else value_bytes(kind, value)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _signed(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def _unsigned(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1

"""Values too long, or too many, to be held: they are read, decoded and written piece by piece."""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from sterna.engines.sqlserver.wire import collations, lob, types
from sterna.engines.sqlserver.wire.lob import Fetch
from sterna.engines.sqlserver.wire.records import Physical

LONG = 1 << 20
"""Bytes, as they are stored, from which on a value is not held."""
TOGETHER = 2 << 20
"""Bytes of values out of the row that are held together; beyond them also shorter ones are not."""
NEVER_LONG = 1 << 14
"""Bytes up to which a value is held in any case."""
PIECE = 1 << 18
"""Stored bytes that are decoded together, about."""

Decoded = Iterator[bytes] | Iterator[str]
Decode = Callable[[Iterator[bytes]], Decoded]


@dataclass(frozen=True, slots=True)
class Long:
    """A value of binary or text that is made anew, piece by piece, each time it is asked for.

    Its pieces raise what ``lob.pieces`` and the type's decoder raise.
    """

    binary: bool
    size: int
    """Bytes, as they are stored."""
    make: Callable[[], Decoded]

    def __iter__(self) -> Decoded:
        return self.make()


class Room:
    """How much may yet be held of what is held together: a row, or the text of a page."""

    def __init__(self) -> None:
        self._left = TOGETHER

    def empty(self) -> None:
        """Nothing is held any more."""
        self._left = TOGETHER

    def takes(self, size: int) -> bool:
        """Whether a value of so many bytes is held."""
        if size >= LONG or (size > self._left and size > NEVER_LONG):
            return False
        self._left -= size
        return True


def found(pointer: bytes, fetch: Fetch, binary: bool, decode: Decode, room: Room) -> Long | None:
    """The value that a pointer leads to; None: it is to be held, or null. Raises as ``lob.size`` does."""
    size = lob.size(pointer, fetch)
    if room.takes(size):
        return None
    return Long(binary, size, lambda: decode(_together(lob.pieces(pointer, fetch) or iter(()))))


def decoder(column: Physical) -> Decode | None:
    """For types whose values can be had piece by piece: from stored bytes to bytes or text. None: for others."""
    if is_binary(column):
        return lambda pieces: pieces
    if column.xtype in (types.NVARCHAR, types.NTEXT):
        return lambda pieces: _incremental(pieces, "utf-16-le", "surrogatepass")
    if column.xtype in (types.XML, types.CLR):
        whole = types.decoder(column)
        return lambda pieces: _cut(cast(str, whole(b"".join(pieces))))
    if column.xtype not in (types.VARCHAR, types.TEXT):
        return None
    page = collations.code_page(column.collation)
    if page == collations.UTF8_PAGE:
        return lambda pieces: _incremental(pieces, "utf-8", "surrogateescape")
    decode = collations.decoder(page)
    if page in collations.DOUBLE:
        return lambda pieces: map(decode, _between_characters(pieces))
    return lambda pieces: map(decode, pieces)


def is_binary(column: Physical) -> bool:
    """Whether its values are bytes, not text: as those of CLR types that nobody here can read."""
    if column.xtype == types.CLR:
        return column.utype not in types.READABLE_CLR
    return column.xtype in (types.VARBINARY, types.IMAGE)


def _together(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Fewer, larger pieces."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _cut(text: str) -> Iterator[str]:
    """A value that is decoded as a whole; it is held no longer than it is read."""
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def _incremental(pieces: Iterator[bytes], name: str, errors: str) -> Iterator[str]:
    decode = codecs.getincrementaldecoder(name)(errors).decode
    for piece in pieces:
        yield decode(piece)
    yield decode(b"", final=True)


def _between_characters(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut where no character of two bytes is cut: behind a byte below 0x80, which is the first of none."""
    held = b""
    for piece in pieces:
        end = next((at for at in range(len(piece), 0, -1) if piece[at - 1] < 0x80), 0)
        if end:
            yield held + piece[:end]
            held = piece[end:]
        else:
            held += piece
    yield held

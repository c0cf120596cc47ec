"""Tar archives, read front to back: what is in them, and where.

The form is that of POSIX (pax) and GNU tar; names and sizes from their extensions are read, whatever else these
say is passed over. Nothing in a header is believed beyond its bounds, and no name is used as a path.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.files.streams import Stream, exactly, skip

RECORD = 512
MOST_MEMBERS = 10_000
MOST_EXTENSION = 64 << 10
"""Bytes of a name or another extension header."""
_REGULAR, _LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL, _SPARSE = b"0\07", b"L", b"K", b"xX", b"g", b"S"


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in the archive. ``offset``: where its bytes begin."""

    name: str
    offset: int
    size: int
    head: bytes


@dataclass(slots=True)
class _Said:
    """What extension headers say of the next member."""

    name: str = ""
    size: int = -1


def is_tar(head: bytes) -> bool:
    """Whether these first 512 bytes are a header."""
    return len(head) >= RECORD and any(head[:RECORD]) and _sound(head[:RECORD])


def members(stream: Stream, archive: str, head: int) -> Iterator[Member]:
    """The regular files, each with its first ``head`` bytes. Raises BadData, Unsupported."""
    said, count = _Said(), 0
    while (record := exactly(stream, RECORD)) and any(record):
        place = stream.at - len(record)
        count += 1
        if count > MOST_MEMBERS:
            raise Unsupported(f"{archive} holds more than {MOST_MEMBERS} files")
        if len(record) < RECORD or not _sound(record):
            raise BadData(f"{archive} is no tar archive, or damaged, at byte {place} of what is unpacked")
        kind, size = record[156:157], _number(record[124:136], archive, place)
        if kind in _LONG_NAME + _LONG_LINK + _PAX + _PAX_ALL:
            _extension(stream, archive, kind, size, said)
            continue
        size = said.size if said.size >= 0 else size
        if kind == _SPARSE:
            raise Unsupported(f"{archive}: {said.name or _name(record)} is a sparse file, which cannot be read")
        begin, first = stream.at, b""
        if kind in _REGULAR:
            first = exactly(stream, min(head, size))
            yield Member(said.name or _name(record), begin, size, first)
        _pass(stream, archive, begin + _padded(size))
        said = _Said()


def _pass(stream: Stream, archive: str, upto: int) -> None:
    """Go on to a place; an archive that ends before it is cut off."""
    skip(stream, upto - stream.at)
    if stream.at < upto:
        raise BadData(f"{archive} is cut off at byte {stream.at} of what is unpacked")


def _extension(stream: Stream, archive: str, kind: bytes, size: int, said: _Said) -> None:
    if size > MOST_EXTENSION:
        raise Unsupported(f"{archive}: an extension header of {size} bytes at byte {stream.at - RECORD}")
    begin = stream.at
    data = exactly(stream, size)
    _pass(stream, archive, begin + _padded(size))
    if kind == _LONG_NAME:
        said.name = _text(data)
    elif kind in _PAX:
        _pax(data, archive, begin, said)


def _pax(data: bytes, archive: str, place: int, said: _Said) -> None:
    """Records ``length key=value`` and a line end."""
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + 12)
        digits = data[at:blank] if blank > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        if length <= len(digits) + 2 or at + length > len(data):
            raise BadData(f"{archive}: a damaged extension header at byte {place} of what is unpacked")
        key, _, value = data[blank + 1 : at + length - 1].partition(b"=")
        if key == b"path":
            said.name = _text(value)
        elif key == b"size":
            said.size = int(value) if value.isdigit() and len(value) < 20 else -1
        elif key.startswith(b"GNU.sparse"):
            raise Unsupported(f"{archive} holds a sparse file, which cannot be read")
        at += length


def _sound(record: bytes) -> bool:
    """Whether the header's checksum is right; it counts itself as blanks."""
    field = record[148:156].strip(b" \0")
    if not field or not field.isdigit() or any(byte > 55 for byte in field):
        return False
    return int(field, 8) == sum(record[:148]) + sum(record[156:RECORD]) + 8 * 32


def _number(field: bytes, archive: str, place: int) -> int:
    """An octal number, or where its first bit is set a binary one."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    if not digits.isdigit() or any(byte > 55 for byte in digits):
        raise BadData(f"{archive}: a damaged size at byte {place} of what is unpacked")
    return int(digits, 8)


def _name(record: bytes) -> str:
    name = _text(record[:100])
    prefix = _text(record[345:500]) if record[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "replace")


def _padded(size: int) -> int:
    return -(-size // RECORD) * RECORD

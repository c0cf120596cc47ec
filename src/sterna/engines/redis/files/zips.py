"""Zip archives: what is in them by their directory at the end (with zip64), and where its packed bytes begin.

The layout is that of PKWARE's APPNOTE.TXT 6.3. Files that are stored or deflated can be read; what else there is,
encrypted files above all, is said by name. No name is used as a path.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from sterna.core.errors import BadData, Unsupported
from sterna.core.files import Blob
from sterna.engines.redis.files.streams import Inflated, Plain, Stream

MOST_MEMBERS = 10_000
MOST_DIRECTORY = 16 << 20
STORED, DEFLATED = 0, 8
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES encryption"}

_END = Struct("<4s4H2LH")
_LOCATOR = Struct("<4sLQL")
_END_64 = Struct("<4sQ2H2L4Q")
_ENTRY = Struct("<4s4B4HL2L5H2L")
_LOCAL = Struct("<4s5H3L2H")
_LONGEST_COMMENT = 65535
_ALL_ONES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive, as its directory has it. ``offset``: of its own header."""

    name: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int


def members(blob: Blob) -> list[Member]:
    """The files, folders left out. Raises BadData, Unsupported."""
    place, size, count, shift = _directory(blob)
    if size > MOST_DIRECTORY or count > MOST_MEMBERS:
        raise Unsupported(f"{blob.name} has a directory of {count} files in {size} bytes: too large")
    data = blob.read_at(place, size)
    if len(data) < size:
        raise BadData(f"{blob.name}: its directory at byte {place} is cut off")
    return list(_entries(blob.name, data, place, shift, blob.size))


def opened(blob: Blob, member: Member, name: str) -> Stream:
    """The member's bytes from its beginning. Raises BadData."""
    local = blob.read_at(member.offset, _LOCAL.size)
    if len(local) < _LOCAL.size or not local.startswith(b"PK\x03\x04"):
        raise BadData(f"{name}: nothing begins at byte {member.offset} of its archive")
    names, extras = _LOCAL.unpack(local)[-2:]
    start = member.offset + _LOCAL.size + names + extras
    if start + member.packed > blob.size:
        raise BadData(f"{name} reaches beyond the end of its archive")
    packed = Plain(blob, start, start + member.packed)
    return Inflated(packed, name, member.size, member.crc, deflated=member.method == DEFLATED)


def _directory(blob: Blob) -> tuple[int, int, int, int]:
    """Place and size of the directory, how many files it names, and how many bytes stand before the archive."""
    tail_at = max(0, blob.size - _LONGEST_COMMENT - _END.size)
    tail = blob.read_at(tail_at, blob.size - tail_at)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and not (at + _END.size <= len(tail) and _comment_fits(tail, at)):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        raise BadData(f"{blob.name} is a zip archive without its end: it is cut off, or one part of several")
    _, disk, first, here, count, size, place, _ = _END.unpack_from(tail, at)
    end = tail_at + at
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        end, disk, first, here, count, size, place = _directory_64(blob, tail, at - _LOCATOR.size)
    if disk or first or here != count:
        raise Unsupported(f"{blob.name} is one part of a zip archive in several files")
    shift = end - size - place
    if shift < 0:
        raise BadData(f"{blob.name}: its directory lies outside of it")
    return place + shift, size, count, shift


def _comment_fits(tail: bytes, at: int) -> bool:
    return bool(at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail))


def _directory_64(blob: Blob, tail: bytes, locator: int) -> tuple[int, int, int, int, int, int, int]:
    _, _, place, disks = _LOCATOR.unpack_from(tail, locator)
    record = blob.read_at(place, _END_64.size) if place < blob.size else b""
    if disks > 1:
        raise Unsupported(f"{blob.name} is one part of a zip archive in several files")
    if len(record) < _END_64.size or not record.startswith(b"PK\x06\x06"):
        raise BadData(f"{blob.name}: nothing begins at byte {place}, where its directory's end should be")
    _, _, _, _, disk, first, here, count, size, start = _END_64.unpack(record)
    return place, disk, first, here, count, size, start


def _entries(archive: str, data: bytes, place: int, shift: int, whole: int) -> Iterator[Member]:
    at = 0
    while at < len(data):
        if at + _ENTRY.size > len(data) or data[at : at + 4] != b"PK\x01\x02":
            raise BadData(f"{archive}: its directory is damaged at byte {place + at}")
        fields = _ENTRY.unpack_from(data, at)
        flags, method = fields[5], fields[6]
        crc, packed, size, names, extras, comments = fields[9:15]
        offset = fields[18]
        begin = at + _ENTRY.size
        name = data[begin : begin + names].decode("utf-8" if flags & 0x800 else "cp437", "replace")
        extra = data[begin + names : begin + names + extras]
        size, packed, offset = _wide(extra, size, packed, offset)
        at = begin + names + extras + comments
        if at > len(data) or offset + shift + packed > whole:
            raise BadData(f"{archive}: its directory is damaged at byte {place + begin}")
        if name.endswith("/"):
            continue
        if flags & 0x2041:
            raise Unsupported(f"{archive}: {name} is encrypted", hint="Pack it again without a password.")
        if method not in (STORED, DEFLATED):
            known = _METHODS.get(method, f"method {method}")
            raise Unsupported(f"{archive}: {name} is packed with {known}", hint="Pack it again with Deflate.")
        yield Member(name, offset + shift, packed, size, crc, method)


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The numbers of zip64 for those that the directory has no room for."""
    values = [size, packed, offset]
    at = 0
    while at + 4 <= len(extra):
        tag, length = (
            int.from_bytes(extra[at : at + 2], "little"),
            int.from_bytes(extra[at + 2 : at + 4], "little"),
        )
        field = extra[at + 4 : at + 4 + length]
        if tag == 1:
            wanted = [place for place, value in enumerate(values) if value == _ALL_ONES]
            for number, place in enumerate(wanted):
                if 8 * number + 8 <= len(field):
                    values[place] = int.from_bytes(field[8 * number : 8 * number + 8], "little")
        at += 4 + length
    return values[0], values[1], values[2]

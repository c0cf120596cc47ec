"""Gives a copied PostgreSQL data directory a system identifier of its own, as initdb would have.

The identifier opens ``global/pg_control``, whose fields end with a CRC-32C of all before it
(``src/include/catalog/pg_control.h``), and stands in the long header of every WAL segment's first page
(``src/include/access/xlog_internal.h``). The CRC's place differs from version to version: it is found by its
value.
"""

import secrets
import struct
from pathlib import Path

_POLYNOMIAL = 0x82F63B78
_WAL_HEADER_PLACE = 24
_WAL_NAME_LENGTH = 24


def new_identity(data: Path) -> None:
    """Change the identifier of a cleanly stopped data directory. Raises ValueError if it is none we know."""
    identifier = struct.pack("<Q", secrets.randbits(63))
    control = data / "global" / "pg_control"
    content = control.read_bytes()
    place = _crc_place(content)
    fields = identifier + content[8:place]
    control.write_bytes(fields + struct.pack("<I", crc32c(fields)) + content[place + 4 :])
    for segment in (data / "pg_wal").iterdir():
        if len(segment.name) == _WAL_NAME_LENGTH:
            _change_segment(segment, content[:8], identifier)


def crc32c(content: bytes) -> int:
    """The checksum of RFC 3720, appendix B.4."""
    value = 0xFFFFFFFF
    for byte in content:
        value = _step(value, byte)
    return value ^ 0xFFFFFFFF


def _crc_place(content: bytes) -> int:
    value = 0xFFFFFFFF
    for place, byte in enumerate(content[:-4]):
        if place > 8 and struct.unpack_from("<I", content, place)[0] == value ^ 0xFFFFFFFF:
            return place
        value = _step(value, byte)
    raise ValueError("no CRC-32C of what stands before it in pg_control")


def _step(value: int, byte: int) -> int:
    value ^= byte
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


def _change_segment(segment: Path, old: bytes, new: bytes) -> None:
    with segment.open("r+b") as file:
        file.seek(_WAL_HEADER_PLACE)
        if file.read(8) != old:
            raise ValueError(f"{segment.name} does not carry the identifier of pg_control")
        file.seek(_WAL_HEADER_PLACE)
        file.write(new)

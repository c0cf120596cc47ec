"""The spool's frames: a stretch of the stream on disk, with a checksum that tells whether it is whole.

Little-endian: magic and version (4 bytes), stream offset (8), payload length (4), arrival in ms since 1970 (8),
the stream offset that was safely on the disk by then (8), CRC-32 of all that and of the payload (4); the payload.
"""

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from sterna.core.errors import BadData

MAGIC = b"StS\x01"
_HEAD = struct.Struct("<4sQIQQ")
_CHECKSUM = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CHECKSUM.size
MOST_FRAME = 1 << 20
"""Payload bytes of the longest frame; longer data is cut into several."""


class Frame(NamedTuple):
    """A frame that was read, and found whole."""

    offset: int
    """Stream offset of its first byte."""
    place: int
    """Where in the file it begins."""
    data: bytes
    at_ms: int

    @property
    def end(self) -> int:
        """Stream offset after its last byte."""
        return self.offset + len(self.data)


def framed(offset: int, data: bytes, at_ms: int, synced: int) -> bytes:
    """The frames that hold some data."""
    parts = []
    for place in range(0, len(data), MOST_FRAME):
        payload = data[place : place + MOST_FRAME]
        head = _HEAD.pack(MAGIC, offset + place, len(payload), at_ms, synced)
        parts += [head, _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(head))), payload]
    return b"".join(parts)


def read_frame(handle: int, path: Path, place: int) -> Frame:
    """The frame at a place in a file. Raises BadData, naming file and byte, if it is not whole."""
    head = os.pread(handle, HEAD_BYTES, place)
    if len(head) == HEAD_BYTES and head.startswith(MAGIC):
        _, offset, length, at_ms, _ = _HEAD.unpack_from(head)
        data = os.pread(handle, min(length, MOST_FRAME), place + HEAD_BYTES)
        if len(data) == length and _sound(head, data):
            return Frame(offset, place, data, at_ms)
    raise BadData(
        f"{path} is damaged at byte {place}", hint="Check the disk; then start the job anew, from the beginning."
    )


def _sound(head: bytes, data: bytes) -> bool:
    (checksum,) = _CHECKSUM.unpack_from(head, _HEAD.size)
    return bool(zlib.crc32(data, zlib.crc32(head[: _HEAD.size])) == checksum)


def sound_end(path: Path, start: int) -> tuple[int, int]:
    """Where the last whole frame of a segment ends: place in the file, and stream offset.

    What comes after was torn by a crash: bytes of which nobody was told that they are safe. Raises BadData where a
    later frame says that they were.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        place, offset = 0, start
        size = os.fstat(handle).st_size
        while place < size:
            try:
                frame = read_frame(handle, path, place)
            except BadData:
                if _safe_upto(handle, place + 1) > offset:
                    raise
                break
            if frame.offset != offset:
                raise BadData(f"{path} is damaged at byte {place}: it holds {frame.offset}, not {offset}")
            place, offset = place + HEAD_BYTES + len(frame.data), frame.end
        return place, offset
    finally:
        os.close(handle)


def _safe_upto(handle: int, place: int) -> int:
    """Up to which stream offset everything was safely on the disk, by the frames from a place on."""
    safe = 0
    with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as data:
        while (place := data.find(MAGIC, place)) >= 0:
            head = data[place : place + HEAD_BYTES]
            if len(head) == HEAD_BYTES:
                _, _, length, _, synced = _HEAD.unpack_from(head)
                payload = data[place + HEAD_BYTES : place + HEAD_BYTES + min(length, MOST_FRAME)]
                if len(payload) == length and _sound(head, payload):
                    safe = max(safe, synced)
            place += 1
    return safe

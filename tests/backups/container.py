"""The compressed container: records of up to 64 KB with file marks between them as they are."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.backups.mtf import Sink
from tests.backups.pages import rotate
from tests.backups.xpress import encode

START = 0x1E0
CHUNK = 65536


def record_checksum(data: bytes) -> int:
    """The checksum over the words of a record's data."""
    total = 0
    for (word,) in struct.iter_unpack("<I", data + bytes(-len(data) % 4)):
        total = rotate(total) ^ word
    return total


def record(plain: bytes, packed: bytes, form: int = 2, stale: bytes = bytes(20)) -> bytes:
    """One record; ``form`` is the container's version."""
    head = struct.pack("<BBH", 0x21, len(plain) // 512, len(packed) & 0xFFFF)
    return head + (stale if form == 2 else b"") + struct.pack("<I", record_checksum(packed)) + packed


@dataclass
class Container:
    """Turns the bytes of a tape into records. ``cut`` is called where one must end."""

    sink: Sink
    form: int = 2
    pack: Callable[[bytes], bytes] = encode
    at: int = 0
    raw: bool = False
    held: bytearray = field(default_factory=bytearray)
    noise: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        """The file's head."""
        self._out(b"MSSQLBAK" + struct.pack("<II", self.form, 3) + bytes(START - 16))

    def _out(self, data: bytes) -> None:
        self.sink(data)
        self.at += len(data)

    def write(self, data: bytes) -> None:
        """More of the tape."""
        if self.raw:
            self._out(data)
            return
        self.held += data
        while len(self.held) >= CHUNK:
            self._record(bytes(self.held[:CHUNK]))
            del self.held[:CHUNK]

    def _record(self, plain: bytes) -> None:
        packed = self.pack(plain)
        if len(packed) > 0xFFFF:
            raise ValueError("a record that does not shrink has no place in this container")
        self._out(record(plain, packed, self.form, self.noise.randbytes(20)))

    def cut(self, position: int, raw: bool) -> None:
        """End a record here; ``raw``: what follows is a file mark."""
        del position
        if self.held:
            self._record(bytes(self.held))
            self.held.clear()
        if raw:
            self._out(bytes(byte & 0x1F for byte in self.noise.randbytes(-self.at % 1024)))
        self.raw = raw

"""Which node of a cluster has a key, and which keys a command has, so that it can be sent to the right one."""

import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire import commands
from sterna.engines.redis.wire.draft import Words
from sterna.engines.redis.wire.resp import Framer, command

SLOTS = 16384
EVERYWHERE = -1
_DIVISIBLE = (b"UNLINK", b"DEL")
_LIBRARIES = (b"FUNCTION", b"SCRIPT")


def slot(key: bytes) -> int:
    """By CRC-16 (XMODEM) of the key, or of what stands between its first braces."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


@dataclass(frozen=True, slots=True)
class Sent:
    """A command and its slot; ``EVERYWHERE``: for all nodes."""

    slot: int
    data: bytes


def routed(data: bytes) -> Iterator[Sent]:
    """The commands of a chunk, one by one. A cluster has one database: SELECTs of it go.

    Raises Unsupported for what a cluster cannot carry out.
    """
    buffer, framer, start = bytearray(data), Framer(), 0
    while (end := framer.next(buffer, start, 0)) > 0:
        words = Words(buffer, framer.spans, start)
        name = words[0].upper()
        if name == b"SELECT":
            _only_database(words)
        elif name in _LIBRARIES:
            yield Sent(EVERYWHERE, data[start:end])
        elif name == b"RESTORE":  # almost all there is
            yield Sent(slot(words[1]), data[start:end])
        else:
            yield from _by_keys(name, words, data[start:end])
        start = end
    if start < len(buffer):
        raise BadData(f"a command that does not end, at byte {start} of what was made of the files")


def _only_database(words: Words) -> None:
    if words[1] != b"0":
        raise Unsupported(f"Keys of database {words[1].decode()} cannot be written to a cluster, which has only 0")


def _by_keys(name: bytes, words: Words, data: bytes) -> Iterator[Sent]:
    keys = [words[place] for place in commands.keys(name, words) or []]
    slots = {slot(key) for key in keys}
    if len(slots) == 1 and name != b"MOVE":
        yield Sent(slots.pop(), data)
    elif name in _DIVISIBLE:
        for number, some in _grouped(keys).items():
            yield Sent(number, command(name, *some))
    elif name == b"MSET" and len(words) % 2:
        for place in range(1, len(words), 2):
            yield Sent(slot(words[place]), command(b"SET", words[place], words[place + 1]))
    else:
        said = name[:32].decode("ascii", "backslashreplace")
        why = "touches keys of several slots" if slots else "cannot be sent to one node"
        raise Unsupported(
            f"{said} {why}: a cluster cannot carry it out",
            hint="Import the file into a single server, or import an RDB file of the same data.",
        )


def _grouped(keys: Sequence[bytes]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for key in keys:
        found.setdefault(slot(key), []).append(key)
    return found

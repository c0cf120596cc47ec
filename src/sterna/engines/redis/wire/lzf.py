"""LZF, the compression of strings in RDB files: decompression only, never beyond the length that was declared.

A stream is a row of two things. A byte below 32 is followed by that many plus one bytes to take over. Any other
byte says, in its upper three bits, how many bytes less two to repeat (7: one more byte adds to it), and in its
lower five with the next byte how far back less one they stand: at most 8192.
"""

from sterna.engines.redis.wire.native import native

FARTHEST = 1 << 13
"""How far back a repetition can reach, in bytes."""
MOST_GROWTH = 88
"""Three bytes repeat 264 at most: nothing grows more than this."""


class Lzf:
    """Decompresses piece by piece, keeping no more than the reach of a repetition.

    ``length`` is how many bytes there will be. Raises ValueError where the stream is not one.
    """

    def __init__(self, length: int) -> None:
        self._left = length
        self._window = bytearray()
        self._pending = b""

    @property
    def complete(self) -> bool:
        """All bytes were given out and nothing is left over."""
        return not self._left and not self._pending

    def feed(self, data: bytes | memoryview) -> bytes:
        """What follows from the next compressed bytes."""
        source = self._pending + bytes(data)
        out = self._window
        kept = len(out)
        at = _expand(source, out, kept + self._left)
        self._pending = source[at:]
        made = bytes(out[kept:])
        self._left -= len(made)
        if len(out) > FARTHEST:
            del out[: len(out) - FARTHEST]
        return made


def _expand(source: bytes, out: bytearray, most: int) -> int:
    """Append what whole instructions give; return where the first unfinished one begins."""
    at, end = 0, len(source)
    while at < end:
        control = source[at]
        if control < 32:
            after = at + control + 2
            if after > end:
                break
            if len(out) + control + 1 > most:
                raise ValueError("compressed string is longer than declared")
            out += source[at + 1 : after]
            at = after
            continue
        after = at + (3 if control >= 0xE0 else 2)
        if after > end:
            break
        count = (control >> 5) + 2 + (source[at + 1] if control >= 0xE0 else 0)
        start = len(out) - ((control & 0x1F) << 8) - source[after - 1] - 1
        if start < 0:
            raise ValueError("compressed string refers to before its beginning")
        if len(out) + count > most:
            raise ValueError("compressed string is longer than declared")
        _repeat(out, start, count)
        at = after
    return at


def _repeat(out: bytearray, start: int, count: int) -> None:
    """Append ``count`` bytes from ``start``; they may overlap what is being written."""
    seed = out[start : start + count]
    if len(seed) < count:
        seed = (seed * (count // len(seed) + 1))[:count]
    out += seed


def portable_decompress(data: bytes | memoryview, length: int) -> bytes:
    """As ``decompress``, in Python."""
    stream = Lzf(length)
    result = stream.feed(data)
    if not stream.complete:
        raise ValueError("compressed string is shorter than declared")
    return result


def decompress(data: bytes | memoryview, length: int) -> bytes:
    """The whole string. ``length`` is what was declared. Raises ValueError where it does not come out so."""
    if length > len(data) * MOST_GROWTH:
        raise ValueError("compressed string cannot be as long as declared")
    if native is None:
        return portable_decompress(data, length)
    result: bytes = native.decompress(data, length)
    return result

"""An encoder of LZ77+Huffman as [MS-XCA] describes it, for one chunk of up to 64 KB.

Two ways: ``encode`` finds matches of any length; ``encode_quick`` takes literals alone, so that
the whole chunk is one string of bits.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence

END = 256
LIMIT = 15
SYMBOLS = 512
Token = tuple[int, int, int]
"""A symbol, the length beyond three and the distance of a match; the latter two are 0 for a literal."""


def lengths_of(counts: Counter[int]) -> list[int]:
    """Huffman code lengths of at most 15 bits that fill the code space exactly."""
    used = [symbol for symbol in range(SYMBOLS) if counts[symbol]]
    if len(used) == 1:
        used.append(0 if used[0] else 1)
    scale = 0
    while True:
        lengths = huffman({symbol: max(counts[symbol] >> scale, 1) for symbol in used})
        if max(lengths.values()) <= LIMIT:
            return [lengths.get(symbol, 0) for symbol in range(SYMBOLS)]
        scale += 1


def huffman(weights: dict[int, int]) -> dict[int, int]:
    """Code lengths by symbol."""
    heap: list[tuple[int, int, tuple[int, ...]]] = [
        (weight, symbol, (symbol,)) for symbol, weight in weights.items()
    ]
    heapq.heapify(heap)
    depth = dict.fromkeys(weights, 0)
    while len(heap) > 1:
        left, right = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in (both := left[2] + right[2]):
            depth[symbol] += 1
        heapq.heappush(heap, (left[0] + right[0], min(left[1], right[1]), both))
    return depth


def codes_of(lengths: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Canonical codes: symbol -> (code, bits)."""
    code, last, out = 0, 0, {}
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - last
        out[symbol] = (code, length)
        code, last = code + 1, length
    return out


def table(lengths: Sequence[int]) -> bytes:
    """The 256 bytes of code lengths, even symbols in the low half."""
    return bytes(lengths[i] | lengths[i + 1] << 4 for i in range(0, SYMBOLS, 2))


def tokens(data: bytes, longest: int = 1 << 20) -> Iterator[Token]:
    """Greedy matches of at least three bytes, found by the last place of every triple."""
    seen: dict[bytes, int] = {}
    at, size = 0, len(data)
    while at < size:
        key = data[at : at + 3]
        past = seen.get(key, -1) if len(key) == 3 else -1
        seen[key] = at
        if past < 0:
            yield data[at], 0, 0
            at += 1
            continue
        length = matching(data, past, at, min(size - at, longest))
        for skipped in range(at + 1, min(at + length, at + 16)):
            seen[data[skipped : skipped + 3]] = skipped
        distance = at - past
        bits = distance.bit_length() - 1
        yield END + (bits << 4 | min(length - 3, 15)), length - 3, distance
        at += length


def matching(data: bytes, past: int, at: int, limit: int) -> int:
    """How many bytes agree, doubling the stride while they do."""
    length, step = 3, 8
    while length < limit:
        span = min(step, limit - length)
        if data[past + length : past + length + span] == data[at + length : at + length + span]:
            length += span
            step *= 2
        elif span == 1:
            break
        else:
            step = max(span // 4, 1)
    return length


class Bits:
    """The bit stream: words of 16 bits with whole bytes in between, where a reader would look for them."""

    def __init__(self) -> None:
        self.out = bytearray(4)
        self.first, self.second = 0, 2
        self.word, self.free = 0, 16

    def put(self, value: int, count: int) -> None:
        """Bits, the most significant first."""
        if self.free >= count:
            self.free -= count
            self.word = self.word << count | value
            return
        rest = count - self.free
        self._flush(self.word << self.free | value >> rest)
        self.word, self.free = value & (1 << rest) - 1, 16 - rest

    def _flush(self, word: int) -> None:
        self.out[self.first : self.first + 2] = (word & 0xFFFF).to_bytes(2, "little")
        self.first, self.second = self.second, len(self.out)
        self.out += bytes(2)

    def done(self) -> bytes:
        """The stream with its last word."""
        self.out[self.first : self.first + 2] = (self.word << self.free & 0xFFFF).to_bytes(2, "little")
        return bytes(self.out)


def extra(length: int) -> bytes:
    """The bytes after a symbol that says "15 or more"; ``length`` is what goes beyond three."""
    if length - 15 < 255:
        return bytes([length - 15])
    if length < 65536:
        return b"\xff" + length.to_bytes(2, "little")
    return b"\xff\0\0" + length.to_bytes(4, "little")


def encode(data: bytes) -> bytes:
    """A chunk, compressed."""
    found = list(tokens(data))
    lengths = lengths_of(Counter(symbol for symbol, _, _ in found) + Counter([END]))
    codes = codes_of(lengths)
    bits = Bits()
    for symbol, length, distance in found:
        bits.put(*codes[symbol])
        if symbol < END:
            continue
        if length >= 15:
            bits.out += extra(length)
        count = symbol - END >> 4
        bits.put(distance & (1 << count) - 1, count)
    bits.put(*codes[END])
    return table(lengths) + bits.done()


def encode_quick(data: bytes) -> bytes:
    """A chunk, compressed as literals alone: fast, and no smaller than its entropy."""
    counts = Counter(data)
    counts[END] = 1
    lengths = lengths_of(counts)
    codes = codes_of(lengths)
    text = [f"{code:0{length}b}" for code, length in (codes.get(symbol, (0, 1)) for symbol in range(257))]
    bits = "".join([text[byte] for byte in data]) + text[END]
    bits = bits.ljust(-(-len(bits) // 16) * 16 + 16, "0")
    words = bytearray(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    words[0::2], words[1::2] = words[1::2], words[0::2]
    return table(lengths) + bytes(words)

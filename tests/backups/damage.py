"""Ways to damage files, and to mend their sums again so that a reader looks further."""

import random
import struct
from collections.abc import Callable

from tests.backups.container import START, record_checksum
from tests.backups.mtf import xor_words
from tests.backups.pages import SIZE, checksum

Damage = Callable[[bytearray, random.Random], None]
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40)
BLOCKS = (b"TAPE", b"SFMB", b"SSET", b"VOLB", b"MSCI", b"MSDA", b"MSTL", b"MSLS", b"ESET")
STREAMS = (b"RAID", b"MQCI", b"APAD", b"MQDA", b"MQTL", b"CSUM", b"OTCP", b"TSMP", b"SPAD")


def somewhere(data: bytearray, dice: random.Random) -> int:
    """A place: anywhere, or near where the interesting things are."""
    if dice.random() < 0.5 or len(data) < 4 * SIZE:
        return dice.randrange(len(data))
    page = dice.randrange(len(data) // 512) * 512
    return min(page + dice.choice((0, 1, 22, 28, 60, 96, 100, dice.randrange(512))), len(data) - 1)


def flip(data: bytearray, dice: random.Random) -> None:
    """A few bits."""
    for _ in range(dice.randrange(1, 6)):
        data[somewhere(data, dice)] ^= 1 << dice.randrange(8)


def number(data: bytearray, dice: random.Random) -> None:
    """A number that is at a border."""
    size = dice.choice((1, 2, 4, 8))
    at = somewhere(data, dice)
    raw = (dice.choice(NUMBERS) & (1 << 8 * size) - 1).to_bytes(size, "little")
    data[at : at + size] = raw[: len(data) - at]


def noise(data: bytearray, dice: random.Random) -> None:
    """A run of random bytes."""
    at, size = somewhere(data, dice), dice.choice((1, 4, 16, 100, 512))
    data[at : at + size] = dice.randbytes(min(size, len(data) - at))


def blank(data: bytearray, dice: random.Random) -> None:
    """A run of zeros."""
    at, size = somewhere(data, dice), dice.choice((2, 8, 64, 512, SIZE))
    data[at : at + size] = bytes(min(size, len(data) - at))


def move(data: bytearray, dice: random.Random) -> None:
    """A piece over another."""
    size = dice.choice((2, 8, 96, 512, SIZE))
    start, at = somewhere(data, dice), somewhere(data, dice)
    piece = data[start : start + size]
    data[at : at + len(piece)] = piece[: len(data) - at]


def swap_pages(data: bytearray, dice: random.Random) -> None:
    """A page over another one."""
    if len(data) < 6 * SIZE:
        return
    first = data.find(b"MQDA") + 24
    count = (len(data) - first) // SIZE
    if first < 24 or count < 2:
        return
    one, other = (first + dice.randrange(count) * SIZE for _ in range(2))
    data[one : one + SIZE] = data[other : other + SIZE]


def cut(data: bytearray, dice: random.Random) -> None:
    """The end is missing."""
    del data[dice.randrange(len(data)) :]


def lose(data: bytearray, dice: random.Random) -> None:
    """A piece is missing."""
    at = somewhere(data, dice)
    del data[at : at + dice.choice((1, 2, 512, SIZE))]


def repeat(data: bytearray, dice: random.Random) -> None:
    """A piece comes twice."""
    at = somewhere(data, dice)
    data[at:at] = data[at : at + dice.choice((1, 22, 512, 1024, SIZE))]


SAME_LENGTH: tuple[Damage, ...] = (flip, flip, number, number, number, noise, blank, move, swap_pages)
ANY: tuple[Damage, ...] = (*SAME_LENGTH, cut, lose, repeat)


def mend(data: bytearray) -> None:
    """Make all sums right again: of heads, pages and records, as far as they can be found."""
    if data[:8] == b"MSSQLBAK":
        mend_records(data)
        return
    at = 0
    while at + 52 <= len(data) and bytes(data[at : at + 4]) in BLOCKS:
        struct.pack_into("<H", data, at + 50, xor_words(bytes(data[at : at + 50])))
        first = struct.unpack_from("<H", data, at + 8)[0]
        if data[at : at + 4] == b"SFMB":
            at += max(first, 512)
            continue
        following = mend_streams(data, at + first)
        if following <= at:
            return
        at = following


def mend_streams(data: bytearray, at: int) -> int:
    """The heads of a block's streams, and the pages among them; where the next block begins."""
    while at + 22 <= len(data) and bytes(data[at : at + 4]) in STREAMS:
        name = bytes(data[at : at + 4])
        length = struct.unpack_from("<Q", data, at + 8)[0]
        struct.pack_into("<H", data, at + 20, xor_words(bytes(data[at : at + 20])))
        if name == b"MQDA":
            mend_pages(data, at + 24, min(at + 22 + length, len(data)))
        at += 22 + length
        if name == b"SPAD":
            break
        at += -at % 4
    return at


def mend_pages(data: bytearray, start: int, end: int) -> None:
    """The checksums of pages that have one and are wrong."""
    for at in range(start, end - SIZE + 1, SIZE):
        if data[at + 5] & 2:
            struct.pack_into("<I", data, at + 60, 0)
            struct.pack_into("<I", data, at + 60, checksum(bytes(data[at : at + SIZE])))


def mend_records(data: bytearray) -> None:
    """The sums of the records of a compressed file."""
    form = struct.unpack_from("<I", data, 8)[0] if len(data) > START else 2
    head = 28 if form != 1 else 8
    at = START
    while at + head < len(data):
        length = struct.unpack_from("<H", data, at + 2)[0]
        if data[at : at + 4] == b"SFMB":
            at += 512
        elif data[at] == 0x21 and 256 <= length <= len(data) - at - head:
            struct.pack_into(
                "<I", data, at + head - 4, record_checksum(bytes(data[at + head : at + head + length]))
            )
            at += head + length
        else:
            at = (at // 512 + 1) * 512


def damaged(whole: bytes, dice: random.Random) -> bytes:
    """A damaged copy; half of them with all sums mended."""
    data = bytearray(whole)
    mending = dice.random() < 0.6
    for _ in range(dice.choice((1, 1, 2, 5))):
        if data:
            dice.choice(SAME_LENGTH if mending else ANY)(data, dice)
    if mending and data:
        mend(data)
    return bytes(data)

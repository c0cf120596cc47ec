"""The checksums of backups and pages: words folded with exclusive or, the sum turned by one bit between them."""

from sterna.engines.sqlserver.wire.native import compiled

_native = compiled("_xpress")
SECTOR = 512
_ALL = 0xFFFFFFFF


def of_record(data: bytes) -> int:
    """Of a record of the compressed container: every word of four bytes turns the sum; zeros fill the last."""
    if _native is not None:
        summed: int = _native.checksum(data)
        return summed
    return of_record_plainly(data)


def of_record_plainly(data: bytes) -> int:
    """The same in Python: words that are turned equally far, 32 apart, are folded first."""
    words = -(-len(data) // 4)
    rounds = -(-words // 32)
    padded = bytes((rounds * 32 - words) * 4) + data + bytes(-len(data) % 4)
    folded = _fold(padded, 128)
    total = 0
    for place in range(32):
        total ^= _turned(folded >> 32 * place & _ALL, 31 - place)
    return total


def of_sectors(data: bytes, total: int = 0) -> int:
    """Of sectors of 512 bytes: each turns the sum once. ``total`` is the sum of what came before."""
    if _native is not None:
        summed: int = _native.sectors(data, total)
        return summed
    return of_sectors_plainly(data, total)


def of_sectors_plainly(data: bytes, total: int = 0) -> int:
    """The same in Python."""
    data += bytes(-len(data) % 4)
    for start in range(0, len(data), SECTOR):
        total = (total << 1 | total >> 31) & _ALL ^ _fold(data[start : start + SECTOR], 4)
    return total


def of_page(page: bytes) -> int:
    """Of a page of 8192 bytes, without the word in its header that keeps the sum."""
    own = int.from_bytes(page[60:64], "little")
    return of_sectors(page) ^ _turned(own, len(page) // SECTOR - 1)


def _fold(data: bytes, width: int) -> int:
    """All pieces of so many bytes with exclusive or; both lengths are multiples of ``width``."""
    number = int.from_bytes(data, "little")
    pieces = len(data) // width
    while pieces > 1:
        half = (pieces + 1) // 2
        number = (number >> half * width * 8) ^ (number & ((1 << half * width * 8) - 1))
        pieces = half
    return number


def _turned(word: int, bits: int) -> int:
    bits %= 32
    return (word << bits | word >> (32 - bits)) & _ALL

"""What the writer promises: files whose sums agree, and whose bytes lie where the format says."""

import struct
from decimal import Decimal
from pathlib import Path

import pytest

from tests.backups import big, xpress
from tests.backups.copied import lines
from tests.backups.describe import Col, Db, Identity, Index, Tbl
from tests.backups.mtf import xor_words
from tests.backups.reading import opened, read
from tests.backups.writer import backup

PEOPLE = Tbl(
    "dbo",
    "People",
    [
        Col("Id", "int", nullable=False, identity=Identity(1, 1, 3)),
        Col("Name", "nvarchar(50)"),
        Col("Born", "date"),
        Col("Rich", "decimal(10,2)"),
        Col("Ok", "bit"),
    ],
    [
        (1, "Ann", "2001-02-03", Decimal("1.50"), True),
        (2, None, None, None, False),
        (3, "Zoë", "1999-12-31", Decimal("-7.25"), None),
    ],
    [Index("PK_People", ["Id"], primary=True, clustered=True)],
)
TINY = Db("Tiny", [PEOPLE])


def blocks(data: bytes) -> list[bytes]:
    """The names of the descriptor blocks, walked as a reader would, with all header sums checked."""
    at, names = 0, []
    while at < len(data):
        assert xor_words(data[at : at + 52]) == 0, hex(at)
        first = struct.unpack_from("<H", data, at + 8)[0]
        names.append(data[at : at + 4])
        at += first
        while names[-1] != b"SFMB":
            name, length = data[at : at + 4], struct.unpack_from("<Q", data, at + 8)[0]
            assert xor_words(data[at : at + 22]) == 0, hex(at)
            at = at + 22 + length if name == b"SPAD" else (at + 22 + length + 3) // 4 * 4
            if name == b"SPAD":
                break
    return names


@pytest.mark.parametrize("device", [512, 4096])
def test_a_backup_is_a_walk_of_blocks_that_ends_with_the_file(tmp_path: Path, device: int) -> None:
    """Every head sums up, and the order is that of the format."""
    (path,) = backup(tmp_path / "a.bak", TINY, device_block=device)
    names = blocks(path.read_bytes())
    assert b" ".join(names) == b"TAPE SFMB SSET VOLB MSCI MSDA MSTL MSTL MSLS SFMB ESET ESET SFMB"


def test_the_first_page_of_the_data_is_the_file_header_at_a_device_block(tmp_path: Path) -> None:
    """MQDA's data after two bytes."""
    (path,) = backup(tmp_path / "a.bak", TINY, device_block=4096)
    data = path.read_bytes()
    at = data.index(b"MQDA") + 24
    assert at % 4096 == 0
    assert data[at : at + 2] == b"\x01\x0f"


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("size", [1, 3, 512, 3000, 65536])
def test_what_the_encoder_packs_can_be_unpacked(quick: bool, size: int) -> None:
    """Checked with a decoder that follows the format's words and nothing else."""
    data = (b"abcabc" * 40 + bytes(300) + bytes(range(256)) + b"SQL Server " * 90)[: size % 4000 or None]
    data = (data * (size // len(data) + 1))[:size]
    assert unpack((xpress.encode_quick if quick else xpress.encode)(data), size) == data


def unpack(packed: bytes, size: int) -> bytes:
    """A slow decoder of LZ77+Huffman."""
    lengths = [half for byte in packed[:256] for half in (byte & 15, byte >> 4)]
    symbols = {code: symbol for symbol, code in xpress.codes_of(lengths).items()}
    assert sum(1 << 15 >> length for length in lengths if length) == 1 << 15
    at, word, left, out = 260, struct.unpack_from("<HH", packed, 256), 32, bytearray()
    bits: int = word[0] << 16 | word[1]

    def take(count: int) -> int:
        nonlocal bits, left, at
        value = bits >> 32 - count
        bits = bits << count & 0xFFFFFFFF
        left -= count
        if left < 16:
            more = int.from_bytes(packed[at : at + 2], "little")
            bits |= more << 16 - left
            at, left = at + 2, left + 16
        return value

    while len(out) < size:
        code, length = 0, 0
        top = bits
        for length in range(1, 16):
            code = top >> 32 - length
            if (code, length) in symbols:
                break
        take(length)
        symbol = symbols[code, length]
        if symbol < 256:
            out.append(symbol)
            continue
        run, wide = symbol & 15, symbol - 256 >> 4
        if run == 15:
            run, at = packed[at] + 15, at + 1
            if run == 270:
                run, at = int.from_bytes(packed[at : at + 2], "little"), at + 2
        distance = (1 << wide) + (take(wide) if wide else 0)
        for _ in range(run + 3):
            out.append(out[-distance])
    return bytes(out)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("columns", [3, 10, 23])
def test_a_big_backup_holds_the_rows_that_its_numbers_say(tmp_path: Path, compressed: bool, columns: int) -> None:
    """Read back by the product's reader."""
    path = big.big_backup(tmp_path / "big.bak", 1234, columns, compressed)
    backup = opened([path])["Big"]
    assert read(backup, backup.tables[0]) == lines(big.table(columns, 1234))

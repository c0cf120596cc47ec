"""The small tools of the RDB walk: checksum, compression, flat containers, skipping."""

import importlib.util
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire import native
from sterna.engines.redis.wire.crc64 import crc64, portable_crc64
from sterna.engines.redis.wire.lzf import Lzf, decompress, portable_decompress
from sterna.engines.redis.wire.packed import intset, listpack, ziplist, zipmap
from sterna.engines.redis.wire.tape import Short, Tape


@pytest.mark.parametrize("checksum", [crc64, portable_crc64])
def test_the_checksum_is_that_of_redis(checksum: object) -> None:
    assert callable(checksum)
    assert checksum(b"123456789") == 0xE9C6D914C4B8D9CA
    assert checksum(b"56789", checksum(b"1234")) == 0xE9C6D914C4B8D9CA
    assert checksum(b"") == 0


@given(st.binary(max_size=200), st.integers(0, 2**64 - 1))
def test_both_checksums_are_the_same(data: bytes, before: int) -> None:
    assert crc64(data, before) == portable_crc64(data, before) == crc64(memoryview(data), before)


def compress(data: bytes) -> bytes:
    """A plain LZF compressor: repetitions of three bytes or more, else what stands there."""
    out, pending, at = bytearray(), bytearray(), 0

    def flush() -> None:
        while pending:
            part = pending[:32]
            del pending[:32]
            out.extend(bytes([len(part) - 1]) + part)

    while at < len(data):
        start, size = max(0, at - 8192), 0
        found = data.rfind(data[at : at + 3], start, at + 2) if at + 3 <= len(data) else -1
        if 0 <= found < at:
            while size < 264 and at + size < len(data) and data[found + size] == data[at + size]:
                size += 1
        if size >= 3:
            flush()
            back, count = at - found - 1, size - 2
            head = bytes([min(count, 7) << 5 | back >> 8]) + (bytes([count - 7]) if count >= 7 else b"")
            out.extend(head + bytes([back & 255]))
            at += size
        else:
            pending.append(data[at])
            at += 1
    flush()
    return bytes(out)


texts = st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.integers(1, 400)), max_size=8).map(
    lambda parts: b"".join(part * count for part, count in parts)
)


@given(texts, st.integers(1, 100))
def test_what_was_compressed_comes_out_again_whole_or_in_pieces(text: bytes, step: int) -> None:
    packed = compress(text)
    assert decompress(packed, len(text)) == portable_decompress(packed, len(text)) == text
    stream = Lzf(len(text))
    assert b"".join(stream.feed(packed[at : at + step]) for at in range(0, len(packed), step)) == text
    assert stream.complete


@pytest.mark.parametrize("unpack", [decompress, portable_decompress])
def test_compressed_strings_that_are_wrong_are_refused(unpack: object) -> None:
    assert callable(unpack)
    for data, size in [
        (b"\x00a", 2),
        (b"\x01a", 2),
        (b"\x01ab", 1),
        (b"\x20\x00", 3),
        (b"\x00a\x20\x05", 4),
        (b"\x00a\xe0\x00", 4),
        (b"\x00a\xe0\xff\x00", 100),
        (b"\x05", 1),
        (b"", 1),
    ]:
        with pytest.raises(ValueError, match="compressed string"):
            unpack(data, size)


def test_a_small_compressed_string_cannot_claim_to_be_huge() -> None:
    with pytest.raises(ValueError, match="cannot be as long"):
        decompress(b"\x00a", 1 << 50)


@given(st.binary(max_size=60), st.integers(0, 500))
def test_both_ways_of_decompressing_refuse_the_same(data: bytes, size: int) -> None:
    assert _outcome(decompress, data, size) == _outcome(portable_decompress, data, size) or size > 88 * len(data)


def _outcome(unpack: object, data: bytes, size: int) -> bytes | str:
    assert callable(unpack)
    try:
        result: bytes = unpack(data, size)
    except ValueError:
        return "refused"
    return result


def _listpack(*entries: bytes) -> bytes:
    body = b"".join(entry + _back(len(entry)) for entry in entries) + b"\xff"
    return (len(body) + 6).to_bytes(4, "little") + len(entries).to_bytes(2, "little") + body


def _back(size: int) -> bytes:
    """Seven bits in each byte, the last byte first, marked where more come before it."""
    parts = [size & 127]
    while size := size >> 7:
        parts.append(size & 127 | 128)
    return bytes(reversed(parts))


def test_every_form_of_listpack_entry_is_read() -> None:
    data = _listpack(
        b"\x7f",
        b"\x83abc",
        b"\xdf\xff",
        b"\xc1\x00",
        b"\xe1\x00" + b"m" * 256,
        b"\xf0" + (5000).to_bytes(4, "little") + b"l" * 5000,
        b"\xf1\x00\x80",
        b"\xf2\xff\xff\xff",
        b"\xf3\x00\x00\x00\x80",
        b"\xf4" + (-(2**63)).to_bytes(8, "little", signed=True),
        b"\xf0" + (20000).to_bytes(4, "little") + b"h" * 20000,
    )
    numbers: list[bytes | int] = [127, b"abc", -1, 256, b"m" * 256, b"l" * 5000, -32768, -1, -(2**31), -(2**63)]
    assert list(listpack(data)) == [*numbers, b"h" * 20000]


def test_every_form_of_ziplist_entry_is_read() -> None:
    entries = [
        b"\x03abc",
        b"\x41\x00" + b"m" * 256,
        b"\x80\x00\x00\x13\x88" + b"l" * 5000,
        b"\xc0\x00\x80",
        b"\xd0\x00\x00\x00\x80",
        b"\xe0" + (-(2**63)).to_bytes(8, "little", signed=True),
        b"\xf0\xff\xff\xff",
        b"\xfe\x80",
        b"\xf1",
        b"\xfd",
    ]
    body, before = b"", 0
    for entry in entries:
        head = bytes([before]) if before < 254 else b"\xfe" + before.to_bytes(4, "little")
        body += head + entry
        before = len(head) + len(entry)
    data = (len(body) + 11).to_bytes(4, "little") + bytes(4) + len(entries).to_bytes(2, "little") + body + b"\xff"
    expected = [b"abc", b"m" * 256, b"l" * 5000, -32768, -(2**31), -(2**63), -1, -128, 0, 12]
    assert list(ziplist(data)) == expected


def test_intsets_and_zipmaps_are_read() -> None:
    for width, number in ((2, -5), (4, 70000), (8, 2**40)):
        head = width.to_bytes(4, "little") + (2).to_bytes(4, "little")
        data = head + number.to_bytes(width, "little", signed=True) + (1).to_bytes(width, "little")
        assert list(intset(data)) == [number, 1]
    long = b"v" * 300
    data = (
        b"\x02"
        + b"\x01f"
        + b"\x03\x02val--"
        + b"\x01g"
        + b"\xfe"
        + (300).to_bytes(4, "little")
        + b"\x00"
        + long
        + b"\xff"
    )
    assert list(zipmap(data)) == [b"f", b"val", b"g", long]


@pytest.mark.parametrize("parse", [listpack, ziplist, intset, zipmap])
def test_flat_containers_that_are_damaged_never_do_more_than_raise(parse: object) -> None:
    assert callable(parse)
    chance = random.Random(5)
    whole = _listpack(b"\x7f", b"\x83abc", b"\xf0" + (50).to_bytes(4, "little") + b"l" * 50, b"\xf1\x00\x80")
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.randrange(len(data)) :]
        data[:4] = len(data).to_bytes(4, "little")
        try:
            entries = list(parse(bytes(data)))
        except ValueError:
            continue
        assert len(entries) <= len(data)


def test_a_tape_waits_and_stays_where_it_was() -> None:
    tape = Tape(b"\x05ab")
    with pytest.raises(Short) as short:
        tape.string()
    assert short.value.missing == 3
    tape.data += b"cde\xc0\xff\xc2\x00\x00\x00\x80"
    assert [tape.string(), tape.string(), tape.string()] == [b"abcde", b"-1", b"-2147483648"]


def test_an_element_that_cannot_be_held_is_refused_before_it_comes() -> None:
    with pytest.raises(Unsupported, match="one element has 67108865 bytes"):
        Tape(b"\x80\x04\x00\x00\x01").string()
    with pytest.raises(BadData, match="not believable"):
        Tape(b"\x81\x7f" + b"\xff" * 7).string()


def test_the_compiled_module_is_used_where_it_was_built() -> None:
    """``STERNA_PURE_PYTHON`` turns it off; this notices an import that fails for any other reason."""
    built = importlib.util.find_spec("sterna.engines.redis.wire._rdb") is not None
    assert (native.native is not None) == (built and not os.environ.get("STERNA_PURE_PYTHON"))

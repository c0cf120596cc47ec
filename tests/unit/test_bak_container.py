"""The compressed container: any place of it can be read, and damage is found."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import sums, xpress
from sterna.engines.sqlserver.wire.container import RecordBlob
from sterna.engines.sqlserver.wire.native import compiled
from tests.unit.bak_files import (
    Bytes,
    DataFile,
    Set,
    Token,
    backup,
    container,
    one,
    packed,
    record,
    record_sum,
    sector_sum,
    tokens_of,
)

PLAIN = one(Set(files=(DataFile(used=(0, 1, 2, 3)),)))
UNPACKERS = [xpress.unpack_plainly] + ([xpress.unpack] if compiled("_xpress") else [])


def simulated(tokens: list[Token]) -> bytes:
    out = bytearray()
    for token in tokens:
        if isinstance(token, int):
            out.append(token)
            continue
        offset, length = token
        for _ in range(length):
            out.append(out[-offset])
    return bytes(out)


@st.composite
def token_lists(draw: st.DrawFn) -> list[Token]:
    tokens: list[Token] = [draw(st.integers(0, 255))]
    size = 1
    for _ in range(draw(st.integers(0, 60))):
        if draw(st.booleans()):
            tokens.append(draw(st.integers(0, 255)))
            size += 1
        else:
            longest = draw(st.sampled_from([3, 17, 18, 19, 271, 272, 273, 274, 2000, 70_000]))
            length = draw(st.integers(3, longest))
            tokens.append((draw(st.integers(1, min(size, 65_535))), length))
            size += length
    return tokens


def lengths_of_codes(seed: int) -> list[int]:
    """Lengths of a complete code for all 512 symbols: the longest codes are split until all symbols have one."""
    rng = random.Random(seed)
    lengths = [1, 1]
    while len(lengths) < 512:
        choice = rng.choice([k for k, length in enumerate(lengths) if length < 15])
        lengths[choice] += 1
        lengths.append(lengths[choice])
    rng.shuffle(lengths)
    return lengths


@pytest.mark.parametrize("unpack", UNPACKERS)
@settings(deadline=None)
@given(tokens=token_lists(), seed=st.integers(0, 20))
def test_what_was_packed_unpacks_to_the_same(unpack: xpress.Unpack, tokens: list[Token], seed: int) -> None:
    wanted = simulated(tokens)
    assert unpack(packed(tokens, lengths_of_codes(seed)), len(wanted)) == wanted


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3000), st.integers(0, 20), st.data())
def test_damaged_records_unpack_to_the_same_in_c_and_python(
    body: bytes, size: int, seed: int, data: st.DataObject
) -> None:
    table = packed([0], lengths_of_codes(seed))[:256]
    packed_ = bytearray(table + body)
    if data.draw(st.booleans()):
        packed_ = bytearray(packed([*tokens_of(body), (1, 900)] if body else [0], lengths_of_codes(seed)))
        for _ in range(data.draw(st.integers(0, 3))):
            packed_[data.draw(st.integers(0, len(packed_) - 1))] ^= data.draw(st.integers(1, 255))
        packed_ = packed_[: data.draw(st.integers(0, len(packed_)))]
    found = []
    for unpack in (xpress.unpack, xpress.unpack_plainly):
        try:
            found.append((unpack(bytes(packed_), size), ""))
        except ValueError as error:
            found.append((b"", str(error)))
    assert found[0] == found[1]


@settings(deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 2**32 - 1))
def test_the_checksums_are_those_of_the_plainest_code(data: bytes, before: int) -> None:
    assert sums.of_record(data) == sums.of_record_plainly(data) == record_sum(data)
    whole = data[: len(data) // 512 * 512]
    assert sums.of_sectors(whole, before) == sums.of_sectors_plainly(whole, before) == sector_sum(whole, before)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("device", [512, 4096])
def test_the_container_unpacks_to_the_plain_backup(version: int, device: int) -> None:
    plain = one(Set(), Set(kind="L", position=2), device=device)
    blob = RecordBlob(Bytes(container(plain, version=version, device=device)))
    assert blob.version == version
    assert blob.size == len(plain)
    assert blob.read_at(0, blob.size) == plain


def test_any_place_can_be_read() -> None:
    blob = RecordBlob(Bytes(container(PLAIN)))
    rng = random.Random(1)
    for _ in range(200):
        offset, length = rng.randrange(len(PLAIN) + 10), rng.randrange(200_000)
        assert blob.read_at(offset, length) == PLAIN[offset : offset + length]
    assert blob.read_at(len(PLAIN), 10) == b""
    assert blob.read_at(0, 0) == b""


def test_records_that_are_stored_as_they_are_can_be_read() -> None:
    blob = RecordBlob(Bytes(container(PLAIN, stored=True)[:0x1E0] + container(PLAIN)[0x1E0:]))
    assert blob.read_at(0, blob.size) == PLAIN
    start = container(PLAIN[:1536])
    noise = random.Random(2).randbytes(65536)
    mixed = Bytes(start + stored(noise) + stored(noise[:1024]))
    assert RecordBlob(mixed).read_at(len(PLAIN[:1536]), 70_000) == noise + noise[:1024]


def stored(data: bytes) -> bytes:
    return record(data, stored=True)


def test_a_record_that_changed_is_found_when_it_is_read() -> None:
    data = bytearray(container(PLAIN))
    last = data.rindex(b"\xaa" * 20) - 4
    data[last + 300] ^= 4
    blob = RecordBlob(Bytes(bytes(data), "b.bak"))
    with pytest.raises(BadData, match=rf"b\.bak, byte {last}: the checksum of a compressed record is wrong"):
        blob.read_at(0, blob.size)
    assert blob.read_at(0, 1000) == PLAIN[:1000]


def test_a_record_whose_header_changed_is_found_at_once() -> None:
    data = bytearray(container(PLAIN))
    second = data.index(b"\xaa" * 20, data.index(b"SFMB")) - 4
    data[second] = 0
    with pytest.raises(BadData, match="neither a compressed record nor a file mark"):
        RecordBlob(Bytes(bytes(data)))


def test_an_encrypted_backup_is_refused_by_name() -> None:
    data = bytearray(container(PLAIN))
    data[0x1E0 + 28 :] = random.Random(3).randbytes(len(data) - 0x1E0 - 28)
    with pytest.raises(Unsupported, match="encrypted"):
        RecordBlob(Bytes(bytes(data)))


def test_another_compression_is_refused_by_name() -> None:
    data = bytearray(container(PLAIN))
    data[0x1E0 + 28 : 0x1E0 + 32] = b"\x28\xb5\x2f\xfd"
    with pytest.raises(Unsupported, match="ZSTD"):
        RecordBlob(Bytes(bytes(data)))


def test_an_unknown_container_is_refused() -> None:
    data = bytearray(container(PLAIN))
    data[8] = 7
    with pytest.raises(Unsupported, match="version 7"):
        RecordBlob(Bytes(bytes(data)))


@pytest.mark.parametrize("size", [8, 16, 0x1E0, 0x1E0 + 10, 0x1E0 + 100])
def test_a_container_without_records_is_refused(size: int) -> None:
    with pytest.raises((BadData, Unsupported)):
        RecordBlob(Bytes(container(PLAIN)[:size]))


def test_the_index_is_made_in_large_reads() -> None:
    plain = backup(Set(files=(DataFile(used=range(100), extents=100),)))[0]
    blob = Bytes(container(plain))
    RecordBlob(blob)
    assert len(blob.reads) <= 2 + -(-blob.size // (4 << 20))

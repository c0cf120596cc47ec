"""Whatever bytes a backup file has: it is read, or refused in words; no hanging, no other error."""

import math
import os
import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.inspecting import inspect
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.mtf import KINDS
from sterna.engines.sqlserver.wire.pagemap import PageMap
from sterna.engines.sqlserver.wire.verify import verify
from tests.unit.bak_files import Bytes, DataFile, Set, backup, container, folded, one, record_sum

SMALL = DataFile(used=(0, 1, 3), changed=(1,))
CORPUS: Sequence[bytes] = [
    one(Set(files=(SMALL,), checksum=True)),
    one(Set(files=(SMALL, DataFile(3, used=(0,)))), Set(kind="L", position=2)),
    one(Set(kind="I", files=(SMALL,), again=(SMALL.extent(1),)), device=4096),
    container(one(Set(files=(SMALL,), checksum=True))),
    container(one(Set(files=(SMALL,))), version=1),
    *backup(Set(files=(SMALL,)), stripes=2),
]
SECONDS = float(os.environ.get("STERNA_FUZZ_SECONDS", "60"))
"""How long the long run lasts."""


def read_all(*files: bytes) -> None:
    """Everything that is done with backup files. Raises only what tells of bad files."""
    try:
        blobs = [Bytes(each, f"{number}.bak") for number, each in enumerate(files)]
        inspect(blobs)
        medias = [open_media(each) for each in blobs]
        for _ in zip(verify(medias), range(1000), strict=False):
            pass
        for media in medias:
            for share in media.sets:
                read_pages(PageMap.of([share]))
    except (BadData, Unsupported):
        return


def read_pages(pages: PageMap) -> None:
    for file_id in pages.file_ids:
        for _, extent in zip(range(20), pages.extents(file_id), strict=False):
            for _, data in pages.pages(file_id, range(extent * 8, extent * 8 + 8)):
                pages_.header(data)
                try:
                    pages_.slots(data)
                except BadData:
                    continue


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(CORPUS))
    for _ in range(rng.randrange(1, 5)):
        mutate(rng, data)
    if rng.random() < 0.5:
        mend(data)
    return bytes(data)


def mutate(rng: random.Random, data: bytearray) -> None:
    if not data:
        return
    near = [place for place in range(0, len(data), 512) if data[place : place + 4].isalpha()]
    place = rng.choice(near) + rng.randrange(600) if near and rng.random() < 0.7 else rng.randrange(len(data))
    place = min(place, len(data) - 1)
    match rng.randrange(8):
        case 0:
            del data[place:]
        case 1:
            data[place] ^= 1 << rng.randrange(8)
        case 2:
            data[place : place + 4] = rng.choice(
                [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0\0\0"]
            )
        case 3:
            data[place : place + 8] = rng.randrange(2**64).to_bytes(8, "little")
        case 4:
            other = rng.choice(CORPUS)
            start = rng.randrange(len(other))
            data[place:place] = other[start : start + rng.randrange(3000)]
        case 5:
            del data[place : place + rng.randrange(2000)]
        case 6:
            start = rng.randrange(len(data))
            data[place : place + 512] = data[start : start + 512]
        case _:
            data[place : place + 16] = rng.randbytes(16)


def mend(data: bytearray) -> None:
    """Right checksums for the headers that are there, so that what they say is believed."""
    for place in range(0, len(data) - 52, 512):
        if bytes(data[place : place + 4]) in KINDS:
            data[place + 50 : place + 52] = folded(bytes(data[place : place + 50])).to_bytes(2, "little")
            mend_streams(data, place + int.from_bytes(data[place + 8 : place + 10], "little"))
    if data[:8] == b"MSSQLBAK" and len(data) > 0x200:
        length = int.from_bytes(data[0x1E2:0x1E4], "little")
        start = 0x1E0 + (28 if data[8] == 2 else 8)
        data[start - 4 : start] = record_sum(bytes(data[start : start + length])).to_bytes(4, "little")


def mend_streams(data: bytearray, place: int) -> None:
    for _ in range(8):
        if place + 22 > len(data) or not data[place : place + 4].isalpha():
            return
        data[place + 20 : place + 22] = folded(bytes(data[place : place + 20])).to_bytes(2, "little")
        place = -(-(place + 22 + int.from_bytes(data[place + 8 : place + 16], "little")) // 4) * 4


def run(seeds: range, deadline: float) -> int:
    for number in seeds:
        if time.monotonic() > deadline:
            return number - seeds.start
        begun = time.process_time()  # not by the clock: a busy machine stands still at times
        rng = random.Random(number)
        try:
            read_all(*(mutated(rng) for _ in range(1 + (rng.random() < 0.2))))
        except Exception as error:
            raise AssertionError(f"seed {number}: {error!r}") from error
        assert time.process_time() - begun < 10, f"seed {number} takes too long"
    return len(seeds)


def test_changed_files_are_read_or_refused() -> None:
    assert run(range(150), math.inf) == 150


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_very_many_changed_files_are_read_or_refused() -> None:
    start = random.SystemRandom().randrange(10**9)
    assert run(range(start, start + 10**7), time.monotonic() + SECONDS) > 0


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes_are_refused(data: bytes) -> None:
    for start in (b"", b"TAPE", b"MSSQLBAK\2\0\0\0", b"MSSQLBAK\1\0\0\0".ljust(0x1E0, b"\0")):
        read_all(start + data)


@settings(deadline=None)
@given(st.binary(max_size=300), st.data())
def test_any_bytes_of_a_header_are_refused_or_read(data: bytes, draw: st.DataObject) -> None:
    whole = bytearray(CORPUS[1])
    place = draw.draw(st.sampled_from([whole.index(kind) for kind in (b"TAPE", b"SSET", b"MQCI", b"MSTL")]))
    whole[place + 4 : place + 4 + len(data)] = data
    mend(whole)
    read_all(bytes(whole))


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_files_that_end_anywhere_are_read_or_refused(number: int) -> None:
    data = CORPUS[number]
    rng = random.Random(number)
    for _ in range(25):
        read_all(data[: rng.randrange(len(data))])


def test_the_corpus_itself_is_sound() -> None:
    for data in CORPUS[:5]:
        media = open_media(Bytes(data))
        assert not list(verify([media]))
        assert media.sets

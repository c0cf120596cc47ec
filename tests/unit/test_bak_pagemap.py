"""Where pages lie: by the maps that were backed up with them, whatever the pages say of themselves."""

import random
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.frames import Frames
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.pagemap import PageMap
from sterna.engines.sqlserver.wire.sets import BackupSet
from sterna.engines.sqlserver.wire.weave import Woven, _by_count, _Mixed
from tests.unit.bak_files import (
    EXTENT,
    INTERVAL,
    PAGE,
    SAMPLES,
    Bytes,
    DataFile,
    Set,
    backup,
    container,
    content,
    one,
    page,
    real,
)


def shares(*data: bytes, position: int = 0) -> list[BackupSet]:
    return [open_media(Bytes(each, f"{number}.bak")).sets[position] for number, each in enumerate(data)]


def map_of(*sets: Set) -> PageMap:
    return PageMap.of(shares(one(*sets)))


def is_used(pages: PageMap, file_id: int, page_id: int) -> bool:
    """Whether there is a page that is the one that belongs there; others were never used."""
    try:
        return pages_.own_id(pages.page(file_id, page_id)) == (file_id, page_id)
    except BadData:
        return False


def text(found: bytes) -> bytes:
    return found[96:].rstrip(b"\0")[: -2 if found[22] else None].rstrip(b"\0")


def test_pages_are_found_by_the_allocation_maps() -> None:
    pages = map_of(Set())
    assert pages.file_ids == (1,)
    assert list(pages.extents(1)) == [0, 1, 2, 5]
    assert pages.extent_count == 4
    for page_id in (8, 15, 16, 23, 40, 47):
        assert pages.has(1, page_id)
        assert pages.page(1, page_id).startswith(page(1, page_id, 1, content(1, page_id), slots=(96,))[:200])
    for file_id, page_id in ((1, 24), (1, 39), (1, 48), (1, 10**9), (2, 0), (0, 0), (1, -8)):
        assert not pages.has(file_id, page_id)
        with pytest.raises(BadData, match=f"Page {file_id}:{page_id} is not in the backup"):
            pages.page(file_id, page_id)


def test_pages_come_in_bulk_with_few_reads() -> None:
    given = DataFile(used=range(100), extents=100)
    blob = Bytes(one(Set(files=(given,))))
    pages = PageMap.of(open_media(blob).sets)
    blob.reads.clear()
    found = list(pages.pages(1, range(800)))
    assert [page_id for page_id, _ in found] == list(range(800))
    assert all(data == given.extent(page_id // 8)[page_id % 8 * PAGE :][:PAGE] for page_id, data in found)
    assert len(blob.reads) == 4
    assert sum(blob.reads) == 100 * EXTENT


def test_pages_in_any_order_and_twice_are_given_as_asked_for() -> None:
    pages = map_of(Set())
    asked = [47, 8, 9, 40, 8, 8, 20, 0]
    assert [(each, data) for each, data in pages.pages(1, asked)] == [
        (each, pages.page(1, each)) for each in asked
    ]
    with pytest.raises(BadData, match="Page 1:24"):
        list(pages.pages(1, [8, 24]))
    assert list(pages.pages(1, [])) == []


def test_the_cache_of_extents_is_bounded() -> None:
    given = DataFile(used=range(300), extents=300)
    blob = Bytes(one(Set(files=(given,))))
    pages = PageMap.of(open_media(blob).sets)
    for page_id in range(2400):
        pages.page(1, page_id)
    assert len(pages._kept) == 64
    blob.reads.clear()
    for page_id in range(2399, 2399 - 64 * 8, -1):
        pages.page(1, page_id)
    assert blob.reads == []


def test_several_threads_read_the_same_pages() -> None:
    pages = map_of(Set(files=(DataFile(used=range(200), extents=200),)))
    wanted = [random.Random(1).randrange(8, 1600) for _ in range(500)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: pages.page(1, each), wanted))
    assert [pages_.own_id(each)[1] for each in found] == wanted


def test_several_files_of_the_database_are_kept_apart() -> None:
    files = (DataFile(1), DataFile(3, used=(0, 4, 9)), DataFile(4, used=(0,)))
    pages = map_of(Set(files=files))
    assert pages.file_ids == (1, 3, 4)
    assert list(pages.extents(3)) == [0, 4, 9]
    assert pages.page(3, 33) == files[1].extent(4)[PAGE : 2 * PAGE]
    assert pages.page(1, 17) == files[0].extent(2)[PAGE : 2 * PAGE]


@pytest.mark.parametrize("stripes", [2, 3, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stripes_are_merged_in_whatever_order_they_were_dealt(stripes: int, seed: int) -> None:
    rng = random.Random(seed)
    files = (DataFile(1, used=sorted({0, *rng.sample(range(200), 60)}), extents=200), DataFile(3, used=(0, 4, 9)))
    dealt = [rng.randrange(stripes) for _ in range(100)]
    made = shares(*backup(Set(files=files, fillers=seed), stripes=stripes, deal=lambda each: dealt[each]))
    rng.shuffle(made)
    pages = PageMap.of(made)
    for file in files:
        assert list(pages.extents(file.file_id)) == sorted(file.used)
        for number in file.used:
            assert pages.page(file.file_id, number * 8 + 7) == file.extent(number)[7 * PAGE :]


def test_a_missing_stripe_is_named() -> None:
    first, _, third = shares(*backup(Set(), stripes=3))
    with pytest.raises(BadData, match="file 2 of 3 is missing"):
        PageMap.of([first, third])
    with pytest.raises(BadData, match="twice"):
        PageMap.of([first, third, first, shares(*backup(Set(), stripes=3))[1]])
    with pytest.raises(BadData, match="no backup set"):
        PageMap.of([])


def test_stripes_of_different_sets_are_refused() -> None:
    one_, _ = shares(*backup(Set(), stripes=2))
    _, other = shares(*backup(Set(guid=UUID(int=77)), stripes=2))
    with pytest.raises(BadData, match="do not hold the same backup set"):
        PageMap.of([one_, other])


def test_extents_that_were_read_again_replace_the_first_ones() -> None:
    later = DataFile(note="later")
    pages = map_of(Set(again=(later.extent(2), later.extent(5))))
    assert pages.extent_count == 4
    assert text(pages.page(1, 17)) == b"page 1:17 later"
    assert text(pages.page(1, 40)) == b"page 1:40 later"
    assert text(pages.page(1, 8)) == b"page 1:8"


def test_an_extent_that_was_added_meanwhile_is_found() -> None:
    pages = map_of(Set(again=(DataFile(used=(9,)).extent(9),)))
    assert list(pages.extents(1)) == [0, 1, 2, 5, 9]


@pytest.mark.parametrize("stripes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_files_that_were_read_side_by_side_are_told_apart(stripes: int, seed: int) -> None:
    rng = random.Random(seed)
    files = [DataFile(k, used=sorted({0, *rng.sample(range(150), 40)}), extents=150) for k in (1, 3, 4)]
    waiting = [file.frames("D") for file in files]
    mixed = []
    while any(waiting):
        mixed.append(rng.choice([each for each in waiting if each]).pop(0))
    given = Set(files=files)
    given.frames = lambda: mixed  # type: ignore[method-assign]
    pages = PageMap.of(shares(*backup(given, stripes=stripes)))
    for file in files:
        assert list(pages.extents(file.file_id)) == sorted(file.used)
        for number in file.used:
            assert pages.page(file.file_id, number * 8 + 7) == file.extent(number)[7 * PAGE :]


def test_a_log_backup_after_bulk_operations_has_extents_that_name_themselves() -> None:
    pages = map_of(Set(kind="L", again=(DataFile().extent(5), DataFile().extent(2))))
    assert list(pages.extents(1)) == [2, 5]
    assert text(pages.page(1, 41)) == b"page 1:41"


def test_an_absurd_extent_takes_no_memory() -> None:
    far = DataFile(1, extents=2**40)
    with pytest.raises(BadData, match="behind its file's end"):
        map_of(Set(kind="L", files=(far,), again=(page(1, 2**32 - 8) * 8,)))


def test_an_extent_behind_the_end_of_its_file_is_refused() -> None:
    with pytest.raises(BadData, match="behind its file's end"):
        map_of(Set(again=(DataFile().extent(4000),)))


@pytest.mark.parametrize("stripes", [1, 2])
def test_filler_pages_are_stepped_over(stripes: int) -> None:
    pages = PageMap.of(shares(*backup(Set(fillers=11), stripes=stripes)))
    assert list(pages.extents(1)) == [0, 1, 2, 5]


@pytest.mark.parametrize("pieces", [2, 3])
def test_pages_spread_over_several_streams_are_one_sequence(pieces: int) -> None:
    pages = map_of(Set(pieces=pieces, checksum=True))
    assert list(pages.extents(1)) == [0, 1, 2, 5]
    assert text(pages.page(1, 41)) == b"page 1:41"


@pytest.mark.parametrize("stripes", [1, 2])
def test_extents_with_stale_or_unformatted_pages_stay_in_their_place(stripes: int) -> None:
    stale = DataFile().extent(3)  # names an extent that is not allocated
    odd = {2: bytes(EXTENT), 5: stale, 7: random.Random(5).randbytes(EXTENT)}
    pages = PageMap.of(
        shares(*backup(Set(files=(DataFile(used=(0, 1, 2, 5, 6, 7, 8), odd=odd),)), stripes=stripes))
    )
    assert text(pages.page(1, 49)) == b"page 1:49"
    assert text(pages.page(1, 65)) == b"page 1:65"
    for never_used in (17, 41, 57):
        with pytest.raises(BadData, match=rf"page 1:{never_used}: the (page does not say|checksum|torn-page)"):
            pages.page(1, never_used)
        with pytest.raises(BadData, match=f"page 1:{never_used}: the "):
            list(pages.pages(1, [49, never_used]))


@pytest.mark.parametrize("stripes", [1, 2])
def test_maps_that_do_not_fit_the_pages_are_found(stripes: int) -> None:
    """An extent is missing in the data, another is there too often."""
    lying = DataFile(used=(0, 1, 2, 3, 4))
    honest = DataFile(used=(0, 1, 3, 4, 5))
    given = Set(files=(lying,))
    given.frames = lambda: [lying.extent(0), *honest.frames("D")[1:]]  # type: ignore[method-assign]
    made = shares(*backup(given, stripes=stripes))
    with pytest.raises(BadData, match=r"than the allocation maps say|though its allocation maps say"):
        list(PageMap.of(made).pages(1, range(40)))


def test_more_or_fewer_extents_than_the_maps_say_are_refused() -> None:
    for change in (slice(0, 3), slice(0, None)):
        given = Set()
        frames = [*DataFile().frames("D"), DataFile().extent(9)][change]
        given.frames = lambda frames=frames: frames  # type: ignore[method-assign,misc]
        with pytest.raises(BadData, match=r"allocation maps say|more extents"):
            PageMap.of(shares(one(given)))


def test_a_differential_is_laid_over_its_full_backup() -> None:
    full = map_of(Set())
    changed = DataFile(used=(0, 1, 2, 5, 6), changed=(2, 6), note="changed")
    differential = map_of(Set(kind="I", files=(changed, DataFile(7, used=(0, 1), changed=(1,)))))
    assert list(differential.extents(1)) == [0, 2, 6]
    merged = full.overlay(differential)
    assert list(merged.extents(1)) == [0, 1, 2, 5, 6]
    assert text(merged.page(1, 17)) == b"page 1:17 changed"
    assert text(merged.page(1, 49)) == b"page 1:49 changed"
    assert text(merged.page(1, 9)) == b"page 1:9"
    assert text(full.page(1, 17)) == b"page 1:17"
    assert not full.has(1, 49)
    assert text(merged.page(7, 9)) == b"page 7:9"
    again = merged.overlay(map_of(Set(kind="I", files=(DataFile(changed=(1,), note="third"),))))
    assert [text(again.page(1, each)) for each in (9, 17)] == [b"page 1:9 third", b"page 1:17 changed"]


def test_a_file_over_four_gigabytes_has_further_maps() -> None:
    used = (0, 3, 1011, INTERVAL - 1, INTERVAL, INTERVAL + 7, 2 * INTERVAL, 2 * INTERVAL + 1)
    file = DataFile(used=used, extents=3 * INTERVAL)
    made = backup(Set(files=(file, DataFile(3))))
    pages = PageMap.of(shares(*made))
    assert set(pages.extents(1)) == {*used, *range(0, 3 * INTERVAL, 1011)}
    assert text(pages.page(1, (INTERVAL + 7) * 8 + 1)) == f"page 1:{(INTERVAL + 7) * 8 + 1}".encode()
    assert list(pages.extents(3)) == [0, 1, 2, 5]


def test_a_page_with_torn_bits_comes_as_it_was() -> None:
    whole = DataFile(flags=0x100, used=(0, 1))
    plain = b"\xff" * 7000
    body = page(1, 9, 1, plain, 0x100)
    assert body != page(1, 9, 1, plain, 0)
    odd = b"".join([*[page(1, 8, 1, flags=0x100)], body, *[page(1, 10 + k, 1, flags=0x100) for k in range(6)]])
    whole.odd = {1: odd}
    pages = map_of(Set(files=(whole,)))
    assert pages.page(1, 9)[96:7096] == plain
    assert dict(pages.pages(1, [9]))[9][96:7096] == plain
    assert pages_.checksum_ok(body)
    assert not pages_.checksum_ok(
        body[:511] + bytes([body[511] ^ 0, *body[512:1023], body[1023] ^ 3, *body[1024:]])
    )


@pytest.mark.parametrize("flags", [0x100, 0x200])
def test_a_damaged_page_is_never_given(flags: int) -> None:
    made = bytearray(one(Set(files=(DataFile(flags=flags),))))
    sound = PageMap.of(shares(bytes(made)))
    name, start = sound.place_of(1, 41)
    assert text(sound.page(1, 41)) == b"page 1:41"
    made[start + 1023] ^= 3
    pages = PageMap.of(shares(bytes(made)))
    wrong = rf"{name}, byte {start}, page 1:41: the (checksum|torn-page pattern) of the page is wrong"
    with pytest.raises(BadData, match=wrong):
        pages.page(1, 41)
    with pytest.raises(BadData, match=wrong):
        list(pages.pages(1, [40, 41]))
    assert text(pages.page(1, 42)) == b"page 1:42"


def test_a_page_in_the_place_of_another_is_never_given() -> None:
    made = bytearray(one(Set()))
    sound = PageMap.of(shares(bytes(made)))
    (_, there), (_, here) = sound.place_of(1, 43), sound.place_of(1, 41)
    made[here : here + PAGE] = made[there : there + PAGE]
    pages = PageMap.of(shares(bytes(made)))
    assert text(pages.page(1, 43)) == b"page 1:43"
    with pytest.raises(BadData, match="page 1:41: the page does not say that it is the one that should be here"):
        pages.page(1, 41)


@pytest.mark.parametrize("index", [2, 3])
def test_a_damaged_allocation_map_is_not_believed(index: int) -> None:
    made = bytearray(one(Set()))
    _, start = PageMap.of(shares(bytes(made))).place_of(1, index)
    made[start + 3000] ^= 0x10
    with pytest.raises(BadData, match=f"page 1:{index}: the checksum of the page is wrong"):
        PageMap.of(shares(bytes(made)))


def test_encrypted_pages_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="TDE"):
        map_of(Set(files=(DataFile(flags=0x208),)))


def test_an_incomplete_set_gives_no_pages() -> None:
    data = one(Set())
    with pytest.raises(BadData, match="incomplete"):
        PageMap.of(shares(data[: data.index(b"MSLS")]))


def test_a_log_backup_has_no_pages() -> None:
    pages = map_of(Set(kind="L"))
    assert pages.file_ids == ()
    assert not pages.has(1, 0)


def test_pages_of_a_compressed_backup_are_the_same() -> None:
    file = DataFile(used=range(60), extents=60)
    plain = one(Set(files=(file,)))
    media = open_media(Bytes(container(plain, [open_media(Bytes(plain)).sets[0].regions[0].pieces[0].start])))
    pages = PageMap.of(media.sets)
    assert [data for _, data in pages.pages(1, range(480))] == [
        file.extent(number)[within * PAGE : (within + 1) * PAGE] for number in range(60) for within in range(8)
    ]


def test_slots_are_read_and_bounded() -> None:
    good = page(1, 5, slots=(96, 0, 200))
    assert pages_.slots(good) == (96, 0, 200)
    for count, offset in ((5000, 96), (1, 8191)):
        bad = bytearray(page(1, 5, slots=(offset,)))
        bad[22:24] = count.to_bytes(2, "little")
        with pytest.raises(BadData, match="1:5"):
            pages_.slots(bytes(bad))


def test_the_header_of_a_page_is_read() -> None:
    head = pages_.header(page(3, 77, 10))
    assert (head.version, head.type, head.page_id, head.file_id) == (1, 10, 77, 3)
    assert head.lsn == 7 * 10**15 + 8 * 10**5 + 9
    assert head.flags == pages_.CHECKSUM


STRIPED = ("Stripe1/RestoreTimeStripe.bak", "Stripe2/RestoreTimeStripe1.bak")
with_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="the real backup files are not here")


@with_samples
@pytest.mark.parametrize("name", sorted(str(each.relative_to(SAMPLES)) for each in SAMPLES.rglob("*.bak")))
def test_every_page_of_a_real_backup_has_its_place(name: str) -> None:
    for share in open_media(real(name)).sets:
        if share.media.family_count > 1:
            with pytest.raises(BadData, match="is missing"):
                PageMap.of([share])
            continue
        pages = PageMap.of([share])
        assert pages.extent_count == sum(each.length for each in share.regions) // EXTENT
        for file_id in pages.file_ids:
            numbers = [extent * 8 + within for extent in pages.extents(file_id) for within in range(8)]
            used = [number for number in numbers if is_used(pages, file_id, number)]
            assert len(used) > len(numbers) / 2
            assert used[0] == 0
            assert [number for number, _ in pages.pages(file_id, used)] == used


@with_samples
@pytest.mark.parametrize(
    "name", ["world-2017.bak", "northwind-2005.bak", "lab/RestoreTimeClean/RestoreTimeClean2.bak"]
)
def test_pages_that_name_themselves_tell_the_same_as_their_order(name: str) -> None:
    (share,) = open_media(real(name)).sets
    by_count, by_headers = Woven((share,)), Woven((share,))
    assert _by_count(by_count, Frames(0, share))
    _Mixed(by_headers).sort()
    first, second = (
        {number: list(places) for number, places in woven.files.items()} for woven in (by_count, by_headers)
    )
    assert first == second


@with_samples
def test_real_stripes_are_merged() -> None:
    folder = "lab/sql2008-backups/RestoreTimeStripe/"
    made = [open_media(real(folder + each)).sets[0] for each in STRIPED]
    pages = PageMap.of(made)
    assert pages.extent_count == 23
    used = [page for extent in pages.extents(1) for page in range(extent * 8, extent * 8 + 8)]
    assert sum(is_used(pages, 1, page) for page in used) > 100

"""Verification finds damage wherever a checksum reaches, names the place, and says what it could not check."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from sterna.cli.app import run
from sterna.cli.context import Tools
from sterna.engines.sqlserver.wire.faults import Damaged, Fault
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.page import own_id
from sterna.engines.sqlserver.wire.verify import Counts, verify
from sterna.main import backups, engines, open_bucket, open_store, serve, work
from tests.backups.corpus import MAKERS
from tests.unit.bak_files import (
    EXTENT,
    PAGE,
    SAMPLES,
    Bytes,
    DataFile,
    Set,
    backup,
    container,
    log_block,
    one,
    real,
)

with_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="the real backup files are not here")
PAGES = open_media(Bytes(one(Set()))).sets[0].regions[0].pieces[0].start
"""Where the pages of these files begin."""


def checked(*files: bytes) -> tuple[list[Fault], Counts]:
    counts = Counts()
    return list(verify([open_media(Bytes(each, f"{k}.bak")) for k, each in enumerate(files)], counts)), counts


def changed(data: bytes, *places: int) -> bytes:
    out = bytearray(data)
    for place in places:
        out[place] ^= 0x10
    return bytes(out)


def test_a_sound_file_has_no_fault_and_everything_is_counted() -> None:
    faults, counts = checked(one(Set(checksum=True), Set(kind="L", position=2, checksum=True)))
    assert faults == []
    assert counts.pages == 4 * 8
    assert counts.records == 0
    assert counts.blocks == 2 + 10 + 9
    assert counts.not_checked == ["1 pages in 0.bak that carry neither checksum nor torn bits"]


def test_a_sound_compressed_file_has_no_fault() -> None:
    plain = one(Set(checksum=True))
    faults, counts = checked(container(plain, [PAGES]))
    assert faults == []
    assert counts.pages == 4 * 8
    assert counts.records > 6


def test_sound_stripes_have_no_fault() -> None:
    faults, counts = checked(*backup(Set(checksum=True, fillers=2), stripes=2))
    assert faults == []
    assert counts.pages == 4 * 8


def test_a_changed_page_is_named_with_file_place_and_page() -> None:
    place = PAGES + 2 * EXTENT + 3 * PAGE + 5000
    (fault,) = checked(changed(one(Set()), place))[0]
    assert fault == Fault("0.bak", place - 5000, "the checksum of the page is wrong", "1:19")
    assert str(fault) == f"0.bak, byte {place - 5000}, page 1:19: the checksum of the page is wrong"


def test_a_page_whose_own_number_changed_is_named_by_its_place() -> None:
    (fault,) = checked(changed(one(Set()), PAGES + 3 * EXTENT + 4 * PAGE + 33))[0]
    assert fault.page == "1:44"


@pytest.mark.parametrize("packed", [False, True])
def test_of_several_sets_those_that_matter_can_be_checked_alone(packed: bool) -> None:
    sets = [Set(guid=UUID(int=k), position=k, checksum=True) for k in (1, 2, 3)]
    plain = one(*sets)
    starts = [each.regions[0].pieces[0].start for each in open_media(Bytes(plain)).sets]
    data = changed(plain, starts[0] + PAGE + 5000, starts[2] + 3 * PAGE + 5000)[:-3000]
    media = open_media(Bytes(container(data, starts) if packed else data))
    assert [each.complete for each in media.sets] == [True, True, False]
    counts = Counts()
    assert list(verify([media], counts, [media.sets[1]])) == []
    assert counts.pages == 4 * 8
    first, last = (list(verify([media], Counts(), [media.sets[k]])) for k in (0, 2))
    assert [fault.page for fault in first if fault.page] == ["1:1"]
    assert "the file ends before its last backup set does" in {fault.message for fault in last}
    assert len(list(verify([media]))) == len({*first, *last})


def test_a_set_that_does_not_say_the_same_at_its_end_is_damaged() -> None:
    data = one(Set())
    assert checked(data)[0] == []
    name = "shop".encode("utf-16-le")
    places = [found.start() for found in re.finditer(re.escape(name), data)]
    begun = [place for place in places if place < data.index(b"MSDA")]
    (fault,) = checked(changed(data, begun[0]))[0]
    assert fault.message == "the set tells two things, at its beginning and end, of: database"
    assert fault.offset == data.index(b"SSET")
    logical = data.index(b"SFIN", data.index(b"MSLS"))
    (fault,) = checked(changed(data, logical + 0xBA))[0]
    assert fault.message.endswith("of: unique id of file 1")
    (fault,) = checked(changed(data, logical + 0x14))[0]
    assert fault.message.endswith("of: file 17")


def test_a_torn_page_is_found() -> None:
    given = one(Set(files=(DataFile(flags=0x100),)))
    faults, counts = checked(given)
    assert faults == []
    assert counts.not_checked[1].startswith("31 pages in 0.bak beyond their torn bits")
    torn = bytearray(given)
    torn[PAGES + EXTENT + PAGE + 1023] ^= 3
    (fault,) = checked(bytes(torn))[0]
    assert fault.page == "1:9"
    assert "torn" in fault.message


@pytest.mark.parametrize("kind", [b"MQDA", b"MQTL"])
def test_a_sum_over_a_stream_is_checked(kind: bytes) -> None:
    data = one(Set(checksum=True, files=(DataFile(flags=0),)))
    assert checked(data)[0] == []
    place = data.index(kind)
    fault, *_ = checked(changed(data, place + 24 + 700))[0]
    assert fault == Fault("0.bak", place, f"the checksum of stream {kind.decode()} is wrong")


def test_a_changed_log_block_is_found_without_checksums_of_the_backup() -> None:
    data = one(Set())
    place = data.index(b"MQTL") + 24
    (fault,) = checked(changed(data, place + 512 + 200))[0]
    assert fault == Fault("0.bak", place + 512, "the checksum of the log block is wrong")


@pytest.mark.parametrize("byte", [0, 7, 12, 16])
def test_a_log_that_does_not_go_on_is_found(byte: int) -> None:
    data = one(Set())
    place = data.index(b"MQTL") + 24
    (fault,) = checked(changed(data, place + 512 + byte))[0]
    assert fault == Fault("0.bak", place + 512, "no log block lies where the log goes on")


def test_a_piece_of_a_log_is_told_of() -> None:
    data = bytearray(one(Set()))
    head = data.index(b"MSTL")
    data[head + 0x44 : head + 0x4C] = (8192 + 4096).to_bytes(8, "little")
    faults, counts = checked(bytes(data))
    assert faults == []
    assert "1024 bytes of log in 0.bak: part of a larger piece" in counts.not_checked


def test_without_any_checksum_what_was_not_checked_is_told() -> None:
    log = bytearray(log_block(0, 1024))
    log[24:28] = bytes(4)
    faults, counts = checked(one(Set(files=(DataFile(flags=0),), log=bytes(log))))
    assert faults == []
    assert counts.not_checked == [
        "32 pages in 0.bak that carry neither checksum nor torn bits",
        "1024 bytes of log in 0.bak that carry no checksum",
    ]


def test_a_changed_record_is_found_and_the_rest_still_checked() -> None:
    plain = one(Set(files=(DataFile(used=range(40), extents=40),)))
    packed = container(plain, [PAGES])
    places = [place for place in range(len(packed)) if packed[place : place + 20] == b"\xaa" * 20]
    data = changed(packed, places[10] - 4 + 300, places[30] - 4 + 300)
    faults, counts = checked(data)
    assert [each.message for each in faults] == ["the checksum of a compressed record is wrong"] * 2
    assert [each.offset for each in faults] == [places[10] - 4, places[30] - 4]
    assert counts.pages == 38 * 8


@pytest.mark.parametrize("mark", ["MSLS", "ESET", "MQTL"])
def test_a_file_that_was_cut_is_found(mark: str) -> None:
    data = one(Set())
    faults, _ = checked(data[: data.index(mark.encode()) + 30])
    assert "the file ends before its last backup set does" in [each.message for each in faults]


@pytest.mark.parametrize("cut", [1, 511, 512, 1000])
def test_even_the_last_bytes_are_missed(cut: int) -> None:
    assert checked(one(Set())[:-cut])[0]
    assert checked(container(one(Set()), [PAGES])[:-cut])[0]


def test_extents_that_are_not_where_the_maps_say_are_found() -> None:
    data = one(Set())
    one_, two = PAGES + EXTENT, PAGES + 2 * EXTENT
    swapped = data[:one_] + data[two : two + EXTENT] + data[one_:two] + data[two + EXTENT :]
    faults, _ = checked(swapped)
    assert ("1:8", "other pages lie here than the allocation maps say") in [
        (each.page, each.message) for each in faults
    ]


def test_a_missing_extent_is_found() -> None:
    given = Set()
    given.frames = lambda: DataFile().frames("D")[:3]  # type: ignore[method-assign]
    faults, _ = checked(one(given))
    assert any("allocation maps say" in each.message for each in faults)


def test_encrypted_pages_are_not_called_wrong() -> None:
    faults, counts = checked(changed(one(Set(files=(DataFile(flags=0x208),))), PAGES + EXTENT + 5000))
    assert faults == []
    assert any("TDE" in each for each in counts.not_checked)


def test_a_stripe_that_is_missing_is_a_fault_and_what_is_there_is_checked() -> None:
    first, _, third = backup(Set(), stripes=3)
    (fault,), counts = checked(first, third)
    assert fault.message == "set 1 of 0.bak is striped over 3 files, and file 2 of 3 is not among those given"
    assert any("not all of its stripes are here" in each for each in counts.not_checked)
    assert counts.pages > 8
    faults, _ = checked(changed(first, open_media(Bytes(first)).sets[0].regions[0].pieces[0].start + PAGE + 5000))
    assert [each.page != "" for each in faults] == [False, True]
    assert "files 2, 3 of 3 are not among those given" in faults[0].message


def test_every_byte_that_a_checksum_guards_is_guarded() -> None:
    """One changed byte anywhere in the headers, the pages or the log is found."""
    data = one(Set(files=(DataFile(used=(0, 1)),), checksum=True))
    first = data.index(b"MQDA")
    for place in [*range(first, first + 22), *range(PAGES, PAGES + 2 * EXTENT, 1009)]:
        broken = Bytes(changed(data, place))
        assert refused(broken) or list(verify([open_media(broken)])), place


def refused(blob: Bytes) -> bool:
    try:
        open_media(blob)
    except Damaged:
        return True
    return False


@with_samples
@pytest.mark.parametrize(
    "name", sorted(str(each.relative_to(SAMPLES)) for kind in ("*.bak", "*.trn") for each in SAMPLES.rglob(kind))
)
def test_real_backups_have_no_fault(name: str) -> None:
    counts = Counts()
    media = open_media(real(name))
    alone = media.media.family_count > 1
    faults = [each.message for each in verify([media], counts)]
    assert ["is not among those given" in each for each in faults] == [True] * alone
    assert counts.blocks > 10


@with_samples
def test_a_changed_byte_in_a_real_page_is_found() -> None:
    whole = real("world-2017.bak")
    start = open_media(whole).sets[0].regions[0].pieces[0].start
    assert whole.data[start + 5 * EXTENT + 5] & 2
    broken = Bytes(changed(whole.data, start + 5 * EXTENT + 4095), "world.bak")
    assert [each.offset for each in verify([open_media(broken)])] == [start + 5 * EXTENT]


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"encrypted_container", "incomplete"}))
def test_backups_of_another_writer_have_no_fault(name: str, tmp_path: Path) -> None:
    paths = MAKERS[name](tmp_path).paths
    counts = Counts()
    assert list(verify([open_media(Bytes(each.read_bytes(), each.name)) for each in paths], counts)) == []
    assert counts.pages > 20


def tools() -> Tools:
    return Tools(engines, open_store, serve, work, {}, (), open_bucket, backups)


@pytest.fixture
def made(tmp_path: Path) -> Sequence[str]:
    """A backup in two stripes."""
    paths = []
    for number, data in enumerate(backup(Set(database="lager"), stripes=2)):
        paths.append(tmp_path / f"stripe{number}.bak")
        paths[-1].write_bytes(data)
    return [str(each) for each in paths]


def test_the_command_shows_what_files_hold(made: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", "inspect", made[0], "--json"], tools()) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["media"]["family_sequence"] == 1
    assert [each["database"] for each in told["sets"]] == ["lager"]
    assert told["sets"][0]["needs"] == "file 2 of 2 of the striped backup"
    assert run(["backup", "inspect", *made, "--json"], tools()) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["media"]["family_sequence"] for each in told["files"]] == [1, 2]
    assert [each["needs"] for each in told["sets"]] == [None]
    assert run(["backup", "inspect", *made], tools()) == 0
    out = capsys.readouterr().out
    assert "lager" in out
    assert "C:\\data\\file1.mdf" in out


def test_the_command_says_whether_files_are_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = MAKERS["stripes_2"](tmp_path).paths
    names = [str(each) for each in paths]
    assert run(["backup", "verify", *names], tools()) == 0
    assert re.search(
        r"^[4-9]\d pages, 0 records, 2\d blocks checked, no fault$", capsys.readouterr().out, re.MULTILINE
    )
    assert run(["backup", "verify", names[1], "--json"], tools()) == 4
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert fault["message"].endswith("file 1 of 2 is not among those given")
    data = paths[1].read_bytes()
    place = open_media(Bytes(data)).sets[0].regions[0].pieces[0].start
    file_id, page_id = own_id(data, place)
    paths[1].write_bytes(changed(data, place + 5000))
    assert run(["backup", "verify", *names], tools()) == 4
    out = capsys.readouterr().out
    wanted = f"{paths[1].name}, byte {place}, page {file_id}:{page_id}: the checksum of the page is wrong"
    assert wanted in out
    assert "1 fault" in out
    assert run(["backup", "verify", *names, "--json"], tools()) == 4
    told = json.loads(capsys.readouterr().out)
    assert [(each["page"], each["offset"]) for each in told["faults"]] == [(f"{file_id}:{page_id}", place)]
    assert told["pages"] > 40


def test_inspect_tells_what_it_can_of_an_encrypted_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(MAKERS["encrypted_container"](tmp_path).paths[0])
    assert run(["backup", "inspect", path, "--json"], tools()) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["media"]["encrypted"], told["sets"]) == (True, [])
    assert run(["backup", "inspect", path], tools()) == 4
    out = capsys.readouterr().out
    assert "encrypted" in out
    assert "Not all of it can be told: " in out
    assert "No backup set" not in out
    for command in ("verify", "tables"):
        assert run(["backup", command, path], tools()) == 4
        assert "is an encrypted backup" in capsys.readouterr().err


def test_the_command_tells_of_files_that_cannot_be_opened(
    made: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(made[0])
    path.write_bytes(changed(path.read_bytes(), 30))
    assert run(["backup", "verify", *made], tools()) == 4
    assert "stripe0.bak, byte 0: the checksum of the header of block TAPE is wrong" in capsys.readouterr().out
    assert run(["backup", "inspect", made[0], "--json"], tools()) == 4
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "STERNA.2013"
    path.write_text("CREATE TABLE a (b int);")
    assert run(["backup", "inspect", made[0]], tools()) == 4
    assert "no native backup" in capsys.readouterr().err
    assert run(["backup", "inspect", "/none.bak"], tools()) == 2
    assert "no file" in capsys.readouterr().err

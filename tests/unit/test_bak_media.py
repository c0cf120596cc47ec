"""The headers of backup files: exactly what the server's own commands tell, and never a guess."""

import json
import random
from typing import Any
from uuid import UUID

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire.inspecting import inspect, join
from sterna.engines.sqlserver.wire.media import open_media
from tests.unit.bak_files import SAMPLES, Bytes, DataFile, Set, backup, container, one, page, real

with_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="the real backup files are not here")
NOT_OF_THE_HEADERS = ("tables", "row_total", "spot_values", "script", "script_compare")


def expected() -> dict[str, Any]:
    found: dict[str, Any] = (
        json.loads((SAMPLES / "expected.json").read_text()) if SAMPLES.exists() else {"files": {}}
    )
    return found["files"]  # type: ignore[no-any-return]


@with_samples
@pytest.mark.parametrize("name", expected())
def test_the_headers_of_a_real_backup_are_those_the_server_tells(name: str) -> None:
    wanted = expected()[name]
    media = open_media(real(name))
    assert media.media.as_json() == wanted["media"]
    sets = [
        {key: value for key, value in each.items() if key not in NOT_OF_THE_HEADERS} for each in wanted["sets"]
    ]
    assert [each.as_json() for each in media.sets] == sets
    assert all(each.complete for each in media.sets)
    assert not any(each.unknown_streams for each in media.sets)


@with_samples
def test_all_real_backups_were_looked_at() -> None:
    assert len(expected()) >= 50


@with_samples
def test_a_real_medium_with_a_password_says_so() -> None:
    assert open_media(real("lab/backuppassword/passwd.bak")).media.password
    assert not open_media(real("northwind-2008.bak")).media.password


def test_a_backup_made_here_tells_what_was_written() -> None:
    given = Set(database="Läden", position=3, guid=UUID(int=9), last_lsn=31000000032000001)
    media = open_media(Bytes(one(given, device=4096)))
    assert media.media.device_block == 4096
    assert media.media.name == "medium"
    (found,) = media.sets
    assert found.complete
    told = found.as_json()
    assert told["database"] == "Läden"
    assert told["position"] == 3
    assert told["type"] == "full"
    assert told["version"] == "13.0.4001"
    assert told["last_lsn"] == 31000000032000001
    assert told["backup_set_guid"] == str(UUID(int=9))
    assert told["machine"] == "MACHINE"
    assert told["created"] is None
    assert "differential_base_lsn" not in told
    assert [each["logical"] for each in told["files"]] == ["file1", "file99"]  # type: ignore[attr-defined]
    assert [(each.length, each.vlf_sequence, each.file_id) for each in found.logs] == [(1024, 20, 99)]
    assert found.record.recovery_model == "SIMPLE"


def test_a_differential_names_its_base() -> None:
    given = Set(kind="I", base_lsn=20000000001000001, base_guid=UUID(int=5), files=(DataFile(changed=(0, 2)),))
    told = open_media(Bytes(one(given))).sets[0].as_json()
    assert told["type"] == "differential"
    assert told["differential_base_lsn"] == 20000000001000001
    assert told["differential_base_guid"] == str(UUID(int=5))


def test_several_sets_of_a_file_keep_their_order() -> None:
    media = open_media(Bytes(one(Set(), Set(kind="L", position=2), Set(kind="L", position=3, database="other"))))
    assert [(each.position, each.record.kind, each.record.database) for each in media.sets] == [
        (1, "full", "shop"),
        (2, "log", "shop"),
        (3, "log", "other"),
    ]
    assert all(each.complete for each in media.sets)


def test_a_file_that_was_cut_tells_its_last_set_from_its_beginning() -> None:
    whole = one(Set(), Set(kind="L", position=2, guid=UUID(int=6)))
    second = whole.index(b"SSET", whole.index(b"SSET") + 1)
    inside = whole.index(b"MSTL", second) + 100
    media = open_media(Bytes(whole[:inside]))
    assert [(each.position, each.complete) for each in media.sets] == [(1, True), (2, False)]
    assert media.sets[1].record.database == "shop"
    told = inspect([Bytes(whole[:inside])])["sets"]
    assert told[0]["needs"] is None
    assert told[1]["needs"] == "the rest of a.bak: it ends before the set does"


@pytest.mark.parametrize("mark", ["MQDA", "MSLS", "ESET"])
def test_wherever_a_file_is_cut_it_is_not_taken_for_whole(mark: str) -> None:
    whole = one(Set())
    for cut in (whole.index(mark.encode()), whole.index(mark.encode()) + 60):
        (found,) = open_media(Bytes(whole[:cut])).sets
        assert not found.complete


def test_zeros_behind_the_end_are_no_harm() -> None:
    assert open_media(Bytes(one(Set()) + bytes(100_000))).sets[0].complete


def test_stripes_are_joined_and_a_missing_one_is_named() -> None:
    files = [Bytes(data, f"{number}.bak") for number, data in enumerate(backup(Set(), stripes=3))]
    medias = [open_media(each) for each in files]
    assert [(each.media.family_sequence, each.media.family_count) for each in medias] == [(1, 3), (2, 3), (3, 3)]
    (shares,) = join(medias)
    assert len(shares) == 3
    told = inspect(files)
    assert [each["file"] for each in told["files"]] == ["0.bak", "1.bak", "2.bak"]
    assert [each["needs"] for each in told["sets"]] == [None]
    assert told["sets"][0]["stripes"] == ["0.bak", "1.bak", "2.bak"]
    told = inspect([files[0], files[2]])
    assert [each["needs"] for each in told["sets"]] == ["file 2 of 3 of the striped backup"]


def test_of_a_damaged_file_the_sets_before_the_damage_are_told() -> None:
    whole = bytearray(one(Set(), Set(kind="L", position=2, guid=UUID(int=6))))
    second = whole.index(b"SSET", whole.index(b"SSET") + 1)
    place = whole.index(b"VOLB", second)
    whole[place + 20] ^= 1
    with pytest.raises(BadData):
        open_media(Bytes(bytes(whole)))
    told = inspect([Bytes(bytes(whole))])
    assert [(each["position"], each["complete"]) for each in told["sets"]] == [(1, True)]
    assert told["trouble"] == f"a.bak, byte {place}: the checksum of the header of block VOLB is wrong"
    whole[place + 20] ^= 1
    place = whole.index(b"MSTL", second)
    whole[place + 20] ^= 1
    told = inspect([Bytes(bytes(whole)), Bytes(one(Set(guid=UUID(int=9))), "b.bak")])
    assert [(each["position"], each["complete"]) for each in told["sets"]] == [(1, True), (2, False), (1, True)]
    assert ["trouble" in each for each in told["files"]] == [True, False]


def test_of_a_container_that_cannot_be_read_it_is_told_what_it_is() -> None:
    data = bytearray(container(one(Set())))
    sealed = random.Random(3).randbytes(len(data))
    noise = bytearray(data[:0x1E4] + sealed[0x1E4:])
    told = inspect([Bytes(bytes(noise))])
    assert told["media"] == {"file": "a.bak", "compressed": True, "mssqlbak_version": 2, "encrypted": True}
    assert (told["sets"], told["trouble"]) == ([], "a.bak is an encrypted backup")
    for part in (bytes(data[:0x1E0]), bytes(data[:700])):
        told = inspect([Bytes(part)])
        assert told["media"] == {"file": "a.bak", "compressed": True, "mssqlbak_version": 2, "encrypted": False}
        assert "the first compressed record is missing" in told["trouble"]
    data[0x1E0 + 28 : 0x1E0 + 60] = bytes(32)
    told = inspect([Bytes(bytes(data))])
    assert not told["media"]["encrypted"]
    assert "byte 480: the first compressed record is missing, damaged or cut" in told["trouble"]
    with pytest.raises(BadData):
        inspect([Bytes(b"TAPE")])


def test_pages_that_are_encrypted_are_told_of() -> None:
    told = inspect([Bytes(one(Set(files=(DataFile(flags=0x208),))))])["sets"][0]
    assert told["tde"]
    assert "TDE" in told["needs"]


def test_what_the_reader_steps_over_is_told_of() -> None:
    told = inspect([Bytes(one(Set(unknown=b"FSDA")))])["sets"][0]
    assert told["needs"] == "SQL Server for what lies in FSDA"


def test_a_partial_backup_needs_the_server() -> None:
    told = inspect([Bytes(one(Set(kind="P")))])["sets"][0]
    assert told["type"] == "partial"
    assert told["needs"] == "SQL Server: this is a partial backup"


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (page(1, 0, 15), "data file"),
        (b"CREATE TABLE a (b int)", "no native backup"),
        (b"PK\x03\x04", "packed as zip"),
        (b"CNWT" + bytes(2000), "no native backup"),
    ],
)
def test_what_is_no_backup_is_refused_by_name(start: bytes, part: str) -> None:
    with pytest.raises(Unsupported, match=part) as refused:
        open_media(Bytes(start, "odd.bak"))
    assert "odd.bak" in refused.value.message


def test_a_backup_of_a_server_before_2005_is_refused() -> None:
    with pytest.raises(Unsupported, match="before 2005"):
        open_media(Bytes(one(Set(major=8))))


@pytest.mark.parametrize("kind", [b"TAPE", b"SSET", b"VOLB", b"MQCI", b"MQDA", b"SPAD", b"MSLS"])
def test_a_header_with_a_wrong_checksum_is_named_with_its_place(kind: bytes) -> None:
    data = bytearray(one(Set()))
    place = data.index(kind)
    data[place + (20 if place % 512 == 0 else 4)] ^= 1
    with pytest.raises(BadData, match=rf"a\.bak, byte {place}: the checksum of the header"):
        open_media(Bytes(bytes(data)))


def test_headers_are_read_without_the_pages() -> None:
    big = DataFile(used=range(400), extents=400)
    blob = Bytes(one(Set(files=(big,))))
    assert blob.size > 26_000_000
    open_media(blob)
    assert sum(blob.reads) < 1_000_000
    assert len(blob.reads) < 20


def test_a_compressed_backup_tells_the_same_as_a_plain_one() -> None:
    plain = one(Set(), Set(kind="L", position=2))
    assert [each.as_json() for each in open_media(Bytes(container(plain))).sets] == [
        each.as_json() for each in open_media(Bytes(plain)).sets
    ]

"""``sterna backup tables``: tables with their rows, of one file, of a chain, of one set of several."""

import json
from pathlib import Path
from typing import Any

import pytest

from sterna.cli.app import run
from sterna.engines.sqlserver.wire.container import RecordBlob
from sterna.engines.sqlserver.wire.database import open_databases
from sterna.engines.sqlserver.wire.media import open_media
from tests.backups.corpus import MAKERS, later
from tests.backups.damage import mend
from tests.backups.database import build
from tests.backups.describe import Col, Db, Tbl
from tests.backups.reading import MemoryBlob, page_or_blank
from tests.backups.writer import Media, Set, write_backup
from tests.unit.test_bak_verify import tools


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert run(["backup", "tables", *words, "--json"], tools()) == 0
    return json.loads(capsys.readouterr().out)


def test_tables_come_with_columns_and_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = MAKERS["shop_2016"](tmp_path).paths[0]
    assert told(capsys, str(path)) == {
        "tables": [
            {
                "schema": "dbo",
                "table": "Orders",
                "rows": 4,
                "rcrows": 4,
                "columns": ["OrderId", "Customer", "Total", "Shipped", "Paid", "Twice", "Ref"],
            },
            {
                "schema": "sales",
                "table": "Customers",
                "rows": 4,
                "rcrows": 4,
                "columns": ["Id", "Name", "Kind", "Since", "Credit"],
            },
        ]
    }
    assert run(["backup", "tables", str(path)], tools()) == 0
    assert "Customers" in capsys.readouterr().out


def test_a_set_is_chosen_and_a_chain_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(MAKERS["differential_in_one"](tmp_path).paths[0])
    before = {each["table"]: each["rows"] for each in told(capsys, one, "--set", "1")["tables"]}
    after = {each["table"]: each["rows"] for each in told(capsys, one)["tables"]}
    assert set(after) > set(before)
    assert sum(after.values()) > sum(before.values())
    assert told(capsys, one, "--set", "2")["tables"] == told(capsys, one)["tables"]


def test_several_databases_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(MAKERS["several_sets"](tmp_path).paths[0])
    assert {each["database"] for each in told(capsys, path)["tables"]} == {"Shop", "Other"}
    assert "database" not in told(capsys, path, "--set", "2")["tables"][0]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("device", [8192, 32768, 65536])
def test_device_blocks_of_any_size_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], device: int, compressed: bool
) -> None:
    rows = [(number, f"row {number:04}") for number in range(50)]
    db = Db("Wide", (Tbl("dbo", "t", (Col("n", "int"), Col("t", "varchar(20)")), rows),))
    sets = [Set(build(db, 2019), name="one"), Set(build(db, 2019), name="two")]
    (path,) = write_backup(tmp_path / "wide.bak", sets, Media(device=device, compressed=compressed))
    assert [each["rows"] for each in told(capsys, str(path))["tables"]] == [50]
    assert run(["backup", "inspect", str(path), "--json"], tools()) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["media"]["device_block"] == device
    assert [each["complete"] for each in found["sets"]] == [True, True]
    assert run(["backup", "verify", str(path)], tools()) == 0
    assert "no fault" in capsys.readouterr().out


def test_files_that_give_no_database_say_what_they_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, differential = MAKERS["differential"](tmp_path).paths
    assert run(["backup", "tables", str(differential)], tools()) != 0
    assert "needs the full backup with checkpoint LSN" in capsys.readouterr().err
    assert run(["backup", "tables", str(full), "--set", "7"], tools()) != 0
    assert "no backup set 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04\x14", "packed as zip"),
        (b"\x1f\x8b\x08", "packed as gzip"),
        (b"BACKUP DATABASE shop", "no native backup"),
    ],
)
def test_a_file_that_is_something_else_is_named_for_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, part: str
) -> None:
    path = tmp_path / "shop.bak"
    path.write_bytes(content)
    for command in ("inspect", "tables"):
        assert run(["backup", command, str(path), "--json"], tools()) == 4
        out, err = capsys.readouterr()
        assert part in json.loads(out)["error"]["message"]
        assert part in err


def row_of(data: bytearray, path: Path, row: bytes) -> int:
    """Where the only page of a table with such a row begins in the file."""
    share = open_media(MemoryBlob(path.name, bytes(data))).sets[0]
    start = share.regions[0].pieces[0].start
    return (data.index(row) - start) // 8192 * 8192 + start


def test_a_damaged_table_is_named_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(number, f"row {number:04}") for number in range(50)]
    columns = (Col("n", "int"), Col("t", "varchar(20)"))
    path = tmp_path / "a.bak"
    tables = (Tbl("dbo", "hurt", columns, rows), Tbl("dbo", "well", columns, rows[:3]))
    write_backup(path, [Set(build(Db("Hurt", tables), 2016))])
    data = bytearray(path.read_bytes())
    place = row_of(data, path, b"row 0030")
    data[data.index(b"row 0030")] ^= 1
    path.write_bytes(data)
    assert run(["backup", "tables", str(path), "--json"], tools()) == 4
    hurt, well = json.loads(capsys.readouterr().out)["tables"]
    assert (hurt["table"], hurt["rows"], hurt["rcrows"]) == ("hurt", None, 50)
    assert f"{path}, byte {place}, page 1:" in hurt["trouble"]
    assert hurt["trouble"].endswith("the checksum of the page is wrong")
    assert (well["rows"], "trouble" in well) == (3, False)
    assert run(["backup", "tables", str(path)], tools()) == 4
    assert "the checksum of the page is wrong" in capsys.readouterr().out
    out = tmp_path / "out"
    assert run(["backup", "export", str(path), "--to", str(out), "--format", "csv", "--json"], tools()) == 4
    assert [one["table"] for one in json.loads(capsys.readouterr().out)["skipped"]] == ["hurt"]
    assert [one.name for one in out.iterdir()] == ["dbo.well.csv"]
    assert run(["backup", "verify", str(path), "--json"], tools()) == 4
    (fault,) = json.loads(capsys.readouterr().out)["faults"]  # once, though the rows are met again
    assert (fault["offset"], fault["message"]) == (place, "the checksum of the page is wrong")


def test_rows_that_are_not_as_many_as_the_server_counted_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = MAKERS["shop_2016"](tmp_path).paths[0]
    sound = told(capsys, str(path))["tables"]
    assert not any("note" in one for one in sound)
    data = bytearray(path.read_bytes())
    (database,) = open_databases([MemoryBlob("a.bak", bytes(data))])
    part = database.parts(("Shop", "dbo", "Orders"))[0]
    pages = (page_or_blank(database.replay.pages, number) for number in range(part.first, part.stop))
    page = next(page for page in pages if page[1] == 1)
    data[data.index(page[96:2000])] |= 6 << 1  # the first row becomes a ghost
    mend(data)
    path.write_bytes(data)
    orders = told(capsys, str(path))["tables"][0]
    assert (orders["rows"], orders["rcrows"]) == (3, 4)
    assert orders["note"] == "by the server's own count there should be 4 rows"
    assert run(["backup", "tables", str(path)], tools()) == 0
    assert "there should be 4 rows" in capsys.readouterr().out
    export = ["backup", "export", str(path), "--to", str(tmp_path / "out"), "--format", "csv"]
    assert run([*export, "--json"], tools()) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [one.get("note", "") for one in tables] == [orders["note"], ""]
    assert run(export, tools()) == 0
    assert f"Note: dbo.Orders: {orders['note']}" in capsys.readouterr().out


def test_a_damaged_log_is_never_played_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a changed byte within a block nor one in its header takes rows away, or changes them, unnoticed."""
    *before, last = MAKERS["log_chain"](tmp_path).paths
    names = [str(each) for each in (*before, last)]
    sound = told(capsys, *names)
    data = last.read_bytes()
    (share,) = open_media(MemoryBlob("a.bak", data)).sets
    for stream in share.logs:
        for place in (*range(0, 28, 5), 90, 200):
            changed = bytearray(data)
            changed[stream.start + place] ^= 0x14
            last.write_bytes(changed)
            code = run(["backup", "tables", *names, "--json"], tools())
            out = json.loads(capsys.readouterr().out)
            assert code == 4 or out == sound, place


def test_a_cut_last_set_tells_how_to_read_the_ones_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(MAKERS["incomplete"](tmp_path).paths[0])
    assert run(["backup", "tables", path], tools()) == 4
    assert "--set N" in capsys.readouterr().err
    assert len(told(capsys, path, "--set", "1")["tables"]) == 2


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_ends_at_the_start_of_a_further_set_is_not_taken_for_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], compressed: bool
) -> None:
    rows = [(number, f"row {number:04}") for number in range(50)]
    columns = (Col("n", "int"), Col("t", "varchar(20)"))
    first, second = (build(Db("Two", (Tbl("dbo", "t", columns, rows[:count]),)), 2016) for count in (3, 50))
    path = tmp_path / "two.bak"
    media = Media(compressed=compressed)
    write_backup(path, [Set(first, name="one")], media)
    one = path.stat().st_size
    write_backup(path, [Set(first, name="one"), Set(second, name="two", start=later(5))], media)
    whole = path.read_bytes()
    for end in (one - 77, one + 60, one + 300):
        path.write_bytes(whole[:end])
        assert run(["backup", "tables", str(path)], tools()) == 4
        assert "ends within a further backup set" in capsys.readouterr().err
        assert told(capsys, str(path), "--set", "1")["tables"][0]["rows"] == 3
        assert run(["backup", "verify", str(path)], tools()) == 4
        assert "the file ends before its last backup set does" in capsys.readouterr().out
    path.write_bytes(whole[:one] + bytes(20))
    assert told(capsys, str(path))["tables"][0]["rows"] == 3
    assert run(["backup", "verify", str(path)], tools()) == 0
    capsys.readouterr()
    for place in (0, 30, *([100] if compressed else [])):
        broken = bytearray(whole)
        broken[one + place] ^= 1
        path.write_bytes(broken)
        assert run(["backup", "tables", str(path)], tools()) == 4, place
        capsys.readouterr()


def test_a_block_at_the_end_of_a_virtual_log_file_is_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing lies behind it in its own file; but the block that comes next, in another, tells of it."""
    full, log = MAKERS["log_of_all_kinds"](tmp_path).paths
    packed = RecordBlob(MemoryBlob("log", log.read_bytes()))
    plain = packed.read_at(0, packed.size)
    first, second = open_media(MemoryBlob("log", plain)).sets[0].logs
    assert second.vlf_sequence == first.vlf_sequence + 1
    log.write_bytes(plain)
    told(capsys, str(full), str(log))
    log.write_bytes(plain[: first.start] + bytes(first.length) + plain[first.start + first.length :])
    assert run(["backup", "tables", str(full), str(log)], tools()) == 4
    assert "is not where the log goes on" in capsys.readouterr().err


def test_a_file_of_a_chain_that_gives_nothing_is_not_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may hold the newest changes: without it the rows are others, and nobody would know."""
    paths = MAKERS["log_chain"](tmp_path).paths
    names = [str(each) for each in paths]
    assert run(["backup", "tables", *names], tools()) == 0
    last = open_media(MemoryBlob("", paths[-1].read_bytes())).sets[0]
    whole = paths[-1].read_bytes()
    for cut in (last.at, last.at + 60, last.at + 700):
        paths[-1].write_bytes(whole[:cut])
        capsys.readouterr()
        assert run(["backup", "tables", *names], tools()) == 4, cut
        assert f"{names[-1]} holds no backup set: " in capsys.readouterr().err
    paths[-1].write_bytes(whole[: last.at] + bytes(512) + whole[last.at + 512 :])
    assert run(["backup", "tables", *names], tools()) == 4
    assert "is no block of the tape format" in capsys.readouterr().err
    paths[-1].write_bytes(whole + bytes(3 << 20))
    assert run(["backup", "tables", *names], tools()) == 0


def test_a_file_without_any_set_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = MAKERS["shop_2016"](tmp_path).paths[0]
    path.write_bytes(path.read_bytes()[:1536])
    assert run(["backup", "inspect", str(path)], tools()) == 0
    assert "No backup set" in capsys.readouterr().out


def test_names_mean_nothing_to_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = Db("Sh\x1b[2Jop", (Tbl("dbo", "T\x9b31m", (Col("a\u202eb", "int"),)),))
    path = tmp_path / "odd\x1b[31m.bak"
    write_backup(path, [Set(build(odd, 2016), name="\x1b]0;owned\x07")])
    for command in ("inspect", "tables", "verify"):
        run(["backup", command, str(path)], tools())
        out, err = capsys.readouterr()
        assert not set(out + err) & {"\x1b", "\x9b", "\x07", "\u202e"}
        assert out


def test_a_file_whose_name_is_no_text_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / b"caf\xe9.bak".decode("utf-8", "surrogateescape")
    path.write_bytes(MAKERS["shop_2016"](tmp_path).paths[0].read_bytes())
    for command in ("inspect", "tables", "verify"):
        assert run(["backup", command, str(path)], tools()) == 0
        capsys.readouterr()
        assert run(["backup", command, str(path), "--json"], tools()) == 0
        assert json.loads(capsys.readouterr().out)

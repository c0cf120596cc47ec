"""The reader of SQL Server backups against backups that were made from nothing by a writer of its own."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.core.schema import Table
from sterna.engines.sqlserver.wire.inspecting import inspect
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.verify import verify
from tests.backups.corpus import MAKERS, Fixture, all_fixtures
from tests.backups.database import build
from tests.backups.describe import Col, Db, Tbl
from tests.backups.headers import START
from tests.backups.log import Log
from tests.backups.reading import MemoryBlob, blobs, opened, read
from tests.backups.scenes import tall, uniquified
from tests.backups.writer import Set, write_backup

ENCRYPTED = ["encrypted_pages", "encrypted_container"]
READABLE = [name for name in MAKERS if name not in ENCRYPTED]

SOUND = [name for name in READABLE if name != "incomplete"]
SHOPS = [
    name for name in MAKERS if name.startswith("shop_") or name in ("uniform", "checksums", "compressed_4096")
]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fixture]:
    """All fixtures, written once."""
    return all_fixtures(tmp_path_factory.mktemp("backups"))


def name_of(table: Table) -> str:
    """``schema.table``."""
    return ".".join(table.path[1:])


@pytest.mark.parametrize("name", READABLE)
def test_every_row_comes_out_as_it_was_written(corpus: dict[str, Fixture], name: str) -> None:
    """Tables, columns and COPY lines, byte by byte; order is the reader's."""
    made = corpus[name]
    databases = opened(made.paths)
    for database, tables in made.databases.items():
        backup = databases[database]
        assert backup.problems == ()
        shown = {name_of(table): table for table in backup.tables}
        assert set(shown) == {*tables, *made.trouble}
        assert {".".join(path[1:]) for path in backup.needs} == set(made.trouble)
        for table, want in tables.items():
            assert tuple(column.name for column in shown[table].columns if column.stored) == want.columns
            assert sorted(read(backup, shown[table])) == sorted(want.lines), table


@pytest.mark.parametrize("name", ENCRYPTED)
def test_what_is_encrypted_is_refused(corpus: dict[str, Fixture], name: str) -> None:
    """By a plain error, at the opening or at the first look at a table."""
    with pytest.raises((Unsupported, BadData), match=r"(?i)encrypt"):
        looked_at(corpus[name])


def looked_at(made: Fixture) -> None:
    """Open a backup and look at its tables."""
    for backup in opened(made.paths).values():
        backup.schema()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "encrypted_container"])
def test_headers_say_what_the_writer_put_there(corpus: dict[str, Fixture], name: str) -> None:
    """Names, numbers, GUIDs and dates of every set."""
    made = corpus[name]
    sets = inspect(blobs(made.paths))["sets"]
    wanted = made.headers
    assert len(sets) == len(wanted) or not wanted
    for position, (got, want) in enumerate(zip(sets, wanted, strict=True)):
        assert {key: got[key] for key in want} == want, position


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_backup_has_no_fault(corpus: dict[str, Fixture], name: str) -> None:
    """All sums, all places of pages."""
    assert list(verify([open_media(blob) for blob in blobs(corpus[name].paths)])) == []


@pytest.mark.parametrize(
    "name", ["shop_2016", "types_2008", "checksums", "compressed", "compressed_2008", "stripes_3"]
)
def test_a_flipped_byte_in_a_page_is_a_fault(corpus: dict[str, Fixture], name: str) -> None:
    """One byte in the middle of the first data of a page, found by page checksum, torn bits or record sum."""
    files = blobs(corpus[name].paths)
    torn = name == "types_2008"
    at = (
        files[0].data.index(b"MQDA") + 24 + 8192 * 8 + (511 + 512 if torn else 200) if "comp" not in name else 5000
    )
    files[0] = flipped(files[0], at)
    assert any(faults(files))


def flipped(blob: MemoryBlob, at: int) -> MemoryBlob:
    """The file with a byte changed in its low bits."""
    return MemoryBlob(blob.name, blob.data[:at] + bytes([blob.data[at] ^ 3]) + blob.data[at + 1 :])


def faults(files: Sequence[MemoryBlob]) -> list[str]:
    """What verify says, or why it cannot begin."""
    try:
        return [str(fault) for fault in verify([open_media(blob) for blob in files])]
    except (BadData, Unsupported) as error:
        return [str(error)]


@pytest.mark.parametrize("name", SHOPS)
def test_the_schema_of_the_shop_is_whole(corpus: dict[str, Fixture], name: str) -> None:
    """Identities, defaults, computed columns, keys, indexes, checks, foreign keys, comments."""
    backup = opened(corpus[name].paths)
    schema = next(iter(backup.values())).schema()
    tables = {name_of(table): table for table in schema.tables}
    customers, orders = tables["sales.Customers"], tables["dbo.Orders"]
    by_name = {column.name: column for column in [*customers.columns, *orders.columns]}
    assert by_name["Id"].identity is not None
    assert by_name["Id"].identity.following == 5
    assert by_name["OrderId"].identity is not None
    assert (by_name["OrderId"].identity.increment, by_name["OrderId"].identity.following) == (10, 140)
    assert (by_name["Kind"].default, by_name["Kind"].default_name) == ("('new')", "DF_Customers_Kind")
    assert (by_name["Twice"].computed, by_name["Twice"].stored) == ("([Total]*(2))", False)
    assert (by_name["Id"].comment, customers.comment) == ("the customer's number", "Who buys")
    assert [column.nullable for column in customers.columns] == [False, False, True, True, True]
    assert customers.primary is not None
    assert (customers.primary.name, customers.primary.columns) == ("PK_Customers", ("Id",))
    assert [(key.name, key.columns) for key in customers.uniques] == [("UQ_Customers_Name", ("Name",))]
    indexes = {index.name: index for index in orders.indexes}
    assert indexes["IX_Orders_Customer"].include == ("Total",)
    assert indexes["IX_Orders_Customer"].where == "([Customer] IS NOT NULL)"
    assert indexes["IX_Orders_Total"].columns == (("Paid", False), ("Total", True))
    assert [(check.name, check.text) for check in customers.checks] == [
        ("CK_Customers_Credit", "([Credit]>(-1000))")
    ]
    (key,) = orders.foreign
    assert (key.name, key.columns, key.target, key.target_columns) == (
        "FK_Orders_Customers", ("Customer",), key.target, ("Id",),
    )  # fmt: skip
    assert tuple(key.target)[-2:] == ("sales", "Customers")
    assert (key.on_delete, key.on_update) == ("CASCADE", "CASCADE")
    assert (customers.rows, orders.rows) == (4, 4)


def test_modules_are_told_as_left_over(corpus: dict[str, Fixture]) -> None:
    """Views, procedures and so on with their texts; the encrypted one has none."""
    (backup,) = opened(corpus["shop_2016"].paths).values()
    left = {one.path[-1]: one for one in backup.schema().leftovers}
    assert {"Big", "Clean", "Twice", "Secret", "Watch", "Away", "Counter", "Long"} <= set(left)
    assert left["Big"].text == "create view dbo.Big as select * from dbo.Orders where Total > 5"
    assert left["Long"].text.endswith("very long ")
    assert len(left["Long"].text) > 12000
    assert left["Secret"].text == ""


def test_the_whole_corpus_is_made_in_seconds(tmp_path: Path, corpus: dict[str, Fixture]) -> None:
    """Every fixture has its files."""
    assert len(corpus) == len(MAKERS)
    assert all(path.stat().st_size for made in corpus.values() for path in made.paths)


def whole(*paths: Path) -> dict[str, list[str]]:
    """All rows of the one database, or the first thing that is wrong with its files."""
    (backup,) = opened(paths).values()
    return {name_of(table): sorted(read(backup, table)) for table in backup.tables}


def problem(*paths: Path) -> str:
    """What is wrong with the files, in words."""
    (backup,) = opened(paths).values()
    assert backup.problems
    with pytest.raises(BadData):
        backup.schema()
    return " ".join(backup.problems)


def test_files_come_in_any_order(corpus: dict[str, Fixture]) -> None:
    """Logs before the full backup, the last stripe first."""
    for name in ("log_chain", "stripes_4", "differential"):
        paths = corpus[name].paths
        assert whole(*reversed(paths)) == whole(*paths)


def test_a_stripe_that_is_missing_is_named(corpus: dict[str, Fixture]) -> None:
    """Two of three."""
    first, _, last = corpus["stripes_3"].paths
    assert "2 of 3" in problem(first, last)


def test_a_log_without_the_one_before_it_is_no_chain(corpus: dict[str, Fixture]) -> None:
    """The middle is missing; with it the rows are those of the last log."""
    full, first, second = corpus["log_chain"].paths
    assert problem(full, second)
    assert whole(full, first) != whole(full, first, second)


def test_a_differential_needs_its_full_backup(corpus: dict[str, Fixture], tmp_path: Path) -> None:
    """Alone, or with another full backup of the same database."""
    full, diff = corpus["differential"].paths
    assert problem(diff)
    built = build(Db("Chained", [uniquified()]))
    built.checkpoint, built.last = (33, 1856, 1), (33, 1858, 1)
    (other,) = write_backup(tmp_path / "other.bak", [Set(built, start=START - timedelta(days=1))])
    assert problem(other, diff)
    assert whole(other, full, diff) == whole(full, diff)


def test_a_map_that_does_not_fit_the_frames_is_never_guessed_at(tmp_path: Path) -> None:
    """An extent is missing that the allocation map names."""
    built = build(Db("Lost", [tall(800)]))
    used = sorted(built.image.files[1].extents)
    (path,) = write_backup(tmp_path / "lost.bak", [Set(built, lost=frozenset({(1, used[len(used) // 2])}))])
    with pytest.raises(BadData):
        whole(path)
    assert faults(blobs([path]))


def test_a_copy_only_backup_is_read_like_any_other(tmp_path: Path) -> None:
    """Its flag is told."""
    (path,) = write_backup(tmp_path / "copy.bak", [Set(build(Db("Copy", [tall(10)])), copy_only=True)])
    assert len(whole(path)["dbo.tall"]) == 10


def test_minimally_logged_changes_are_not_passed_over(tmp_path: Path) -> None:
    """A log backup with bulk-logged changes has pages of its own: it must not be read as if it had not."""
    built = build(Db("Bulk", [tall(10)]))
    full = Set(built)
    log = Log(built.last[0], built.last[1])
    log.end(log.begin())
    one = Set(built, "log", base=full, log=log.bytes(), log_from=built.last, log_to=log.next, bulk=True,
              start=START + timedelta(minutes=1))  # fmt: skip
    paths = [tmp_path / "bulk.bak", tmp_path / "bulk.trn"]
    write_backup(paths[0], [full])
    write_backup(paths[1], [one])
    (backup,) = opened(paths).values()
    assert backup.problems or backup.needs


def test_texts_of_the_catalogue_are_in_the_code_page_or_in_utf_16(corpus: dict[str, Fixture]) -> None:
    """Defaults with letters of the database's code page, and of another."""
    (backup,) = opened(corpus["code_pages"].paths).values()
    defaults = {column.name: column.default for column in backup.tables[0].columns}
    assert (defaults["pl"], defaults["ru"]) == ("('zażółć')", "(N'Джеймс')")


def test_identities_go_on_where_they_were(corpus: dict[str, Fixture]) -> None:
    """Of every kind of number; one that was never used begins with its seed."""
    (backup,) = opened(corpus["numbered"].paths).values()
    following = {
        table.path[-1]: table.columns[0].identity and table.columns[0].identity.following
        for table in backup.tables
    }
    assert following == {
        "id tinyint": 201,
        "id smallint": -8,
        "id int": 10,
        "id bigint": (1 << 40) + 6000,
        "id decimal(18,0)": 10,
        "id numeric(38,0)": 10**30 + 5,
    }


@pytest.mark.parametrize("text", ["nul \0 inside", "lone \ud800 half"])
def test_text_that_postgresql_cannot_keep_is_named_and_not_changed(tmp_path: Path, text: str) -> None:
    """Table and column are in the error."""
    rows = [(1, "good"), (2, text)]
    table = Tbl("dbo", "Odd Texts", [Col("n", "int"), Col("Words", "nvarchar(40)")], rows)
    (path,) = write_backup(tmp_path / "odd.bak", [Set(build(Db("Odd", [table])))])
    with pytest.raises(BadData, match=r"Odd Texts.*Words|Words.*Odd Texts"):
        whole(path)

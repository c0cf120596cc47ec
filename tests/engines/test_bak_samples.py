"""Real backups of SQL Server 2005 to 2017: tables, rows and values are those that are known of them.

The files are no part of the project; where they are not at hand, these tests are skipped.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from sterna.core.errors import BadData
from sterna.core.plan import Path as TablePath
from sterna.engines.sqlserver.backups import SqlServerBackups
from sterna.engines.sqlserver.wire import redo
from sterna.engines.sqlserver.wire.database import DatabaseBackup, open_databases
from sterna.engines.sqlserver.wire.log import Replay, replay
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.pagemap import PageMap
from sterna.engines.sqlserver.wire.rowpage import RowPage, page_lsn
from sterna.engines.sqlserver.wire.stretches import stretches
from tests.backups.reading import joined

SAMPLES = next(
    (
        found
        for parent in Path(__file__).parents
        if (found := parent / "shared" / "sqlserver" / "samples").is_dir()
    ),
    None,
)
EXPECTED: Mapping[str, Any] = json.loads((SAMPLES / "expected.json").read_text()) if SAMPLES else {}
pytestmark = pytest.mark.skipif(SAMPLES is None, reason="the real files are not here")

WITH_TABLES = [
    (name, found)
    for name, file in EXPECTED.get("files", {}).items()
    for found in file["sets"]
    if found.get("tables")
]
COMBINATIONS = EXPECTED.get("combinations", [])
CLEAN = "lab/RestoreTimeClean/"
STRIPED = "lab/sql2008-backups/RestoreTimeStripe/"


class Bytes:
    """A file in memory."""

    def __init__(self, name: str, data: bytes | None = None) -> None:
        assert SAMPLES is not None
        self.name = name.rsplit("/", 1)[-1]
        self.data = (SAMPLES / name).read_bytes() if data is None else data
        self.size = len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def close(self) -> None:
        """Nothing to close."""


def database(*names: str) -> DatabaseBackup:
    (found,) = open_databases([Bytes(name) for name in names])
    return found


def columns(found: DatabaseBackup, table: TablePath) -> list[str]:
    return [column.name for one in found.tables if one.path == table for column in one.columns]


@pytest.mark.parametrize(("name", "found"), WITH_TABLES, ids=[name for name, _ in WITH_TABLES])
def test_a_backup_gives_its_tables_columns_and_rows(name: str, found: Mapping[str, Any]) -> None:
    given = SqlServerBackups().tables([Bytes(name)])["tables"]
    assert given == sorted(found["tables"], key=lambda table: (table["schema"], table["table"]))


@pytest.mark.parametrize(("name", "found"), WITH_TABLES, ids=[name for name, _ in WITH_TABLES])
def test_a_backup_of_a_quiet_database_needs_nothing_of_its_log(name: str, found: Mapping[str, Any]) -> None:
    backup = database(name)
    assert backup.replay.clean
    assert backup.replay.unfinished == 0
    assert backup.consistent
    assert all(not backup.miscounted(table.path) for table in backup.tables)


@pytest.mark.parametrize(("name", "found"), WITH_TABLES, ids=[name for name, _ in WITH_TABLES])
def test_known_values_are_read(name: str, found: Mapping[str, Any]) -> None:
    backup = database(name)
    for spot in found.get("spot_values", ()):
        (table,) = [one for one in backup.tables if one.path[2].lower() == spot["table"].lower()]
        wanted = spot.get("script") or spot["prototype"]
        names = [column.name.lower() for column in table.columns]
        places = {names.index(column.lower()): value for column, value in wanted.items()}
        assert any(
            all(same(row[place], value) for place, value in places.items()) for row in backup.rows(table.path)
        ), (table.path, wanted)


def same(value: object, told: object) -> bool:
    """Whether a value is what a script has for it: numbers and dates in any spelling, bytes by their digest."""
    if value is None or told is None:
        return value is told
    if isinstance(told, dict):
        assert isinstance(value, bytes)
        return [len(value), hashlib.sha256(value).hexdigest()] == [told["bytes"], told["sha256"]]
    if isinstance(value, str):
        return value.replace("\r\n", "\n").rstrip() == str(told).rstrip()
    if isinstance(value, bool | int | float | Decimal):
        try:
            return Decimal(value) == Decimal(str(told))
        except InvalidOperation:
            return False
    return str(value).split()[0] in days(str(told))


def days(text: str) -> Iterator[str]:
    """A day as scripts write it."""
    for form in ("%m/%d/%Y", "%m/%d/%y", "%Y-%m-%d", "%Y%m%d"):
        try:
            yield datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue


@pytest.mark.parametrize("wanted", COMBINATIONS, ids=[one["name"] for one in COMBINATIONS])
def test_chains_and_stripes_give_the_state_that_they_end_with(wanted: Mapping[str, Any]) -> None:
    backup = database(*reversed(wanted["files"]))
    assert not backup.problems
    assert backup.consistent
    for name, facts in wanted["tables"].items():
        table = (backup.name, *name.split("."))
        rows = list(backup.rows(table))
        assert len(rows) == facts["rows"] == backup.count(table)
        if "min_dt" in facts:
            place = columns(backup, table).index("dt")
            moments = [row[place] for row in rows]
            assert [padded(min(moments)), padded(max(moments))] == [facts["min_dt"], facts["max_dt"]]  # type: ignore[type-var]


def padded(moment: object) -> str:
    """With seven digits of a second."""
    head, _, fraction = str(moment).partition(".")
    return f"{head}.{fraction.ljust(7, '0')}"


def test_pages_that_the_log_brought_up_to_date_equal_those_of_a_later_backup() -> None:
    first, later = CLEAN + "RestoreTimeClean.bak", CLEAN + "RestoreTimeClean2.bak"
    played = played_onto([first], [[CLEAN + f"RestoreTimeClean_{number}.trn"] for number in (1, 2, 3)])
    copied = pages_of(first).overlay(pages_of(later))
    assert played.done == 40
    assert not played.lost
    same_records = 0
    for page in (29, 130, 153, 154, 1):
        mine, theirs = played.pages.page(1, page), copied.page(1, page)
        if page_lsn(mine) == page_lsn(theirs):
            assert contents(mine) == contents(theirs)
            same_records += 1
    assert same_records == 4


def test_stripes_of_logs_are_played_as_one_log() -> None:
    logs = [
        [f"{STRIPED}Stripe1/RestoreTimeStripe_{number}.trn", f"{STRIPED}Stripe2/RestoreTimeStripe_{number}a.trn"]
        for number in (1, 2, 3)
    ]
    full = [f"{STRIPED}Stripe1/RestoreTimeStripe.bak", f"{STRIPED}Stripe2/RestoreTimeStripe1.bak"]
    played = played_onto(full, logs)
    assert not played.lost
    backup = database(*full, *(name for one in logs for name in one))
    later = database(f"{STRIPED}Stripe1/RestoreTimeStripe2.bak", f"{STRIPED}Stripe2/RestoreTimeStripe2a.bak")
    assert text_of(backup, "steps") == text_of(later, "steps") != b""


def test_pages_split_in_a_real_log_come_out_as_they_were_backed_up() -> None:
    """A page made by a split is in the log as a whole, with all that happened to it later."""
    lab = "lab/sql2008-backups/dbareports/"
    pages = pages_of(lab + "FULL/SQL2008_dbareports_FULL_20170518_041739.bak")
    log = open_media(Bytes(lab + "LOG/SQL2008_dbareports_LOG_20170518_041831.trn"))
    made: dict[tuple[int, int], RowPage] = {}
    for change in (change for stretch in stretches(log.sets) for change in redo_changes(stretch)):
        if change.operation == redo.FORMAT:
            made[change.place] = RowPage.parse(redo.formatted(change))
        elif change.place in made and change.lsn <= page_lsn(pages.page(*change.place)):
            redo.apply(made[change.place], change)
    assert len(made) == 6
    for place, page in made.items():
        assert page.records == RowPage.parse(pages.page(*place)).records


def redo_changes(stretch: Any) -> Iterator[Any]:
    from sterna.engines.sqlserver.wire.logrecords import changes

    return (one for one in changes(stretch) if one.on_page and one.context == redo.CLUSTERED)


@pytest.mark.parametrize(("name", "found"), WITH_TABLES, ids=[name for name, _ in WITH_TABLES])
def test_parts_of_any_size_give_the_same_rows(name: str, found: Mapping[str, Any]) -> None:
    backup = database(name)
    for table in backup.tables:
        whole = [piece for part in backup.parts(table.path) for piece in backup.copy_text(table.path, part)]
        cut = [piece for part in backup.parts(table.path, 3) for piece in resumed(backup, table.path, part)]
        assert joined(cut) == joined(whole)
        assert sum(piece.rows for piece in whole) == table.rows


def resumed(backup: DatabaseBackup, table: TablePath, part: Any) -> Iterator[Any]:
    """A part read as one that is interrupted after each piece."""
    at = 0
    while True:
        piece = next(backup.copy_text(table, part, at), None)
        if piece is None:
            return
        yield piece
        at = piece.next_page


@pytest.mark.parametrize("second", [5, 7, 33, 59, 60])
def test_the_state_at_a_moment_has_what_was_committed_until_then(second: int) -> None:
    """A row came every five seconds, with the time in it."""
    lab = "lab/sql2008-backups/StopAt/"
    files = [Bytes(lab + name) for name in ("StopAt.bak", "StopAt_1.trn", "StopAt_2.trn")]
    (whole,) = open_databases(files)
    table = (whole.name, "dbo", "steps")
    moment = datetime(2020, 5, 12, 13, 28, 40) + timedelta(seconds=second)
    (stopped,) = open_databases(files, stop_at=moment)
    place = columns(whole, table).index("dt")
    wanted = [row for row in whole.rows(table) if str(row[place]) <= str(moment)]
    assert list(stopped.rows(table)) == wanted
    assert len(wanted) < whole.count(table)


def test_a_moment_before_the_pages_were_copied_needs_an_older_backup() -> None:
    (backup,) = open_databases(
        [Bytes(CLEAN + "RestoreTimeClean2.bak"), Bytes(CLEAN + "RestoreTimeClean.bak")],
        stop_at=datetime(2000, 1, 1),
    )
    with pytest.raises(BadData, match="an older backup is needed"):
        _ = backup.tables


def test_a_gap_between_logs_is_named() -> None:
    backup = database(*(CLEAN + name for name in ("RestoreTimeClean.bak", "RestoreTimeClean_3.trn")))
    (problem,) = backup.problems
    assert "RestoreTimeClean_3.trn begins at LSN 25000000016300001" in problem
    assert "end at 25000000013200001" in problem
    with pytest.raises(BadData, match="is missing"):
        _ = backup.tables


def test_a_differential_without_its_full_backup_names_it() -> None:
    backup = database(CLEAN + "RestoreTimeClean2.bak")
    assert "needs the full backup with checkpoint LSN 25000000006200170" in backup.problems[0]


def test_differentials_of_two_databases_in_one_file_are_told_apart() -> None:
    found = open_databases([Bytes("six-differentials-2012.bak")])
    assert [one.name for one in found] == ["DB_QLBH", "DB_QLBH1"]
    (third,) = open_databases([Bytes("six-differentials-2012.bak")], set_number=3)
    assert "(set 3)" in third.problems[0]
    assert len(third.problems) == 1


def test_a_missing_stripe_is_named() -> None:
    (problem,) = database("chinook-2025-stripe1of2.bak").problems
    assert problem.endswith("is striped over 2 files, and file 2 of 2 is missing.")


def test_files_that_are_not_needed_are_noted() -> None:
    assert SAMPLES is not None
    names = sorted(CLEAN + file.name for file in (SAMPLES / CLEAN).iterdir())
    backup = database(*names)
    assert [str(one) for one in backup.chain.sets] == [
        "RestoreTimeClean.bak",
        "RestoreTimeClean2.bak",
        "RestoreTimeClean2_1.trn",
        "RestoreTimeClean2_2.trn",
        "RestoreTimeClean2_3.trn",
    ]
    assert len(backup.notes) == 3
    assert backup.count((backup.name, "dbo", "steps")) == 60


def test_what_else_the_catalogue_tells() -> None:
    tables = {table.path[2]: table for table in database("bikestores-2017.bak").schema().tables}
    items = tables["order_items"]
    assert items.primary is not None
    assert items.primary.columns == ("order_id", "item_id")
    assert [(column.default, column.default_name[:13]) for column in items.columns if column.default] == [
        ("((0))", "DF__order_ite")
    ]
    keys = {key.columns: key for key in tables["orders"].foreign}
    assert keys["customer_id",].target == ("sales", "customers")
    assert (keys["customer_id",].on_delete, keys["customer_id",].on_update) == ("CASCADE", "CASCADE")
    assert keys["staff_id",].on_delete == "NO ACTION"
    number = tables["customers"].columns[0].identity
    assert number is not None
    assert (number.seed, number.increment, number.following) == (1, 1, 1446)
    assert tables["staffs"].uniques[0].columns == ("email",)


def test_a_key_that_cascades_deletes_alone_is_read_so() -> None:
    """As the program that made this database always writes them."""
    tables = {table.path[2]: table for table in database("musicstore-2016.bak").schema().tables}
    (key,) = tables["AspNetUserClaims"].foreign
    assert (key.on_delete, key.on_update) == ("CASCADE", "NO ACTION")
    (index,) = [one for one in tables["AspNetRoles"].indexes if one.name == "RoleNameIndex"]
    assert index.where == "([NormalizedName] IS NOT NULL)"
    assert index.unique


def test_modules_are_left_over_with_their_text() -> None:
    found = {(one.kind, one.path[2]): one for one in database("pubs-2012.bak").schema().leftovers}
    assert "CREATE VIEW titleview" in found["view", "titleview"].text
    assert found["type", "empid"].text == "char(9)"
    assert "CREATE TRIGGER employee_insupd" in found["trigger", "employee_insupd"].text


def pages_of(name: str) -> PageMap:
    return PageMap.of(open_media(Bytes(name)).sets)


def played_onto(full: Sequence[str], logs: Sequence[Sequence[str]]) -> Replay:
    stripes = [one for name in full for one in open_media(Bytes(name)).sets]
    later = [[one for name in names for one in open_media(Bytes(name)).sets] for names in logs]
    return replay(PageMap.of(stripes), stretches(stripes), [piece for log in later for piece in stretches(log)])


def contents(page: bytes) -> object:
    """What matters of a page: its records, or the bits of a map."""
    return RowPage.parse(page).records if page[1] in (1, 3, 4, 10) else page[96:]


def text_of(backup: DatabaseBackup, table: str) -> bytes:
    path = (backup.name, "dbo", table)
    return joined(piece for part in backup.parts(path) for piece in backup.copy_text(path, part))

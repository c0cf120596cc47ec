"""CSV by way of COPY text is byte for byte the CSV that is written value by value."""

import random
from pathlib import Path

import pytest

from sterna.engines.sqlserver.exporting import export
from sterna.engines.sqlserver.exporting.export import Export, Result
from sterna.engines.sqlserver.exporting.quick import converter
from sterna.engines.sqlserver.exporting.texts import Unicode
from sterna.engines.sqlserver.wire.database import DatabaseBackup
from tests.backups.chance import Chance, row
from tests.backups.corpus import MAKERS
from tests.backups.database import build
from tests.backups.describe import LATIN, Col, Db, Row, Tbl
from tests.backups.reading import opened
from tests.backups.writer import Set, write_backup
from tests.effort import examples

KINDS = (
    "bit", "tinyint", "smallint", "int", "bigint", "real", "float", "money", "smallmoney", "decimal(12,2)",
    "numeric(38,38)", "datetime", "smalldatetime", "date", "uniqueidentifier", "datetime2(0)", "datetime2(3)",
    "datetime2(6)", "varchar(60)", "nvarchar(60)",
)  # fmt: skip
NASTY = (
    "",
    "\\N",
    "\\",
    '"',
    ",",
    "a,b",
    "\r\n",
    "\t",
    "\n",
    "\\t",
    "\u2028",
    "\x85",
    "\v\f\b",
    "N",
    " ",
    "\\\\N",
)
UNSTORABLE = ("\0", "a\ud800b", "\udc00")


def exported(databases: list[DatabaseBackup], folder: Path, replaces: bool) -> tuple[Result, dict[str, bytes]]:
    """What came of it, and the files."""
    result = Export(folder, "csv", lambda told: None, Unicode(replaces)).run(databases)
    return result, {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


def both_ways(paths: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch, replaces: bool = False) -> Result:
    """Export it quickly and value by value; both must be the same."""
    quick = exported(list(opened(paths).values()), folder / "quick", replaces)
    with monkeypatch.context() as patched:
        patched.setattr(export, "converter", lambda columns: None)
        slow = exported(list(opened(paths).values()), folder / "slow", replaces)
    assert quick == slow
    return quick[0]


def written(folder: Path, columns: list[Col], rows: list[Row], **table: str) -> list[Path]:
    """A backup of one table."""
    db = Db("Quick", [Tbl("dbo", "t", columns, rows, **table)])  # type: ignore[arg-type]
    paths: list[Path] = write_backup(folder / "quick.bak", [Set(build(db, 2016))])
    return paths


@pytest.mark.parametrize("seed", range(examples(30)))
def test_tables_by_chance_come_out_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    dice = random.Random(seed)
    how = dice.choice(("none", "row", "page"))
    chance = Chance(dice, how != "none")
    kinds = [dice.choice(KINDS) for _ in range(dice.choice((1, 2, 5, 15)))]
    columns = [Col(f"c{number} {kind}", kind, collation=LATIN) for number, kind in enumerate(kinds)]
    rows: list[Row] = [row(chance, columns, dice, False) for _ in range(dice.choice((0, 1, 300)))]
    paths = written(tmp_path, columns, rows, compression=how)
    (backup,) = opened(paths).values()
    assert converter(backup.tables[0].columns) is not None
    result = both_ways(paths, tmp_path, monkeypatch)
    assert not result.skipped


def test_texts_that_look_like_something_else_come_out_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = [Col("a", "nvarchar(20)"), Col("b", "varchar(20)"), Col('c,\n"d', "bit")]
    plain = [text if text.isascii() else "x" for text in NASTY]
    rows: list[Row] = [[one, other, None] for one in (*NASTY, None) for other in (*plain, None)]
    assert not both_ways(written(tmp_path, columns, rows), tmp_path, monkeypatch).skipped


@pytest.mark.parametrize("kind", ["char(4)", "nvarchar(max)", "datetime2(7)", "varbinary(8)", "time(3)", "xml"])
def test_what_copy_writes_otherwise_goes_value_by_value(tmp_path: Path, kind: str) -> None:
    (backup,) = opened(written(tmp_path, [Col("n", "int"), Col("x", kind)], [[1, None]])).values()
    assert converter(backup.tables[0].columns) is None


@pytest.mark.parametrize("unstorable", UNSTORABLE)
@pytest.mark.parametrize("replaces", [True, False])
def test_what_copy_refuses_comes_out_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unstorable: str, replaces: bool
) -> None:
    """It lies in the middle of a table of several pieces: what comes before was written already."""
    columns = [Col("n", "int"), Col("a", "nvarchar(2000)")]
    rows: list[Row] = [[number, f"{number} " + "x" * 1900] for number in range(1500)]
    rows[1200] = [1200, unstorable]
    result = both_ways(written(tmp_path, columns, rows), tmp_path, monkeypatch, replaces)
    halves = unstorable != "\0"
    assert [len(result.tables), len(result.skipped)] == ([0, 1] if halves and not replaces else [1, 0])
    assert result.replaced == (1 if halves and replaces else 0)
    assert all(each.rows == 1500 for each in result.tables)


@pytest.mark.parametrize("name", ["shop_2016", "types_2016", "several_sets"])
def test_fixtures_come_out_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert both_ways(list(MAKERS[name](tmp_path).paths), tmp_path, monkeypatch).tables

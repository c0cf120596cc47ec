"""Values of more than 1 MB are read, written and proven piece by piece, and are the same as read whole."""

import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from sterna.core.change import ROWS_TEXT, Chunk, Name, Part, Pieces, Position
from sterna.core.digest import Digest, digest_of
from sterna.core.errors import BadData, Unsupported
from sterna.engines.postgres.connection import bulk
from sterna.engines.postgres.foreign import reading, sink
from sterna.engines.postgres.foreign.loading import without
from sterna.engines.postgres.foreign.reading import digest_at
from sterna.engines.sqlserver.exporting.export import Export
from sterna.engines.sqlserver.exporting.texts import Unicode
from sterna.engines.sqlserver.wire import longs
from sterna.engines.sqlserver.wire.copytext import Unstorable
from sterna.engines.sqlserver.wire.database import DatabaseBackup
from sterna.engines.sqlserver.wire.longs import Long
from tests.backups.database import build
from tests.backups.describe import JAPANESE, UTF8, Col, Db, Row, Tbl, Value
from tests.backups.reading import opened
from tests.backups.writer import Set, write_backup
from tests.engines.moving import postgres_endpoint
from tests.journeys.command import Home
from tests.servers.fixtures import StartPostgres

COLUMNS = [
    Col("id", "int", nullable=False),
    Col("bytes", "varbinary(max)"),
    Col("wide", "nvarchar(max)"),
    Col("narrow", "varchar(max)"),
    Col("pairs", "varchar(max)", collation=JAPANESE),
    Col("utf8", "varchar(max)", collation=UTF8),
    Col("image", "image"),
    Col("old", "ntext"),
    Col("last", "int"),
]
SPECIAL = "grüße \\ \t\r\n \b\v\f \"q\", 'a' $(x) "
SIZE = 1_300_000
"""Characters or bytes, more than a value may have to be held."""


def rows() -> list[Row]:
    """One long value of each kind in a row of its own, two in one, and rows without among them."""
    bytes_ = random.Random(7).randbytes(SIZE)
    astral, narrow = (SPECIAL + "\U0001f426Ā") * (SIZE // 30), (SPECIAL + "é") * (SIZE // 20)
    pairs, utf8 = "日本語テキスト,カナ" * (SIZE // 15), (SPECIAL + "日本\U0001f426") * (SIZE // 20)
    none: tuple[Value, ...] = (None,) * 7
    values: tuple[Value, ...] = (bytes_, astral, narrow, pairs, utf8, bytes_, astral)
    found: list[Row] = [(0, *none, 0), (1, b"a", "b", "c", "日", "e", b"f", "g", 1)]
    for number, value in enumerate(values):
        found += [(len(found), *none[:number], value, *none[number + 1 :], number), (len(found) + 1, *none, None)]
    found.append((len(found), bytes_, astral, *none[2:], 9))
    return found


def written(path: Path, some: list[Row], columns: list[Col] = COLUMNS) -> Path:
    write_backup(path, [Set(build(Db("Long", [Tbl("dbo", "t", columns, some)])))])
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("long") / "long.bak", rows())


def texts(database: DatabaseBackup, unstorable: Unstorable = "refuse") -> Iterator[bytes | Pieces]:
    (table,) = database.tables
    for part in database.parts(table.path):
        for piece in database.copy_text(table.path, part, unstorable=unstorable):
            yield piece.data


def joined(found: Iterator[bytes | Pieces]) -> bytes:
    return b"".join(data if isinstance(data, bytes) else b"".join(data) for data in found)


def hold_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are read whole from here on."""
    monkeypatch.setattr(longs, "LONG", 1 << 40)
    monkeypatch.setattr(longs, "TOGETHER", 1 << 40)


def test_the_text_of_copy_is_the_same_in_pieces_as_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(texts(opened([file])["Long"]))
    long = [data for data in found if isinstance(data, Pieces)]
    assert long
    assert max(len(piece) for data in long for piece in data) < 1 << 20
    assert [b"".join(data) for data in long] == [b"".join(data) for data in long]  # as often as it is asked for
    in_pieces = joined(iter(found))
    hold_everything(monkeypatch)
    whole = list(texts(opened([file])["Long"]))
    assert all(isinstance(data, bytes) for data in whole)
    assert in_pieces == joined(iter(whole))
    assert in_pieces.count(b"\n") == len(rows())


def test_a_copy_goes_on_behind_a_page_of_long_values(file: Path) -> None:
    database = opened([file])["Long"]
    (table,) = database.tables
    (part,) = database.parts(table.path)
    pieces = list(database.copy_text(table.path, part))
    assert sum(piece.rows for piece in pieces) == len(rows())
    lines = [joined(iter([piece.data])) for piece in pieces]
    for number, piece in enumerate(pieces):
        rest = [joined(iter([each.data])) for each in database.copy_text(table.path, part, piece.next_page)]
        assert b"".join(lines[number + 1 :]) == b"".join(rest)


@pytest.mark.parametrize("form", ["csv", "sql", "parquet"])
def test_exported_files_say_the_same_in_pieces_as_whole(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    def exported(name: str) -> Path:
        databases = list(opened([file]).values())
        (only,) = Export(tmp_path / name, form, lambda told: None, Unicode()).run(databases).tables
        assert only.rows == len(rows())
        return tmp_path / name / only.file

    pieces = exported("pieces")
    hold_everything(monkeypatch)
    whole = exported("whole")
    if form == "csv":
        assert pieces.read_bytes() == whole.read_bytes()
    elif form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_table(pieces).to_pylist() == parquet.read_table(whole).to_pylist()
    else:
        script = pieces.read_text(encoding="utf-8")
        for number, row in enumerate(rows()):
            values = row if isinstance(row, tuple) else ()
            for value in (each for each in values if isinstance(each, str | bytes) and len(each) > 1 << 20):
                data = value if isinstance(value, bytes) else value.encode("utf-16-le")
                written_as = f"0x{data.hex().upper()}"
                text = written_as if isinstance(value, bytes) else f"CONVERT(nvarchar(max), {written_as})"
                assert text in script, number


def test_many_values_of_one_page_or_row_are_not_held_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)
    columns = [Col("id", "int"), *(Col(f"b{n}", "varbinary(max)") for n in range(20)), Col("t", "nvarchar(max)")]
    some: list[Row] = [(n, chance.randbytes(400_000), *(None,) * 19, "é\n" * 100_000) for n in range(20)]
    some.append((20, *(chance.randbytes(400_000) for _ in range(20)), "short"))
    database = opened([written(tmp_path / "many.bak", some, columns)])["Long"]
    (table,) = database.tables
    found = list(texts(database))
    assert max(len(each) for data in found for each in (data if isinstance(data, Pieces) else [data])) < 6 << 20
    for row in database.rows(table.path, long=True):
        assert sum(len(value) for value in row if isinstance(value, bytes)) <= longs.TOGETHER
    in_pieces, rows_in_pieces = joined(iter(found)), list(database.rows(table.path))
    hold_everything(monkeypatch)
    assert joined(texts(database)) == in_pieces
    assert list(database.rows(table.path)) == rows_in_pieces == [tuple(row) for row in some]  # type: ignore[arg-type]


def test_long_values_share_row_groups_of_parquet_with_others(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    bytes_, text = random.Random(9).randbytes(SIZE), SPECIAL * (SIZE // 20)
    columns = [
        Col("id", "int"),
        Col("a", "varbinary(max)"),
        Col("b", "nvarchar(max)", nullable=False),
        Col("c", "bit"),
    ]
    some: list[Row] = [
        (n, (None, bytes_, b"", b"x", b"\0" * SIZE)[n % 5], ("", text, "q")[n % 3], (None, True)[n % 2])
        for n in range(40)
    ]
    some += [(n, b"y" * (n % 9), "n", False) for n in range(40, 5000)]
    some += [(5000, bytes_, text, True), (5001, None, "last", None)]
    database = opened([written(tmp_path / "mixed.bak", some, columns)])["Long"]
    (only,) = Export(tmp_path, "parquet", lambda told: None, Unicode()).run([database]).tables
    file = parquet.ParquetFile(tmp_path / only.file)
    assert [tuple(row.values()) for row in file.read().to_pylist()] == some
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    assert 4 < len(groups) < 12
    for group in groups:
        chunks = [group.column(n) for n in range(group.num_columns)]
        assert group.total_byte_size == sum(chunk.total_uncompressed_size for chunk in chunks)
        assert all(chunk.compression == "ZSTD" for chunk in chunks)


def test_halves_of_surrogate_pairs_in_long_values_are_refused_or_replaced_and_counted_once(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    text = "x" * SIZE + "\ud800" + "y"
    columns = [Col("id", "int"), Col("a", "nvarchar(max)"), Col("b", "nvarchar(max)")]
    database = opened([written(tmp_path / "half.bak", [(1, text, text)], columns)])["Long"]
    refused = Export(tmp_path, "parquet", lambda told: None, Unicode()).run([database])
    assert "column a holds half of a surrogate pair" in refused.skipped[0][1]
    result = Export(tmp_path, "parquet", lambda told: None, Unicode(replaces=True)).run([database])
    assert result.replaced == 2
    (row,) = parquet.read_table(tmp_path / result.tables[0].file).to_pylist()
    assert row == {"id": 1, "a": text.replace("\ud800", "\ufffd"), "b": text.replace("\ud800", "\ufffd")}


def test_text_that_cannot_be_stored_is_found_within_a_long_value_and_counted_once(tmp_path: Path) -> None:
    text = "x" * SIZE + "\0" + "y" * SIZE + "\ud800"
    path = written(tmp_path / "odd.bak", [(1, text)], [Col("id", "int"), Col("wide", "nvarchar(max)")])
    with pytest.raises(BadData, match=r"dbo\.t.*column wide.*U\+0000"):
        joined(texts(opened([path])["Long"]))
    database = opened([path])["Long"]
    found = list(texts(database, "replace"))
    assert joined(iter(found)) == joined(iter(found))
    assert joined(iter(found)).count("\ufffd".encode()) == 2
    assert database.losses.characters == 2


def test_a_damaged_long_value_is_told_by_name_whoever_reads_it(file: Path, tmp_path: Path) -> None:
    data = bytearray(file.read_bytes())
    (value,) = (row[1] for row in rows() if isinstance(row, tuple) and row[0] == 2)
    assert isinstance(value, bytes)
    at = data.index(value[800_000:800_100])
    page = at // 8192 * 8192
    start = next(at for at in range(page, page - 8192, -512) if data[at] == 1 and data[at + 1] in (3, 4))
    data[start + 1] = 1  # no page of large values any more
    damaged = tmp_path / "damaged.bak"
    damaged.write_bytes(data)
    database = opened([damaged])["Long"]
    (table,) = database.tables
    with pytest.raises(BadData, match=r"dbo\.t.*column bytes"):
        database.count(table.path)
    found = [each for row in database.rows(table.path, long=True) for each in row if isinstance(each, Long)]
    with pytest.raises(BadData, match=r"column bytes"):
        [list(each) for each in found]
    result = Export(tmp_path / "out", "csv", lambda told: None, Unicode()).run([database])
    assert not result.tables
    assert "column bytes" in result.skipped[0][1]


_CHILD = """
import sys
from sterna.main import cli
try:
    cli()
finally:
    print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0], file=sys.stderr)
"""


@pytest.mark.parametrize("form", ["", "csv", "sql", "parquet"])
def test_a_value_of_64_mb_does_not_come_into_memory(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, form: str
) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is measured by what Linux tells of it")
    path = tmp_path_factory.getbasetemp() / "wide.bak"
    if not path.exists():
        columns = [Col("id", "int"), Col("bytes", "varbinary(max)"), Col("wide", "nvarchar(max)")]
        written(path, [(1, bytes(range(256)) * (64 << 12), None), (2, None, "é\n" * (16 << 20))], columns)
    words = (
        ["export", str(path), "--to", str(tmp_path / "out"), "--format", form] if form else ["tables", str(path)]
    )
    command = [sys.executable, "-c", _CHILD, "backup", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    most = 150_000 if form == "parquet" else 110_000
    assert int(done.stderr.split()[-1]) < most, "KB; more than 64 MB above what it takes without"


@pytest.mark.server
async def test_long_values_arrive_in_postgresql_and_a_byte_that_differs_is_seen(
    tmp_path: Path, postgres_server: StartPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres_server("pg18")
    names = ["id", "bytes", "wide", "narrow", "last"]
    columns = [column for column in COLUMNS if column.name in names]
    text = (SPECIAL + "\U0001f426") * 160_000
    some: list[Row] = [
        (1, bytes(range(256)) * (5 << 12), "a\tb", None, 1),
        (2, b"", text, "x" * 200_000, 2),
        (3, b"\\", None, "short", 3),
    ]
    path = written(tmp_path / "long.bak", some, columns)
    expected = digest_of(joined(texts(opened([path])["Long"])))
    ended = Home(tmp_path).run("backup", "load", str(path), "--to", server.dsn(""), "--compare", "--json")
    assert ended.code == 0, ended.all
    assert ended.lines[-1]["summary"]["equal"] is True
    assert "proof.differs" not in ended.out
    assert server.sql("SELECT bytes, wide, narrow FROM dbo.t WHERE id <= 2 ORDER BY id", "Long") == [
        (some[0][1], "a\tb", None),  # type: ignore[index]
        (b"", text, "x" * 200_000),
    ]
    target = postgres_endpoint(server)
    assert await digest_at(target, ("Long", "dbo", "t"), names) == expected
    for change in (
        "bytes = set_byte(bytes, 5000000, 7) WHERE id = 1",
        "wide = left(wide, -1) || '!' WHERE id = 2",
    ):
        server.sql(f"UPDATE dbo.t SET {change}", "Long")
        found = await digest_at(target, ("Long", "dbo", "t"), names)
        assert found.rows == 3
        assert found.sum != expected.sum
        expected = found
    server.sql(
        "INSERT INTO dbo.t (id, narrow) SELECT n, repeat('x', n % 900) FROM generate_series(4, 900) n", "Long"
    )
    expected = await digest_at(target, ("Long", "dbo", "t"), names)
    monkeypatch.setattr(reading, "STRETCH", 2)
    connection = await bulk(target, "Long")
    found = Digest()
    stretches = await reading.stretches(connection, [("Long", "dbo", "t"), ("Long", "dbo", "none")])
    assert len(stretches) > 10
    assert stretches[-1] == (("Long", "dbo", "none"), reading.WHOLE)
    for to, blocks in stretches[:-1]:
        found += await reading.digest_on(connection, to, names, blocks)
    await connection.close()
    assert found == expected


def test_a_digest_does_not_depend_on_where_its_pieces_are_cut() -> None:
    chance = random.Random(3)
    for _ in range(200):
        lines = b"".join(chance.randbytes(chance.randrange(300)).replace(b"\n", b"") + b"\n" for _ in range(9))
        cuts = sorted(chance.randrange(len(lines) + 1) for _ in range(chance.randrange(12)))
        pieces = [lines[start:end] for start, end in pairwise([0, *cuts, len(lines)])]
        assert digest_of(Pieces(pieces)) == digest_of(lines)
        with pytest.raises(BadData, match="middle of a line"):
            digest_of(Pieces([*pieces, b"x"]))


def test_computed_columns_are_left_out_of_lines_in_pieces_as_of_whole_ones() -> None:
    chance = random.Random(4)
    for _ in range(200):
        width = chance.randrange(1, 6)
        numbers = {number for number in range(width) if chance.random() < 0.4}
        fields = [[chance.randbytes(chance.randrange(4)).hex().encode() for _ in range(width)] for _ in range(5)]
        lines = b"".join(b"\t".join(row) + b"\n" for row in fields)
        cuts = sorted(chance.randrange(len(lines) + 1) for _ in range(8))
        pieces = [lines[start:end] for start, end in pairwise([0, *cuts, len(lines)])]
        whole = without(Chunk(ROWS_TEXT, lines, 5, 0, Position("")), numbers).data
        found = without(Chunk(ROWS_TEXT, Pieces(pieces), 5, 0, Position("")), numbers).data
        assert isinstance(found, Pieces)
        assert b"".join(found) == whole


async def test_a_row_that_no_copy_takes_is_refused_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part("t", Name(("Long", "dbo", "t")))
    monkeypatch.setattr(sink, "LONGEST_LINE", 1000)
    assert sink._digest(Pieces([b"x" * 500, b"x" * 500, b"\n"]), part).rows == 1
    with pytest.raises(Unsupported, match=r"dbo\.t has more than 1000 bytes"):
        sink._digest(Pieces([b"x" * 500, b"x" * 501, b"\n"]), part)

"""The source that reads backup files and the checks before it, on backups that were made from nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.change import ROWS_TEXT, Chunk, Format, Position
from sterna.core.errors import BadData, Invalid, NeedsOperator, NotFound, Unsupported
from sterna.core.event import Level
from sterna.core.files import Storage
from sterna.core.finding import Finding, Severity
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Mode, Plan, Rename, Selection, StoredFile
from sterna.core.ports import Describes, Room
from sterna.engines.sqlserver.engine import SqlServerEngine
from sterna.engines.sqlserver.source import SqlServerSource, open_source
from sterna.engines.sqlserver.wire.media import open_media
from sterna.storage.folder import FolderStorage
from tests.backups.corpus import Fixture, all_fixtures
from tests.backups.database import build
from tests.backups.describe import Col, Db, Tbl
from tests.backups.reading import MemoryBlob
from tests.backups.writer import Set, write_backup

TARGET = Endpoint("postgresql", (("127.0.0.1", 1),))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fixture]:
    """All fixtures, written once."""
    return all_fixtures(tmp_path_factory.mktemp("backups"))


class Heard:
    """Keeps what a source tells."""

    def __init__(self) -> None:
        self.told: list[tuple[Level, str, str]] = []

    def __call__(self, level: Level, code: str, message: str, **fields: str) -> None:
        self.told.append((level, code, message))


async def opens(bucket_id: str) -> Storage:
    """The bucket's id is its folder."""
    return FolderStorage(Path(bucket_id))


def plan_of(paths: Sequence[Path], options: Mapping[str, str] | None = None, **selection: object) -> Plan:
    files = tuple(StoredFile(str(path.parent), path.name) for path in paths)
    picked = Selection(**selection)  # type: ignore[arg-type]
    return Plan(Endpoint("sqlserver", (), files=files), TARGET, Mode.FULL, picked, options=dict(options or {}))


async def looked(plan: Plan) -> list[Finding]:
    checks = SqlServerEngine(opens).checks(plan)
    return [finding for check in checks for finding in await check.run()]


def failed(findings: Sequence[Finding]) -> dict[str, str]:
    return {each.check: each.evidence for each in findings if each.severity is Severity.FAILED}


async def chunks(source: SqlServerSource, table: str, after: Position | None = None) -> list[Chunk]:
    name = next(each for each in await source.names() if each.path[-1] == table)
    (part,) = await source.parts(name)
    return [chunk async for chunk in source.copy(part, (ROWS_TEXT,), after)]


def text_of(found: Sequence[Chunk]) -> bytes:
    return b"".join(bytes(chunk.data) for chunk in found if isinstance(chunk.data, bytes))


async def test_every_fixture_gives_its_rows_as_chunks(corpus: dict[str, Fixture]) -> None:
    for label in ("shop_2005", "shop_2016", "stripes_2", "several_sets", "differential", "log_chain"):
        made = corpus[label]
        async with open_source(plan_of(made.paths), opens, Heard()) as source:
            assert isinstance(source, Describes)
            lines: dict[str, list[str]] = {}
            for name in await source.names():
                for part in await source.parts(name):
                    async for chunk in source.copy(part, (ROWS_TEXT,)):
                        assert isinstance(chunk.data, bytes)
                        got = chunk.data.decode().splitlines()
                        assert chunk.rows == len(got)
                        lines.setdefault(".".join(name.path), []).extend(got)
        for database, tables in made.databases.items():
            for table, want in tables.items():
                wanted = sorted(line.decode() if isinstance(line, bytes) else line for line in want.lines)
                assert sorted(lines.get(f"{database}.{table}", [])) == wanted, (label, table)


async def test_a_copy_goes_on_after_each_of_its_chunks(tmp_path: Path) -> None:
    rows = [(number, "x" * 4000) for number in range(1200)]
    table = Tbl("dbo", "wide", [Col("id", "int"), Col("text", "varchar(4000)")], rows)
    write_backup(tmp_path / "wide.bak", [Set(build(Db("wide", tables=[table])))])
    async with open_source(plan_of([tmp_path / "wide.bak"]), opens, Heard()) as source:
        whole = await chunks(source, "wide")
        assert len(whole) > 3
        for number, chunk in enumerate(whole):
            rest = await chunks(source, "wide", chunk.position)
            assert text_of(whole[: number + 1]) + text_of(rest) == text_of(whole)
        assert await chunks(source, "wide", whole[-1].position) == []


async def test_a_place_that_is_none_is_refused(corpus: dict[str, Fixture]) -> None:
    async with open_source(plan_of(corpus["shop_2016"].paths), opens, Heard()) as source:
        name = (await source.names())[0]
        (part, *_) = await source.parts(name)
        with pytest.raises(BadData, match="no place in a table"):
            [chunk async for chunk in source.copy(part, (ROWS_TEXT,), Position("far"))]
        with pytest.raises(Unsupported, match="postgresql-text"):
            [chunk async for chunk in source.copy(part, (Format("values"),))]


async def test_databases_are_named_in_any_case(corpus: dict[str, Fixture]) -> None:
    made = corpus["several_sets"]
    (database, *_) = made.databases
    async with open_source(plan_of(made.paths, only=(database.upper(),)), opens, Heard()) as source:
        assert {table.path[0] for table in (await source.schema()).tables} == {database}
    with pytest.raises(BadData, match="no database nowhere"):
        async with open_source(plan_of(made.paths, only=("nowhere",)), opens, Heard()):
            pass
    assert "no database nowhere" in failed(await looked(plan_of(made.paths, only=("nowhere",))))["sqlserver.files"]


async def test_one_new_name_is_not_given_to_several_databases(corpus: dict[str, Fixture]) -> None:
    plan = plan_of(corpus["several_sets"].paths, renames=(Rename("*", "one"),))
    assert "One new name" in failed(await looked(plan))["sqlserver.files"]
    (database, *_) = corpus["several_sets"].databases
    assert failed(await looked(replace(plan, selection=Selection((database,), plan.selection.renames)))) == {}


async def test_two_databases_do_not_become_one(corpus: dict[str, Fixture]) -> None:
    made = corpus["several_sets"]
    one, other, *_ = made.databases
    found = failed(await looked(plan_of(made.paths, renames=(Rename(one, other),))))["sqlserver.files"]
    assert f"would both be called {other}" in found
    assert failed(await looked(plan_of(made.paths, renames=(Rename(one, other), Rename(other, one))))) == {}


async def test_sound_files_pass_all_checks(corpus: dict[str, Fixture]) -> None:
    found = await looked(plan_of(corpus["shop_2016"].paths))
    assert failed(found) == {}
    assert {each.check for each in found} == {
        "sqlserver.files",
        "sqlserver.chain",
        "sqlserver.verify",
        "sqlserver.tables",
    }


async def test_a_missing_stripe_is_named(corpus: dict[str, Fixture]) -> None:
    evidence = failed(await looked(plan_of(corpus["stripes_2"].paths[:1])))["sqlserver.chain"]
    assert "file 2 of 2 is missing" in evidence


async def test_a_differential_without_its_full_backup_is_named(corpus: dict[str, Fixture]) -> None:
    evidence = failed(await looked(plan_of(corpus["differential"].paths[1:])))["sqlserver.chain"]
    assert "needs the full backup" in evidence


async def test_a_flipped_bit_is_found_before_anything_is_loaded(
    corpus: dict[str, Fixture], tmp_path: Path
) -> None:
    data = bytearray(corpus["checksums"].paths[0].read_bytes())
    data[len(data) // 3] ^= 4
    (tmp_path / "flipped.bak").write_bytes(data)
    assert failed(await looked(plan_of([tmp_path / "flipped.bak"])))


async def test_a_whole_set_of_a_file_whose_last_one_was_cut_is_taken(
    corpus: dict[str, Fixture], tmp_path: Path
) -> None:
    paths = corpus["incomplete"].paths
    assert "sqlserver.chain" in failed(await looked(plan_of(paths)))
    assert failed(await looked(plan_of(paths, {"set": "1"}))) == {}
    assert failed(await looked(plan_of(paths, only=("Shop",)))) == {}
    async with open_source(plan_of(paths, {"set": "1"}), opens, Heard()) as source:
        assert len(await source.names()) == 2
    data = bytearray(paths[0].read_bytes())
    (whole, _) = open_media(MemoryBlob("a.bak", bytes(data))).sets
    data[whole.regions[0].pieces[0].start + 5000] ^= 4
    (tmp_path / "both.bak").write_bytes(data)
    assert "sqlserver.verify" in failed(await looked(plan_of([tmp_path / "both.bak"], {"set": "1"})))


async def test_without_prechecks_what_guards_the_data_is_looked_at_all_the_same(
    corpus: dict[str, Fixture],
) -> None:
    unchecked = {"precheck": "false"}
    found = await looked(plan_of(corpus["stripes_2"].paths[:1], unchecked))
    assert "sqlserver.chain" in failed(found)
    assert "sqlserver.verify" not in {
        each.check for each in await looked(plan_of(corpus["shop_2016"].paths, unchecked))
    }


@pytest.mark.parametrize("label", ["encrypted_container", "encrypted_pages"])
async def test_what_is_encrypted_is_said_before(corpus: dict[str, Fixture], label: str) -> None:
    assert any("ncrypt" in text for text in failed(await looked(plan_of(corpus[label].paths))).values())


async def test_tables_that_cannot_be_read_stop_the_start_unless_they_are_left_out(
    corpus: dict[str, Fixture],
) -> None:
    made = next(each for each in corpus.values() if each.trouble and each.databases)
    evidence = failed(await looked(plan_of(made.paths)))
    assert "sqlserver.tables" in evidence
    async with open_source(plan_of(made.paths), opens, Heard()) as source:
        with pytest.raises(Unsupported, match="cannot be read"):
            await source.names()
    (database, *_) = made.databases
    without = tuple((database, *table.split(".", 1)) for table in made.trouble)
    plan = plan_of(made.paths, without=without)
    assert failed(await looked(plan)) == {}
    async with open_source(plan, opens, Heard()) as source:
        assert {each.path for each in await source.names()}.isdisjoint(without)


async def test_files_that_are_not_there_or_no_backups_are_said(tmp_path: Path) -> None:
    (tmp_path / "script.bak").write_text("CREATE TABLE a (b int)")
    evidence = failed(await looked(plan_of([tmp_path / "script.bak"])))["sqlserver.files"]
    assert "script.bak" in evidence
    (told,) = [each for each in await looked(plan_of([tmp_path / "gone.bak"])) if each.severity is Severity.FAILED]
    assert "gone.bak" in told.evidence
    assert told.remedy


async def test_without_files_or_buckets_nothing_is_read(corpus: dict[str, Fixture]) -> None:
    with pytest.raises(Unsupported, match="not live"):
        async with open_source(plan_of([]), opens, Heard()):
            pass
    with pytest.raises(NeedsOperator, match="registry of buckets"):
        async with open_source(plan_of(corpus["shop_2016"].paths), None, Heard()):
            pass

    async def nowhere(bucket_id: str) -> Storage:
        raise NotFound(f"There is no bucket {bucket_id}")

    with pytest.raises(NotFound):
        async with open_source(plan_of(corpus["shop_2016"].paths), nowhere, Heard()):
            pass


async def test_a_moment_that_is_none_is_refused(corpus: dict[str, Fixture]) -> None:
    with pytest.raises(Invalid, match="no moment"):
        async with open_source(plan_of(corpus["shop_2016"].paths, {"stop_at": "soon"}), opens, Heard()):
            pass


async def test_digits_that_postgresql_does_not_keep_are_counted_and_told(tmp_path: Path) -> None:
    table = Tbl(
        "dbo", "times", [Col("at", "datetime2(7)")], [("2020-01-01 00:00:00.1234567",), ("2020-01-01 00:00:00.5",)]
    )
    write_backup(tmp_path / "times.bak", [Set(build(Db("times", tables=[table])))])
    heard = Heard()
    async with open_source(plan_of([tmp_path / "times.bak"]), opens, heard) as source:
        await chunks(source, "times")
        await source.copied()
        await source.copied()
    (told,) = [message for _, code, message in heard.told if code == "backup.rounded"]
    assert told.startswith("times: 1 times")


async def test_the_engine_itself_writes_no_rows_and_compares_no_servers(tmp_path: Path) -> None:
    engine, plan = SqlServerEngine(opens), plan_of([])
    with pytest.raises(Unsupported):
        engine.sink(plan, Room(JobId("j"), 1, tmp_path), Heard())
    with pytest.raises(Unsupported):
        await engine.compare(plan)


async def test_what_is_to_be_left_out_has_to_be_there(corpus: dict[str, Fixture]) -> None:
    paths = corpus["shop_2016"].paths
    assert not failed(await looked(plan_of(paths, without=(("Shop", "dbo", "Orders"), ("Shop", "sales")))))
    for path in (("Shop", "dbo", "orders"), ("shop", "dbo", "Orders"), ("Shop", "nowhere")):
        found = failed(await looked(plan_of(paths, without=(path,))))
        assert found == {"sqlserver.tables": f"There is no {'.'.join(path)} to leave out"}
    several = corpus["several_sets"].paths
    assert not failed(await looked(plan_of(several, only=("Shop",), without=(("Other", "dbo", "t"),))))

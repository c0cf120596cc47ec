"""A copy from backup files that goes on later: from the same backups alone, and from databases that are there."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.change import ROWS_TEXT, Position
from sterna.core.errors import BadData, Invalid, StartAgain
from sterna.core.event import Level
from sterna.core.files import Storage
from sterna.core.plan import Endpoint, Mode, Plan, Rename, Selection, StoredFile
from sterna.engines.sqlserver.source import SqlServerSource, open_source
from sterna.storage.folder import FolderStorage
from tests.backups.corpus import MAKERS, SHOP
from tests.backups.database import build
from tests.backups.writer import Set, write_backup

TARGET = Endpoint("postgresql", (("127.0.0.1", 1),))


def tell(level: Level, code: str, message: str, **fields: str) -> None:
    """Nobody listens."""


async def opens(bucket_id: str) -> Storage:
    """The bucket's id is its folder."""
    return FolderStorage(Path(bucket_id))


def plan_of(path: Path, selection: Selection | None = None) -> Plan:
    files = (StoredFile(str(path.parent), path.name),)
    return Plan(Endpoint("sqlserver", (), files=files), TARGET, Mode.FULL, selection or Selection())


async def positions(source: SqlServerSource, after: Position | None = None) -> list[Position]:
    name = next(each for each in await source.names() if each.path[-1] == "Orders")
    (part,) = await source.parts(name)
    return [chunk.position async for chunk in source.copy(part, (ROWS_TEXT,), after)]


async def test_a_file_that_was_replaced_by_another_backup_is_not_gone_on_with(tmp_path: Path) -> None:
    (path,) = MAKERS["shop_2016"](tmp_path).paths
    async with open_source(plan_of(path), opens, tell) as source:
        (end,) = await positions(source)
    async with open_source(plan_of(path), opens, tell) as source:
        assert await positions(source, end) == []
    write_backup(path, [Set(build(SHOP, 2016), name="Taken on the next day")])
    async with open_source(plan_of(path), opens, tell) as source:
        with pytest.raises(StartAgain, match="other backups"):
            await positions(source, end)


async def test_another_copy_of_the_same_backup_is_gone_on_with(tmp_path: Path) -> None:
    (path,) = MAKERS["shop_2016"](tmp_path).paths
    async with open_source(plan_of(path), opens, tell) as source:
        (end,) = await positions(source)
    again = Path(shutil.copy(path, tmp_path / "again.bak"))
    async with open_source(plan_of(again), opens, tell) as source:
        assert await positions(source, end) == []


@pytest.mark.parametrize("odd", ["", "7", "x:y", ":", "far"])
async def test_a_position_that_is_none_is_refused(tmp_path: Path, odd: str) -> None:
    (path,) = MAKERS["shop_2016"](tmp_path).paths
    async with open_source(plan_of(path), opens, tell) as source:
        with pytest.raises(BadData, match="no place in a table"):
            await positions(source, Position(odd))


async def test_a_new_name_for_a_database_that_no_file_holds_is_refused(tmp_path: Path) -> None:
    (path,) = MAKERS["shop_2016"](tmp_path).paths
    wrong = plan_of(path, Selection(renames=(Rename("Shp", "store"),)))
    with pytest.raises(BadData, match="no database Shp"):
        async with open_source(wrong, opens, tell):
            pass
    for fitting in ("shop", "*"):
        async with open_source(
            plan_of(path, Selection(renames=(Rename(fitting, "store"),))), opens, tell
        ) as source:
            assert len(await positions(source)) == 1


@pytest.mark.parametrize("odd", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00+02:00", "noon"])
async def test_a_moment_to_stop_at_is_one_of_the_sources_clock(tmp_path: Path, odd: str) -> None:
    (path,) = MAKERS["shop_2016"](tmp_path).paths
    with pytest.raises(Invalid, match="moment"):
        async with open_source(replace(plan_of(path), options={"stop_at": odd}), opens, tell):
            pass

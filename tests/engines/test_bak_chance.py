"""Databases made by chance are read as they were written: types, layouts, compressions and containers mixed.

It goes on for longer where the tests are told to make an effort, see ``tests.effort``.
"""

from collections import Counter
from pathlib import Path

import pytest

from sterna.engines.sqlserver.wire.database import DatabaseBackup
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.verify import verify
from tests.backups import chance, chance_log
from tests.backups.corpus import Found, expect
from tests.backups.database import build
from tests.backups.reading import blobs, opened, read
from tests.backups.writer import Set, write_backup
from tests.effort import examples

SEEDS = range(1, 1 + examples(60))


def differences(backup: DatabaseBackup, wanted: dict[str, Found]) -> list[str]:
    """Rows that came and should not have, and rows that did not come, a few of each."""
    out = []
    tables = {".".join(table.path[1:]): table for table in backup.tables}
    for name, want in wanted.items():
        assert tuple(column.name for column in tables[name].columns if column.stored) == want.columns
        came, due = Counter(read(backup, tables[name])), Counter(want.lines)
        out += [f"{name}: got {line!r}" for line in list((came - due).elements())[:2]]
        out += [f"{name}: missing {line!r}" for line in list((due - came).elements())[:2]]
    return out


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_written_by_chance_is_read(tmp_path: Path, seed: int) -> None:
    """Every row, and no fault in the file."""
    db, version, media, how = chance.database(seed)
    paths = write_backup(tmp_path / "chance.bak", [Set(build(db, version), protect=how)], media)
    assert differences(opened(paths)[db.name], expect(db)) == []
    assert list(verify([open_media(blob) for blob in blobs(paths)])) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 1 + examples(40)))
def test_a_busy_database_comes_out_as_its_transactions_left_it(tmp_path: Path, seed: int) -> None:
    """Pages copied at any moment, logs behind: what was committed is there, what was not is not."""
    paths, due = chance_log.chain(tmp_path, seed)
    (backup,) = opened(paths).values()
    assert (backup.problems, dict(backup.needs)) == ((), {})
    assert sorted(read(backup, backup.tables[0])) == due

"""Real backups: COPY text is the same from the compiled code and from Python, and has all the rows."""

import pytest

from sterna.engines.sqlserver.wire import rows as rows_module
from sterna.engines.sqlserver.wire.database import DatabaseBackup
from tests.backups.reading import joined
from tests.engines.test_bak_samples import SAMPLES, WITH_TABLES, database

pytestmark = [
    pytest.mark.skipif(SAMPLES is None, reason="the real files are not here"),
    pytest.mark.skipif(rows_module.native is None, reason="the compiled code was not built"),
]


@pytest.mark.parametrize("name", sorted({name for name, _ in WITH_TABLES}))
def test_real_tables_are_written_alike_by_both(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = database(name)
    compiled, count = _texts(found), sum(1 for table in found.tables for _ in found.rows(table.path))
    monkeypatch.setattr(rows_module, "native", None)
    assert _texts(found) == compiled
    assert compiled.count(b"\n") == count


def _texts(found: DatabaseBackup) -> bytes:
    return joined(
        piece
        for table in found.tables
        for part in found.parts(table.path)
        for piece in found.copy_text(table.path, part)
    )

"""What is imported, and what is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backups.database import build
from tests.backups.describe import Col, Db, Tbl
from tests.backups.writer import Set, write_backup

_LOOK = """
import json, sys
from sterna.main import engines

def loaded():
    return sorted({name.split(".")[2] for name in sys.modules if name.startswith("sterna.engines.")})

found = engines()
before = [list(found), len(found), "redis" in found, "mysql" in found, found.get("mysql"), loaded()]
name = found["redis"].name
print(json.dumps([before, name, found["redis"] is found["redis"], loaded()]))
"""


def test_an_engine_is_loaded_when_it_is_asked_for_and_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True)
    names = ["redis", "postgresql", "sqlserver"]
    assert json.loads(done.stdout) == [[names, 3, True, False, None, []], "redis", True, ["redis"]]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_letters_that_an_output_lacks_are_spelt_out(tmp_path: Path, encoding: str, form: list[str]) -> None:
    db = Db("倉庫 ü", (Tbl("dbo", "在庫", (Col("数", "int"),), [(1,)]),))
    path = tmp_path / "倉.bak"
    write_backup(path, [Set(build(db, 2016))])
    done = subprocess.run(
        [sys.executable, "-m", "sterna", "backup", "tables", str(path), *form],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=True,
    )
    if form:
        assert json.loads(done.stdout.decode(encoding))["tables"][0]["table"] == "在庫"
    else:
        assert ("在庫" if encoding == "utf-8" else r"\u5728\u5eab") in done.stdout.decode(encoding)

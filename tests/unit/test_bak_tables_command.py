"""``sterna backup tables``: tables with their rows, of one file, of a chain, of one set of several."""

import json
from pathlib import Path
from typing import Any

import pytest

from sterna.cli.app import run
from tests.backups.corpus import MAKERS
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


def test_files_that_give_no_database_say_what_they_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, differential = MAKERS["differential"](tmp_path).paths
    assert run(["backup", "tables", str(differential)], tools()) != 0
    assert "needs the full backup with checkpoint LSN" in capsys.readouterr().err
    assert run(["backup", "tables", str(full), "--set", "7"], tools()) != 0
    assert "no backup set 7" in capsys.readouterr().err

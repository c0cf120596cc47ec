"""A backup whose every name, text and expression tries to be SQL: on a real PostgreSQL it stays what it is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.backups.database import build
from tests.backups.describe import Check, Col, Db, Default, ForeignKey, Index, Row, Tbl
from tests.backups.writer import Set, write_backup
from tests.effort import PATIENCE
from tests.servers.postgres import PostgresServer, Unavailable, running

pytestmark = pytest.mark.server

ATTACK = '"; DROP TABLE canary; --'
TEXTS = (
    *(
        ATTACK,
        "'; DROP TABLE canary; --",
        "a]b",
        "%s %(x)s %%",
        "\\",
        "$$x$$",
        "E'\\'",
        "/*",
        "*/;DROP TABLE canary;--",
    ),
    *("\\.", "\\N", " ", "ctid", "n\nl", "t\tb", "\u202ex", "ü" * 40, "ü" * 40 + "2"),
)


@pytest.fixture(scope="module", params=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    try:
        with running(request.param) as server:
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


def said(text: str) -> str:
    """As a literal of T-SQL."""
    return "N'" + text.replace("'", "''") + "'"


def hostile() -> Db:
    columns = [
        Col("id", "int", nullable=False),
        Col("n", "int", default=Default("dn", "((1)); DROP TABLE canary; --")),
    ]
    columns += [
        Col(text, "nvarchar(50)", default=Default(f"df{n}{text}", f"({said(text)})"), comment=text)
        for n, text in enumerate(TEXTS)
    ]
    columns.append(Col("made", "nvarchar(100)", computed=f"([a]]b]+{said(TEXTS[1])})"))
    columns.append(Col("gone", "int", computed="([n]+(1)); DROP TABLE canary; --"))
    checks = [Check(f"ck{n}{text}", f"([a]]b]<>{said('no' + text)})") for n, text in enumerate(TEXTS)]
    checks.append(Check("ck out", "([n]>(0)) OR (1=1)); DROP TABLE canary; --"))
    indexes = [Index(f"pk{ATTACK}", ["id"], primary=True, unique=True, clustered=True)]
    indexes += [Index(f"ix{n}{text}", ["n"], predicate=f"([a]]b]={said(text)})") for n, text in enumerate(TEXTS)]
    rows: list[Row] = [[1, 5, *TEXTS], [2, None, *[None] * len(TEXTS)], [3, 0, *[""] * len(TEXTS)]]
    table = Tbl(f"s{ATTACK}", f"t{ATTACK}", columns, rows, indexes, checks=checks, comment=TEXTS[1] + "\\")
    key = ForeignKey(f"fk{ATTACK}", ["id"], (table.schema, table.name), ["id"])
    return Db(f"db{ATTACK}", (table, Tbl("dbo", "child", [Col("id", "int")], [[1]], foreign_keys=[key])))


def test_names_and_expressions_of_a_backup_never_become_statements(server: PostgresServer, tmp_path: Path) -> None:
    server.sql("CREATE TABLE canary (a int)")
    path = tmp_path / "hostile.bak"
    write_backup(path, [Set(build(hostile(), 2016))])
    to = conninfo_to_dict(server.dsn())
    url = f"postgresql://{to['user']}@{to['host']}:{to['port']}"
    command = [sys.executable, "-m", "sterna", "backup", "load", str(path), "--to", url, "--yes"]
    command += ["--state", str(tmp_path / "state")]
    given = {**os.environ, "STERNA_TARGET_PASSWORD": str(to["password"]), "STERNA_DATA": str(tmp_path / "data")}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert server.sql("SELECT count(*) FROM canary") == [(0,)]
    table = f'''"s{ATTACK.replace('"', '""')}"."t{ATTACK.replace('"', '""')}"'''
    with psycopg.connect(server.dsn(f"db{ATTACK}")) as line:
        found = line.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()
        assert found == [
            (1, 5, *TEXTS, "a]b" + TEXTS[1]),
            (2, None, *[None] * len(TEXTS), None),
            (3, 0, *[""] * len(TEXTS), TEXTS[1]),
        ]
        line.execute(f"INSERT INTO {table} (id) VALUES (4)".encode())
        added = line.execute(f"SELECT * FROM {table} WHERE id = 4".encode()).fetchall()
        assert added == [(4, None, *TEXTS, "a]b" + TEXTS[1])]
        query = """
            SELECT contype::text, count(*) FROM pg_constraint
             WHERE conrelid >= 16384 AND contype <> 'n' GROUP BY 1"""
        assert dict(line.execute(query).fetchall()) == {"c": len(TEXTS), "p": 1, "f": 1}

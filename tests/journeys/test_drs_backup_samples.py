"""Real backups of SQL Server, of six versions, go from an object store into PostgreSQL: all rows, known values."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from psycopg import sql

from tests.engines.test_bak_samples import SAMPLES, same
from tests.journeys.backup_stand import FAR, LATEST, Stand, Target, made_stand

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(900),
    pytest.mark.skipif(SAMPLES is None, reason="the real files are not here"),
]

LATELY = (
    "northwind-2005.bak",
    "northwind-2008.bak",
    "northwind-2016-compressed.bak",
    "northwind-2008-forwarded.bak",
    "bikestores-2017.bak",
    "world-2017.bak",
    "musicstore-2016.bak",
    "pubs-2012.bak",
    "tutorialdb-2016-compressed.bak",
    "tsql2012-2016-compressed.bak",
)
NEWER = "pg15", ("northwind-2008.bak", "pubs-2012.bak", "bikestores-2017.bak")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with made_stand(tmp_path_factory.mktemp("samples")) as made, made.serving():
        yield made


def test_real_backups_arrive_as_a_whole(stand: Stand) -> None:
    _arrive(stand, stand.target(LATEST), LATELY)


@pytest.mark.slow
def test_real_backups_arrive_on_an_older_server(stand: Stand) -> None:
    flavor, names = NEWER
    _arrive(stand, stand.target(flavor), names)


def _arrive(stand: Stand, target: Target, names: tuple[str, ...]) -> None:
    assert SAMPLES is not None
    known = json.loads((SAMPLES / "expected.json").read_text())["files"]
    ids = {}
    for name in names:
        stand.upload(SAMPLES / name)
        as_new = {"": name.removesuffix(".bak")}
        task = f"{name.removesuffix('.bak')}-{target.server.flavor}"
        ids[name] = stand.api.create(target, task, name, bucket=FAR, reset_db_name_map=as_new)
    for name, id in ids.items():
        stand.api.succeeds(id)
        _is_there(target, name.removesuffix(".bak"), known[name]["sets"][0])


def _is_there(target: Target, database: str, found: Mapping[str, Any]) -> None:
    """Every table with its count, and the rows that are known from elsewhere."""
    counts = {(each["schema"], each["table"]): each["rows"] for each in found["tables"]}
    names = {f"{schema}.{table}": rows for (schema, table), rows in counts.items()}
    assert target.counts(database) == names
    for spot in found.get("spot_values", ()):
        ((schema, table),) = [path for path in counts if path[1].lower() == spot["table"].lower()]
        wanted = spot.get("script") or spot["prototype"]
        with target.server.connect(database) as connection:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table)))
            columns = [column.name.lower() for column in rows.description or ()]
            places = {columns.index(name.lower()): value for name, value in wanted.items()}
            assert any(all(same(row[place], value) for place, value in places.items()) for row in rows), wanted


def test_real_full_differential_and_log_backups_are_one_chain(stand: Stand) -> None:
    assert SAMPLES is not None
    target = stand.target()
    known = json.loads((SAMPLES / "expected.json").read_text())["combinations"]
    (wanted,) = [each for each in known if each["name"] == "rtc2008r2 full+diff+3 logs"]
    files = [stand.upload(SAMPLES / name, f"lab/{name.rpartition('/')[2]}") for name in wanted["files"]]
    for number, file in enumerate(files):
        assert "RestoreTimeClean" not in target.databases()
        mode = "incre" if number else "full"
        last = file == files[-1]
        id = stand.api.create(target, f"lab-{number}", file, bucket=FAR, recovery_mode=mode, is_last_backup=last)
        stand.api.succeeds(id)
    (database,) = [name for name in target.databases() if name.lower() == "restoretimeclean"]
    assert target.counts(database) == {name: table["rows"] for name, table in wanted["tables"].items()}
    steps = wanted["tables"]["dbo.steps"]
    ((first, last),) = target.server.sql("SELECT min(dt)::text, max(dt)::text FROM dbo.steps", database)
    assert [first, last] == [steps[name].rstrip("0") for name in ("min_dt", "max_dt")]

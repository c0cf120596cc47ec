"""SQL Server backups go from buckets into real PostgreSQL servers, driven by the SDK and by plain HTTP."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import psycopg
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdrs import v5

from tests.backups.corpus import MAKERS
from tests.journeys.backup_stand import FAR, FOLDER, LATEST, Api, Stand, Target, fitted_path, made_stand
from tests.journeys.command import wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

NAMED = {"columnstore": "dbo.store", "memory_optimised": "dbo.quick", "log_not_understood": "dbo.numbers"}
"""Fixtures with a table that only SQL Server reads."""
SEVERAL = ("several_sets", "incomplete")
"""Fixtures with more than one database."""
WHOLE = [name for name in MAKERS if not name.startswith("encrypted") and name not in (*NAMED, *SEVERAL)]
FLAVORS = (LATEST, "pg15")
BATCH = 6
LEFT_OUT = {"is_default_restore": False}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with made_stand(tmp_path_factory.mktemp("backup")) as made, made.serving():
        yield made


# What arrives.


@pytest.mark.parametrize(
    "start",
    [pytest.param(start, marks=[pytest.mark.slow] * (start > 0)) for start in range(0, len(WHOLE), BATCH)],
)
def test_every_row_of_every_backup_arrives(stand: Stand, start: int) -> None:
    target, started = stand.target(), {}
    for name in WHOLE[start : start + BATCH]:
        _, files = stand.fixture(name)
        renamed = {"": f"all {name}"}
        started[name] = stand.api.create(target, f"all-{name}", *files, reset_db_name_map=renamed)
    for name, id in started.items():
        stand.api.succeeds(id)
        ((_, tables),) = stand.fixture(name)[0].databases.items()
        target.holds(f"all {name}", tables)
        assert {fitted_path(table) for table in tables} == target.tables(f"all {name}")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_backup_in_an_object_store_becomes_a_database_that_works(stand: Stand, flavor: str) -> None:
    target = stand.target(flavor)
    fixture, files = stand.fixture("shop_2016", far=True)
    id = stand.api.create(target, f"works-{flavor}", *files, bucket=FAR, is_cover=True)
    assert stand.api.shown(id).status in ("TRANSFERRING", "SUCCESS")
    stand.api.succeeds(id)
    target.holds("Shop", fixture.databases["Shop"])
    _works(target)


def _works(target: Target) -> None:
    """Identities go on, defaults fill in, and keys, checks and foreign keys refuse what they must."""
    sql = target.server.sql
    added = sql('INSERT INTO sales."Customers" ("Name") VALUES (\'new\') RETURNING "Id", "Kind", "Since"', "Shop")
    ((number, kind, since),) = added
    assert (number, kind) == (5, "new")
    assert since is not None
    ordered = (
        'INSERT INTO dbo."Orders" ("Customer", "Total") VALUES (5, 2.5) RETURNING "OrderId", "Shipped", "Twice"'
    )
    assert [tuple(map(str, row)) for row in sql(ordered, "Shop")] == [("140", "False", "5.000")]
    sql('UPDATE sales."Customers" SET "Id" = 50 WHERE "Id" = 5', "Shop")
    assert sql('SELECT "Customer" FROM dbo."Orders" WHERE "OrderId" = 140', "Shop") == [(50,)]
    for refused, why in {
        "INSERT INTO sales.\"Customers\" OVERRIDING SYSTEM VALUE VALUES (1, 'x')": "UniqueViolation",
        'INSERT INTO sales."Customers" ("Name") VALUES (\'new\')': "UniqueViolation",
        'INSERT INTO sales."Customers" ("Name", "Credit") VALUES (\'poor\', -1000)': "CheckViolation",
        'INSERT INTO sales."Customers" ("Kind") VALUES (\'x\')': "NotNullViolation",
        'INSERT INTO dbo."Orders" ("Customer", "Total") VALUES (999, 1)': "ForeignKeyViolation",
        'INSERT INTO dbo."Orders" ("Total") VALUES (1000000000)': "NumericValueOutOfRange",
    }.items():
        with pytest.raises(psycopg.Error) as found:
            sql(refused, "Shop")
        assert type(found.value).__name__ == why, refused
    sql('DELETE FROM sales."Customers" WHERE "Id" = 50', "Shop")
    assert sql('SELECT "Customer" FROM dbo."Orders" WHERE "OrderId" = 140', "Shop") == []
    indexes = dict(sql("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'Orders'", "Shop"))
    assert "INCLUDE" in indexes["IX_Orders_Customer"]
    assert "WHERE" in indexes["IX_Orders_Customer"]
    assert "DESC" in indexes["IX_Orders_Total"]
    assert sql("SELECT obj_description('sales.\"Customers\"'::regclass)", "Shop") == [("Who buys",)]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_striped_backup_in_a_folder_of_an_object_store_gets_another_name(stand: Stand, flavor: str) -> None:
    target, (fixture, _) = stand.target(flavor), stand.fixture("stripes_2_compressed")
    files = [stand.upload(path, f"year/2024/{path.name}") for path in fixture.paths]
    names = {"Striped": 'new "name"'}
    id = stand.api.create(target, f"striped-{flavor}", *reversed(files), bucket=FAR, reset_db_name_map=names)
    done = stand.api.succeeds(id)
    assert [file.file_name for file in done.backup_info.file_info] == [
        path.name for path in reversed(fixture.paths)
    ]
    assert all(file.file_size.endswith("KB") and file.file_last_modify for file in done.backup_info.file_info)
    target.holds('new "name"', fixture.databases["Striped"])
    assert "Striped" not in target.databases()
    stand.api.delete(id)
    with pytest.raises(ClientRequestException, match=r"DRS\.10000010"):
        stand.api.shown(id)
    target.holds('new "name"', fixture.databases["Striped"])
    there = stand.store.client().list_objects_v2(Bucket=FAR, Prefix="year/")["Contents"]
    assert len(there) == 2, "the files in the bucket are nobody's to delete"


def test_several_databases_of_one_file_are_loaded_each_under_its_own_new_name(stand: Stand) -> None:
    target, (fixture, files) = stand.target(), stand.fixture("several_sets", far=True)
    names = {"reset_db_name_map": {"Shop": "shop two", "Other": "Other two"}}
    stand.api.succeeds(stand.api.create(target, "several-all", *files, bucket=FAR, **names))
    target.holds("shop two", fixture.databases["Shop"])
    target.holds("Other two", fixture.databases["Other"])
    only: dict[str, Any] = {"db_names": ["other"], "reset_db_name_map": {"other": "alone"}, **LEFT_OUT}
    before = target.databases()
    stand.api.succeeds(stand.api.create(target, "several-one", *files, bucket=FAR, **only))
    target.holds("alone", fixture.databases["Other"])
    assert target.databases() - before == {"alone"}


# Chains.


def test_a_chain_of_logs_is_loaded_with_its_last_backup(stand: Stand) -> None:
    target, (fixture, (full, first, second)) = stand.target(), stand.fixture("log_chain", far=True)
    steps: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
        ("chain-0", full, {"is_last_backup": False}),
        ("chain-1", first, {"is_last_backup": False, "recovery_mode": "incre"}),
        ("chain-2", second, {"recovery_mode": "incre"}),
    )
    for name, file, options in steps:
        assert "Logged" not in target.databases()
        stand.api.succeeds(stand.api.create(target, name, file, bucket=FAR, **options))
    target.holds("Logged", fixture.databases["Logged"])


def test_a_log_that_is_missing_in_a_chain_is_said_and_may_be_sent_after_it(stand: Stand) -> None:
    target, (fixture, (full, first, second)) = stand.target("pg15"), stand.fixture("log_chain", far=True)
    names: dict[str, Any] = {"bucket": FAR, "is_default_restore": False, "db_names": ["Logged"]}
    unfinished: dict[str, Any] = {"is_last_backup": False, **names}
    stand.api.succeeds(stand.api.create(target, "gap-0", full, **unfinished))
    failed = stand.api.ended(stand.api.create(target, "gap-2", second, recovery_mode="incre", **names))
    assert failed.status == "PRECHECK FAILED"
    assert "chain" in failed.error_log
    assert "Logged" not in target.databases()
    stand.api.succeeds(stand.api.create(target, "gap-1", first, recovery_mode="incre", **unfinished))
    stand.api.succeeds(stand.api.create(target, "gap-3", second, recovery_mode="incre", **names))
    target.holds("Logged", fixture.databases["Logged"])


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_differential_backup_follows_its_full_one_in_v1(stand: Stand, flavor: str) -> None:
    target, (fixture, (full, diff)) = stand.target(flavor), stand.fixture("differential", far=True)
    with stand.api.plain() as client:
        old = Old(client, stand.api)
        first = old.create(target, f"diff-0-{flavor}", full, bucket=FAR, is_last_backup="false")
        assert old.ended(first)["status"] == "SUCCESS"
        assert "Chained" not in target.databases()
        second = old.create(target, f"diff-1-{flavor}", diff, bucket=FAR, recovery_mode="2")
        assert old.ended(second)["error_log"] == ""
    target.holds("Chained", fixture.databases["Chained"])


# What is there already.


def test_what_is_there_is_replaced_only_where_it_was_said(stand: Stand) -> None:
    target, (fixture, files) = stand.target(), stand.fixture("compressed", far=True)
    stand.api.succeeds(stand.api.create(target, "cover-1", *files, bucket=FAR))
    target.server.sql('DELETE FROM "dbo"."Orders"; CREATE TABLE dbo.kept (a int)', "Tall")
    before = target.state()
    kept = stand.api.ended(stand.api.create(target, "cover-2", *files, bucket=FAR))
    assert kept.status == "PRECHECK FAILED"
    assert "Tall" in kept.error_log
    assert target.state() == before
    stand.api.succeeds(stand.api.create(target, "cover-3", *files, bucket=FAR, is_cover=True))
    target.holds("Tall", fixture.databases["Tall"])
    assert target.tables("Tall") == {*fixture.databases["Tall"], "dbo.kept"}


def test_what_others_need_is_not_replaced(stand: Stand) -> None:
    target, (_, files) = stand.target(), stand.fixture("tall")
    stand.api.succeeds(stand.api.create(target, "needed-1", *files, reset_db_name_map={"": "needed"}))
    target.server.sql("CREATE VIEW dbo.of_tall AS SELECT id FROM dbo.tall", "needed")
    before = target.state()
    again = stand.api.create(target, "needed-2", *files, is_cover=True, reset_db_name_map={"": "needed"})
    failed = stand.api.ended(again)
    assert failed.status == "PRECHECK FAILED"
    assert "of_tall" in failed.error_log
    assert target.state() == before


# What cannot be.


WRONG: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no file": (("no-such.bak",), ("no-such.bak", "name")),
    "a stripe is missing": (("stripes_3_1.bak", "stripes_3_3.bak"), ("stripe", "all")),
    "encrypted by TDE": (("encrypted_pages.bak",), ("encrypted", "SET ENCRYPTION OFF")),
    "encrypted as a whole": (("encrypted_container.bak",), ("encrypted", "backup without ENCRYPTION")),
    "a log without its full backup": (("log_chain_1.trn",), ("full backup",)),
    "a gap in the chain": (("log_chain_0.bak", "log_chain_2.trn"), ("missing", "name all files")),
    "a differential alone": (("differential_diff.bak",), ("full backup",)),
    "a columnstore": (("columnstore.bak",), ("dbo.store", "columnstore", "leave the table out")),
    "memory-optimised": (("memory_optimised.bak",), ("dbo.quick", "memory")),
    "a log that is not understood": (("log_not_understood_0.bak", "log_not_understood_1.trn"), ("dbo.numbers",)),
    "a set that was cut off": (("incomplete.bak",), ("set 2", "incomplete.bak", "copy the file again")),
    "garbage": (("garbage.bak",), ("garbage.bak", "BACKUP DATABASE")),
    "an empty file": (("nothing.bak",), ("nothing.bak",)),
    "half a file": (("half.bak",), ("half.bak",)),
    "one bit": (("bit.bak",), ("page", "Copy the file again")),
    "stripes of two backups": (("stripes_2_1.bak", "stripes_3_2.bak"), ("stripe",)),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_restored_is_found_before_anything_changes(stand: Stand, what: str) -> None:
    files, said = WRONG[what]
    for name in MAKERS:
        if any(file.startswith(name) for file in files):
            stand.fixture(name, far=True)
    _spoilt(stand)
    target = stand.target()
    before = target.state()
    done = stand.api.ended(
        stand.api.create(target, f"wrong-{list(WRONG).index(what)}", *files, bucket=FAR, is_cover=True)
    )
    print(what, ":", done.error_log)
    assert done.status == "PRECHECK FAILED"
    for word in said:
        assert word.lower() in done.error_log.lower(), (word, done.error_log)
    assert done.error_log.endswith((".", "…"))
    assert target.state() == before


@pytest.mark.parametrize("file", ["garbage.bak", "encrypted_pages.bak"])
def test_what_cannot_be_restored_is_refused_though_no_checks_were_asked_for(stand: Stand, file: str) -> None:
    _spoilt(stand)
    stand.fixture("encrypted_pages", far=True)
    target = stand.target()
    before = target.state()
    name = f"unchecked-{file.partition('.')[0]}"
    done = stand.api.ended(stand.api.create(target, name, file, bucket=FAR, is_precheck=False, is_cover=True))
    assert "FAILED" in done.status
    assert done.error_log
    assert target.state() == before


def _spoilt(stand: Stand) -> None:
    """Files in the object store that are no backups, or no longer."""
    whole = bytearray(stand.fixture("checksums")[0].paths[0].read_bytes())
    cut = bytes(whole[: len(whole) // 2])
    whole[whole.index("Alfreds".encode("utf-16-le"))] ^= 4
    store = stand.store.client()
    spoilt = {"garbage": bytes(range(256)) * 400, "nothing": b"", "half": cut, "bit": bytes(whole)}
    for name, body in spoilt.items():
        store.put_object(Bucket=FAR, Key=f"{name}.bak", Body=body)


# Tasks.


def test_tasks_are_listed_shown_renamed_and_deleted_in_both_versions(stand: Stand) -> None:
    target, (_, files) = stand.target(), stand.fixture("empty", far=True)
    options = {"reset_db_name_map": {"": "managed"}, "is_cover": True}
    id = stand.api.create(target, "managed-1", *files, bucket=FAR, **options)
    other = stand.other_project()
    with stand.api.plain() as client, other.plain() as strange:
        stand.api.succeeds(id)
        update = v5.ModifyOfflineTaskReq(name="managed-2", description="another")
        stand.api.sdk.update_replication_job(v5.UpdateReplicationJobRequest(job_id=id, body=update))
        shown = stand.api.shown(id)
        assert (shown.base_info.name, shown.base_info.description) == ("managed-2", "another")
        assert json.loads(shown.new_db_names) == ["managed"]
        assert (shown.backup_info.bucket_name, shown.instance_name) == (FAR, LATEST)
        listed = stand.api.sdk.list_replication_jobs(v5.ListReplicationJobsRequest(name="managed"))
        assert [(job.id, job.status) for job in listed.jobs] == [(id, "SUCCESS")]
        old = Old(client, stand.api)
        assert old.shown(id)["name"] == "managed-2"
        assert [task["id"] for task in old.listed(name="managed")] == [id]
        _sees_nothing(other, strange, id, target)
        client.delete(old.path(id)).raise_for_status()
        assert client.get(old.path(id)).json()["err code"] == "DRS.0016"
    with pytest.raises(ClientRequestException):
        stand.api.shown(id)


def _sees_nothing(other: Api, strange: httpx.Client, id: str, target: Target) -> None:
    """Neither the task, nor the bucket, nor the instance is there for another project."""
    old = Old(strange, other)
    assert other.sdk.list_replication_jobs(v5.ListReplicationJobsRequest()).count == 0
    assert old.listed() == []
    for ask in (other.shown, other.delete):
        with pytest.raises(ClientRequestException, match=r"DRS\.10000010"):
            ask(id)
    assert strange.get(old.path(id)).json()["err code"] == "DRS.0016"
    assert strange.delete(old.path(id)).json()["err code"] == "DRS.0016"
    with pytest.raises(ClientRequestException, match=r"DRS\.M0"):
        other.create(target, "stolen", "empty.bak", bucket=FAR)
    with pytest.raises(AssertionError, match=r"DRS\.0100"):
        old.create(target, "stolen", "empty.bak", bucket=FAR)


def test_v1_restores_one_database_of_several(stand: Stand) -> None:
    target, (fixture, (file,)) = stand.target("pg15"), stand.fixture("several_sets")
    with stand.api.plain() as client:
        old = Old(client, stand.api)
        before = target.databases()
        id = old.create(target, "one-of-several", file, db_names=["Other"], is_default_restore="false")
        done = old.ended(id)
        assert (done["status"], done["error_log"]) == ("SUCCESS", "")
        assert done["cover"] == "false"
        target.holds("Other", fixture.databases["Other"])
        assert target.databases() - before == {"Other"}
        again = old.ended(old.create(target, "again", file, db_names=["Other"], is_default_restore="false"))
        assert again["status"] == "FAILED"
        assert "Other" in again["error_log"]
        covered: dict[str, Any] = {"db_names": ["Other"], "is_default_restore": "false", "cover": "true"}
        assert old.ended(old.create(target, "covered", file, **covered))["status"] == "SUCCESS"
        target.holds("Other", fixture.databases["Other"])
        stand.fixture("empty")
        renamed = old.create(target, "renamed", "empty.bak", reset_db_name_map={"Empty": "v1 new"})
        assert old.ended(renamed)["status"] == "SUCCESS"
        assert "v1 new" in target.databases()


class Old:
    """v1.0 as scripts speak it."""

    def __init__(self, client: httpx.Client, api: Api) -> None:
        self._client = client
        self._api = api

    def path(self, id: str) -> str:
        return f"/drs/v1.0/{self._api.project}/replication_task/{id}"

    def create(self, target: Target, name: str, *files: str, bucket: str = FOLDER, **more: Any) -> str:
        options = {"cover": "false", "recovery_mode": "1", "is_default_restore": "true", "is_last_backup": "true"}
        body = {
            "source": "obs",
            "engine": "sqlserver",
            "name": name,
            "description": "",
            "instance_id ": target.instance,
            "backup": {
                "file_source": "OBS",
                "bucket_name": bucket,
                "files": [{"name": file, "path": ""} for file in files],
            },
            "db_names": more.pop("db_names", []),
            "options": options | more,
        }
        answer = self._client.post(f"/drs/v2.0/{self._api.project}/replication_task", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    def shown(self, id: str) -> Any:
        return self._client.get(self.path(id)).raise_for_status().json()

    def listed(self, **query: str) -> Any:
        path = f"/drs/v1.0/{self._api.project}/replication_tasks"
        return self._client.get(path, params=query).raise_for_status().json()["tasks"]

    def ended(self, id: str) -> Any:
        wait_for(lambda: self.shown(id)["status"] != "TRANSFERRING", "the task does not end")
        return self.shown(id)

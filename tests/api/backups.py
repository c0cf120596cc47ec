"""What the tests of backup migration share: a service with engines that move nothing, buckets, and bodies."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from sterna.core.digest import Digest
from sterna.core.errors import NotFound
from sterna.core.files import Blob, Entry
from sterna.core.job import Condition, Failure, JobId, Phase
from sterna.core.people import Bucket, Instance
from sterna.core.plan import Plan
from sterna.core.ports import Check, Describes, Room, Sink, Teller
from sterna.core.schema import Table
from tests.api.service import FOREIGN_PROJECT, PROJECT, NoEngine, Service, serving

V5 = f"/v5/{PROJECT}/backup-migration-jobs"
OLD = f"/drs/v1.0/{PROJECT}"

SQLSERVER = "0a3182607bc549bcb46cc9a8755761a6in04"
POSTGRES = "1a3182607bc549bcb46cc9a8755761a6in03"
REDIS = "2a3182607bc549bcb46cc9a8755761a6in20"
FOREIGN = "3a3182607bc549bcb46cc9a8755761a6in04"
SECRET = "of-the-target"


@dataclass(frozen=True)
class TakingEngine(NoEngine):
    """Takes what a source of another kind describes, as far as anybody asks."""

    name: str = "postgresql"

    def sink_for(
        self, source: Describes, plan: Plan, room: Room, tell: Teller
    ) -> AbstractAsyncContextManager[Sink]:
        raise NotImplementedError

    def checks_for(self, source: Describes, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return []

    async def digest(self, plan: Plan, table: Table) -> Digest:
        raise NotImplementedError


@dataclass
class Shelf:
    """A bucket whose files have names, sizes and times, and nothing in them."""

    files: dict[str, Entry] = field(default_factory=dict)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return iter(())

    def head(self, name: str) -> Entry:
        if name not in self.files:
            raise NotFound(f"No file {name}")
        return self.files[name]

    def open(self, name: str) -> Blob:
        raise NotImplementedError

    def write(self, name: str, pieces: Any) -> Entry:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        raise NotImplementedError


SHELVES: Mapping[str, Shelf] = {
    "bucket-1": Shelf(
        {
            "1706510914000_0_Test_Database.bak": Entry("", 704 * 1024, 1706511360000),
            "floder/ims.bak": Entry("", 16619930, 1519374126000),
        }
    )
}


async def opens(bucket_id: str) -> Shelf:
    """Finds the shelf."""
    return SHELVES[bucket_id]


@contextmanager
def backup_service() -> Iterator[Service]:
    """A service that knows SQL Server and PostgreSQL, with buckets and instances."""
    with serving() as service:
        service.desk.engines.update(  # type: ignore[attr-defined]
            {"sqlserver": TakingEngine("sqlserver"), "postgresql": TakingEngine()}
        )
        known = replace(service.desk, opens=opens)
        object.__setattr__(service.desk, "opens", known.opens)
        service.run(furnish(service))
        yield service


async def furnish(service: Service) -> None:
    for id, project, name, engine in (
        (SQLSERVER, PROJECT, "rds-sqlserver", "sqlserver"),
        (POSTGRES, PROJECT, "rds-postgres", "postgresql"),
        (REDIS, PROJECT, "dcs-redis", "redis"),
        (FOREIGN, FOREIGN_PROJECT, "theirs", "sqlserver"),
    ):
        where = (("192.168.0.80", 1433),)
        await service.store.add_instance(Instance(id, project, name, engine, where, "sa", SECRET, created_ms=1))
    for id, project, name in (
        ("bucket-1", PROJECT, "zyy-obs"),
        ("bucket-2", PROJECT, "mssql-backup"),
        ("bucket-3", FOREIGN_PROJECT, "theirs"),
    ):
        await service.store.add_bucket(Bucket(id, project, name, "folder", folder="/nowhere"))


def new_backup(name: str, *files: str, target: str = SQLSERVER, **options: Any) -> dict[str, Any]:
    """The documented body of v5, of one full backup."""
    return {
        "base_info": {
            "name": name,
            "engine_type": "sqlserver",
            "description": "Destination RDS instance name: rds-sqlserver",
            "enterprise_project_id": "0",
            "tags": [],
        },
        "target_db_info": {"target_instance_id": target, "ms_file_stream_status": "off", "file_id": ""},
        "backup_info": {
            "file_source": "OBS",
            "bucket_name": "zyy-obs",
            "files": [{"name": file, "obs_path": ""} for file in files or ["1706510914000_0_Test_Database.bak"]],
        },
        "options": {
            "is_cover": True,
            "is_default_restore": True,
            "is_last_backup": True,
            "is_precheck": True,
            "is_delete_backup_file": True,
            "recovery_mode": "full",
            "db_names": [""],
            "reset_db_name_map": {},
            **options,
        },
    }


def new_task(name: str, **options: str) -> dict[str, Any]:
    """The documented body of v1.0."""
    return {
        "source": "obs",
        "engine": "sqlserver",
        "name": name,
        "description": "",
        "instance_id": SQLSERVER,
        "backup": {
            "file_source": "OBS",
            "bucket_name": "zyy-obs",
            "files": [{"name": "ims.bak", "path": "floder/"}],
        },
        "options": {
            "cover": "true",
            "recovery_mode": "1",
            "is_default_restore": "true",
            "is_last_backup": "true",
            **options,
        },
        "db_names": [""],
    }


def create(client: httpx.Client, name: str, *files: str, **options: Any) -> str:
    """A new task's id, through v5."""
    answer = client.post(V5, json=new_backup(name, *files, **options))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def create_old(client: httpx.Client, name: str, **options: str) -> str:
    """A new task's id, through v1.0."""
    answer = client.post(f"/drs/v2.0/{PROJECT}/replication_task", json=new_task(name, **options))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["task_id"])


def succeed(service: Service, id: str) -> None:
    """The job's runner says that all went well."""
    service.play(id, (Phase.CLOSE, Condition.DONE))


def fail(service: Service, id: str, failure: Failure, phase: Phase = Phase.PREPARE) -> None:
    """The job's runner says why it did not."""
    service.play(id, (phase, Condition.FAILED), failure=failure)


def plan(service: Service, id: str) -> Plan:
    """What the job does."""
    job = service.run(service.store.job(JobId(id)))
    assert job.plan is not None
    return job.plan

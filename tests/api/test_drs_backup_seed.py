"""The two samples that this API began with: tasks with those facts are shown exactly so, key by key."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sterna.api.drs.backup import old_views, views
from sterna.api.drs.backup.asked import Asked, AskedFile
from sterna.core.job import Condition, Job, JobId, Phase, ProjectId, Wish
from sterna.core.plan import Endpoint, Mode, Plan, StoredFile

NEW = Job(
    id=JobId("0667845a-6291-4e2a-95b0-190c0abjb703"),
    project_id=ProjectId("2" * 32),
    kind="drs-backup",
    name="DRS-6813",
    description="Destination RDS instance name: rds-sqlserver2022-stand",
    plan=None,
    extra={},
    phase=Phase.CLOSE,
    condition=Condition.DONE,
    wish=Wish.RUN,
    asked=1,
    answered=1,
    epoch=1,
    failure=None,
    created_ms=1724034435000,
    updated_ms=1724034543000,
    ended_ms=1724034543000,
)

SEED_001: dict[str, Any] = {
    "id": "0667845a-6291-4e2a-95b0-190c0abjb703",
    "status": "SUCCESS",
    "create_time": "2024-08-19T02:27:15Z",
    "finish_time": "2024-08-19T02:29:03Z",
    "backup_info": {
        "file_source": "OBS",
        "bucket_name": "zyy-obs",
        "file_info": [
            {
                "file_name": "1706510914000_1_Test_Database.bak",
                "file_size": "704KB",
                "file_last_modify": "1706511360000",
            }
        ],
    },
    "base_info": {
        "name": "DRS-6813",
        "engine_type": "sqlserver",
        "enterprise_project_id": "0",
        "description": "Destination RDS instance name: rds-sqlserver2022-stand",
    },
    "target_db_info": {"target_instance_id": "0a3182607bc549bcb46cc9a8755761a6in04"},
    "options": {
        "is_cover": True,
        "is_default_restore": True,
        "is_last_backup": False,
        "is_precheck": True,
        "is_delete_backup_file": False,
        "recovery_mode": "full",
        "db_names": [],
    },
    "new_db_names": "[]",
    "instance_name": "",
}

SEED_000: dict[str, Any] = {
    "id": "7e45307c-83da-464f-aa74-7a2fa7fef6f3",
    "status": "TRANSFERRING",
    "name": "migration",
    "description": "good",
    "create_time_stamp": "1524126594390",
    "finish_time_stamp": "1524126778757",
    "cover": "true",
    "backup": {
        "file_source": "OBS",
        "bucket_name": "offline",
        "file_info": [
            {
                "file_name": "sqlserver-dev-rds-upload-20180420043142704",
                "file_size": "15.85MB",
                "file_lastmodify": "2018/02/23 16:22:06 GMT+08:00",
            }
        ],
    },
    "db_names": ["user03", "user02", "user01"],
    "instance_id": "c83310b677684c648dd7463bdf8be077in04",
    "instance_name": "dev-rds-upload",
    "error_log": "",
}


def job(asked: Asked, instance_name: str, **facts: Any) -> Job:
    files = tuple(StoredFile("bucket", file.path + file.name) for file in asked.files)
    target = Endpoint("sqlserver", (("a", 1433),), instance_id=asked.instance_id, name=instance_name)
    plan = Plan(Endpoint("sqlserver", (), files=files), target, Mode.FULL)
    return replace(NEW, plan=plan, extra=asked.extra([]), **facts)


@pytest.fixture
def in_china(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of the sample."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC-8")
        time.tzset()
        yield
    time.tzset()


def test_the_sample_of_v5() -> None:
    asked = Asked(
        "0a3182607bc549bcb46cc9a8755761a6in04",
        "zyy-obs",
        (AskedFile("1706510914000_1_Test_Database.bak", "", 704 * 1024, 1706511360000),),
        is_cover=True,
        is_last_backup=False,
        is_delete_backup_file=False,
    )
    assert views.detail(job(asked, "")) == SEED_001


def test_a_row_of_the_list_of_v5() -> None:
    asked = Asked("0a3182607bc549bcb46cc9a8755761a6in04", "zyy-obs", (AskedFile("a.bak"),))
    assert views.listed(job(asked, "", description="")) == {
        "id": "0667845a-6291-4e2a-95b0-190c0abjb703",
        "name": "DRS-6813",
        "status": "SUCCESS",
        "engine_type": "sqlserver",
        "create_time": "2024-08-19T02:27:15Z",
        "finish_time": "2024-08-19T02:29:03Z",
        "enterprise_project_id": "0",
    }


@pytest.mark.usefixtures("in_china")
def test_the_sample_of_v1() -> None:
    """It has a time of its end, though it is being restored. Times of files are there in both spellings."""
    asked = Asked(
        "c83310b677684c648dd7463bdf8be077in04",
        "offline",
        (AskedFile("sqlserver-dev-rds-upload-20180420043142704", "", 16619930, 1519374126000),),
        is_cover=True,
        is_default_restore=False,
        db_names=("user03", "user02", "user01"),
    )
    shown = old_views.detail(
        job(
            asked,
            "dev-rds-upload",
            id=JobId("7e45307c-83da-464f-aa74-7a2fa7fef6f3"),
            name="migration",
            description="good",
            condition=Condition.RUNNING,
            phase=Phase.COPY,
            created_ms=1524126594390,
            ended_ms=1524126778757,
        )
    )
    assert shown["backup"]["file_info"][0].pop("file_last_modify") == "2018/02/23 16:22:06 GMT+08:00"
    assert shown == SEED_000


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (-1, ""),
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KB"),
        (720896, "704KB"),
        (16619930, "15.85MB"),
        (5 * 1024**3, "5GB"),
        (3000 * 1024**4, "3000TB"),
    ],
)
def test_sizes_are_written_in_the_largest_unit(size: int, text: str) -> None:
    assert views.size_text(size) == text

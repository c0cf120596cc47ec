"""Values to fill a store with."""

from dataclasses import replace
from typing import Any

from sterna.core.job import Condition, Job, JobId, Phase, ProjectId, Wish
from sterna.core.people import new_id
from sterna.core.plan import (
    Conflict,
    Endpoint,
    Mode,
    Pace,
    Picked,
    Plan,
    Rename,
    Resume,
    RowFilter,
    Selection,
    Tls,
    Window,
)

KEY = bytes(range(32))
PASSWORD = "tern-secret-4711"

PLAN = Plan(
    source=Endpoint(
        "redis",
        (("source.example", 6379), ("10.0.0.2", 6380)),
        "reader",
        PASSWORD,
        Tls(False, "ca.pem", authority="PEM", host_name=False),
    ),
    target=Endpoint(
        "redis",
        (("target.example", 6379),),
        password=PASSWORD + "-target",
        instance_id="i",
        name="new",
        database="d\ud800",
    ),
    mode=Mode.FULL,
    selection=Selection(
        ("0", "3"),
        (Rename("0", "1"),),
        RowFilter(("user:",), ("tmp:", "ü\0")),
        (
            Picked(("shop",)),
            Picked(("shop", "public", 'a."b'), ("new", "public", "c"), ("id", "ü\0"), "id > 3 and name = ''"),
        ),
        (("shop", "private"), ("shop", "public", "x")),
    ),
    pace=Pace(1, 2, (Window(0, 59, 3), Window(1439, 5, 4))),
    conflict=Conflict.SKIP,
    resume=Resume.MANUAL,
    options={"rdb": "7"},
)


def a_job(**facts: Any) -> Job:
    """A described job that was never started."""
    job = Job(
        id=JobId(new_id()),
        project_id=ProjectId("p"),
        kind="cli",
        name="job",
        description="",
        plan=PLAN,
        extra={},
        phase=Phase.DRAFT,
        condition=Condition.IDLE,
        wish=Wish.NONE,
        asked=0,
        answered=0,
        epoch=0,
        failure=None,
        created_ms=1,
        updated_ms=1,
    )
    return replace(job, **facts)

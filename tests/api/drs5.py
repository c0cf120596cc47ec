"""What the tests of DRS v5 share: bodies as clients send them, and an engine whose answers a test decides."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth, Difference
from sterna.core.errors import AccessDenied
from sterna.core.finding import Finding, Severity
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Plan
from sterna.core.ports import Check, Found, Room
from tests.api.service import PROJECT, NoEngine
from tests.effort import PATIENCE

V5 = f"/v5/{PROJECT}"
SECRET = "S3cret-\"\\'$ü"


def side(role: str, **server: Any) -> dict[str, Any]:
    """One side, as the documents show it."""
    return {
        "db_type": "postgresql",
        "endpoint_type": "offline",
        "endpoint_role": role,
        "endpoint": {
            "endpoint_name": "postgresql",
            "ip": "10.0.0.5" if role == "so" else "10.0.0.6",
            "db_port": "5432",
            "db_user": "mover",
            "db_password": SECRET,
            **server,
        },
        "cloud": {"region": "eu-test-1", "project_id": PROJECT, "az_code": "az1"},
        "vpc": {"vpc_id": "vpc-1", "subnet_id": "subnet-1", "security_group_id": "group-1"},
        "ssl": {"ssl_link": False},
    }


def new_job(name: str, **base: Any) -> dict[str, Any]:
    """The body of a creation."""
    return {
        "job": {
            "base_info": {
                "name": name,
                "job_type": "sync",
                "engine_type": "postgresql",
                "job_direction": "up",
                "task_type": "FULL_INCR_TRANS",
                "net_type": "eip",
                "charging_mode": "on_demand",
                "enterprise_project_id": "0",
                "description": "",
                "expired_days": "14",
                "tags": [{"key": "test", "value": "test"}],
                **base,
            },
            "source_endpoint": [side("so")],
            "target_endpoint": [side("ta")],
            "node_info": {
                "spec": {"node_type": "medium"},
                "vpc": {"vpc_id": "vpc-1", "subnet_id": "subnet-1"},
            },
        }
    }


def create(client: httpx.Client, name: str, **base: Any) -> str:
    """A new task's id."""
    answer = client.post(f"{V5}/jobs", json=new_job(name, **base))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def act(client: httpx.Client, id: str, action: str, **params: Any) -> httpx.Response:
    body = {"job": {"action_name": action, "action_params": params}}
    return client.post(f"{V5}/jobs/{id}/action", json=body)


def detail(client: httpx.Client, id: str, type: str = "detail", **query: Any) -> dict[str, Any]:
    answer = client.get(f"{V5}/jobs/{id}", params={"type": type, **query})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["job"]
    return shown


def until(look: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """What a look gives as soon as it gives something."""
    end = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Told:
    """A check with a result of its own."""

    name: str
    finding: Finding

    async def run(self) -> Sequence[Finding]:
        return [self.finding]


ORDERS = Name(("shop", "public", "orders"))
CUSTOMERS = Name(("shop", "public", "customers"))

FINDINGS = (
    Finding("sourceWalLevel", Severity.PASSED, "wal_level is logical", group="db_params"),
    Finding("tableWithoutKey", Severity.ALARM, "shop.public.log has no key", "Add one.", group="db_params"),
)


@dataclass(frozen=True)
class FakePostgres(NoEngine):
    """An engine that answers what a test wants to hear, and moves nothing."""

    name: str = "postgresql"
    findings: list[Finding] = field(default_factory=lambda: list(FINDINGS))
    repaired: list[Sequence[Name]] = field(default_factory=list)

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return [Told(finding.check, finding) for finding in self.findings]

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        if endpoint.password != SECRET:
            raise AccessDenied(f"The server {endpoint} refused the password")
        return {"version": "18.1"}

    async def browse(self, endpoint: Endpoint, databases: Sequence[str] = ()) -> Sequence[Found]:
        return [
            Found(("shop",), "database"),
            Found(("shop", "public"), "schema"),
            Found(ORDERS.path, "table"),
            Found(("shop", "public", "totals"), "view"),
            Found(("empty",), "database"),
        ]

    async def compare(
        self,
        plan: Plan,
        *,
        room: Room | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        if repair:
            self.repaired.append(only)
        differing = 0 if repair else 2
        tables = [
            Compared(name, name, 7, 7 - (differing if name == ORDERS else 0), differing if name == ORDERS else 0)
            for name in (ORDERS, CUSTOMERS)
            if not only or name in only
        ]
        row = Difference("shop.public.orders (4)", "missing", "", "INSERT INTO public.orders VALUES (4)")
        return Comparison(
            equal=not differing,
            compared=len(tables),
            differences=() if repair else (row,),
            different=differing,
            counts={},
            objects={"tables": (2, 2), "indexes": (3, 2)},
            tables=tables,
        )

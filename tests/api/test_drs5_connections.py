"""Connections of DRS v5: database servers registered by name, which tasks use by id."""

import json
from typing import Any

import httpx

from sterna.core.job import JobId
from sterna.core.plan import Tls
from tests.api.drs5 import SECRET, V5, new_job
from tests.api.service import INSTANCE, SECOND_PROJECT, Service

CONNECTIONS = f"{V5}/connections"


def body(name: str, **more: Any) -> dict[str, Any]:
    server = {
        "endpoint_name": "postgresql",
        "ip": "10.3.0.1",
        "db_port": "5433",
        "db_user": "mover",
        "db_password": SECRET,
        "db_name": "shop",
    }
    whole = {"name": name, "db_type": "postgresql", "endpoint": server, "ssl": {"ssl_link": False}}
    return {**whole, "description": "d", "enterprise_project_id": "0", **more}


def create(client: httpx.Client, name: str, **more: Any) -> str:
    answer = client.post(CONNECTIONS, json=body(name, **more))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["connection_id"])


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error_code"])


def test_a_connection_is_made_shown_changed_and_forgotten(service: Service, client: httpx.Client) -> None:
    made = client.post(CONNECTIONS, json=body("DRS-first"))
    shown = made.json()
    id = shown["connection_id"]
    assert shown["endpoint"] == {
        "endpoint_name": "postgresql",
        "ip": "10.3.0.1",
        "db_port": "5433",
        "db_user": "mover",
        "db_name": "shop",
    }
    assert (shown["ssl"], shown["description"], shown["db_type"]) == ({"ssl_link": False}, "d", "postgresql")
    assert isinstance(shown["create_time"], int)
    assert SECRET not in json.dumps(shown, ensure_ascii=False)
    server = {"ip": "10.3.0.1", "db_port": "5433", "db_user": "other"}
    change = {"name": "DRS-renamed", "endpoint": server, "ssl": {"ssl_link": True}}
    answer = client.put(f"{CONNECTIONS}/{id}", json=change)
    assert (answer.status_code, answer.json()) == (200, {})
    kept = service.run(service.store.instance(id))
    assert (kept.name, kept.user, kept.password) == ("DRS-renamed", "other", SECRET)
    assert client.put(f"{CONNECTIONS}/{id}", json={"endpoint": {"ip": "10.3.0.9"}}).json() == {}
    moved = service.run(service.store.instance(id))
    assert (moved.addresses, moved.password) == ((("10.3.0.9", 5432),), ""), "no password goes to another server"
    listed = client.get(CONNECTIONS, params={"connection_id": id}).json()
    assert (listed["count"], listed["connections"][0]["ssl"]) == (1, {"ssl_link": True})
    assert client.delete(f"{CONNECTIONS}/{id}").json() == {}
    assert code(client.delete(f"{CONNECTIONS}/{id}")) == (400, "DRS.10010069")


def test_a_name_is_taken_once(client: httpx.Client) -> None:
    id = create(client, "DRS-second")
    assert code(client.post(CONNECTIONS, json=body("drs-SECOND"))) == (400, "DRS.10010065")
    create(client, "DRS-third")
    assert code(client.put(f"{CONNECTIONS}/{id}", json={"name": "DRS-third"})) == (400, "DRS.10010065")
    assert client.put(f"{CONNECTIONS}/{id}", json={"name": "drs-second"}).json() == {}


def test_connections_are_filtered_and_paged(client: httpx.Client) -> None:
    ids = [create(client, f"DRS-page-{number}", description=f"page {number}") for number in range(3)]

    def listed(**query: Any) -> Any:
        answer = client.get(CONNECTIONS, params={"name": "DRS-page", "type": "", **query}).json()
        return [it["connection_id"] for it in answer["connections"]]

    assert listed(sort_key="name", sort_dir="asc") == ids
    assert listed(sort_key="name", sort_dir="asc", offset=1, limit=1) == [ids[1]]
    assert listed(description="page 2") == [ids[2]]
    assert listed(offset=3) == []
    assert listed(db_type="mysql") == []
    assert len(listed(fetch_all=True, limit=1)) == 3


def test_a_server_that_was_registered_otherwise_is_a_connection_too(client: httpx.Client) -> None:
    (found,) = client.get(CONNECTIONS, params={"connection_id": INSTANCE}).json()["connections"]
    assert (found["db_type"], found["endpoint"]["ip"], found["endpoint"]["db_port"]) == (
        "redis",
        "192.168.0.79",
        "6379",
    )


def test_a_task_uses_a_connection_by_its_id(service: Service, client: httpx.Client) -> None:
    id = create(client, "DRS-used", ssl={"ssl_link": True})
    wanted = new_job("uses-one")
    wanted["job"]["target_endpoint"][0]["endpoint"] = {"endpoint_name": "cloud_postgresql", "instance_id": id}
    answer = client.post(f"{V5}/jobs", json=wanted)
    assert answer.status_code == 200, answer.text
    plan = service.run(service.store.job(JobId(answer.json()["id"]))).plan
    assert plan
    assert (plan.target.addresses, plan.target.user, plan.target.password) == (
        (("10.3.0.1", 5433),),
        "mover",
        SECRET,
    )
    assert plan.target.tls == Tls(verify=False)


def test_others_neither_see_nor_change_a_connection(service: Service, client: httpx.Client) -> None:
    id = create(client, "DRS-own")
    with service.client(service.token(SECOND_PROJECT)) as other:
        path = f"/v5/{SECOND_PROJECT}/connections"
        assert other.get(path).json() == {"count": 0, "connections": []}
        assert code(other.put(f"{path}/{id}", json={"name": "mine"})) == (400, "DRS.10010069")
        assert code(other.delete(f"{path}/{id}")) == (400, "DRS.10010069")


def test_what_cannot_be_moved_cannot_be_registered(client: httpx.Client) -> None:
    assert code(client.post(CONNECTIONS, json=body("DRS-mysql", db_type="mysql"))) == (400, "DRS.M00302")
    nowhere = {"endpoint_name": "postgresql", "db_user": "a", "db_password": "b"}
    assert code(client.post(CONNECTIONS, json=body("DRS-nowhere", endpoint=nowhere))) == (400, "DRS.M00201")
    assert code(client.post(CONNECTIONS, json=body("abc"))) == (400, "DRS.M00202")

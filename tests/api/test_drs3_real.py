"""DRS v3 moves a real database: every call of a migration, from its creation to its deletion, real engine."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sterna.core.job import JobId
from sterna.engines.postgres.engine import PostgresEngine
from sterna.jobs.runner import Runner
from tests.api.drs3 import V3, call, created, detail, one, status_of
from tests.api.drs5 import until
from tests.api.service import Service, serving
from tests.effort import PATIENCE
from tests.servers.certificates import certificates_in, make_certificates
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = PostgresEngine()  # type: ignore[index]
        yield running


def side(server: PostgresServer, **more: Any) -> dict[str, Any]:
    address = {"ip": server.host, "db_port": server.port, "db_user": "postgres", "db_password": server.password}
    return {"db_type": "postgresql", **address, **more}


def run(service: Service, id: str, folder: Path) -> None:
    """Be the runtime: run the job in the service's own loop."""
    runner = Runner(service.store, service.desk.engines, JobId(id), folder)
    asyncio.run_coroutine_threadsafe(runner.run(), service.loop)


def reaches(client: httpx.Client, id: str, wanted: str) -> None:
    """Wait for a status; a failure on the way is told."""

    def look() -> bool:
        now = status_of(client, id)
        assert not now.endswith("FAILED"), detail(client, id)["error_message"]
        return now == wanted

    until(look, timeout=PATIENCE)


def test_a_real_database_is_checked_moved_followed_compared_and_released(
    postgres_server: StartPostgres, service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    source.create_database("shop")
    source.sql("CREATE TABLE orders (id int PRIMARY KEY, what text)", "shop")
    source.sql("INSERT INTO orders SELECT g, 'x' || g FROM generate_series(1, 1000) g", "shop")
    source.sql("CREATE TABLE left_out (id int PRIMARY KEY)", "shop")

    id = created(client, "a-real-move", source_endpoint=side(source), target_endpoint=side(target))
    tests = [
        {**side(server), "id": id, "net_type": "vpc", "end_point_type": end}
        for end, server in (("so", source), ("ta", target))
    ]
    tests.append({**tests[0], "db_password": "wrong"})
    answer = call(client, "POST", "batch-connection", {"jobs": tests})
    assert [it["success"] for it in answer["results"]] == [True, True, False], answer
    assert answer["results"][2]["error_code"] == "DRS.KE0002"
    rows = [
        {"id": "shop", "object_type": "database", "select": "partial", "object_alias_name": "store"},
        {
            "id": "shop-*-*-public-*-*-orders",
            "object_type": "table",
            "select": "true",
            "object_alias_name": "sales",
        },
    ]
    assert one(client, "PUT", "batch-select-objects", {"job_id": id, "selected": True, "job": rows}, 202)["status"]

    one(client, "POST", "batch-precheck", {"job_id": id, "precheck_mode": "forStartJob"})

    def report() -> Any:
        (result,) = call(client, "POST", "batch-precheck-result", {"jobs": [id]})["results"]
        return result if result["process"] == "100%" else None

    checked = until(report, timeout=PATIENCE)
    assert checked["total_passed_rate"] == "100%", [
        it for it in checked["precheck_result"] if it["result"] == "FAILED"
    ]
    one(client, "POST", "batch-starting", {"job_id": id}, 202)
    run(service, id, tmp_path)
    reaches(client, id, "INCRE_TRANSFER_STARTED")
    source.sql("INSERT INTO orders VALUES (1001, 'later')", "shop")
    until(lambda: target.sql("SELECT 1 FROM sales WHERE id = 1001", "store"), timeout=PATIENCE)

    made = call(client, "POST", f"{id}/table/compare", {"type": "contents"}, 202)["id"]

    def compared() -> Any:
        (listed,) = client.get(f"{V3}/{id}/table/compare").json()["compare_jobs"]
        assert listed["status"] != "FAILED"
        return listed["status"] == "SUCCESSFUL"

    until(compared, timeout=PATIENCE)
    body = {"job_id": id, "content_compare_id": made, "current_page": 1, "per_page": 10}
    found = call(client, "POST", "query-compare-result", body)["content_compare_results"]
    (details,) = found["content_compare_details"]
    (orders,) = details["content_compare_detail"]
    assert (orders["source_table_name"], orders["target_table_name"]) == ("public.orders", "public.sales")
    assert (orders["source_row_num"], orders["content_compare_result"]) == (1001, "CONSISTENT"), orders

    assert (
        one(client, "DELETE", "batch-jobs", {"job_id": id, "delete_type": "terminate"}, 202)["status"] == "success"
    )
    reaches(client, id, "RELEASE_RESOURCE_COMPLETE")
    assert source.sql("SELECT count(*) FROM pg_replication_slots") == [(0,)]
    assert one(client, "DELETE", "batch-jobs", {"job_id": id, "delete_type": "delete"}, 202)["status"] == "success"
    assert target.sql("SELECT count(*) FROM sales", "store") == [(1001,)]
    assert target.sql("SELECT to_regclass('left_out')", "store") == [(None,)]


def test_a_server_is_trusted_by_the_certificate_that_was_brought(
    postgres_server: StartPostgres, client: httpx.Client, tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    other = base64.b64encode(certificates_in(tmp_path).ca.read_bytes()).decode()
    server = postgres_server("pg15", tls=True)
    assert server.tls_ca
    good = base64.b64encode(server.tls_ca.read_bytes()).decode()
    id = created(client, "with-a-certificate")

    def tried(**tls: Any) -> bool:
        wanted = {**side(server), "id": id, "net_type": "vpc", "end_point_type": "so", **tls}
        answer = call(client, "POST", "batch-connection", {"jobs": [wanted]})
        return bool(answer["results"][0]["success"])

    assert not tried(ssl_link=False)
    assert tried(ssl_link=True)
    assert tried(ssl_link=True, ssl_cert_key=good)
    assert not tried(ssl_link=True, ssl_cert_key=other), "it has signed nothing"

"""The settings of a task's databases through DRS v3: real servers, and the vendor's own client."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdrs import v3 as sdk

from sterna.core.job import Condition, Phase
from sterna.engines.postgres.engine import PostgresEngine
from tests.api.drs3 import UNKNOWN, call, configured, created, started
from tests.api.service import AK, PROJECT, SK, Service, serving
from tests.effort import PATIENCE
from tests.servers.postgres import PostgresServer, Unavailable, running

pytestmark = pytest.mark.filterwarnings("ignore:Method .* of DrsClient is deprecated:DeprecationWarning")


@dataclass(frozen=True)
class Stand:
    drs: Any
    source: PostgresServer
    target: PostgresServer
    id: str
    url: str
    token: str

    def shown(self, refresh: str = "1") -> dict[str | None, Any]:
        body = sdk.BatchQueryParamReq(jobs=[self.id], refresh=refresh)
        answer = self.drs.batch_show_params(sdk.BatchShowParamsRequest(body=body))
        assert answer.count == 1
        return {it.key: it for it in answer.params_list[0].params}

    def set(self, group: str, **values: str) -> Any:
        rows = [sdk.ParamsReqBean(key=key, target_value=value) for key, value in values.items()]
        body = sdk.ModifyTargetParamsReq(group=group, params=rows)
        return self.drs.update_params(sdk.UpdateParamsRequest(job_id=self.id, body=body))

    def refused(self, group: str, **values: str) -> tuple[str, str]:
        with pytest.raises(ClientRequestException) as refused:
            self.set(group, **values)
        assert refused.value.status_code == 400
        return refused.value.error_code, refused.value.error_msg


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    try:
        with serving() as service, running("pg15", "work_mem=8MB") as source, running("pg18") as target:
            service.desk.engines["postgresql"] = PostgresEngine()  # type: ignore[index]
            builder = sdk.DrsClient.new_builder().with_credentials(BasicCredentials(AK, SK, PROJECT))
            config = HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)
            with service.client(service.token()) as client:
                id = created(client, "settings", source_endpoint=side(source), target_endpoint=side(target))
            drs = builder.with_endpoint(service.url).with_http_config(config).build()
            yield Stand(drs, source, target, id, service.url, service.token())
    except Unavailable as reason:
        pytest.skip(str(reason))


def side(server: PostgresServer, user: str = "postgres") -> dict[str, Any]:
    address = {"ip": server.host, "db_port": server.port, "db_user": user, "db_password": server.password}
    return {"db_type": "postgresql", **address}


@pytest.mark.server
def test_settings_are_read_kept_and_changed(stand: Stand) -> None:
    assert stand.shown("0")[None].error_code == "DRS.M00303"
    seen = stand.shown()
    work = seen["work_mem"].to_dict()
    assert {field: value for field, value in work.items() if value is not None} == {
        "group": "performance",
        "key": "work_mem",
        "source_value": "8192",
        "target_value": "4096",
        "compare_result": "false",
        "data_type": "figure",
        "value_range": "64-2147483647",
        "need_restart": "false",
    }
    assert (seen["bytea_output"].compare_result, seen["bytea_output"].data_type) == ("true", None)
    assert (seen["max_connections"].need_restart, seen["bytea_output"].group) == ("true", "common")
    done = stand.set("performance", work_mem="8192")
    assert (done.success, done.should_restart) == (True, "false")
    assert stand.target.sql("SELECT current_setting('work_mem')") == [("8MB",)]
    assert stand.shown("0")["work_mem"].compare_result == "true", "what was changed is read again"
    assert stand.set("performance", max_connections="120").should_restart == "true"
    assert stand.set("common", search_path="").success


@pytest.mark.server
def test_what_cannot_be_set_is_named(stand: Stand) -> None:
    assert stand.refused("performance", work_mem="1") == (
        "DRS.M00202",
        "The value of parameter work_mem is invalid.",
    )
    for group, name in (("common", "work_mem"), ("performance", "archive_command")):
        code, text = stand.refused(group, **{name: "8192"})
        assert (code, name in text) == ("DRS.M00305", True)
    assert stand.refused("common", server_encoding="LATIN1")[0] == "DRS.M00202"


@pytest.mark.server
def test_a_user_who_may_not_change_settings_is_told_so(stand: Stand) -> None:
    stand.target.sql(f"CREATE ROLE weak LOGIN PASSWORD '{stand.target.password}'")
    with httpx.Client(base_url=stand.url, headers={"X-Auth-Token": stand.token}, timeout=PATIENCE) as client:
        sides = {"source_endpoint": side(stand.source), "target_endpoint": side(stand.target, "weak")}
        id = created(client, "settings-of-the-weak", **sides)
        assert "work_mem" in {it["key"] for it in asked(client, id)}
        values = {"group": "performance", "params": [{"key": "work_mem", "target_value": "5MB"}]}
        answer = call(client, "POST", f"{id}/params", values, 400)
        assert (answer["error_code"], "may not change work_mem" in answer["error_msg"]) == ("DRS.M00305", True)
        gone = created(client, "settings-of-nobody", **{**sides, "target_endpoint": side(stand.target, "nobody")})
        (wrong,) = asked(client, gone)
        assert wrong["error_code"] == "DRS.M00305"


def asked(client: httpx.Client, id: str, refresh: object = 1) -> list[dict[str, str]]:
    answer = call(client, "POST", "batch-get-params", {"jobs": [id], "refresh": refresh}, 202)
    assert (answer["count"], len(answer["params_list"])) == (1, 1)
    rows: list[dict[str, str]] = answer["params_list"][0]["params"]
    return rows


def test_without_a_task_a_server_or_an_engine_that_can_there_are_no_settings(client: httpx.Client) -> None:
    nowhere = {"source_endpoint": {"db_type": "postgresql"}, "target_endpoint": {"db_type": "postgresql"}}
    for id, code in (
        (UNKNOWN, "DRS.M00289"),
        (created(client, "no-address", **nowhere), "DRS.M00305"),
        (configured(client, "no-engine"), "DRS.M00305"),
    ):
        ((wrong,), (kept,)) = asked(client, id), asked(client, id, "0")
        assert wrong["error_code"] == code
        assert wrong.keys() == {"error_code", "error_message"}
        assert kept["error_code"] in (code, "DRS.M00303")


def test_settings_are_changed_before_the_start_alone(service: Service, client: httpx.Client) -> None:
    id = started(client, "too-late")
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    values = {"group": "common", "params": [{"key": "work_mem", "target_value": "4MB"}]}
    assert call(client, "POST", f"{id}/params", values, 400)["error_code"] == "DRS.M00304"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"group": "other"}, "DRS.M00202"),
        ({"params": []}, "DRS.M00201"),
        ({"params": [{"key": "work_mem"}]}, "DRS.M00201"),
        ({"params": [{"key": "work_mem", "target_value": "1"}] * 2}, "DRS.M00301"),
    ],
)
def test_a_change_without_sense_is_refused(
    client: httpx.Client, name: str, change: dict[str, Any], code: str
) -> None:
    values = {"group": "common", "params": [{"key": "work_mem", "target_value": "4MB"}], **change}
    assert call(client, "POST", f"{created(client, name)}/params", values, 400)["error_code"] == code


@pytest.mark.parametrize("refresh", [None, "2", True, []])
def test_refresh_is_one_or_zero(client: httpx.Client, name: str, refresh: object) -> None:
    body = {"jobs": [created(client, name)], "refresh": refresh}
    assert call(client, "POST", "batch-get-params", body, 400)["error_code"] in ("DRS.M00201", "DRS.M00202")


@pytest.fixture
def name() -> str:
    return "t" + uuid4().hex[:12]

"""DRS v3: tasks are configured: connections, objects, policies, speed, passwords, notifications."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sterna.core.job import Condition, Phase
from sterna.core.plan import Conflict, Mode, Picked, Rename, Tls, Window
from tests.api.drs3 import (
    SECRET,
    SOURCE,
    TARGET,
    UNKNOWN,
    Postgres,
    call,
    configured,
    created,
    detail,
    endpoint,
    one,
    plan_of,
    refused,
    started,
)
from tests.api.service import INSTANCE, Service, serving
from tests.servers.certificates import certificates_in, make_certificates

MB = 1024 * 1024


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own."""
    return "t-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]


def connection(id: str, side: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "ip": "192.168.0.27",
        "net_type": "eip",
        "db_type": "postgresql",
        "db_port": 5432,
        "db_user": "root",
        "db_password": SECRET,
        "ssl_link": False,
        "end_point_type": side,
        **more,
    }


def modified(client: httpx.Client, id: str, **more: Any) -> Any:
    return one(client, "PUT", "batch-modification", {"job_id": id, **more})


# Connections.


def test_both_connections_are_tried_in_one_call(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    answer = call(client, "POST", "batch-connection", {"jobs": [connection(id, "so"), connection(id, "ta")]})
    assert answer == {"results": [{"id": id, "status": "success", "success": True}] * 2, "count": 2}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"db_password": "wrong"}, "DRS.KE0002"),
        ({"ip": "nowhere"}, "DRS.M00305"),
        ({"ip": ""}, "DRS.M00201"),
        ({"id": UNKNOWN}, "DRS.M00289"),
        ({"db_type": "mysql"}, "DRS.M00302"),
        ({"ssl_link": True, "ssl_cert_key": "no certificate"}, "DRS.M00202"),
    ],
)
def test_a_connection_that_fails_says_why_in_its_place(
    client: httpx.Client, name: str, more: dict[str, Any], code: str
) -> None:
    id = created(client, name)
    body = {"jobs": [{**connection(id, "so"), **more}, connection(id, "ta")]}
    answer = call(client, "POST", "batch-connection", body)
    assert answer["count"] == 2
    bad, good = answer["results"]
    assert (bad["success"], good["success"]) == (False, True)
    assert refused(bad) == code
    assert SECRET not in repr(answer)


def test_a_connection_of_a_registered_instance_needs_no_address(client: httpx.Client, name: str) -> None:
    id = created(
        client,
        name,
        engine_type="redis",
        source_endpoint={"db_type": "redis"},
        target_endpoint={"db_type": "redis"},
    )
    tried = {"id": id, "net_type": "vpc", "db_type": "redis", "inst_id": INSTANCE, "end_point_type": "ta"}
    assert one(client, "POST", "batch-connection", tried)["success"] is True


def test_connections_of_clusters_are_described_in_json_text(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    server = {
        "ip": "192.168.2.232:5432",
        "dbtype": "postgresql",
        "dbuser": "root",
        "dbpassword": SECRET,
        "ssllink": False,
        "nettype": "eip",
        "vpcId": "vpc-1",
        "endpointtype": "so",
    }

    def tried(*servers: Any) -> dict[str, Any]:
        return {"action": "testConnection", "job_id": id, "property": json.dumps(servers)}

    wrong = {**server, "dbpassword": "wrong", "endpointtype": "ta"}
    text = {"job_id": id, "property": '[{"ip": '}
    body = {"jobs": [tried(server), tried(server, wrong), text, tried(), tried("text")]}
    answer = call(client, "POST", "cluster/batch-connection", body)
    assert answer["count"] == 5
    assert answer["results"][0] == {"id": id, "status": "true", "success": True}
    failed = answer["results"][1:]
    assert {(it["status"], it["success"]) for it in failed} == {("false", False)}
    assert [it["error_code"] for it in failed] == ["DRS.KE0002", "DRS.M00202", "DRS.M00201", "DRS.M00202"]


# Modification.


def test_endpoints_are_stored_and_shown(service: Service, client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    plan = plan_of(service, id)
    assert plan.source.addresses == (("192.168.0.27", 5432),)
    assert (plan.source.user, plan.source.password) == ("root", SECRET)
    shown = detail(client, id)
    assert shown["source_endpoint"]["ip"] == "192.168.0.27"
    assert shown["source_endpoint"]["db_port"] == 5432
    assert shown["target_endpoint"]["inst_id"] == TARGET["inst_id"]
    assert shown["target_endpoint"]["region"] == "eu-de"


def test_what_is_not_said_again_stays(service: Service, client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    assert modified(client, id, source_endpoint={"db_user": "other"})["status"] == "success"
    plan = plan_of(service, id)
    assert (plan.source.user, plan.source.password) == ("other", SECRET)
    assert plan.source.addresses == (("192.168.0.27", 5432),)
    assert modified(client, id, source_endpoint=endpoint("10.7.7.7"), store_db_info=False)["status"] == "success"
    assert plan_of(service, id).source.addresses == (("192.168.0.27", 5432),)


def test_a_task_is_renamed_and_described_also_while_it_runs(
    service: Service, client: httpx.Client, name: str
) -> None:
    id = started(client, name)
    service.play(id, (Phase.COPY, Condition.RUNNING))
    assert modified(client, id, name=f"{name}-new", description="newer") == {"id": id, "status": "success"}
    shown = detail(client, id)
    assert (shown["name"], shown["description"]) == (f"{name}-new", "newer")
    assert modified(client, id, description="")["status"] == "success"
    assert detail(client, id)["description"] == ""
    assert modified(client, id, name=f"{name}-new")["status"] == "success"
    created(client, f"{name}-taken")
    assert refused(modified(client, id, name=f"{name}-taken")) == "DRS.M00277"
    assert refused(modified(client, id, source_endpoint=SOURCE)) == "DRS.M01504"


def test_a_modification_does_not_change_what_a_task_is_for(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    assert refused(modified(client, id, engine_type="redis")) == "DRS.M00202"
    assert refused(modified(client, id, db_use_type="migration")) == "DRS.M00202"
    assert refused(modified(client, id, task_type="INCR_TRANS")) == "DRS.M00305"
    assert refused(modified(client, UNKNOWN, name="whatever")) == "DRS.M00289"
    assert refused(modified(client, id, source_endpoint={"db_type": "mysql"})) == "DRS.M00302"


def test_a_modification_may_change_the_mode_and_what_is_only_kept(
    service: Service, client: httpx.Client, name: str
) -> None:
    id = created(client, name)
    kept = {
        "task_type": "FULL_TRANS",
        "node_type": "medium",
        "is_target_readonly": False,
        "replace_definer": False,
        "tags": [{"key": "a", "value": "b"}],
        "alarm_notify": {
            "alarm_to_user": "true",
            "delay_time": 10,
            "subscriptions": [{"endpoints": ["a@b.example"]}],
        },
    }
    assert modified(client, id, **kept)["status"] == "success"
    assert plan_of(service, id).mode is Mode.FULL
    shown = detail(client, id)
    assert (shown["task_type"], shown["inst_info"]["inst_type"]) == ("FULL_TRANS", "medium")
    assert (shown["is_target_readonly"], shown["replace_definer"]) == (False, False)
    assert shown["tags"] == [{"key": "a", "value": "b"}]
    assert shown["alarm_notify"]["alarm_to_user"] is True
    assert shown["alarm_notify"]["delay_time"] == 10


def test_certificates_are_trusted_as_they_are_brought(
    service: Service, client: httpx.Client, name: str, tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    pem = certificates_in(tmp_path).ca.read_bytes()
    id = created(client, name)
    key = base64.b64encode(pem).decode()
    tls = {"ssl_link": True, "ssl_cert_key": key, "ssl_cert_name": "ca.pem"}
    sums = hashlib.sha256(pem).hexdigest(), "0" * 64
    wrong = modified(client, id, source_endpoint={**SOURCE, **tls, "ssl_cert_check_sum": sums[1]})
    assert refused(wrong) == "DRS.M00202"
    modified(
        client,
        id,
        source_endpoint={**SOURCE, **tls, "ssl_cert_check_sum": sums[0]},
        target_endpoint={"ssl_link": True},
    )
    plan = plan_of(service, id)
    assert plan.source.tls == Tls(authority=pem.decode(), host_name=False)
    assert plan.target.tls == Tls(verify=False)
    shown = detail(client, id)["source_endpoint"]
    assert (shown["ssl_link"], shown["ssl_cert_name"]) == (True, "ca.pem")
    assert "ssl_cert_key" not in shown


# Objects.


def row(id: str, type: str, select: str = "true", alias: str | None = None) -> dict[str, Any]:
    parent, _, name = id.rpartition("-*-*-")
    return {
        "id": id,
        "parent_id": parent or None,
        "object_name": name,
        "object_type": type,
        "select": select,
        "object_alias_name": alias,
    }


def selected(client: httpx.Client, id: str, *rows: dict[str, Any], **more: Any) -> Any:
    return one(client, "PUT", "batch-select-objects", {"job_id": id, "selected": True, "job": rows, **more}, 202)


def test_objects_are_chosen_with_new_names(service: Service, client: httpx.Client, name: str) -> None:
    id = created(client, name)
    rows = (
        row("shop", "database", "partial", "store"),
        row("shop-*-*-public", "schema", "partial"),
        row("shop-*-*-public-*-*-orders", "table", "true", "sales"),
        row("shop-*-*-public-*-*-customers", "table"),
        row("archive", "database"),
        row("archive-*-*-old", "schema", "false"),
        row("logs-*-*-lines", "table"),
    )
    assert selected(client, id, *rows) == {"job_id": id, "status": True}
    selection = plan_of(service, id).selection
    assert selection.objects == (
        Picked(("shop", "public", "orders"), ("store", "public", "sales")),
        Picked(("shop", "public", "customers"), ("store", "public", "customers")),
        Picked(("archive",)),
        Picked(("logs", "public", "lines")),
    )
    assert selection.without == (("archive", "old"),)
    shown = detail(client, id)
    assert shown["object_switch"] is True
    assert {"id": "archive", "type": "database", "name": "archive"} in shown["object_infos"]
    everything = {"job_id": id, "selected": False, "job": []}
    assert one(client, "PUT", "batch-select-objects", everything, 202)["status"] is True
    assert plan_of(service, id).selection.objects == ()
    assert detail(client, id)["object_switch"] is False


def test_databases_of_a_key_value_store_are_chosen_by_number(
    service: Service, client: httpx.Client, name: str
) -> None:
    redis = {"db_type": "redis"}
    id = created(client, name, engine_type="redis", source_endpoint=redis, target_endpoint=redis)
    assert selected(client, id, row("0", "database"), row("3", "database", "true", "4"))["status"] is True
    selection = plan_of(service, id).selection
    assert (selection.only, selection.renames) == (("0", "3"), (Rename("3", "4"),))
    assert refused(selected(client, id, row("0-*-*-keys", "table"))) == "DRS.M00202"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ((), "DRS.M00201"),
        ((row("shop", "database", "partial"),), "DRS.M00305"),
        ((row("a-*-*-b-*-*-c-*-*-d", "table"),), "DRS.M00202"),
        ((row("a-*-*-", "schema"),), "DRS.M00202"),
        ((row("a", "database"), row("a", "database")), "DRS.M00202"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(
    client: httpx.Client, name: str, rows: tuple[Any, ...], code: str
) -> None:
    assert refused(selected(client, created(client, name), *rows)) == code


def test_objects_are_not_edited_after_the_start(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    assert refused(selected(client, id, row("shop", "database"))) == "DRS.M00304"
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    assert refused(selected(client, id, row("shop", "database"))) == "DRS.M00401"


def test_rows_of_chosen_tables_are_filtered(service: Service, client: httpx.Client, name: str) -> None:
    id = created(client, name)
    rule = {"transformation_type": "contentConditionalFilter", "value": "id > 5"}
    table = "shop-*-*-public-*-*-orders"

    def filtered(**more: Any) -> Any:
        wanted = {"job_id": id, "object_info": [{"id": table, "select": "true"}], "transformation_info": rule}
        return one(client, "POST", "batch-transformation", {**wanted, **more})

    assert refused(filtered()) == "DRS.M00305"
    selected(client, id, row("shop", "database", "true", "store"), row("other", "database"))
    assert filtered() == {"id": id, "status": "success"}
    selection = plan_of(service, id).selection
    assert selection.objects[-1] == Picked(
        ("shop", "public", "orders"), ("store", "public", "orders"), where="id > 5"
    )
    assert selection.objects[:-1] == (Picked(("shop",), ("store",)), Picked(("other",)))
    shown = detail(client, id)["data_transformation"]
    assert shown["total_count"] == 1
    assert shown["filter_conditions"][0]["object_infos"][0]["table_name"] == "orders"
    filtered(transformation_info={**rule, "value": "id > 9"})
    assert plan_of(service, id).selection.objects[-1].where == "id > 9"
    assert detail(client, id)["data_transformation"]["total_count"] == 1
    config = {"transformation_type": "configConditionalFilter", "value": "config"}
    assert refused(filtered(transformation_info=config)) == "DRS.M00305"
    assert refused(filtered(object_info=[])) == "DRS.M00201"


# The rest.


def test_policies_become_the_plan(service: Service, client: httpx.Client, name: str) -> None:
    id = created(client, name)
    sample = {"job_id": id, "conflict_policy": "ignore", "ddl_trans": True, "filter_ddl_policy": "drop_database"}
    assert one(client, "POST", "batch-sync-policy", {**sample, "index_trans": True})["status"] == "success"
    plan = plan_of(service, id)
    assert (plan.conflict, plan.options["ddl"]) == (Conflict.SKIP, "apply")
    assert detail(client, id)["conflict_policy"] == "ignore"
    for policy, conflict in (("overwrite", Conflict.OVERWRITE), ("stop", Conflict.STOP)):
        one(client, "POST", "batch-sync-policy", {"job_id": id, "conflict_policy": policy, "ddl_trans": False})
        plan = plan_of(service, id)
        assert (plan.conflict, plan.options["ddl"]) == (conflict, "stop")
    for unknown in ({"file_and_position": "mysql-bin.000019:197"}, {"topic": "t"}, {"index_trans": False}):
        assert refused(one(client, "POST", "batch-sync-policy", {"job_id": id, **unknown})) == "DRS.M00305"
    assert (
        one(client, "POST", "batch-sync-policy", {"job_id": id, "topic": "", "gtid_set": ""})["status"]
        == "success"
    )


def test_the_definer_is_kept(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    body = {"job_id": id, "replace_definer": False}
    assert one(client, "POST", "batch-replace-definer", body) == {"id": id, "status": "success"}
    assert detail(client, id)["replace_definer"] is False


def limited(client: httpx.Client, id: str, *windows: tuple[str, str, str], **more: Any) -> Any:
    speed = [{"begin": begin, "end": end, "speed": mb, **more} for begin, end, mb in windows]
    answer = call(client, "PUT", "batch-limit-speed", {"speed_limits": [{"job_id": id, "speed_limit": speed}]})
    assert answer["count"] == 1
    return answer["results"][0]


def test_speed_is_limited_by_the_hour_also_while_a_task_runs(
    service: Service, client: httpx.Client, name: str
) -> None:
    id = started(client, name)
    service.play(id, (Phase.COPY, Condition.RUNNING))
    assert limited(client, id, ("16:00", "15:59", "15")) == {"id": id, "status": "success"}
    assert plan_of(service, id).pace.windows == (Window(960, 959, 15 * MB),)
    assert detail(client, id)["speed_limit"] == [{"begin": "16:00", "end": "15:59", "speed": "15"}]
    limited(client, id, ("08:30", "17:59", "1"), ("22:00", "05:59", "9999"))
    assert plan_of(service, id).pace.windows == (Window(480, 1079, MB), Window(1320, 359, 9999 * MB))
    limited(client, id)
    assert plan_of(service, id).pace.windows == ()


@pytest.mark.parametrize(
    ("windows", "code"),
    [
        ([("16:00", "16:00", "1")], "DRS.M00306"),
        ([("16:00", "17:00", "1")], "DRS.M00202"),
        ([("16:00", "24:59", "1")], "DRS.M00202"),
        ([("4 pm", "17:59", "1")], "DRS.M00202"),
        ([("16:00", "17:59", "0")], "DRS.M00202"),
        ([("16:00", "17:59", "10000")], "DRS.M00202"),
        ([("16:00", "17:59", "fast")], "DRS.M00202"),
        ([("16:00", "17:59", "1"), ("17:00", "18:59", "1")], "DRS.M00305"),
        ([("00:00", "00:59", "1")] * 11, "DRS.M00202"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(
    client: httpx.Client, name: str, windows: list[tuple[str, str, str]], code: str
) -> None:
    assert refused(limited(client, created(client, name), *windows)) == code


def test_passwords_are_changed_of_tasks_that_were_started(
    service: Service, client: httpx.Client, name: str
) -> None:
    id = configured(client, name)
    change = {"job_id": id, "db_password": 'n3w "pass\\', "end_point_type": "so"}
    assert refused(one(client, "PUT", "batch-modify-pwd", change)) == "DRS.M00304"
    one(client, "POST", "batch-starting", {"job_id": id}, 202)
    service.play(id, (Phase.PREPARE, Condition.FAILED))
    body = {"jobs": [change, {**change, "db_password": "other", "end_point_type": "ta"}]}
    answer = call(client, "PUT", "batch-modify-pwd", body)
    assert answer == {
        "results": [{"id": id, "status": "success", "end_point_type": side} for side in ("so", "ta")],
        "count": 2,
    }
    plan = plan_of(service, id)
    assert (plan.source.password, plan.target.password) == ('n3w "pass\\', "other")


def test_notifications_are_kept(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    body: dict[str, Any] = {
        "jobs": [{"job_id": id, "status": "CONFIGURATION", "engine_type": "postgresql"}],
        "alarm_notify_info": {"delay_time": 1200, "topic_urn": "urn:smn:cn-north-7:04f9:drs-zw"},
    }
    assert call(client, "POST", "batch-set-smn", body) == {
        "results": [{"id": id, "status": "success"}],
        "count": 1,
    }
    alarm = detail(client, id)["alarm_notify"]
    assert (alarm["delay_time"], alarm["topic_name"]) == (1200, "drs-zw")
    body["alarm_notify_info"]["delay_time"] = 3601
    assert call(client, "POST", "batch-set-smn", body, 400)["error_code"] == "DRS.M00202"


def test_a_task_twice_in_a_call_is_refused(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    body = {"jobs": [{"job_id": id, "name": "name-1"}, {"job_id": id, "name": "name-2"}]}
    assert call(client, "PUT", "batch-modification", body, 400)["error_code"] == "DRS.M00301"

"""From what a client of v5 described to a plan and to what is told of it again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sterna.api.drs.certificates import certificate_of
from sterna.api.drs.endpoints import Said
from sterna.api.drs.facts import Facts
from sterna.api.drs.v5.bodies import BaseInfo, Policy, Server, Side, SpeedLimit, kept
from sterna.api.errors import Told
from sterna.core.plan import Conflict, Pace, Plan, Window

MEGABYTE = 1024 * 1024
FASTEST = 9999
"""MB/s that a limit may be."""

CONFLICTS = {"ignore": Conflict.SKIP, "overwrite": Conflict.OVERWRITE, "stop": Conflict.STOP}


def said_of(side: Side) -> Said:
    """What a client says of one side. Raises Told for a certificate that is none."""
    server, ssl = side.endpoint, side.ssl
    facts = {
        "region": side.cloud.get("region"),
        "project_id": side.cloud.get("project_id"),
        "az_code": side.cloud.get("az_code"),
        "vpc_id": side.vpc.get("vpc_id"),
        "subnet_id": side.vpc.get("subnet_id"),
        "security_group_id": side.vpc.get("security_group_id"),
        "inst_id": server.instance_id,
        "inst_name": server.instance_name,
        "db_type": side.db_type,
    }
    return Said(
        db_type=side.db_type,
        inst_id=server.instance_id,
        ip=_hosts(server),
        port=server.db_port,
        user=server.db_user,
        password=server.db_password,
        database=server.db_name,
        ssl=ssl.ssl_link if "ssl_link" in ssl.model_fields_set else None,
        certificate=certificate_of(ssl.ssl_cert_key, ssl.ssl_cert_check_sum) if ssl.ssl_link else "",
        facts=tuple((name, str(value)) for name, value in facts.items() if value),
    )


def _hosts(server: Server) -> str:
    """Of the server itself, or of all shards."""
    shards: Sequence[Server] = server.source_sharding or (server,)
    return ",".join(_host(shard) for shard in shards if shard.ip)


def _host(shard: Server) -> str:
    alone = shard.ip.count(":") == 0 and shard.db_port
    return f"{shard.ip}:{shard.db_port}" if alone and "," not in shard.ip else shard.ip


def facts_of(base: BaseInfo, source: Side, target: Side, node: dict[str, Any]) -> Facts:
    """What is kept with a new task for those who ask for it again. Never a password."""
    spec, network = node.get("spec", {}), node.get("vpc", {})
    return Facts(
        db_use_type=base.job_type,
        engine_type=base.engine_type,
        task_type=base.task_type,
        job_direction=base.job_direction,
        net_type=base.net_type,
        node_type=str(spec.get("node_type") or "high"),
        subnet_id=str(network.get("subnet_id") or ""),
        vpc_id=str(network.get("vpc_id") or ""),
        security_group_id=str(network.get("security_group_id") or ""),
        is_target_readonly=target.config.get("is_target_readonly", True) is not False,
        is_open_fast_clean=base.is_open_fast_clean,
        expired_days=base.expired_days,
        enterprise_project_id=base.enterprise_project_id,
        charging_mode=base.charging_mode,
        tags=tuple(tag.model_dump() for tag in base.tags),
    )


def own_facts(base: BaseInfo, source: Side, target: Side, node: dict[str, Any]) -> dict[str, object]:
    """The same, where v5 has a shape of its own."""
    return {SOURCE: kept(source), TARGET: kept(target), NODE: node, START: base.start_time}


SOURCE, TARGET, NODE, START = "v5_source", "v5_target", "v5_node", "v5_start_time"
OBJECTS, SKIPPED, POLICY = "v5_objects", "v5_skipped", "v5_policy"
"""Keys in ``Job.extra`` for what v5 alone knows."""


def windows_of(limits: Sequence[SpeedLimit]) -> tuple[Window, ...]:
    """The speed limits of a day. Raises Told."""
    windows = tuple(_window(limit) for limit in limits)
    minutes = [minute for window in windows for minute in _minutes(window)]
    if len(set(minutes)) != len(minutes):
        raise Told("DRS.M00202", "speed_limit")
    return windows


def _minutes(window: Window) -> list[int]:
    return [minute for minute in range(24 * 60) if window.holds(minute)]


def _window(limit: SpeedLimit) -> Window:
    if limit.begin == limit.end:
        raise Told("DRS.M00306")
    if not limit.end.endswith(":59"):
        raise Told("DRS.M00202", "speed_limit.end")
    speed = limit.speed
    if not (speed.isascii() and speed.isdigit() and 1 <= int(speed[:6]) <= FASTEST):
        raise Told("DRS.M00202", "speed_limit.speed")
    return Window(_minute(limit.begin, "begin") // 60 * 60, _minute(limit.end, "end"), int(speed) * MEGABYTE)


def _minute(text: str, field: str) -> int:
    hours, colon, minutes = text.partition(":")
    digits = all(it.isascii() and it.isdigit() and len(it) == 2 for it in (hours, minutes))
    if not (colon and digits and int(hours) < 24 and int(minutes) < 60):
        raise Told("DRS.M00202", f"speed_limit.{field}")
    return int(hours) * 60 + int(minutes)


def policy_facts(policy: Policy) -> dict[str, object]:
    """What of a policy is kept to be told again, also through v3."""
    given = kept(policy)
    known = ("conflict_policy", "filter_ddl_policy", "ddl_trans", "index_trans")
    return {POLICY: given, **{name: given[name] for name in known if given.get(name) is not None}}


def pace_of(limits: Sequence[SpeedLimit]) -> Pace:
    """Raises Told."""
    return Pace(windows=windows_of(limits))


def with_policy(plan: Plan, policy: Policy) -> Plan:
    """The plan under a policy. Raises Told for what cannot be kept."""
    if policy.index_trans is False:
        raise Told("DRS.M00305.indexes")
    options = dict(plan.options)
    if policy.ddl_trans is not None and plan.source.engine == "postgresql":
        options["ddl"] = "apply" if policy.ddl_trans else "stop"
    conflict = CONFLICTS.get(policy.conflict_policy or "", plan.conflict)
    return replace(plan, conflict=conflict, options=options)

"""From what a client of v5 described to a plan and to what is told of it again."""

from collections.abc import Sequence
from typing import Any

from sterna.api.drs.certificates import certificate_of
from sterna.api.drs.endpoints import Said
from sterna.api.drs.facts import Facts
from sterna.api.drs.v5.bodies import BaseInfo, Server, Side, kept


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

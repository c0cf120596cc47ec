"""From what a client described to a plan: which servers, which databases, how fast, and how it goes on."""

import json
from dataclasses import replace

from sterna.api.dcs.bodies import ConfigureOnline, CreateTask, Side, parse_addresses
from sterna.api.errors import Told
from sterna.core.errors import NotFound
from sterna.core.people import Instance
from sterna.core.plan import Endpoint, Mode, Pace, Plan, Rename, Resume, Selection, Tls
from sterna.core.stores import PeopleStore

KIND = "dcs-online"
IMPORT = "dcs-import"
TASKS = (KIND, IMPORT)
"""What the lists of migration tasks hold."""
ENGINE = "redis"
MEGABYTE = 1024 * 1024

METHODS = {"full_amount_migration": Mode.FULL, "incremental_migration": Mode.INCREMENTAL}

ENGINES = (ENGINE, "valkey")
"""What a registered instance is, for DCS to know it."""


async def plan_of(people: PeopleStore, project_id: str, wanted: ConfigureOnline | CreateTask) -> Plan:
    """Raises Told for an instance that is not there, or is no Redis, or is another project's."""
    if wanted.source_instance is None:
        raise Told("DCS.4063", "source_instance")
    return Plan(
        source=await endpoint_of(people, project_id, wanted.source_instance),
        target=await endpoint_of(people, project_id, wanted.target_instance),
        mode=METHODS[wanted.migration_method],
        selection=database_selection(wanted.source_instance.db, wanted.target_instance.db),
        pace=Pace(follow_bytes_per_s=int(wanted.bandwidth_limit_mb or 0) * MEGABYTE),
        resume=Resume(wanted.resume_mode),
    )


def moves_the_same(before: Plan, after: Plan) -> bool:
    """Whether a stopped job may go on under the new plan: the same data between the same servers.

    Credentials, encryption, speed and what happens after a lost connection may differ.
    """
    return _essence(before) == _essence(after)


def _essence(plan: Plan) -> Plan:
    return replace(plan, source=_place(plan.source), target=_place(plan.target), pace=Pace(), resume=Resume.AUTO)


def _place(endpoint: Endpoint) -> Endpoint:
    return Endpoint(endpoint.engine, endpoint.addresses)


async def endpoint_of(people: PeopleStore, project_id: str, side: Side) -> Endpoint:
    """A registered instance's facts win over an address, a password in the request over the registered one."""
    if not side.id:
        return Endpoint(
            ENGINE, parse_addresses(side.addrs or ""), password=side.password or "", name=side.name or ""
        )
    found = endpoint_of_instance(await instance_of(people, project_id, side.id))
    return found if side.password is None else replace(found, password=side.password)


def endpoint_of_instance(instance: Instance) -> Endpoint:
    """A registered Redis. Raises Told for anything else."""
    if instance.engine not in ENGINES:
        raise Told("DCS.4006")
    return Endpoint(
        ENGINE,
        instance.addresses,
        user=instance.user,
        password=instance.password,
        tls=Tls(**json.loads(instance.tls)) if instance.tls else None,
        instance_id=instance.id,
        name=instance.name,
    )


async def instance_of(people: PeopleStore, project_id: str, id: str) -> Instance:
    """A registered instance of the project. Raises Told: another project's is as if it were not there."""
    try:
        instance = await people.instance(id)
    except NotFound as missing:
        raise Told("DCS.3022") from missing
    if instance.project_id != project_id:
        raise Told("DCS.3022")
    return instance


def database_selection(source: str | None, target: str | None) -> Selection:
    """One database where one is named: of the source nothing else is taken, on the target all goes there."""
    only = () if source is None else (source,)
    renames = () if target is None else (Rename(source or "*", target),)
    return Selection(only=only, renames=renames)

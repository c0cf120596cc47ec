"""From what a client says of a database to an endpoint: a registered instance, or any server by its address."""

import json
import re
from dataclasses import dataclass, field, replace

from sterna.api.drs.links import Link
from sterna.api.errors import Told
from sterna.core.errors import NotFound
from sterna.core.people import Instance
from sterna.core.plan import Endpoint, Plan, Tls
from sterna.core.stores import PeopleStore

MOST_ADDRESSES = 32

_HOST = re.compile(r"(?!.{254})[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?")
_PLAIN = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")

FACTS = (
    "region",
    "project_id",
    "vpc_id",
    "subnet_id",
    "security_group_id",
    "az_code",
    "inst_id",
    "inst_name",
    "db_type",
    "ssl_cert_name",
    "ssl_cert_check_sum",
)
"""What is given back as it was said."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a client says of one database; empty: not said."""

    db_type: str = ""
    inst_id: str = ""
    ip: str = ""
    """A host, or several as ``host:port,host:port``."""
    port: int = 0
    user: str = ""
    password: str | None = field(default=None, repr=False)
    database: str = ""
    """Where to log in."""
    ssl: bool | None = None
    certificate: str = field(default="", repr=False)
    """Certificates to trust, PEM text."""
    facts: tuple[tuple[str, str], ...] = ()
    """Of ``FACTS``."""


async def endpoint_of(
    people: PeopleStore, project_id: str, link: Link, said: Said, before: Endpoint | None = None
) -> Endpoint:
    """The endpoint that is meant. What is not said stays as ``before`` has it. Raises Told.

    The address of a registered instance of the project wins over one that is said, a user and password that are
    said win over the registered ones. Without any address the endpoint has none yet.
    """
    instance = await _instance(people, project_id, said.inst_id)
    known = before or Endpoint(link.engine, ())
    if instance and instance.engine not in _SAME.get(link.engine, (link.engine,)):
        raise Told("DRS.M05006")
    if instance:
        known = _registered(known, instance)
    elif said.ip:
        known = _elsewhere(known, parse_addresses(said.ip, said.port or link.port), said.inst_id)
    return replace(
        known,
        user=said.user or known.user,
        password=known.password if said.password is None else said.password,
        database=said.database or known.database,
        tls=_tls(said, known.tls, registered=instance is not None),
    )


_SAME = {"redis": ("redis", "valkey"), "postgresql": ("postgresql", "postgres")}
"""Engines of registered instances that are as good as one another."""


async def endpoint_of_instance(people: PeopleStore, project_id: str, id: str) -> Endpoint | None:
    """A registered instance of the project, whatever its engine; None for any other id."""
    instance = await _instance(people, project_id, id)
    return _registered(Endpoint(instance.engine, ()), instance) if instance else None


def complete(plan: Plan | None) -> bool:
    """Whether both sides are known."""
    return plan is not None and bool(plan.source.addresses) and bool(plan.target.addresses)


def parse_addresses(text: str, port: int) -> tuple[tuple[str, int], ...]:
    """Hosts with their ports; those without one get ``port``. Raises Told."""
    pieces = [piece.strip() for piece in text.split(",")]
    if len(pieces) > MOST_ADDRESSES:
        raise Told("DRS.M00202", "ip")
    return tuple(dict.fromkeys(_address(piece, port) for piece in pieces))


def _address(piece: str, port: int) -> tuple[str, int]:
    if piece.count(":") > 1 and not piece.startswith("["):
        piece = f"[{piece}]"
    bracketed = _BRACKETED.fullmatch(piece)
    match = bracketed or _PLAIN.fullmatch(piece)
    form = _IPV6 if bracketed else _HOST
    if not match or not form.fullmatch(match[1]):
        raise Told("DRS.M00202", "ip")
    number = int(match[2]) if match[2] else port
    if not 1 <= number <= 65535:
        raise Told("DRS.M00202", "db_port")
    return match[1], number


def shown_addresses(endpoint: Endpoint) -> tuple[str, int]:
    """``ip`` and ``db_port``: one host and its port, or several as ``host:port,host:port`` and 0."""
    if not endpoint.addresses:
        return "", 0
    if len(endpoint.addresses) == 1:
        return endpoint.addresses[0]
    return ",".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in endpoint.addresses
    ), 0


async def _instance(people: PeopleStore, project_id: str, id: str) -> Instance | None:
    """A registered instance of the project; None for any other id: the address counts then."""
    if not id:
        return None
    try:
        instance = await people.instance(id)
    except NotFound:
        return None
    return instance if instance.project_id == project_id else None


def _elsewhere(endpoint: Endpoint, addresses: tuple[tuple[str, int], ...], id: str) -> Endpoint:
    """At these addresses. The password that an instance was registered with is sent to no other server."""
    if addresses == endpoint.addresses:
        return endpoint
    registered = bool(endpoint.name)
    password = "" if registered else endpoint.password
    return replace(endpoint, addresses=addresses, password=password, instance_id=id, name="")


def _registered(endpoint: Endpoint, instance: Instance) -> Endpoint:
    same = endpoint.instance_id == instance.id
    return replace(
        endpoint,
        addresses=instance.addresses,
        user=(endpoint.user if same else "") or instance.user,
        password=(endpoint.password if same else "") or instance.password,
        tls=Tls(**json.loads(instance.tls)) if instance.tls else None,
        instance_id=instance.id,
        name=instance.name,
    )


def _tls(said: Said, before: Tls | None, *, registered: bool) -> Tls | None:
    """Encrypted if it is said so, or if the instance is registered so: nobody turns that off from here.

    Without a certificate any is taken, with one the server's has to be signed by it, whatever host it names.
    """
    if said.ssl is None or (registered and before):
        return before
    if said.ssl and said.certificate:
        return Tls(authority=said.certificate, host_name=False)
    return (before or Tls(verify=False)) if said.ssl else None

"""Looking things up in a source's catalogues: the questions that every kind of object asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import namedtuple_row

from sterna.engines.postgres.catalogue import OWN
from sterna.engines.postgres.connection import Connection

_OWN_NAMES = ", ".join(f"'{name}'" for name in OWN)
OUR_SCHEMA = f"n.nspname NOT IN ({_OWN_NAMES}) AND n.nspname !~ '^pg_(toast_)?temp_'"
"""``n`` is a pg_namespace that belongs to users."""

FIRST_USERS_OID = 16384
"""What initdb made has a smaller one (PostgreSQL documentation, system catalogues: object identifiers)."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A connection to the source in one read-only transaction, and the versions that matter."""

    connection: Connection
    version: int
    """The source's ``server_version_num``."""
    target: int
    """The target's."""
    superuser: bool = True
    """Whether the target's user is one."""
    maker: str = ""
    """The target's user."""
    available: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Extensions that the target can make, with their versions."""

    async def rows(self, query: str) -> Sequence[Any]:
        """Rows by the names of their columns."""
        async with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(query.encode())
            return await cursor.fetchall()

    def since(self, version: int, expression: str, otherwise: str = "NULL") -> str:
        """An expression that exists since a version of the source: 14 for PostgreSQL 14."""
        return expression if self.version >= version * 10000 else otherwise


MADE_WITH = "'e', 'i'"
"""Kinds of dependency of what comes with something else, such as a range type's constructors."""


def key(catalogue: str, oid: int) -> str:
    return f"{catalogue}/{oid}"


def not_of_extension(catalogue: str, oid: str, kinds: str = "'e'") -> str:
    """A condition: no extension brought it along. With ``MADE_WITH`` as ``kinds``: nor another object."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend belongs WHERE belongs.classid = '{catalogue}'::regclass "
        f"AND belongs.objid = {oid} AND belongs.deptype IN ({kinds}))"
    )


def identity(catalogue: str, oid: str) -> str:
    """Two columns, ``type`` and ``identity``, of an object."""
    said = f"pg_identify_object('{catalogue}'::regclass, {oid}, 0)"
    return f"({said}).type AS type, ({said}).identity AS identity"


def full(namespace: str, name: str) -> str:
    """An expression: schema and name as SQL writes them."""
    return f"quote_ident({namespace}) || '.' || quote_ident({name})"

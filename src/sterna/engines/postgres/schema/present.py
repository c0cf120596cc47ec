"""What a database holds: every object that users made, by the words of ``pg_identify_object``."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Mapping

from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.schema.reader import FIRST_USERS_OID
from sterna.engines.postgres.schema.renaming import plain

Present = frozenset[tuple[str, str]]
"""Type and identity of each thing."""

_CATALOGUES: Mapping[str, str] = {
    "pg_class": "relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') AND relpersistence <> 't' AND "
    "relnamespace <> 'pg_toast'::regnamespace",
    "pg_type": "typtype IN ('e', 'c', 'd', 'r', 'b') "
    "AND NOT EXISTS (SELECT FROM pg_type a WHERE a.typarray = x.oid) "
    "AND (typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND relkind = 'c'))",
    "pg_constraint": "true",
    "pg_attrdef": "true",
    "pg_trigger": "NOT tgisinternal",
    "pg_rewrite": "rulename <> '_RETURN'",
    "pg_policy": "true",
    "pg_proc": "true",
    "pg_operator": "oprcode <> 0",
    "pg_opclass": "true",
    "pg_opfamily": "true",
    "pg_cast": "true",
    "pg_collation": "true",
    "pg_conversion": "true",
    "pg_language": "true",
    "pg_namespace": "true",
    "pg_extension": "true",
    "pg_foreign_data_wrapper": "true",
    "pg_foreign_server": "true",
    "pg_statistic_ext": "true",
    "pg_ts_config": "true",
    "pg_ts_dict": "true",
    "pg_event_trigger": "true",
    "pg_transform": "true",
}
_ALWAYS = ("pg_namespace", "pg_language", "pg_extension")
"""initdb makes some of these that count."""


async def present(connection: Connection) -> Present:
    """All of the connection's database, and its partitions' and children's links; one snapshot is not needed."""
    rows = await (await connection.execute(_QUERY.encode())).fetchall()
    return frozenset((kind, plain(identity)) for kind, identity in rows if identity)


def _select(catalogue: str, condition: str) -> str:
    said = f"pg_identify_object('{catalogue}'::regclass, x.oid, 0)"
    users = "true" if catalogue in _ALWAYS else f"x.oid >= {FIRST_USERS_OID}"
    return f"SELECT said.type, said.identity FROM {catalogue} x, LATERAL {said} said WHERE {users} AND {condition}"


_LINKS = """
    SELECT 'inheritance', quote_ident(cn.nspname) || '.' || quote_ident(c.relname) || ' from '
           || quote_ident(pn.nspname) || '.' || quote_ident(p.relname)
      FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
      JOIN pg_class p ON p.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace"""
_MAPPINGS = """
    SELECT said.type, said.identity
      FROM pg_user_mappings x, LATERAL pg_identify_object('pg_user_mapping'::regclass, x.umid, 0) said"""
_QUERY = " UNION ALL ".join([*(_select(*each) for each in _CATALOGUES.items()), _LINKS, _MAPPINGS])

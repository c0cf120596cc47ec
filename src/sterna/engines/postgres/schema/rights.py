"""Owners, grants and comments of whatever was taken."""

# ruff: noqa: S608 - no part of any query comes from outside

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sterna.engines.postgres.names import literal, quoted
from sterna.engines.postgres.schema.reader import FIRST_USERS_OID, Reader, key
from sterna.engines.postgres.schema.things import Acl, Item, Key, Order

MAINTAIN_SINCE = 170000


@dataclass(frozen=True, slots=True)
class Rights:
    """Who owns a thing and who may do what with it."""

    owner: str
    acl: Acl | None
    """None: what PostgreSQL gives by default."""
    usual: Acl
    """What PostgreSQL gives by default."""
    columns: Mapping[str, Acl]


@dataclass(frozen=True, slots=True)
class Annotations:
    """Rights and comments by the key of a thing."""

    rights: Mapping[Key, Rights]
    comments: Mapping[Key, Sequence[tuple[int, str, str]]]
    """Number and name of a column (0 and empty: the thing itself), and the text."""


_CATALOGUES = (
    ("pg_class", "relowner", "relacl", "CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\""),
    ("pg_proc", "proowner", "proacl", "'f'"),
    ("pg_type", "typowner", "typacl", "'T'"),
    ("pg_namespace", "nspowner", "nspacl", "'n'"),
    ("pg_language", "lanowner", "lanacl", "'l'"),
    ("pg_foreign_data_wrapper", "fdwowner", "fdwacl", "'F'"),
    ("pg_foreign_server", "srvowner", "srvacl", "'S'"),
    ("pg_operator", "oprowner", "", ""),
    ("pg_opclass", "opcowner", "", ""),
    ("pg_opfamily", "opfowner", "", ""),
    ("pg_collation", "collowner", "", ""),
    ("pg_conversion", "conowner", "", ""),
    ("pg_statistic_ext", "stxowner", "", ""),
    ("pg_ts_config", "cfgowner", "", ""),
    ("pg_ts_dict", "dictowner", "", ""),
    ("pg_event_trigger", "evtowner", "", ""),
    ("pg_extension", "extowner", "", ""),
    ("pg_database", "datdba", "datacl", "'d'"),
)


def _exploded(acl: str) -> str:
    return (
        "(SELECT coalesce(json_agg(json_build_array(CASE WHEN x.grantee = 0 THEN '' ELSE "
        "pg_get_userbyid(x.grantee) END, x.privilege_type, x.is_grantable)), '[]')::text "
        f"FROM aclexplode({acl}) x)"
    )


def _condition(catalogue: str) -> str:
    if catalogue == "pg_database":
        return "datname = current_database()"
    return "true" if catalogue == "pg_namespace" else f"oid >= {FIRST_USERS_OID}"


async def read_annotations(reader: Reader) -> Annotations:
    """Rights and comments of everything that initdb did not make."""
    selects = [
        f"SELECT '{name}' AS class_, oid, pg_get_userbyid({owner}) AS owner, "
        + (f"CASE WHEN {acl} IS NULL THEN NULL ELSE {_exploded(acl)} END AS acl, " if acl else "NULL AS acl, ")
        + (f"{_exploded(f'acldefault({kind}, {owner})')} AS usual " if acl else "'[]' AS usual ")
        + f"FROM {name} WHERE {_condition(name)}"
        for name, owner, acl, kind in _CATALOGUES
    ]
    columns: dict[Key, dict[str, Acl]] = defaultdict(dict)
    for row in await reader.rows(
        f"SELECT attrelid, attname, {_exploded('attacl')} AS acl FROM pg_attribute WHERE attacl IS NOT NULL "
        "AND attrelid >= 16384 AND NOT attisdropped"
    ):
        columns[key("pg_class", row.attrelid)][row.attname] = _acl(row.acl)
    rights = {
        key(row.class_, row.oid): Rights(
            row.owner,
            None if row.acl is None else _acl(row.acl),
            _acl(row.usual),
            columns.get(key(row.class_, row.oid), {}),
        )
        for row in await reader.rows(" UNION ALL ".join(selects))
    }
    return Annotations(rights, await _comments(reader))


def _acl(text: str) -> Acl:
    return tuple((grantee, privilege, grantable) for grantee, privilege, grantable in json.loads(text))


async def _comments(reader: Reader) -> Mapping[Key, Sequence[tuple[int, str, str]]]:
    query = """
        SELECT d.classoid::regclass::text AS class_, d.objoid, d.objsubid, a.attname, d.description
          FROM pg_description d LEFT JOIN pg_attribute a ON d.objsubid > 0 AND a.attrelid = d.objoid
               AND a.attnum = d.objsubid AND d.classoid = 'pg_class'::regclass
         WHERE d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass
        UNION ALL SELECT 'pg_database', s.objoid, 0, NULL, s.description FROM pg_shdescription s
          JOIN pg_database b ON b.oid = s.objoid AND s.classoid = 'pg_database'::regclass
         WHERE b.datname = current_database() ORDER BY 1, 2, 3"""
    found: dict[Key, list[tuple[int, str, str]]] = defaultdict(list)
    for row in await reader.rows(query):
        found[key(row.class_, row.objoid)].append((row.objsubid, row.attname or "", row.description))
    return found


_ALTER = {
    "foreign table": "FOREIGN TABLE",
    "materialized view": "MATERIALIZED VIEW",
    "composite type": "TYPE",
    "statistics object": "STATISTICS",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "text search configuration": "TEXT SEARCH CONFIGURATION",
    "text search dictionary": "TEXT SEARCH DICTIONARY",
    "event trigger": "EVENT TRIGGER",
    "operator class": "OPERATOR CLASS",
    "operator family": "OPERATOR FAMILY",
}
_NO_OWNER = {"extension", "index", "table constraint", "domain constraint", "trigger", "rule", "policy", "cast"}
_GRANT = {
    **dict.fromkeys(("table", "view", "materialized view", "foreign table"), "TABLE"),
    **dict.fromkeys(("function", "aggregate"), "FUNCTION"),
    "procedure": "PROCEDURE",
    "sequence": "SEQUENCE",
    "type": "TYPE",
    "composite type": "TYPE",
    "schema": "SCHEMA",
    "language": "LANGUAGE",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "server": "FOREIGN SERVER",
    "database": "DATABASE",
}


def owner_order(item: Item, owner: str, maker: str) -> Order | None:
    """ALTER … OWNER TO; None: it has no owner of its own, or is ``maker``'s from the beginning."""
    if owner == maker or item.type in _NO_OWNER or item.owner_table or not item.type:
        return None
    return Order(f"ALTER {_ALTER.get(item.type, item.type.upper())} {item.identity} OWNER TO {quoted(owner)}")


def grant_orders(item: Item, rights: Rights, target: int) -> Iterator[Order]:
    """What makes the grants on the target those of the source. A grantor other than the owner is not kept."""
    word = _GRANT.get(item.type)
    if word is None:
        return
    on = f"{word} {item.identity}"
    if rights.acl is not None and set(rights.acl) != set(rights.usual):
        for grantee in dict.fromkeys((*[each for each, _, _ in rights.usual], rights.owner)):
            yield Order(f"REVOKE ALL ON {on} FROM {_grantee(grantee)}")
        yield from _grants(rights.acl, on, "", target)
    taken = {name for _, name in item.columns} if item.columns else set(rights.columns)
    for column, acl in rights.columns.items():
        if column in taken:
            yield from _grants(acl, on, f" ({quoted(column)})", target)


def _grants(acl: Acl, on: str, column: str, target: int) -> Iterator[Order]:
    by_grantee: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for grantee, privilege, grantable in sorted(acl):
        if privilege != "MAINTAIN" or target >= MAINTAIN_SINCE:
            by_grantee[grantee, grantable].append(privilege + column)
    for (grantee, grantable), privileges in by_grantee.items():
        option = " WITH GRANT OPTION" if grantable else ""
        yield Order(f"GRANT {', '.join(privileges)} ON {on} TO {_grantee(grantee)}{option}")


def _grantee(name: str) -> str:
    return quoted(name) if name else "PUBLIC"


def comment_orders(item: Item, comments: Sequence[tuple[int, str, str]]) -> Iterator[Order]:
    """COMMENT ON the item and those of its columns that are taken."""
    for number, column, text in comments:
        if number:
            taken = not item.columns or number in dict(item.columns)
            if column and taken:
                yield Order(f"COMMENT ON COLUMN {item.identity}.{quoted(column)} IS {literal(text)}")
        elif on := _commented(item):
            yield Order(f"COMMENT ON {on} IS {literal(text)}")


def _commented(item: Item) -> str:
    match item.type:
        case "":
            return ""
        case "table constraint":
            return f"CONSTRAINT {item.identity}"
        case "domain constraint":
            name, _, domain = item.identity.rpartition(" on ")
            return f"CONSTRAINT {name} ON DOMAIN {domain}"
    return f"{_ALTER.get(item.type, item.type.upper())} {item.identity}"

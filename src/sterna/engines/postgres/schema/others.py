"""What a database has besides tables, types, routines and views: schemas, extensions, foreign servers …"""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence
from typing import Any

from sterna.engines.postgres.names import literal, quoted
from sterna.engines.postgres.schema import foreign, searching, told
from sterna.engines.postgres.schema.items import inside, wide
from sterna.engines.postgres.schema.reader import (
    FIRST_USERS_OID,
    OUR_SCHEMA,
    Reader,
    full,
    identity,
    key,
    not_of_extension,
)
from sterna.engines.postgres.schema.roles import set_words
from sterna.engines.postgres.schema.things import Item, Order


async def read_schemas(reader: Reader) -> Sequence[Item]:
    """Schemas; they are made apart from all else, for each is needed as soon as something goes there."""
    query = f"""
        SELECT n.oid, n.nspname, {identity("pg_namespace", "n.oid")} FROM pg_namespace n
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_namespace", "n.oid")} ORDER BY n.nspname"""
    return [
        Item(key("pg_namespace", row.oid), "schema", row.type, row.identity, (row.nspname,))
        for row in await reader.rows(query)
    ]


async def read_database(reader: Reader, target: str) -> Item:
    """The database itself, under its new name: its settings. Owner, rights and comment come with all others'."""
    settings = await reader.rows("""
        SELECT r.rolname, unnest(s.setconfig) AS setting
          FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
          LEFT JOIN pg_roles r ON r.oid = s.setrole
         WHERE d.datname = current_database() ORDER BY 1, 2""")
    database = await reader.rows("SELECT oid FROM pg_database WHERE datname = current_database()")
    orders = []
    for row in settings:
        role = f"ROLE {quoted(row.rolname)} IN " if row.rolname else ""
        orders.append(Order(f"ALTER {role}DATABASE {quoted(target)} {set_words(row.setting)}"))
    roles = tuple(row.rolname for row in settings if row.rolname)
    return Item(
        key("pg_database", database[0].oid), "database", "database", quoted(target), (), tuple(orders), roles=roles
    )


async def read_others(reader: Reader) -> Sequence[Item]:
    """All of them, each in the way of its kind."""
    return [
        *await _read_extensions(reader),
        *await _read_languages(reader),
        *await searching.read_text_search(reader),
        *await searching.read_operator_families(reader),
        *await searching.read_operator_classes(reader),
        *await _read_conversions(reader),
        *await _read_transforms(reader),
        *await foreign.read_wrappers(reader),
        *await foreign.read_servers(reader),
        *await foreign.read_user_mappings(reader),
        *await _read_event_triggers(reader),
        *await _read_default_privileges(reader),
        *await told.read_streams(reader),
        *await told.read_labels(reader),
        *await told.read_changed_extensions(reader),
    ]


async def _read_extensions(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT e.oid, e.extname, e.extversion, n.nspname, {identity("pg_extension", "e.oid")},
               ARRAY(SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = ANY(e.extconfig)
                        AND c.relkind = 'r') AS filled
          FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid"""
    return [_extension(reader, row) for row in await reader.rows(query)]


def _extension(reader: Reader, row: Any) -> Item:
    versions = reader.available.get(row.extname)
    exact = f" VERSION {literal(row.extversion)}" if versions and row.extversion in versions else ""
    sql = f"CREATE EXTENSION IF NOT EXISTS {quoted(row.extname)} SCHEMA {{schema}}{exact}"
    told = "" if versions else "the target's server does not have it: install it there"
    if row.filled and versions:
        told = f"+the rows that users added to its own tables: {', '.join(row.filled)}"
    return Item(
        key("pg_extension", row.oid),
        "extension",
        row.type,
        row.identity,
        (row.nspname, row.extname),
        (Order(sql, row.type, row.identity),),
        essential=True,
        told=told,
    )


async def _read_languages(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT l.oid, l.lanname, l.lanpltrusted, {identity("pg_language", "l.oid")},
               l.lanplcallfoid::regproc::text AS handler, NULLIF(l.laninline, 0)::regproc::text AS inline,
               NULLIF(l.lanvalidator, 0)::regproc::text AS validator
          FROM pg_language l
         WHERE l.oid >= {FIRST_USERS_OID} AND l.lanispl AND {not_of_extension("pg_language", "l.oid")}"""
    found = []
    for row in await reader.rows(query):
        sql = f"CREATE {'TRUSTED ' * row.lanpltrusted}LANGUAGE {quoted(row.lanname)} HANDLER {row.handler}"
        sql += f" INLINE {row.inline}" if row.inline else ""
        sql += f" VALIDATOR {row.validator}" if row.validator else ""
        found.append(wide(row, "pg_language", "language", sql))
    return found


async def _read_conversions(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT c.oid, n.nspname, c.conname AS local, {full("n.nspname", "c.conname")} AS name,
               {identity("pg_conversion", "c.oid")}, c.condefault, c.conproc::regproc::text AS function,
               pg_encoding_to_char(c.conforencoding) AS source, pg_encoding_to_char(c.contoencoding) AS target
          FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_conversion", "c.oid")} ORDER BY 1"""
    return [
        inside(
            row,
            "pg_conversion",
            "conversion",
            f"CREATE {'DEFAULT ' * row.condefault}CONVERSION {row.name} FOR {literal(row.source)} "
            f"TO {literal(row.target)} FROM {row.function}",
        )
        for row in await reader.rows(query)
    ]


async def _read_transforms(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT t.oid, {identity("pg_transform", "t.oid")}, format_type(t.trftype, NULL) AS of_type, l.lanname,
               NULLIF(t.trffromsql, 0)::regprocedure::text AS reads,
               NULLIF(t.trftosql, 0)::regprocedure::text AS writes
          FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang
         WHERE t.oid >= {FIRST_USERS_OID} AND {not_of_extension("pg_transform", "t.oid")} ORDER BY 1"""
    found = []
    for row in await reader.rows(query):
        parts = [f"FROM SQL WITH FUNCTION {row.reads}"] if row.reads else []
        parts += [f"TO SQL WITH FUNCTION {row.writes}"] if row.writes else []
        sql = f"CREATE TRANSFORM FOR {row.of_type} LANGUAGE {quoted(row.lanname)} ({', '.join(parts)})"
        found.append(wide(row, "pg_transform", "transform", sql))
    return found


async def _read_event_triggers(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT e.oid, e.evtname, e.evtevent, e.evttags::text[] AS tags, e.evtenabled::text AS enabled,
               {identity("pg_event_trigger", "e.oid")}, e.evtfoid::regproc::text AS function
          FROM pg_event_trigger e
         WHERE {not_of_extension("pg_event_trigger", "e.oid")} AND e.evtname !~ '^sterna_' ORDER BY 1"""
    states = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
    found = []
    for row in await reader.rows(query):
        name = quoted(row.evtname)
        when = f" WHEN TAG IN ({', '.join(literal(tag) for tag in row.tags)})" if row.tags else ""
        sql = [f"CREATE EVENT TRIGGER {name} ON {row.evtevent}{when} EXECUTE PROCEDURE {row.function}()"]
        sql += [f"ALTER EVENT TRIGGER {name} {states[row.enabled]}"] if row.enabled in states else []
        found.append(wide(row, "pg_event_trigger", "event trigger", *sql, after=True))
    return found


_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}


async def _read_default_privileges(reader: Reader) -> Sequence[Item]:
    """ALTER DEFAULT PRIVILEGES: first everything is taken away, then what is given is given."""
    query = f"""
        SELECT d.oid, pg_get_userbyid(d.defaclrole) AS owner, n.nspname, d.defaclobjtype::text AS kind,
               {identity("pg_default_acl", "d.oid")},
               ARRAY(SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END
                            || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
                            || chr(10) || x.privilege_type FROM aclexplode(d.defaclacl) x) AS given,
               ARRAY(SELECT DISTINCT CASE WHEN x.grantee = 0 THEN 'PUBLIC'
                            ELSE quote_ident(pg_get_userbyid(x.grantee)) END
                       FROM aclexplode(acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END,
                                                  d.defaclrole)) x WHERE d.defaclnamespace = 0) AS usual
          FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace ORDER BY 1"""
    return [_default_privilege(row) for row in await reader.rows(query)]


def _default_privilege(row: Any) -> Item:
    start = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(row.owner)}"
    start += " IN SCHEMA {schema}" if row.nspname else ""
    what = _KINDS.get(row.kind, "TABLES")
    orders = [Order(f"{start} REVOKE ALL ON {what} FROM {grantee}") for grantee in row.usual]
    for each in row.given:
        grantee, _, privilege = each.partition("\n")
        orders.append(Order(f"{start} GRANT {privilege} ON {what} TO {grantee}"))
    path = (row.nspname, "") if row.nspname else ()
    roles = (row.owner, *(each.partition("\n")[0].removesuffix(" WITH GRANT OPTION") for each in row.given))
    return Item(
        key("pg_default_acl", row.oid),
        "default privileges",
        "",
        row.identity,
        path,
        tuple(orders),
        after=True,
        roles=tuple(role for role in roles if role != "PUBLIC"),
    )

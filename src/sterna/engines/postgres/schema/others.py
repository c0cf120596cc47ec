"""What a database has besides tables, types, routines and views: schemas, extensions, foreign servers …"""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sterna.engines.postgres.names import literal, quoted
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
from sterna.engines.postgres.schema.tables import generic_options
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
        *await _read_text_search(reader),
        *await _read_operator_families(reader),
        *await _read_operator_classes(reader),
        *await _read_conversions(reader),
        *await _read_transforms(reader),
        *await _read_wrappers(reader),
        *await _read_servers(reader),
        *await _read_user_mappings(reader),
        *await _read_event_triggers(reader),
        *await _read_default_privileges(reader),
        *await _read_streams(reader),
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
        found.append(_wide(row, "pg_language", "language", sql))
    return found


def _wide(row: Any, catalogue: str, kind: str, *sql: str, told: str = "", after: bool = False) -> Item:
    """Something that is in no schema."""
    orders = tuple(
        Order(each, row.type, row.identity) if not place else Order(each) for place, each in enumerate(sql)
    )
    return Item(key(catalogue, row.oid), kind, row.type, row.identity, (), orders, told=told, after=after)


def _inside(row: Any, catalogue: str, kind: str, *sql: str, told: str = "") -> Item:
    """Something that is in a schema."""
    orders = tuple(
        Order(each, row.type, row.identity) if not place else Order(each) for place, each in enumerate(sql)
    )
    path = (row.nspname, row.local)
    return Item(key(catalogue, row.oid), kind, row.type, row.identity, path, orders, told=told)


async def _read_text_search(reader: Reader) -> Sequence[Item]:
    dictionaries = f"""
        SELECT d.oid, n.nspname, d.dictname AS local, {full("n.nspname", "d.dictname")} AS name,
               {identity("pg_ts_dict", "d.oid")}, {full("tn.nspname", "t.tmplname")} AS template, d.dictinitoption
          FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t
            ON t.oid = d.dicttemplate JOIN pg_namespace tn ON tn.oid = t.tmplnamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_ts_dict", "d.oid")} ORDER BY 1"""
    found = []
    for row in await reader.rows(dictionaries):
        options = f", {row.dictinitoption}" if row.dictinitoption else ""
        sql = f"CREATE TEXT SEARCH DICTIONARY {row.name} (TEMPLATE = {row.template}{options})"
        found.append(_inside(row, "pg_ts_dict", "text search", sql))
    return [*found, *await _read_configurations(reader)]


async def _read_configurations(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT c.oid, n.nspname, c.cfgname AS local, {full("n.nspname", "c.cfgname")} AS name,
               {identity("pg_ts_config", "c.oid")}, {full("pn.nspname", "p.prsname")} AS parser,
               ARRAY(SELECT quote_ident((SELECT tt.alias FROM ts_token_type(c.cfgparser) tt
                                          WHERE tt.tokid = m.maptokentype))
                            || ' WITH ' || string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno)
                       FROM pg_ts_config_map m WHERE m.mapcfg = c.oid GROUP BY m.maptokentype) AS mappings
          FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace JOIN pg_ts_parser p
            ON p.oid = c.cfgparser JOIN pg_namespace pn ON pn.oid = p.prsnamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_ts_config", "c.oid")} ORDER BY 1"""
    found = []
    for row in await reader.rows(query):
        sql = [f"CREATE TEXT SEARCH CONFIGURATION {row.name} (PARSER = {row.parser})"]
        add = f"ALTER TEXT SEARCH CONFIGURATION {row.name} ADD MAPPING FOR"
        found.append(
            _inside(row, "pg_ts_config", "text search", *sql, *(f"{add} {each}" for each in row.mappings))
        )
    return found


async def _read_operator_families(reader: Reader) -> Sequence[Item]:
    """Families on their own; what belongs to a class comes with it, what was added loosely is told."""
    query = f"""
        SELECT f.oid, n.nspname, f.opfname AS local, {full("n.nspname", "f.opfname")} AS name, m.amname,
               {identity("pg_opfamily", "f.oid")},
               EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_opfamily'::regclass AND d.refobjid = f.oid
                          AND d.classid IN ('pg_amop'::regclass, 'pg_amproc'::regclass)
                          AND d.deptype = 'a') AS loose
          FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_opfamily", "f.oid")} ORDER BY 1"""
    told = "+operators and functions that were added to it outside of any operator class"
    return [
        _inside(
            row,
            "pg_opfamily",
            "operator family",
            f"CREATE OPERATOR FAMILY {row.name} USING {quoted(row.amname)}",
            told=told if row.loose else "",
        )
        for row in await reader.rows(query)
    ]


async def _read_operator_classes(reader: Reader) -> Sequence[Item]:
    belongs = (
        "EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{0}'::regclass AND d.objid = x.oid "
        "AND d.refclassid = 'pg_opclass'::regclass AND d.refobjid = c.oid AND d.deptype = 'i')"
    )
    query = f"""
        SELECT c.oid, n.nspname, c.opcname AS local, {full("n.nspname", "c.opcname")} AS name, m.amname,
               {identity("pg_opclass", "c.oid")}, c.opcdefault, format_type(c.opcintype, NULL) AS intype,
               {full("fn.nspname", "f.opfname")} AS family,
               CASE WHEN c.opckeytype <> 0 THEN format_type(c.opckeytype, NULL) END AS storage,
               ARRAY(SELECT format('OPERATOR %s %s(%s, %s)%s', x.amopstrategy,
                            quote_ident(xn.nspname) || '.' || o.oprname, format_type(x.amoplefttype, NULL),
                            format_type(x.amoprighttype, NULL), CASE WHEN x.amopsortfamily <> 0 THEN
                            (SELECT ' FOR ORDER BY ' || {full("sn.nspname", "s.opfname")} FROM pg_opfamily s
                               JOIN pg_namespace sn ON sn.oid = s.opfnamespace WHERE s.oid = x.amopsortfamily)
                            ELSE '' END)
                       FROM pg_amop x JOIN pg_operator o ON o.oid = x.amopopr
                       JOIN pg_namespace xn ON xn.oid = o.oprnamespace
                      WHERE {belongs.format("pg_amop")} ORDER BY x.amopstrategy) AS operators,
               ARRAY(SELECT format('FUNCTION %s (%s, %s) %s', x.amprocnum, format_type(x.amproclefttype, NULL),
                            format_type(x.amprocrighttype, NULL), x.amproc::regprocedure)
                       FROM pg_amproc x WHERE {belongs.format("pg_amproc")} ORDER BY x.amprocnum) AS functions
          FROM pg_opclass c JOIN pg_namespace n ON n.oid = c.opcnamespace JOIN pg_am m ON m.oid = c.opcmethod
          JOIN pg_opfamily f ON f.oid = c.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_opclass", "c.oid")} ORDER BY 1"""
    found = []
    for row in await reader.rows(query):
        storage = [f"STORAGE {row.storage}"] if row.storage else []
        parts = [*row.operators, *row.functions, *storage] or [f"STORAGE {row.intype}"]
        sql = (
            f"CREATE OPERATOR CLASS {row.name} {'DEFAULT ' * row.opcdefault}FOR TYPE {row.intype} "
            f"USING {quoted(row.amname)} FAMILY {row.family} AS {', '.join(parts)}"
        )
        found.append(_inside(row, "pg_opclass", "operator class", sql))
    return found


async def _read_conversions(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT c.oid, n.nspname, c.conname AS local, {full("n.nspname", "c.conname")} AS name,
               {identity("pg_conversion", "c.oid")}, c.condefault, c.conproc::regproc::text AS function,
               pg_encoding_to_char(c.conforencoding) AS source, pg_encoding_to_char(c.contoencoding) AS target
          FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_conversion", "c.oid")} ORDER BY 1"""
    return [
        _inside(
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
        found.append(_wide(row, "pg_transform", "transform", sql))
    return found


async def _read_wrappers(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT w.oid, w.fdwname, {identity("pg_foreign_data_wrapper", "w.oid")}, w.fdwoptions::text[] AS options,
               NULLIF(w.fdwhandler, 0)::regproc::text AS handler,
               NULLIF(w.fdwvalidator, 0)::regproc::text AS validator
          FROM pg_foreign_data_wrapper w WHERE {not_of_extension("pg_foreign_data_wrapper", "w.oid")} ORDER BY 1"""
    found = []
    for row in await reader.rows(query):
        sql = f"CREATE FOREIGN DATA WRAPPER {quoted(row.fdwname)}"
        sql += f" HANDLER {row.handler}" if row.handler else ""
        sql += f" VALIDATOR {row.validator}" if row.validator else ""
        found.append(
            _wide(row, "pg_foreign_data_wrapper", "foreign-data wrapper", sql + generic_options(row.options))
        )
    return found


async def _read_servers(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT s.oid, s.srvname, s.srvtype, s.srvversion, w.fdwname, s.srvoptions::text[] AS options,
               {identity("pg_foreign_server", "s.oid")}
          FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
         WHERE {not_of_extension("pg_foreign_server", "s.oid")} ORDER BY 1"""
    found = []
    for row in await reader.rows(query):
        sql = f"CREATE SERVER {quoted(row.srvname)}"
        sql += f" TYPE {literal(row.srvtype)}" if row.srvtype else ""
        sql += f" VERSION {literal(row.srvversion)}" if row.srvversion else ""
        sql += f" FOREIGN DATA WRAPPER {quoted(row.fdwname)}" + generic_options(row.options)
        found.append(_wide(row, "pg_foreign_server", "server", sql))
    return found


async def _read_user_mappings(reader: Reader) -> Sequence[Item]:
    """For whom a foreign server is used; the passwords in their options are read by superusers alone, and told."""
    query = f"""
        SELECT u.umid AS oid, {identity("pg_user_mapping", "u.umid")}, u.srvid, u.umuser, u.usename, u.srvname,
               u.umoptions::text[] AS options FROM pg_user_mappings u ORDER BY 1"""
    found = []
    for row in await reader.rows(query):
        options = [each for each in row.options or () if not each.lower().startswith("password")]
        who = quoted(row.usename) if row.umuser else "PUBLIC"
        sql = f"CREATE USER MAPPING FOR {who} SERVER {quoted(row.srvname)}" + generic_options(options)
        told = "+its password: set it with ALTER USER MAPPING"
        found.append(
            replace(
                _wide(row, "pg_user_mapping", "user mapping", sql, told=told),
                roles=(row.usename,) if row.umuser else (),
                needs=(key("pg_foreign_server", row.srvid),),
            )
        )
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
        found.append(_wide(row, "pg_event_trigger", "event trigger", *sql, after=True))
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


async def _read_streams(reader: Reader) -> Sequence[Item]:
    """Publications and subscriptions, which are told and not made: two servers must not both feed or read one."""
    publications = f"""
        SELECT p.oid, {identity("pg_publication", "p.oid")} FROM pg_publication p
         WHERE p.pubname !~ '^sterna_' AND {not_of_extension("pg_publication", "p.oid")}"""
    subscriptions = f"""
        SELECT s.oid, {identity("pg_subscription", "s.oid")} FROM pg_subscription s JOIN pg_database b
            ON b.oid = s.subdbid WHERE b.datname = current_database()"""
    told = "who takes from it has to be pointed to the target by hand, after the cutover"
    found = [_wide(row, "pg_publication", "publication", told=told) for row in await reader.rows(publications)]
    may = await reader.rows("SELECT has_column_privilege('pg_subscription', 'subdbid', 'SELECT') AS may")
    if may[0].may:
        told = "it would read twice: make it on the target after the cutover"
        found += [
            _wide(row, "pg_subscription", "subscription", told=told) for row in await reader.rows(subscriptions)
        ]
    return found

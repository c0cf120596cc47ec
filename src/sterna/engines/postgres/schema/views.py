"""Views, and what watches over tables: rules, triggers, row policies, extended statistics."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.schema.reader import OUR_SCHEMA, Reader, full, identity, key, not_of_extension
from sterna.engines.postgres.schema.tables import storage_options
from sterna.engines.postgres.schema.things import Item, Order

_FIRING = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


async def read_views(reader: Reader) -> Sequence[Item]:
    """Views and materialised views. They are made after the data; a materialised one is filled then."""
    method = "am.amname" if reader.version >= 120000 else "NULL::name"
    join = "LEFT JOIN pg_am am ON am.oid = c.relam AND c.relkind = 'm'" if reader.version >= 120000 else ""
    query = f"""
        SELECT c.oid, n.nspname, c.relname, c.relkind::text, {full("n.nspname", "c.relname")} AS name, c.reltype,
               t.typarray, {identity("pg_class", "c.oid")}, c.reloptions::text[] AS options, c.relispopulated,
               pg_get_viewdef(c.oid) AS definition, pg_table_size(c.oid) AS size, {method} AS method,
               ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                      ORDER BY a.attnum) AS columns,
               ARRAY(SELECT r.oid FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename = '_RETURN') AS rules
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = c.reltype {join}
         WHERE c.relkind IN ('v', 'm') AND c.relpersistence <> 't' AND {OUR_SCHEMA}
           AND {not_of_extension("pg_class", "c.oid")}
         ORDER BY n.nspname, c.relname"""
    found = [_view(row) for row in await reader.rows(query)]
    return [*found, *await _read_view_defaults(reader)]


def _view(row: Any) -> Item:
    body = row.definition.rstrip().removesuffix(";")
    columns = ", ".join(row.columns)
    options = [option for option in row.options or () if not option.startswith("check_option=")]
    check = next(
        (option.partition("=")[2] for option in row.options or () if option.startswith("check_option=")), ""
    )
    using = f" USING {quoted(row.method)}" if row.method and row.method != "heap" else ""
    if row.relkind == "v":
        ending = f" WITH {check.upper()} CHECK OPTION" if check else ""
        sql = f"CREATE VIEW {row.name} ({columns}){storage_options(options)} AS {body}{ending}"
    else:
        ending = "" if row.relispopulated else " WITH NO DATA"
        sql = f"CREATE MATERIALIZED VIEW {row.name} ({columns}){using}{storage_options(options)} AS {body}{ending}"
    return Item(
        key("pg_class", row.oid),
        "view" if row.relkind == "v" else "materialized view",
        row.type,
        row.identity,
        (row.nspname, row.relname),
        (Order(sql, row.type, row.identity),),
        parts=(
            key("pg_type", row.reltype),
            key("pg_type", row.typarray),
            *(key("pg_rewrite", oid) for oid in row.rules),
        ),
        after=True,
        weight=row.size,
        query="query",
    )


async def _read_view_defaults(reader: Reader) -> Sequence[Item]:
    """Columns of views may have defaults of their own, for inserts through them."""
    query = f"""
        SELECT d.oid, c.oid AS view, n.nspname, c.relname, {identity("pg_attrdef", "d.oid")},
               'ALTER VIEW ' || {full("n.nspname", "c.relname")} || ' ALTER COLUMN ' || quote_ident(a.attname)
               || ' SET DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) AS sql
          FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum
         WHERE c.relkind = 'v' AND {OUR_SCHEMA} AND {not_of_extension("pg_class", "c.oid")} ORDER BY d.oid"""
    return [
        Item(
            key("pg_attrdef", row.oid),
            "default",
            row.type,
            row.identity,
            (row.nspname, row.relname),
            (Order(row.sql, row.type, row.identity),),
            of=key("pg_class", row.view),
            after=True,
        )
        for row in await reader.rows(query)
    ]


async def read_rules(reader: Reader) -> Sequence[Item]:
    """Rules other than those that make a view a view."""
    query = f"""
        SELECT r.oid, r.ev_class, n.nspname, c.relname, {identity("pg_rewrite", "r.oid")}, c.relkind::text,
               pg_get_ruledef(r.oid) AS definition, r.ev_enabled::text AS enabled, quote_ident(r.rulename) AS rule,
               {full("n.nspname", "c.relname")} AS relation
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE r.rulename <> '_RETURN' AND {OUR_SCHEMA} AND {not_of_extension("pg_class", "c.oid")}
           AND {not_of_extension("pg_rewrite", "r.oid")}
         ORDER BY n.nspname, c.relname, r.rulename"""
    rows = await reader.rows(query)
    return [item for row in rows for item in _watcher("rule", "RULE", "pg_rewrite", row, row.rule, "query")]


async def read_triggers(reader: Reader) -> Sequence[Item]:
    """Triggers; those that a partition has from its table come with the table's."""
    inherited = "true"
    if reader.version >= 130000:
        inherited = "g.tgparentid = 0"
    elif reader.version >= 110000:
        inherited = (
            "NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_trigger'::regclass AND p.objid = g.oid "
            "AND p.refclassid = 'pg_trigger'::regclass)"
        )
    query = f"""
        SELECT g.oid, g.tgrelid AS ev_class, n.nspname, c.relname, {identity("pg_trigger", "g.oid")},
               c.relkind::text, pg_get_triggerdef(g.oid) AS definition, g.tgenabled::text AS enabled,
               quote_ident(g.tgname) AS trigger,
               {full("n.nspname", "c.relname")} AS relation, {inherited} AS own
          FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT g.tgisinternal AND {OUR_SCHEMA} AND {not_of_extension("pg_class", "c.oid")}
           AND {not_of_extension("pg_trigger", "g.oid")}
         ORDER BY n.nspname, c.relname, g.tgname"""
    rows = await reader.rows(query)
    own = [row for row in rows if row.own]
    return [item for row in own for item in _watcher("trigger", "TRIGGER", "pg_trigger", row, row.trigger, "")]


def _watcher(kind: str, word: str, catalogue: str, row: Any, name: str, query: str) -> Sequence[Item]:
    """A trigger or rule; and apart from it that it fires for replicated changes too, which comes last of all."""
    orders = [Order(row.definition.rstrip().removesuffix(";"), row.type, row.identity)]
    alter = f"ALTER TABLE {row.relation} {_FIRING.get(row.enabled)} {word} {name}"
    if row.enabled == "D" and row.relkind != "v":
        orders.append(Order(alter))
    table = key("pg_class", row.ev_class)
    made = Item(
        key(catalogue, row.oid),
        kind,
        row.type,
        row.identity,
        (row.nspname, row.relname),
        tuple(orders),
        of=table,
        after=True,
        locks=(table,),
        query=query,
    )
    if row.enabled not in ("A", "R") or row.relkind == "v":
        return [made]
    firing = replace(
        made,
        key=f"firing/{catalogue}/{row.oid}",
        kind="firing",
        type="",
        orders=(Order(alter),),
        needs=(made.key,),
    )
    return [made, firing]


async def read_policies(reader: Reader) -> Sequence[Item]:
    """Row policies, and whether tables heed them."""
    query = f"""
        SELECT p.oid, p.polrelid, n.nspname, c.relname, p.polname, p.polpermissive, p.polcmd::text,
               {full("n.nspname", "c.relname")} AS relation, {identity("pg_policy", "p.oid")},
               ARRAY(SELECT CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END
                       FROM unnest(p.polroles) r) AS roles,
               pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_class", "c.oid")} ORDER BY n.nspname, c.relname, p.polname"""
    heeded = f"""
        SELECT c.oid, n.nspname, c.relname, {full("n.nspname", "c.relname")} AS relation,
               c.relrowsecurity, c.relforcerowsecurity
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE (c.relrowsecurity OR c.relforcerowsecurity) AND {OUR_SCHEMA}
           AND {not_of_extension("pg_class", "c.oid")} ORDER BY n.nspname, c.relname"""
    policies = [_policy(row) for row in await reader.rows(query)]
    return [*policies, *[_heeding(row) for row in await reader.rows(heeded)]]


def _policy(row: Any) -> Item:
    command = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}.get(row.polcmd, "ALL")
    sql = f"CREATE POLICY {quoted(row.polname)} ON {row.relation}"
    sql += " AS RESTRICTIVE" if not row.polpermissive else ""
    sql += f" FOR {command} TO {', '.join(row.roles)}"
    sql += f" USING ({row.using})" if row.using else ""
    sql += f" WITH CHECK ({row.check})" if row.check else ""
    table = key("pg_class", row.polrelid)
    return Item(
        key("pg_policy", row.oid),
        "policy",
        row.type,
        row.identity,
        (row.nspname, row.relname),
        (Order(sql, row.type, row.identity),),
        of=table,
        after=True,
        locks=(table,),
        query=f"policy:{row.relation}",
        essential=True,
        roles=tuple(role for role in row.roles if role != "PUBLIC"),
    )


def _heeding(row: Any) -> Item:
    words = ["ENABLE ROW LEVEL SECURITY"] * row.relrowsecurity
    words += ["FORCE ROW LEVEL SECURITY"] * row.relforcerowsecurity
    table = key("pg_class", row.oid)
    return Item(
        f"heeding/{row.oid}",
        "row security",
        "",
        row.relation,
        (row.nspname, row.relname),
        tuple(Order(f"ALTER TABLE {row.relation} {word}") for word in words),
        of=table,
        after=True,
        locks=(table,),
        essential=True,
    )


async def read_statistics(reader: Reader) -> Sequence[Item]:
    """Extended statistics; their values come with the next ANALYZE."""
    target = reader.since(13, "s.stxstattarget", "NULL::int")
    query = f"""
        SELECT s.oid, s.stxrelid, n.nspname, s.stxname, {identity("pg_statistic_ext", "s.oid")},
               {full("n.nspname", "s.stxname")} AS name, pg_get_statisticsobjdef(s.oid) AS definition,
               {target} AS target
          FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_statistic_ext", "s.oid")} ORDER BY n.nspname, s.stxname"""
    found = []
    for row in await reader.rows(query):
        orders = [Order(row.definition, row.type, row.identity)]
        if row.target is not None and row.target >= 0:
            orders.append(Order(f"ALTER STATISTICS {row.name} SET STATISTICS {row.target}"))
        found.append(
            Item(
                key("pg_statistic_ext", row.oid),
                "statistics",
                row.type,
                row.identity,
                (row.nspname, row.stxname),
                tuple(orders),
                of=key("pg_class", row.stxrelid),
                after=True,
                locks=(key("pg_class", row.stxrelid),),
            )
        )
    return found


async def read_replica_identities(reader: Reader) -> Sequence[Item]:
    """Tables whose changes carry all columns, or none, to those that read the log."""
    query = f"""
        SELECT c.oid, n.nspname, c.relname, {full("n.nspname", "c.relname")} AS relation,
               CASE c.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END AS word
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relreplident IN ('f', 'n') AND c.relkind IN ('r', 'p') AND {OUR_SCHEMA}
           AND {not_of_extension("pg_class", "c.oid")} ORDER BY n.nspname, c.relname"""
    return [
        Item(
            f"identity/{row.oid}",
            "setting",
            "",
            f"{row.relation} (replica identity)",
            (row.nspname, row.relname),
            (Order(f"ALTER TABLE ONLY {row.relation} REPLICA IDENTITY {row.word}"),),
            of=key("pg_class", row.oid),
            after=True,
            locks=(key("pg_class", row.oid),),
        )
        for row in await reader.rows(query)
    ]

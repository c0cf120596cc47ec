"""What is never moved, and told: streams to and from other servers, security labels, changes to extensions."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence

from sterna.engines.postgres.schema.items import wide
from sterna.engines.postgres.schema.reader import Reader, identity, not_of_extension
from sterna.engines.postgres.schema.things import Item


async def read_streams(reader: Reader) -> Sequence[Item]:
    """Publications and subscriptions, which are told and not made: two servers must not both feed or read one."""
    publications = f"""
        SELECT p.oid, {identity("pg_publication", "p.oid")} FROM pg_publication p
         WHERE p.pubname !~ '^sterna_' AND {not_of_extension("pg_publication", "p.oid")}"""
    subscriptions = f"""
        SELECT s.oid, {identity("pg_subscription", "s.oid")} FROM pg_subscription s JOIN pg_database b
            ON b.oid = s.subdbid WHERE b.datname = current_database()"""
    told = "who takes from it has to be pointed to the target by hand, after the cutover"
    found = [wide(row, "pg_publication", "publication", told=told) for row in await reader.rows(publications)]
    may = await reader.rows("SELECT has_column_privilege('pg_subscription', 'subdbid', 'SELECT') AS may")
    if may[0].may:
        told = "it would read twice: make it on the target after the cutover"
        found += [
            wide(row, "pg_subscription", "subscription", told=told) for row in await reader.rows(subscriptions)
        ]
    return found


async def read_labels(reader: Reader) -> Sequence[Item]:
    """Security labels are told: what they mean is known to a module of the server's alone."""
    query = """
        SELECT l.objoid AS oid, said.type, said.identity, l.provider
          FROM pg_seclabel l, LATERAL pg_identify_object(l.classoid, l.objoid, l.objsubid) said ORDER BY 1"""
    return [
        Item(
            f"label/{row.provider}/{row.type}/{row.identity}",
            "security label",
            "",
            row.identity,
            told=f"the module {row.provider} has to set it on the target",
        )
        for row in await reader.rows(query)
    ]


async def read_changed_extensions(reader: Reader) -> Sequence[Item]:
    """Grants on what an extension brought along, other than those that it came with, are told."""
    query = """
        SELECT x.oid, said.type, said.identity
          FROM (SELECT 'pg_class'::regclass AS class, oid, relacl AS acl FROM pg_class
                UNION ALL SELECT 'pg_proc'::regclass, oid, proacl FROM pg_proc) x
          JOIN pg_depend d ON d.classid = x.class AND d.objid = x.oid AND d.deptype = 'e'
          LEFT JOIN pg_init_privs i ON i.classoid = x.class AND i.objoid = x.oid AND i.objsubid = 0,
               LATERAL pg_identify_object(x.class, x.oid, 0) said
         WHERE x.acl IS DISTINCT FROM i.initprivs AND x.acl IS NOT NULL ORDER BY 1"""
    why = "it is an extension's: give it on the target by hand"
    return [
        Item(f"grant/{row.type}/{row.identity}", "grant", "", row.identity, told=why)
        for row in await reader.rows(query)
    ]

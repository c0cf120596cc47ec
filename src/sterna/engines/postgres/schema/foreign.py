"""Foreign data: wrappers, servers and who uses them as whom."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence
from dataclasses import replace

from sterna.engines.postgres.names import literal, quoted
from sterna.engines.postgres.schema.items import wide
from sterna.engines.postgres.schema.reader import Reader, identity, key, not_of_extension
from sterna.engines.postgres.schema.tables import generic_options
from sterna.engines.postgres.schema.things import Item


async def read_wrappers(reader: Reader) -> Sequence[Item]:
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
            wide(row, "pg_foreign_data_wrapper", "foreign-data wrapper", sql + generic_options(row.options))
        )
    return found


async def read_servers(reader: Reader) -> Sequence[Item]:
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
        found.append(wide(row, "pg_foreign_server", "server", sql))
    return found


async def read_user_mappings(reader: Reader) -> Sequence[Item]:
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
                wide(row, "pg_user_mapping", "user mapping", sql, told=told),
                roles=(row.usename,) if row.umuser else (),
                needs=(key("pg_foreign_server", row.srvid),),
            )
        )
    return found

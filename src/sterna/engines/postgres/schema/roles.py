"""Roles: those that own something that is moved, have a right to it, or are named by a policy."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Iterable, Sequence
from typing import Any

from sterna.engines.postgres.names import literal, quoted
from sterna.engines.postgres.schema.reader import Reader
from sterna.engines.postgres.schema.things import LeftOut, Order, Statement

_PREDEFINED = ("pg_",)
GRANT_OPTIONS_SINCE = 160000


async def read_roles(reader: Reader, names: Iterable[str]) -> tuple[Sequence[Statement], Sequence[LeftOut]]:
    """What makes roles and their memberships on the target; with passwords where they may be read."""
    members = await reader.rows(_memberships(reader))
    wanted = _with_groups(set(names), members)
    hashes = await _passwords(reader)
    made, told = [], []
    for role in await reader.rows(_ROLES):
        if role.rolname not in wanted or role.rolname.startswith(_PREDEFINED):
            continue
        made.append(_role(role, (hashes or {}).get(role.rolname), reader.superuser))
        if role.rolcanlogin and hashes is None:
            told.append(LeftOut("password", role.rolname, "the source's user may not read pg_authid: set it anew"))
        if (powers := _powers(role)) and not reader.superuser:
            told.append(
                LeftOut("role", role.rolname, f"only a superuser of the target may give {' '.join(powers)}")
            )
    made += [_membership(reader, row) for row in members if row.member in wanted]
    made += [_setting(row) for row in await reader.rows(_SETTINGS) if row.rolname in wanted]
    return made, told


_ROLES = """
    SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
           rolconnlimit, rolvaliduntil::text AS until
      FROM pg_roles ORDER BY rolname"""
_SETTINGS = """
    SELECT r.rolname, unnest(s.setconfig) AS setting
      FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = 0 ORDER BY 1, 2"""


def _memberships(reader: Reader) -> str:
    inherit = "bool_or(m.inherit_option)" if reader.version >= GRANT_OPTIONS_SINCE else "true"
    may_set = "bool_or(m.set_option)" if reader.version >= GRANT_OPTIONS_SINCE else "true"
    return f"""
        SELECT g.rolname AS role, u.rolname AS member, bool_or(m.admin_option) AS admin_option,
               {inherit} AS inherit_option, {may_set} AS set_option
          FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
         GROUP BY 1, 2 ORDER BY 1, 2"""


async def _passwords(reader: Reader) -> dict[str, str] | None:
    """Hashes by role; None: they may not be read."""
    may = await reader.rows("SELECT has_table_privilege('pg_authid', 'SELECT') AS may")
    if not may[0].may:
        return None
    rows = await reader.rows("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL")
    return {row.rolname: row.rolpassword for row in rows}


def _with_groups(names: set[str], members: Sequence[Any]) -> set[str]:
    found = set(names)
    while more := {row.role for row in members if row.member in found} - found:
        found |= more
    return found


def _powers(role: Any) -> Sequence[str]:
    words = ["SUPERUSER"] * role.rolsuper + ["REPLICATION"] * role.rolreplication
    return words + ["BYPASSRLS"] * role.rolbypassrls


def _role(role: Any, password: str | None, powerful: bool) -> Statement:
    words = ["LOGIN" if role.rolcanlogin else "NOLOGIN", "INHERIT" if role.rolinherit else "NOINHERIT"]
    words += ["CREATEROLE"] * role.rolcreaterole + ["CREATEDB"] * role.rolcreatedb
    words += _powers(role) if powerful else []
    words += [f"CONNECTION LIMIT {role.rolconnlimit}"] if role.rolconnlimit >= 0 else []
    words += [f"VALID UNTIL {literal(role.until)}"] if role.until else []
    words += [f"PASSWORD {literal(password)}"] if password else []
    order = Order(f"CREATE ROLE {quoted(role.rolname)} {' '.join(words)}", "role", role.rolname)
    return Statement(0, "role", role.rolname, (order,), secret=password is not None)


def _membership(reader: Reader, row: Any) -> Statement:
    sql = f"GRANT {quoted(row.role)} TO {quoted(row.member)}"
    if reader.version >= GRANT_OPTIONS_SINCE and reader.target >= GRANT_OPTIONS_SINCE:
        words = {"ADMIN": row.admin_option, "INHERIT": row.inherit_option, "SET": row.set_option}
        sql += " WITH " + ", ".join(f"{word} {'TRUE' if value else 'FALSE'}" for word, value in words.items())
    elif row.admin_option:
        sql += " WITH ADMIN OPTION"
    return Statement(0, "membership", f"{row.role} of {row.member}", (Order(sql),))


def _setting(row: Any) -> Statement:
    order = Order(f"ALTER ROLE {quoted(row.rolname)} {set_words(row.setting)}")
    return Statement(0, "role setting", row.rolname, (order,))


_LISTS = {"datestyle", "local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"}
_LISTS |= {"shared_preload_libraries", "unix_socket_directories"}
"""Settings whose value is a list of names, each quoted on its own already (PostgreSQL: GUC_LIST_QUOTE)."""


def set_words(setting: str) -> str:
    """``name=value`` of pg_db_role_setting as ``SET name TO value``."""
    name, _, value = setting.partition("=")
    return f"SET {'.'.join(quoted(part) for part in name.split('.'))} TO " + (
        value if name.lower() in _LISTS and value else literal(value)
    )

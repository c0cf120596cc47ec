"""Functions, procedures, aggregates, operators and casts that users wrote."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence
from typing import Any

from sterna.engines.postgres.names import literal
from sterna.engines.postgres.schema.reader import (
    FIRST_USERS_OID,
    MADE_WITH,
    OUR_SCHEMA,
    Reader,
    full,
    identity,
    key,
    not_of_extension,
)
from sterna.engines.postgres.schema.things import Item, Order


async def read_functions(reader: Reader) -> Sequence[Item]:
    """Functions and procedures, in any language, as PostgreSQL itself writes them."""
    aggregate = "p.prokind <> 'a'" if reader.version >= 110000 else "NOT p.proisagg"
    query = f"""
        SELECT p.oid, n.nspname, p.proname, {identity("pg_proc", "p.oid")},
               pg_get_functiondef(p.oid) AS definition,
               l.lanname, p.prosrc, {reader.since(14, "p.prosqlbody IS NOT NULL", "false")} AS parsed
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
         WHERE {aggregate} AND {OUR_SCHEMA} AND {not_of_extension("pg_proc", "p.oid", MADE_WITH)}
         ORDER BY n.nspname, p.proname, p.oid"""
    return [_function(row) for row in await reader.rows(query)]


def _function(row: Any) -> Item:
    definition = row.definition.replace("CREATE OR REPLACE ", "CREATE ", 1).rstrip()
    return Item(
        key("pg_proc", row.oid),
        "function",
        row.type,
        row.identity,
        (row.nspname, row.proname),
        (Order(definition, row.type, row.identity),),
        query="body" if row.parsed else "",
        body="" if row.parsed or row.lanname in ("c", "internal") else row.prosrc,
    )


async def read_aggregates(reader: Reader) -> Sequence[Item]:
    """Aggregates, which PostgreSQL has no ``pg_get_`` function for."""
    aggregate = "p.prokind = 'a'" if reader.version >= 110000 else "p.proisagg"
    query = f"""
        SELECT p.oid, n.nspname, p.proname, {identity("pg_proc", "p.oid")}, a.aggkind::text,
               {full("n.nspname", "p.proname")} AS name, pg_get_function_arguments(p.oid) AS arguments,
               p.proparallel::text, {_function_name("aggtransfn")}, {_function_name("aggfinalfn")},
               {_function_name("aggcombinefn")}, {_function_name("aggserialfn")},
               {_function_name("aggdeserialfn")}, {_function_name("aggmtransfn")},
               {_function_name("aggminvtransfn")}, {_function_name("aggmfinalfn")},
               format_type(a.aggtranstype, NULL) AS state, a.aggtransspace, a.agginitval, a.aggfinalextra,
               a.aggfinalmodify::text, CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END
               AS moving_state, a.aggmtransspace, a.aggminitval, a.aggmfinalextra, a.aggmfinalmodify::text,
               CASE WHEN a.aggsortop <> 0 THEN (SELECT 'OPERATOR(' || quote_ident(sn.nspname) || '.' || o.oprname
                    || ')' FROM pg_operator o JOIN pg_namespace sn ON sn.oid = o.oprnamespace
                    WHERE o.oid = a.aggsortop) END AS sort
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_aggregate a ON a.aggfnoid = p.oid
         WHERE {aggregate} AND {OUR_SCHEMA} AND {not_of_extension("pg_proc", "p.oid", MADE_WITH)}
         ORDER BY n.nspname, p.proname, p.oid"""
    if reader.version < 110000:
        query = query.replace("a.aggfinalmodify::text", "NULL AS aggfinalmodify")
        query = query.replace("a.aggmfinalmodify::text", "NULL AS aggmfinalmodify")
    return [_aggregate(row) for row in await reader.rows(query)]


def _function_name(column: str) -> str:
    return (
        f"(SELECT quote_ident(fn.nspname) || '.' || quote_ident(f.proname) FROM pg_proc f JOIN pg_namespace fn "
        f"ON fn.oid = f.pronamespace WHERE f.oid = a.{column}) AS {column}"
    )


_MODIFY = {"r": "READ_ONLY", "s": "SHAREABLE", "w": "READ_WRITE"}
_PARALLEL = {"s": "SAFE", "r": "RESTRICTED"}


def _aggregate(row: Any) -> Item:
    words = {
        "SFUNC": row.aggtransfn,
        "STYPE": row.state,
        "SSPACE": row.aggtransspace or None,
        "FINALFUNC": row.aggfinalfn,
        "FINALFUNC_MODIFY": _MODIFY.get(row.aggfinalmodify) if row.aggfinalfn else None,
        "COMBINEFUNC": row.aggcombinefn,
        "SERIALFUNC": row.aggserialfn,
        "DESERIALFUNC": row.aggdeserialfn,
        "INITCOND": literal(row.agginitval) if row.agginitval is not None else None,
        "MSFUNC": row.aggmtransfn,
        "MINVFUNC": row.aggminvtransfn,
        "MSTYPE": row.moving_state,
        "MSSPACE": row.aggmtransspace or None,
        "MFINALFUNC": row.aggmfinalfn,
        "MFINALFUNC_MODIFY": _MODIFY.get(row.aggmfinalmodify) if row.aggmfinalfn else None,
        "MINITCOND": literal(row.aggminitval) if row.aggminitval is not None else None,
        "SORTOP": row.sort,
        "PARALLEL": _PARALLEL.get(row.proparallel),
    }
    parts = [f"{word} = {value}" for word, value in words.items() if value is not None]
    parts += ["FINALFUNC_EXTRA"] * bool(row.aggfinalextra) + ["MFINALFUNC_EXTRA"] * bool(row.aggmfinalextra)
    parts += ["HYPOTHETICAL"] * (row.aggkind == "h")
    sql = f"CREATE AGGREGATE {row.name}({row.arguments or '*'}) ({', '.join(parts)})"
    return Item(
        key("pg_proc", row.oid),
        "aggregate",
        row.type,
        row.identity,
        (row.nspname, row.proname),
        (Order(sql, row.type, row.identity),),
    )


async def read_operators(reader: Reader) -> Sequence[Item]:
    """Operators with a function of their own; the shells that commutators leave are not things."""
    other = (
        "(SELECT 'OPERATOR(' || quote_ident(xn.nspname) || '.' || x.oprname || ')' FROM pg_operator x "
        "JOIN pg_namespace xn ON xn.oid = x.oprnamespace WHERE x.oid = o.{0}) AS {0}"
    )
    query = f"""
        SELECT o.oid, n.nspname, o.oprname, {identity("pg_operator", "o.oid")},
               quote_ident(n.nspname) || '.' || o.oprname AS name, o.oprcanmerge, o.oprcanhash,
               (SELECT {full("fn.nspname", "f.proname")} FROM pg_proc f JOIN pg_namespace fn
                  ON fn.oid = f.pronamespace WHERE f.oid = o.oprcode) AS function,
               CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END AS left,
               CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END AS right,
               {other.format("oprcom")}, {other.format("oprnegate")},
               CASE WHEN o.oprrest <> 0 THEN o.oprrest::regproc::text END AS restrict,
               CASE WHEN o.oprjoin <> 0 THEN o.oprjoin::regproc::text END AS join
          FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
         WHERE o.oprcode <> 0 AND {OUR_SCHEMA} AND {not_of_extension("pg_operator", "o.oid")}
         ORDER BY n.nspname, o.oid"""
    return [_operator(row) for row in await reader.rows(query)]


def _operator(row: Any) -> Item:
    words = {
        "FUNCTION": row.function,
        "LEFTARG": row.left,
        "RIGHTARG": row.right,
        "COMMUTATOR": row.oprcom,
        "NEGATOR": row.oprnegate,
        "RESTRICT": row.restrict,
        "JOIN": row.join,
    }
    parts = [f"{word} = {value}" for word, value in words.items() if value]
    parts += ["MERGES"] * row.oprcanmerge + ["HASHES"] * row.oprcanhash
    return Item(
        key("pg_operator", row.oid),
        "operator",
        row.type,
        row.identity,
        (row.nspname, row.oprname),
        (Order(f"CREATE OPERATOR {row.name} ({', '.join(parts)})", row.type, row.identity),),
    )


async def read_casts(reader: Reader) -> Sequence[Item]:
    query = f"""
        SELECT c.oid, {identity("pg_cast", "c.oid")}, format_type(c.castsource, NULL) AS source,
               format_type(c.casttarget, NULL) AS target, c.castcontext::text, c.castmethod::text,
               CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END AS function
          FROM pg_cast c
         WHERE c.oid >= {FIRST_USERS_OID} AND {not_of_extension("pg_cast", "c.oid", MADE_WITH)} ORDER BY c.oid"""
    return [_cast(row) for row in await reader.rows(query)]


def _cast(row: Any) -> Item:
    how = {"f": f"WITH FUNCTION {row.function}", "b": "WITHOUT FUNCTION", "i": "WITH INOUT"}[row.castmethod]
    when = {"i": " AS IMPLICIT", "a": " AS ASSIGNMENT"}.get(row.castcontext, "")
    sql = f"CREATE CAST ({row.source} AS {row.target}) {how}{when}"
    return Item(key("pg_cast", row.oid), "cast", row.type, row.identity, (), (Order(sql, row.type, row.identity),))

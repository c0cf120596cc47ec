"""Types of users' own: enumerations, composites, ranges, domains; and collations."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence
from typing import Any

from sterna.engines.postgres.names import literal, quoted
from sterna.engines.postgres.schema.reader import OUR_SCHEMA, Reader, full, identity, key, not_of_extension
from sterna.engines.postgres.schema.things import Item, Order

MULTIRANGES_SINCE = 140000


async def read_types(reader: Reader) -> Sequence[Item]:
    """Types that are not the row type of a table nor an extension's, and the checks of domains."""
    types = [_type(reader, row) for row in await reader.rows(_types_query(reader))]
    return [*types, *[_domain_check(row) for row in await reader.rows(_DOMAIN_CHECKS)]]


def _types_query(reader: Reader) -> str:
    multirange = reader.since(14, "r.rngmultitypid", "0")
    multi_name = reader.since(
        14,
        f"(SELECT {full('mn.nspname', 'm.typname')} FROM pg_type m JOIN pg_namespace mn "
        "ON mn.oid = m.typnamespace WHERE m.oid = r.rngmultitypid)",
        "NULL",
    )
    multi_array = reader.since(14, "(SELECT typarray FROM pg_type WHERE oid = r.rngmultitypid)", "0")
    return f"""
        SELECT t.oid, n.nspname, t.typname, t.typtype::text, t.typarray, t.typrelid, t.typisdefined,
               {full("n.nspname", "t.typname")} AS name, {identity("pg_type", "t.oid")},
               ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder) AS labels,
               ARRAY(SELECT quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                            || CASE WHEN a.attcollation <> at.typcollation THEN ' COLLATE ' ||
                               (SELECT {full("cn.nspname", "co.collname")} FROM pg_collation co
                                  JOIN pg_namespace cn ON cn.oid = co.collnamespace
                                 WHERE co.oid = a.attcollation) ELSE '' END
                       FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid
                      WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                      ORDER BY a.attnum) AS attributes,
               format_type(t.typbasetype, t.typtypmod) AS base, t.typnotnull, t.typdefault,
               (SELECT conname FROM pg_constraint WHERE contypid = t.oid AND contype = 'n') AS not_null_name,
               CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN
                    (SELECT {full("cn.nspname", "co.collname")} FROM pg_collation co JOIN pg_namespace cn
                       ON cn.oid = co.collnamespace WHERE co.oid = t.typcollation) END AS collation,
               format_type(r.rngsubtype, NULL) AS subtype, {multirange} AS multirange,
               {multi_name} AS multirange_name,
               {multi_array} AS multirange_array,
               (SELECT {full("onn.nspname", "o.opcname")} FROM pg_opclass o JOIN pg_namespace onn
                  ON onn.oid = o.opcnamespace WHERE o.oid = r.rngsubopc AND NOT o.opcdefault) AS subtype_class,
               (SELECT {full("cn.nspname", "co.collname")} FROM pg_collation co JOIN pg_namespace cn
                  ON cn.oid = co.collnamespace JOIN pg_type st ON st.oid = r.rngsubtype
                 WHERE co.oid = r.rngcollation AND co.oid <> st.typcollation) AS range_collation,
               CASE WHEN r.rngcanonical <> 0 THEN r.rngcanonical::regproc::text END AS canonical,
               CASE WHEN r.rngsubdiff <> 0 THEN r.rngsubdiff::regproc::text END AS difference
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
          LEFT JOIN pg_range r ON r.rngtypid = t.oid LEFT JOIN pg_type b ON b.oid = t.typbasetype
         WHERE t.typtype IN ('e', 'c', 'd', 'r', 'b', 'p') AND (t.typrelid = 0 OR c.relkind = 'c')
           AND NOT EXISTS (SELECT FROM pg_type el WHERE el.typarray = t.oid)
           AND {OUR_SCHEMA} AND {not_of_extension("pg_type", "t.oid")}
         ORDER BY n.nspname, t.typname"""


def _type(reader: Reader, row: Any) -> Item:
    makers = {"e": _enumeration, "c": _composite, "d": _domain, "r": _range}
    maker = makers.get(row.typtype)
    sql = maker(reader, row) if maker else ""
    parts = [key("pg_type", row.typarray)] if row.typarray else []
    parts += [key("pg_class", row.typrelid)] if row.typrelid else []
    if row.multirange:
        parts += [key("pg_type", row.multirange), key("pg_type", row.multirange_array)]
    return Item(
        key("pg_type", row.oid),
        "domain" if row.typtype == "d" else "type",
        row.type,
        row.identity,
        (row.nspname, row.typname),
        (Order(sql, row.type, row.identity),) if sql else (),
        parts=tuple(parts),
        essential=True,
        told=_told(row),
    )


def _told(row: Any) -> str:
    if row.typtype == "b" or row.typtype == "p":
        return "a base type is made by C functions: install what brings it along on the target, as an extension"
    return "its canonical function is written in C" if row.canonical else ""


def _enumeration(reader: Reader, row: Any) -> str:
    return f"CREATE TYPE {row.name} AS ENUM ({', '.join(literal(label) for label in row.labels)})"


def _composite(reader: Reader, row: Any) -> str:
    return f"CREATE TYPE {row.name} AS ({', '.join(row.attributes)})"


def _domain(reader: Reader, row: Any) -> str:
    sql = f"CREATE DOMAIN {row.name} AS {row.base}"
    sql += f" COLLATE {row.collation}" if row.collation else ""
    sql += f" DEFAULT {row.typdefault}" if row.typdefault is not None else ""
    return sql + (" NOT NULL" if row.typnotnull else "")


def _range(reader: Reader, row: Any) -> str:
    words = [f"SUBTYPE = {row.subtype}"]
    words += [f"SUBTYPE_OPCLASS = {row.subtype_class}"] if row.subtype_class else []
    words += [f"COLLATION = {row.range_collation}"] if row.range_collation else []
    words += [f"SUBTYPE_DIFF = {row.difference}"] if row.difference else []
    if row.multirange_name and reader.target >= MULTIRANGES_SINCE:
        words.append(f"MULTIRANGE_TYPE_NAME = {row.multirange_name}")
    return f"CREATE TYPE {row.name} AS RANGE ({', '.join(words)})"


_DOMAIN_CHECKS = f"""
    SELECT k.oid, k.contypid, k.conname, n.nspname, t.typname, {full("n.nspname", "t.typname")} AS name,
           {identity("pg_constraint", "k.oid")}, pg_get_constraintdef(k.oid) AS definition
      FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
     WHERE k.contypid <> 0 AND k.contype = 'c' AND {OUR_SCHEMA} AND {not_of_extension("pg_type", "t.oid")}
     ORDER BY n.nspname, t.typname, k.conname"""


def _domain_check(row: Any) -> Item:
    sql = f"ALTER DOMAIN {row.name} ADD CONSTRAINT {quoted(row.conname)} {row.definition}"
    return Item(
        key("pg_constraint", row.oid),
        "domain check",
        row.type,
        row.identity,
        (row.nspname, row.typname),
        (Order(sql, row.type, row.identity),),
        of=key("pg_type", row.contypid),
        essential=True,
    )


async def read_collations(reader: Reader) -> Sequence[Item]:
    """Collations of users' own. One that the target's operating system does not know cannot be made there."""
    deterministic = reader.since(12, "c.collisdeterministic", "true")
    locale = "NULL"
    if reader.version >= 170000:
        locale = "c.colllocale"
    elif reader.version >= 150000:
        locale = "c.colliculocale"
    rules = reader.since(16, "c.collicurules", "NULL")
    query = f"""
        SELECT c.oid, n.nspname, c.collname, {full("n.nspname", "c.collname")} AS name, c.collprovider::text,
               {identity("pg_collation", "c.oid")}, c.collcollate::text, c.collctype::text,
               {deterministic} AS deterministic, {locale} AS locale, {rules} AS rules
          FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
         WHERE {OUR_SCHEMA} AND {not_of_extension("pg_collation", "c.oid")} ORDER BY n.nspname, c.collname"""
    return [_collation(row) for row in await reader.rows(query)]


def _collation(row: Any) -> Item:
    provider = {"c": "libc", "i": "icu", "b": "builtin"}.get(row.collprovider, "libc")
    locale = row.locale or (row.collcollate if row.collcollate == row.collctype else None)
    words = [f"provider = {provider}"]
    if locale:
        words.append(f"locale = {literal(locale)}")
    else:
        words.append(f"lc_collate = {literal(row.collcollate)}, lc_ctype = {literal(row.collctype)}")
    words += [] if row.deterministic else ["deterministic = false"]
    words += [f"rules = {literal(row.rules)}"] if row.rules else []
    return Item(
        key("pg_collation", row.oid),
        "collation",
        row.type,
        row.identity,
        (row.nspname, row.collname),
        (Order(f"CREATE COLLATION {row.name} ({', '.join(words)})", row.type, row.identity),),
    )

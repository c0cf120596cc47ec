"""Which tables can travel as binary COPY.

The binary form of some types holds object identifiers, which are other ones on the target: those of the elements
of an array and of the fields of a composite type, and those that a ``regclass`` stands for. Types of extensions
may change their binary form with the extension's version. Tables with such columns travel as text, which is the
same everywhere. The rows pass through untouched either way.
"""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

from sterna.core.change import ROWS_TEXT, Format
from sterna.engines.postgres.connection import Connection

BINARY = Format("postgresql-binary")
TEXT = ROWS_TEXT

_FIXED = 10000
"""Below it, object identifiers are the same on every server (PostgreSQL sources, ``FirstGenbkiObjectId``)."""


async def text_types(connection: Connection) -> frozenset[int]:
    """The identifiers of the types, among those of the columns of tables, whose values must travel as text."""
    multirange = connection.info.server_version >= 140000
    rows = await (await connection.execute(_query(multirange))).fetchall()
    return frozenset(oid for (oid,) in rows)


def _query(multirange: bool) -> str:
    of_multirange = "UNION ALL SELECT r.rngtypid, false FROM pg_range r WHERE r.rngmultitypid = t.oid"
    return f"""
        WITH RECURSIVE uses(type, oid, inside) AS (
            SELECT DISTINCT a.atttypid, a.atttypid, false
              FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
            UNION
            SELECT u.type, n.oid, n.inside FROM uses u JOIN pg_type t ON t.oid = u.oid, LATERAL (
                SELECT t.typbasetype, false WHERE t.typtype = 'd'
                UNION ALL SELECT t.typelem, true WHERE t.typelem <> 0 AND t.typlen = -1
                UNION ALL SELECT r.rngsubtype, false FROM pg_range r WHERE r.rngtypid = t.oid
                {of_multirange if multirange else ""}
                UNION ALL SELECT a.atttypid, true FROM pg_attribute a
                 WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            ) AS n(oid, inside))
        SELECT DISTINCT u.type FROM uses u JOIN pg_type t ON t.oid = u.oid
         WHERE u.inside AND u.oid >= {_FIXED}
            OR t.typsend::oid = 0 OR t.typreceive::oid = 0 OR t.typtype = 'p'
            OR t.typname ~ '^reg' AND t.oid < {_FIXED}
            OR t.typtype = 'b' AND t.oid >= {_FIXED} AND NOT (t.typelem <> 0 AND t.typlen = -1)"""

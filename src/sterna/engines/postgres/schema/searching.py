"""How text is searched and values are indexed: configurations, dictionaries, operator classes and families."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence

from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.schema.items import inside
from sterna.engines.postgres.schema.reader import OUR_SCHEMA, Reader, full, identity, not_of_extension
from sterna.engines.postgres.schema.things import Item


async def read_text_search(reader: Reader) -> Sequence[Item]:
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
        found.append(inside(row, "pg_ts_dict", "text search", sql))
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
        found.append(inside(row, "pg_ts_config", "text search", *sql, *(f"{add} {each}" for each in row.mappings)))
    return found


async def read_operator_families(reader: Reader) -> Sequence[Item]:
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
        inside(
            row,
            "pg_opfamily",
            "operator family",
            f"CREATE OPERATOR FAMILY {row.name} USING {quoted(row.amname)}",
            told=told if row.loose else "",
        )
        for row in await reader.rows(query)
    ]


async def read_operator_classes(reader: Reader) -> Sequence[Item]:
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
        found.append(inside(row, "pg_opclass", "operator class", sql))
    return found

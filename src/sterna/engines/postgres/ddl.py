"""Sees commands on the source that change the shape of things, in their place among the changes of rows.

An event trigger in each selected database writes what happened into the log of changes, as a logical message
(PostgreSQL 14 and later) or as a row of a table of its own. Only a superuser may make event triggers; without
one, the catalogue is looked at from time to time instead (``watch.py``), and what changed is known without its
exact place.

What is handed on as ``Ddl.text`` is JSON:

    {"event": "ddl_command_end" | "sql_drop" | "look",
     "tag": "ALTER TABLE",
     "objects": [{"type": "table column", "schema": "public", "identity": "public.a.b",
                  "table": ["public", "a"] | null, "root": ["public", "parent"] | null}, …],
     "query": "the statement as the client sent it, perhaps one of several, at most 64 Ki characters",
     "context": "PL/pgSQL's stack where a function or DO block ran it, else empty",
     "search_path": "…", "user": "…", "settings": {"TimeZone": "Europe/Zurich", …},
     "trouble": "why the table could not be published, if so"}

``table`` is the table that an index, trigger, policy, rule or column belongs to, or the table itself; ``root``
the partitioned table above it. ``look`` is a change that was seen without the trigger: it has ``query`` empty.
A trigger that could not describe what happened gives ``objects`` empty. In the same transaction as the command,
a new table that is selected joins the publication, and a table that gained or lost its key moves to the one
that fits.

Grants, settings and other things without a shape are not told of. It does not fail the command that it looks at.

All of it goes when the job ends. By hand, where the job's record is lost, as a superuser in each database:
``DROP EVENT TRIGGER sterna_JOB; DROP EVENT TRIGGER sterna_JOB_drop; DROP SCHEMA sterna CASCADE;
DROP PUBLICATION sterna_JOB, sterna_JOB_insert;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'sterna_JOB_%';``
"""

import asyncio
import json
from collections.abc import Sequence

from psycopg import errors as pg

from sterna.core.plan import Path, Selection
from sterna.engines.postgres.catalogue import taken
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import SCHEMA, SCHEMA_LOCK, literal, own, quoted
from sterna.engines.postgres.publication import KEYED, names

GRACE_S = 0.2
"""Seconds between the end of the triggers and that of their functions: a command of somebody else's that has just
listed its triggers calls them a moment later, and fails if one has no function any more."""
MESSAGES_SINCE = 140000
"""Earlier versions do not hand out logical messages with pgoutput."""
SPEAKING = ("TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output", "lc_monetary")
"""Settings of a session that decide what a value becomes when its column's type changes."""


def journal(job_id: str) -> str:
    """The table in the schema ``sterna`` that the trigger writes to where there are no messages."""
    return f"{own(job_id)}_log"


async def install(
    connection: Connection, job_id: str, database: str, selection: Selection, *, by_table: bool | None = None
) -> bool:
    """Make the trigger in a database. False: this user may not. The publications must be there.

    ``by_table``: write to a table; None: where there is no other way.
    """
    if by_table is None:
        by_table = connection.info.server_version < MESSAGES_SINCE
    try:
        async with connection.transaction():
            await connection.execute(SCHEMA_LOCK)
            for statement in _statements(job_id, _wanted(selection, database), by_table=by_table):
                await connection.execute(statement.encode())
    except pg.InsufficientPrivilege:
        return False
    return True


async def uninstall(connection: Connection, job_id: str) -> None:
    """The trigger and all that belongs to it are gone. Twice is once."""
    triggers = own(job_id), f"{own(job_id)}_drop"
    query = "SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = ANY (%s))"
    ((installed,),) = await (await connection.execute(query, (list(triggers),))).fetchall()
    for trigger in triggers:
        await connection.execute(f"DROP EVENT TRIGGER IF EXISTS {quoted(trigger)}".encode())
    if installed:
        await asyncio.sleep(GRACE_S)
    if not await (await connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (SCHEMA,))).fetchall():
        return
    for function, arguments in (("", ""), ("_note", "text, text, text, text"), ("_place", "oid")):
        name = quoted(SCHEMA, own(job_id) + function)
        await connection.execute(f"DROP FUNCTION IF EXISTS {name}({arguments})".encode())
    await connection.execute(f"DROP TABLE IF EXISTS {quoted(SCHEMA, journal(job_id))}".encode())
    try:
        async with connection.transaction():
            await connection.execute(SCHEMA_LOCK)
            await connection.execute(f"DROP SCHEMA IF EXISTS {quoted(SCHEMA)}".encode())
    except (pg.DependentObjectsStillExist, pg.InsufficientPrivilege):
        return  # another job needs it, or made it


def concerns(text: str, database: str, selection: Selection) -> bool:
    """Whether what a trigger told touches something that is selected."""
    objects = json.loads(text).get("objects")
    return not objects or any(_selected(each, database, selection) for each in objects)


def _selected(thing: dict[str, Sequence[str] | str | None], database: str, selection: Selection) -> bool:
    table, root, schema = thing.get("table"), thing.get("root"), thing.get("schema")
    if table:
        return taken(selection, (database, *table), (database, *root) if root else None) is not None
    return selection.touches((database, str(schema)) if schema else (database,))


def _wanted(selection: Selection, database: str) -> str:
    """The selection as an SQL condition on the variables ``s`` and ``t``, a schema and a table."""
    objects = [each.path for each in selection.objects]
    inside = " OR ".join(_matches(path, database) for path in objects) if objects else "true"
    outside = " OR ".join(_matches(path, database) for path in selection.without) or "false"
    return f"(({inside}) AND NOT ({outside}))"


def _matches(path: Path, database: str) -> str:
    if path[0] != database:
        return "false"
    words = [f"{word} = {literal(name)}" for word, name in zip(("s", "t"), path[1:], strict=False)]
    return f"({' AND '.join(words) or 'true'})"


def _statements(job_id: str, wanted: str, *, by_table: bool) -> Sequence[str]:
    function, whole, inserts = quoted(SCHEMA, own(job_id)), *(literal(name) for name in names(job_id))
    note, place = quoted(SCHEMA, f"{own(job_id)}_note"), quoted(SCHEMA, f"{own(job_id)}_place")
    table = quoted(SCHEMA, journal(job_id))
    if by_table:
        write = f"INSERT INTO {table} VALUES (pg_catalog.convert_from(told, 'UTF8'))"  # noqa: S608 - our own name
        keep = [
            f"CREATE TABLE {table} (told text)",
            f"ALTER PUBLICATION {quoted(names(job_id)[1])} ADD TABLE ONLY {table}",
        ]
    else:
        write = _MESSAGE.replace("{prefix}", literal(own(job_id)))
        keep = []
    both = ("ddl_command_end", own(job_id)), ("sql_drop", f"{own(job_id)}_drop")
    triggers = [
        statement
        for event, name in both
        for statement in (
            f"CREATE EVENT TRIGGER {quoted(name)} ON {event} EXECUTE PROCEDURE {function}()",
            f"ALTER EVENT TRIGGER {quoted(name)} ENABLE ALWAYS",
        )
    ]
    return [
        f"CREATE SCHEMA IF NOT EXISTS {quoted(SCHEMA)}",
        *keep,
        f"CREATE FUNCTION {place}(it oid) {_SAFE} AS {_body(_PLACE)}".replace("{wanted}", wanted)
        .replace("{whole}", whole)
        .replace("{inserts}", inserts),
        f"CREATE FUNCTION {note}(event text, tag text, path text, stack text) "
        + _SAFE.replace("void", "bytea")
        + f" AS {_body(_NOTE)}".replace("{settings}", ", ".join(literal(name) for name in SPEAKING))
        .replace("{place}", place)
        .replace("{whole}", whole)
        .replace("{inserts}", inserts),
        f"CREATE FUNCTION {function}() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS "
        + _body(_TRIGGER).replace("{note}", note).replace("{write}", write),
        *(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC" for name in _signatures(function, note, place)),
        *triggers,
    ]


def _signatures(function: str, note: str, place: str) -> Sequence[str]:
    return f"{function}()", f"{note}(text, text, text, text)", f"{place}(oid)"


def _body(text: str) -> str:
    return f"$sterna$ {text} $sterna$"


_SAFE = "RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp"
"""The trigger itself cannot have a search path of its own: it reads that of the session."""

_TRIGGER = """
DECLARE path text := pg_catalog.current_setting('search_path'); stack text; told bytea;
BEGIN
    BEGIN
        GET DIAGNOSTICS stack = PG_CONTEXT;
        told := {note}(TG_EVENT, TG_TAG, path, stack);
    EXCEPTION WHEN OTHERS THEN
        told := pg_catalog.convert_to(pg_catalog.json_build_object('event', TG_EVENT, 'tag', TG_TAG,
            'objects', pg_catalog.json_build_array(), 'query', '', 'search_path', path)::text, 'UTF8');
    END;
    IF told IS NULL THEN
        RETURN;
    END IF;
    {write};
END"""

# A message counts as being where its record ends, which is where the next record begins: a row that another
# subtransaction writes right after it would be handed out before it. The second message keeps them apart.
_MESSAGE = """
    PERFORM pg_catalog.pg_logical_emit_message(true, {prefix}, told);
    PERFORM pg_catalog.pg_logical_emit_message(true, {prefix}, '')"""

_NOTE = """
DECLARE found jsonb; told jsonb; trouble text; it oid;
BEGIN
    IF tag ~ '(PUBLICATION|SUBSCRIPTION)$' OR (event = 'sql_drop') <> (tag ~ '^DROP ')
       OR current_setting('sterna.own', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF event = 'sql_drop' THEN
        SELECT jsonb_agg(jsonb_build_object(
                   'type', o.object_type, 'schema', o.schema_name, 'identity', o.object_identity,
                   'table', CASE WHEN o.object_type IN ('table', 'trigger', 'policy', 'rule')
                                 THEN to_jsonb(o.address_names[1:2]) END))
          INTO found
          FROM (SELECT * FROM pg_event_trigger_dropped_objects() d
                 WHERE d.original AND NOT d.is_temporary AND d.object_identity <> 'sterna'
                   AND d.schema_name IS DISTINCT FROM 'sterna' LIMIT 100) o;
    ELSE
        SELECT jsonb_agg(jsonb_build_object(
                   'type', o.object_type, 'schema', o.schema_name, 'identity', o.object_identity,
                   'table', jsonb_build_array(n.nspname, r.relname), 'root', root.path)
               || CASE WHEN r.oid IS NULL THEN '{"table": null}' ELSE '{}' END::jsonb)
          INTO found
          FROM (SELECT c.*, CASE c.classid
                       WHEN 'pg_class'::regclass THEN
                            COALESCE((SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = c.objid), c.objid)
                       WHEN 'pg_trigger'::regclass THEN (SELECT t.tgrelid FROM pg_trigger t WHERE t.oid = c.objid)
                       WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid FROM pg_policy p WHERE p.oid = c.objid)
                       WHEN 'pg_rewrite'::regclass THEN (SELECT w.ev_class FROM pg_rewrite w WHERE w.oid = c.objid)
                       END AS relation
                  FROM pg_event_trigger_ddl_commands() c
                 WHERE NOT c.in_extension AND c.schema_name IS DISTINCT FROM 'pg_temp'
                   AND c.schema_name IS DISTINCT FROM 'sterna' AND c.object_identity <> 'sterna' LIMIT 100) o
          LEFT JOIN pg_class r ON r.oid = o.relation AND r.relkind IN ('r', 'p')
          LEFT JOIN pg_namespace n ON n.oid = r.relnamespace
          LEFT JOIN LATERAL (
               WITH RECURSIVE up AS (
                   SELECT h.inhparent, 1 AS depth FROM pg_inherits h WHERE h.inhrelid = r.oid AND r.relispartition
                   UNION ALL
                   SELECT h.inhparent, up.depth + 1 FROM up JOIN pg_inherits h ON h.inhrelid = up.inhparent
               )
               SELECT jsonb_build_array(pn.nspname, p.relname) AS path
                 FROM up JOIN pg_class p ON p.oid = up.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
                ORDER BY up.depth DESC LIMIT 1) root ON true;
    END IF;
    IF found IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        IF event = 'ddl_command_end' THEN
            FOR it IN SELECT DISTINCT c.objid FROM pg_event_trigger_ddl_commands() c
                       WHERE c.classid = 'pg_class'::regclass AND NOT c.in_extension LOOP
                PERFORM {place}(COALESCE((SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = it), it));
            END LOOP;
            -- A partition that is let go is not named, and was published with the table above it.
            IF tag = 'ALTER TABLE' AND EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c
                                                JOIN pg_class r ON r.oid = c.objid AND r.relkind = 'p') THEN
                FOR it IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                           WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
                             AND c.oid >= 16384 AND n.nspname <> 'information_schema'
                             AND NOT EXISTS (SELECT FROM pg_publication_rel x WHERE x.prrelid = c.oid
                                 AND x.prpubid IN (SELECT p.oid FROM pg_publication p
                                                    WHERE p.pubname IN ({whole}, {inserts}))) LOOP
                    PERFORM {place}(it);
                END LOOP;
            END IF;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        trouble := SQLERRM;
    END;
    told := jsonb_build_object(
        'event', event, 'tag', tag, 'objects', found, 'query', left(current_query(), 65536),
        'context', CASE WHEN stack ~ E'\\n' THEN left(stack, 8192) ELSE '' END,
        'search_path', path, 'user', session_user, 'settings', (
            SELECT jsonb_object_agg(g.name, current_setting(g.name))
              FROM unnest(ARRAY[{settings}]) AS g(name)));
    IF trouble IS NOT NULL THEN
        told := told || jsonb_build_object('trouble', trouble);
    END IF;
    RETURN convert_to(told::text, 'UTF8');
END"""

_PLACE = f"""
DECLARE s text; t text; keyed boolean; member text; fitting text; before text; noted text;
    ours boolean;
BEGIN
    SELECT n.nspname, c.relname, {KEYED} INTO s, t, keyed
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = it AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname <> 'sterna';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT p.pubname INTO member FROM pg_publication p JOIN pg_publication_rel x ON x.prpubid = p.oid
     WHERE x.prrelid = it AND p.pubname IN ({{whole}}, {{inserts}});
    ours := {{wanted}} OR member IS NOT NULL OR EXISTS (
        WITH RECURSIVE up AS (
            SELECT h.inhparent FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
             WHERE h.inhrelid = it AND c.relispartition
            UNION ALL SELECT h.inhparent FROM up JOIN pg_inherits h ON h.inhrelid = up.inhparent)
        SELECT FROM up JOIN pg_publication_rel x ON x.prrelid = up.inhparent
          JOIN pg_publication p ON p.oid = x.prpubid WHERE p.pubname = {{whole}});
    IF NOT keyed AND ours THEN
        PERFORM set_config('sterna.own', 'on', true);
        SELECT c.relreplident INTO before FROM pg_class c WHERE c.oid = it;
        SELECT obj_description(p.oid, 'pg_publication') INTO noted
          FROM pg_publication p WHERE p.pubname = {{whole}};
        EXECUTE format('COMMENT ON PUBLICATION %I IS %L', {{whole}},
            COALESCE(NULLIF(noted, ''), '[]')::jsonb
            || jsonb_build_array(jsonb_build_array(s, t, before, it::bigint)));
        EXECUTE format('ALTER TABLE ONLY %I.%I REPLICA IDENTITY FULL', s, t);
        PERFORM set_config('sterna.own', 'off', true);
        keyed := true;
    END IF;
    fitting := CASE WHEN keyed THEN {{whole}} ELSE {{inserts}} END;
    IF member = fitting THEN
        RETURN;
    ELSIF member IS NOT NULL THEN
        EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY %I.%I', member, s, t);
    ELSIF NOT {{wanted}} OR EXISTS (
        WITH RECURSIVE up AS (
            SELECT h.inhparent FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
             WHERE h.inhrelid = it AND c.relispartition
            UNION ALL SELECT h.inhparent FROM up JOIN pg_inherits h ON h.inhrelid = up.inhparent)
        SELECT FROM up JOIN pg_publication_rel x ON x.prrelid = up.inhparent
          JOIN pg_publication p ON p.oid = x.prpubid WHERE p.pubname IN ({{whole}}, {{inserts}})) THEN
        RETURN;
    ELSIF current_setting('server_version_num')::int < 130000
          AND EXISTS (SELECT FROM pg_class c WHERE c.oid = it AND c.relkind = 'p') THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY %I.%I', fitting, s, t);
END"""  # noqa: S608 - two conditions of our own

"""What a source must be, and what it is better set to."""

from sterna.core.finding import Verdict, alarm, failed, passed
from sterna.core.plan import Path
from sterna.engines.postgres.catalogue import Table, taken
from sterna.engines.postgres.checks.either import NEWEST, OLDEST, connections_of, encryption_of
from sterna.engines.postgres.checks.verdict import Scene, listed, statements
from sterna.engines.postgres.names import SCHEMA, quoted, shown

LONG_S = 60.0
"""Seconds after which a transaction that writes holds up a start noticeably."""
STANDBY_SINCE = 160_000
"""Standbys give changes from PostgreSQL 16 on."""
DECODE_KB = 64 * 1024


def databases(scene: Scene) -> Verdict:
    """Every selected database lets us in."""
    source, plan = scene.source, scene.plan
    asked = {each.path[0] for each in plan.selection.objects}
    missing = sorted(asked - set(source.names))
    closed = [f"{each.name}: {each.trouble.message}" for each in source.databases if each.trouble]
    if missing:
        return failed(f"There is no database {listed(missing)}", "Correct the name of the database")
    if closed:
        grants = [f"GRANT CONNECT ON DATABASE {quoted(each.name)} TO {_me(scene)}" for each in source.databases]
        return failed(f"No way in: {listed(closed)}", f"On the source: {statements(grants)}")
    if not source.databases:
        return failed("Nothing is selected: no database of the source is", "Select a database that exists")
    return passed(listed([each.name for each in source.databases]))


def objects(scene: Scene) -> Verdict:
    """What was picked by name is there."""
    there: set[Path] = set()
    for database in scene.source.seen:
        there |= {(database.name,), *((database.name, schema) for schema in database.schemas)}
        for table in database.tables:
            there |= {table.path, *([table.root] if table.root else [])}
    missing = [shown(each.path) for each in scene.plan.selection.objects if each.path not in there]
    if missing and not any(each.trouble for each in scene.source.databases):
        return failed(f"Not on the source: {listed(missing)}", "Correct the selection")
    columns = _unknown_columns(scene)
    if columns:
        return failed(f"No such columns: {listed(columns)}", "Correct the selection")
    return passed(f"{sum(len(each.tables) for each in scene.source.seen)} tables")


def _unknown_columns(scene: Scene) -> list[str]:
    wrong = []
    for table in _tables(scene):
        place = taken(scene.plan.selection, table.path, table.root)
        names = {column.name for column in table.columns}
        wrong += [f"{shown(table.path)}.{name}" for name in (place.columns if place else ()) if name not in names]
    return wrong


def version(scene: Scene) -> Verdict:
    """10 to 18."""
    if scene.source.version < OLDEST:
        return failed(scene.source.label, "Upgrade the source to PostgreSQL 10 or later")
    if scene.source.version >= NEWEST:
        return alarm(scene.source.label, "Sterna knows PostgreSQL 10 to 18: try this move on a copy first")
    return passed(scene.source.label)


def standby(scene: Scene) -> Verdict:
    """A standby gives a copy; changes only from 16 on."""
    if not scene.source.facts.get("standby"):
        return passed("primary")
    if scene.follows and scene.source.version < STANDBY_SINCE:
        return failed("A standby, which gives no changes before PostgreSQL 16", "Name the primary as the source")
    return alarm("A standby: it cannot be told to send what a publication needs", "Better name the primary")


def wal_level(scene: Scene) -> Verdict:
    """Changes are written to the log as rows only with ``logical``."""
    level = scene.source.settings.get("wal_level", "?")
    if not scene.follows or level == "logical":
        return passed(f"wal_level = {level}")
    remedy = "On the source: ALTER SYSTEM SET wal_level = 'logical'; then restart it"
    return failed(f"wal_level = {level}", remedy)


def slots(scene: Scene) -> Verdict:
    """One slot for each database."""
    return _room(scene, "max_replication_slots", "slots", "replication slots")


def senders(scene: Scene) -> Verdict:
    """One sender for each database."""
    return _room(scene, "max_wal_senders", "senders", "WAL senders")


def _room(scene: Scene, setting: str, used: str, what: str) -> Verdict:
    most, taken_ = scene.source.number(setting), int(scene.source.facts.get(used, 0))
    needed = len(scene.source.databases)
    seen = f"{setting} = {most}, {taken_} of them used, {needed} needed"
    if not scene.follows or most < 0 or most - taken_ >= needed:
        return passed(seen)
    more = max(taken_ + needed, most + 4)
    remedy = f"On the source: ALTER SYSTEM SET {setting} = {more}; then restart it, or drop {what} of no use"
    return failed(seen, remedy)


def replication(scene: Scene) -> Verdict:
    """The user may read the log."""
    role, facts = scene.source.role, scene.source.facts
    if not scene.follows or role.get("super") or role.get("replication") or facts.get("managed"):
        return passed("the user may use replication slots" if scene.follows else "not needed for a full copy")
    return failed(
        "The user lacks the attribute REPLICATION", f"On the source: ALTER ROLE {_me(scene)} REPLICATION"
    )


def reading(scene: Scene) -> Verdict:
    """The user may read every selected table."""
    lacking = [path for each in scene.source.seen for path in each.unreadable]
    if not lacking:
        return passed("all selected tables can be read")
    schemas = dict.fromkeys(path[1] for path in lacking)
    grants = [f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {_me(scene)}" for schema in schemas]
    grants += [f"GRANT SELECT ON {quoted(*path[1:])} TO {_me(scene)}" for path in lacking]
    return failed(
        f"Cannot be read: {listed([shown(path) for path in lacking])}", f"On the source: {statements(grants)}"
    )


def row_security(scene: Scene) -> Verdict:
    """Row policies would hide rows from the copy."""
    hidden = [shown(path) for each in scene.source.seen for path in each.hidden]
    if not hidden:
        return passed("no policy hides rows from the user")
    remedy = f"On the source: ALTER ROLE {_me(scene)} BYPASSRLS, or name the owner of the tables as the user"
    return failed(f"Row security hides rows of {listed(hidden)}", remedy)


def publication(scene: Scene) -> Verdict:
    """Tables are put into a publication by their owner, in a database where the user may create."""
    if not scene.follows or scene.source.role.get("super"):
        return passed(
            "the user may publish all selected tables" if scene.follows else "not needed for a full copy"
        )
    foreign = [path for each in scene.source.seen for path in each.foreign]
    closed = [each.name for each in scene.source.seen if not each.facts.get("may_create")]
    grants = [f"GRANT CREATE ON DATABASE {quoted(name)} TO {_me(scene)}" for name in closed]
    grants += [f"ALTER TABLE {quoted(*path[1:])} OWNER TO {_me(scene)}" for path in foreign]
    if not grants:
        return passed("the user owns all selected tables")
    seen = f"The user does not own {listed([shown(path) for path in foreign])}" if foreign else "CREATE is missing"
    remedy = f"Name the tables' owner or a superuser as the user, or, on the source: {statements(grants)}"
    return failed(seen, remedy)


def identity(scene: Scene) -> Verdict:
    """Without an identity the log cannot tell which row was changed: the whole row has to be in it."""
    bare = [table for table in _tables(scene) if not _tells_rows_apart(table)]
    if not scene.follows or not bare:
        return passed("every table has a primary key, or an identity for its rows")
    return alarm(
        "No key: the source's log has to hold the whole old row of every UPDATE and DELETE of "
        + listed([shown(table.path) for table in bare]),
        "Nothing: the job sets REPLICA IDENTITY FULL on them while it runs, and sets it back at its end. A primary"
        " key makes them smaller in the log and faster to follow",
    )


def _tells_rows_apart(table: Table) -> bool:
    return table.identity == "f" or bool(table.key)


def filters(scene: Scene) -> Verdict:
    """Row filters are valid, and changes bring the columns that they need."""
    wrong = [f"{shown(path)}: {words}" for each in scene.source.seen for path, words in each.invalid.items()]
    if wrong:
        return failed(f"The source does not take the row filter of {listed(wrong)}", "Correct the condition")
    filtered = [table for table in _tables(scene) if _place_where(scene, table)]
    if not filtered:
        return passed("no rows are filtered")
    blind = [table for table in filtered if table.identity != "f"]
    if not scene.follows or not blind:
        return passed(f"{len(filtered)} tables are filtered")
    alter = [f"ALTER TABLE {quoted(*table.path[1:])} REPLICA IDENTITY FULL" for table in blind]
    return alarm(
        f"Changes of {listed([shown(table.path) for table in blind])} come without the row as it was: whether it"
        " was taken is told by the target",
        f"To be independent of that, on the source: {statements(alter)}",
    )


def _place_where(scene: Scene, table: Table) -> str:
    place = taken(scene.plan.selection, table.path, table.root)
    return place.where if place else ""


def columns(scene: Scene) -> Verdict:
    """Of a table that is followed, the columns that tell its rows apart have to be taken."""
    lacking = []
    for table in _tables(scene):
        place = taken(scene.plan.selection, table.path, table.root)
        chosen = place.columns if place else ()
        if chosen and not set(table.key) <= set(chosen):
            lacking.append(f"{shown(table.path)} ({', '.join(sorted(set(table.key) - set(chosen)))})")
    if scene.follows and lacking:
        return failed(f"Key columns are not selected: {listed(lacking)}", "Select them as well")
    return passed("all columns that tell rows apart are selected")


def unlogged(scene: Scene) -> Verdict:
    """Unlogged tables leave nothing in the log."""
    found = [table for table in _tables(scene) if table.unlogged]
    if not scene.follows or not found:
        return passed("no unlogged table" if not found else f"{len(found)} unlogged tables are copied")
    alter = [f"ALTER TABLE {quoted(*table.path[1:])} SET LOGGED" for table in found]
    return alarm(
        f"Unlogged, so copied once and not followed: {listed([shown(table.path) for table in found])}",
        f"If their changes count, on the source: {statements(alter)}",
    )


def large_objects(scene: Scene) -> Verdict:
    """Large objects are not part of any table, and logical decoding does not show them."""
    counts = {each.name: int(each.facts.get("large_objects", 0)) for each in scene.source.seen}
    some = [f"{name}: {count}" for name, count in counts.items() if count]
    if not some:
        return passed("no large objects")
    return alarm(
        f"Large objects are not moved: {listed(some)}",
        "Move them with pg_dump --large-objects after the cutover, or store their contents in bytea columns first",
    )


def elsewhere(scene: Scene) -> Verdict:
    """Rows of foreign tables live in another server."""
    found = [shown(path) for each in scene.source.seen for path in each.outside]
    if not found:
        return passed("no foreign tables")
    return alarm(
        f"Rows of foreign tables are not moved: {listed(found)}", "Make sure the target reaches their server"
    )


def transactions(scene: Scene) -> Verdict:
    """A slot is made only once every transaction that was writing has ended."""
    longest, prepared = float(scene.source.facts.get("longest", 0)), int(scene.source.facts.get("prepared", 0))
    if scene.follows and prepared:
        return alarm(
            f"{prepared} prepared transactions: a start waits until they are committed or rolled back",
            "On the source: SELECT gid, prepared, owner FROM pg_prepared_xacts; then COMMIT PREPARED or"
            " ROLLBACK PREPARED",
        )
    if scene.follows and longest > LONG_S:
        return alarm(
            f"The longest transaction that writes runs for {longest:.0f} s: a start waits for its end",
            "On the source: SELECT pid, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
            " ORDER BY xact_start; end it if it is of no use: SELECT pg_terminate_backend(pid)",
        )
    return passed(f"the longest transaction that writes runs for {longest:.0f} s, none is prepared")


def kept_wal(scene: Scene) -> Verdict:
    """How much of the log a slot may hold before the server breaks it, or the disk fills."""
    limit = scene.source.number("max_slot_wal_keep_size")
    if not scene.follows:
        return passed("not needed for a full copy")
    if limit == -1 and "max_slot_wal_keep_size" in scene.source.settings:
        return alarm(
            "max_slot_wal_keep_size = -1: while the job is paused or stopped by an error, the slot holds the log"
            " without a limit",
            "On the source: ALTER SYSTEM SET max_slot_wal_keep_size = '100GB'; SELECT pg_reload_conf(); or watch"
            " the disk, or give the job slot_limit_mb",
        )
    if 0 <= limit < 1024:
        return alarm(
            f"max_slot_wal_keep_size = {limit} MB: a job that is behind by more has to copy everything again",
            "On the source: ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf()",
        )
    return passed(f"max_slot_wal_keep_size = {limit} MB" if limit >= 0 else "the server keeps what a slot needs")


def timeouts(scene: Scene) -> Verdict:
    """Settings that cut connections or hold decoding up."""
    told = []
    if 0 < scene.source.number("wal_sender_timeout") < 10_000:
        told.append(f"wal_sender_timeout = {scene.source.number('wal_sender_timeout')} ms")
    if scene.follows and 0 <= scene.source.number("logical_decoding_work_mem") < DECODE_KB:
        told.append(f"logical_decoding_work_mem = {scene.source.number('logical_decoding_work_mem')} kB")
    if not told:
        return passed("no setting cuts a connection short")
    return alarm(
        f"Worth a change: {listed(told)}",
        "On the source: ALTER SYSTEM SET wal_sender_timeout = '60s'; ALTER SYSTEM SET logical_decoding_work_mem ="
        " '64MB'; SELECT pg_reload_conf()",
    )


def connections(scene: Scene) -> Verdict:
    """A few connections have to be left."""
    return connections_of(scene.source.number("max_connections"), scene.source.facts, "source")


def ddl(scene: Scene) -> Verdict:
    """Changes of the shape are seen as they happen only with an event trigger."""
    if not scene.follows or scene.source.role.get("super") or scene.source.facts.get("managed"):
        return passed("changes of the shape are seen by an event trigger" if scene.follows else "not needed")
    return alarm(
        "Only a superuser may make an event trigger: a change of the shape (ALTER TABLE …) is noticed by looking, "
        "and cannot be applied by itself",
        "Change no tables while the job runs, or name a superuser as the source's user",
    )


def passwords(scene: Scene) -> Verdict:
    """Roles come with their passwords only if those can be read."""
    if scene.source.facts.get("hashes"):
        return passed("passwords of roles can be read")
    return alarm(
        "The user may not read pg_authid: roles are made without their passwords",
        "Set the passwords on the target, or name a superuser as the source's user",
    )


def reserved(scene: Scene) -> Verdict:
    """The schema that Sterna keeps its own things in is not somebody else's."""
    taken_ = [each.name for each in scene.source.seen if SCHEMA in each.schemas]
    if not taken_:
        return passed(f"no schema {SCHEMA}")
    return alarm(
        f"There is a schema {SCHEMA} in {listed(taken_)}: it is Sterna's own and is not moved",
        f"If it is yours, rename it; if no job uses it: DROP SCHEMA {quoted(SCHEMA)} CASCADE",
    )


def dependency(scene: Scene) -> Verdict:
    """Tables that selected ones refer to are selected too."""
    chosen = {path for table in _tables(scene) for path in (table.path, table.root) if path}
    open_ = [
        f"{shown(one)} refers to {shown(other)}"
        for each in scene.source.seen
        for one, other in each.dependent
        if one in chosen and other not in chosen
    ]
    if not open_:
        return passed("no foreign key leads out of the selection")
    return alarm(f"Foreign keys that are left out: {listed(open_)}", "Select the other tables as well")


def encryption(scene: Scene) -> Verdict:
    return encryption_of(scene.source.endpoint.tls is not None, scene.source.facts, "source")


def _tables(scene: Scene) -> list[Table]:
    return [table for each in scene.source.seen for table in each.tables]


def _me(scene: Scene) -> str:
    return quoted(scene.source.endpoint.user or "postgres")


JUDGES = {
    "databases": (databases, "network"),
    "encryption": (encryption, "network"),
    "version": (version, "db_version"),
    "standby": (standby, "src_info_check"),
    "objects": (objects, "src_info_check"),
    "wal_level": (wal_level, "db_params"),
    "slots": (slots, "db_params"),
    "senders": (senders, "db_params"),
    "connections": (connections, "db_params"),
    "kept_wal": (kept_wal, "db_params"),
    "timeouts": (timeouts, "db_params"),
    "transactions": (transactions, "src_info_check"),
    "replication": (replication, "db_user_privilege"),
    "reading": (reading, "db_user_privilege"),
    "row_security": (row_security, "db_user_privilege"),
    "publication": (publication, "db_user_privilege"),
    "passwords": (passwords, "db_user_privilege"),
    "ddl": (ddl, "db_user_privilege"),
    "identity": (identity, "src_info_check"),
    "columns": (columns, "src_info_check"),
    "filters": (filters, "src_info_check"),
    "unlogged": (unlogged, "src_info_check"),
    "large_objects": (large_objects, "src_info_check"),
    "elsewhere": (elsewhere, "src_info_check"),
    "reserved": (reserved, "src_info_check"),
    "dependency": (dependency, "db_object_dependency_check"),
}
"""By name: the judge, and the group in the words of the cloud's checks."""

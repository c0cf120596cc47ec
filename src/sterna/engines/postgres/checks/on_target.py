"""What a target must be."""

from sterna.core.finding import Verdict, alarm, failed, passed, size
from sterna.core.plan import Conflict, Path
from sterna.engines.postgres.catalogue import Table, taken
from sterna.engines.postgres.checks.either import NEWEST, OLDEST, connections_of, encryption_of
from sterna.engines.postgres.checks.survey import Database, target_name
from sterna.engines.postgres.checks.verdict import Scene, listed, statements
from sterna.engines.postgres.names import quoted, shown

ROLE_SETTING_SINCE = 150_000
"""From 15 on the right to set a parameter can be granted."""


def databases(scene: Scene) -> Verdict:
    """Each database is there and lets us in, or can be made."""
    closed = [f"{each.name}: {each.trouble.message}" for each in scene.target.databases if each.trouble]
    if closed:
        return failed(
            f"No way in: {listed(closed)}", f"On the target: GRANT CONNECT ON DATABASE … TO {_me(scene)}"
        )
    wanted = [target_name(scene.plan, each.name) for each in scene.source.databases]
    missing = [name for name in wanted if name not in scene.target.names]
    if not missing:
        return passed(listed(wanted))
    if scene.target.role.get("super") or scene.target.role.get("createdb"):
        return passed(f"to be made: {listed(missing)}")
    create = [f"CREATE DATABASE {quoted(name)} OWNER {_me(scene)}" for name in missing]
    return failed(f"There is no database {listed(missing)}", f"On the target: {statements(create)}")


def encryption(scene: Scene) -> Verdict:
    return encryption_of(scene.target.endpoint.tls is not None, scene.target.facts, "target")


def version(scene: Scene) -> Verdict:
    """10 to 18, and better not older than the source."""
    target = scene.target
    if target.version < OLDEST:
        return failed(target.label, "Use PostgreSQL 10 or later as the target")
    if target.version >= NEWEST:
        return alarm(target.label, "Sterna knows PostgreSQL 10 to 18: try this move on a copy first")
    if target.version // 10_000 < scene.source.version // 10_000:
        return alarm(
            f"{target.label}, older than the source's {scene.source.label}",
            "Better use a target of the same or a later version; what the older one does not know is left out",
        )
    return passed(target.label)


def writable(scene: Scene) -> Verdict:
    """A standby or a read-only server takes nothing."""
    if scene.target.facts.get("standby"):
        return failed("The target is a standby", "Name its primary, or promote it: SELECT pg_promote()")
    shut = [each.name for each in scene.target.seen if each.facts.get("read_only") == "on"]
    if shut:
        reset = [f"ALTER DATABASE {quoted(name)} RESET default_transaction_read_only" for name in shut]
        seen = f"default_transaction_read_only is on in {listed(shut)}"
        return failed(seen, f"On the target: {statements(reset)}")
    return passed("the target takes writes")


def creating(scene: Scene) -> Verdict:
    """Schemas are made in each database."""
    lacking = [each.name for each in scene.target.seen if not each.facts.get("may_create")]
    if not lacking:
        return passed("the user may create in all databases")
    grants = [f"GRANT CREATE ON DATABASE {quoted(name)} TO {_me(scene)}" for name in lacking]
    return failed(f"CREATE is missing on {listed(lacking)}", f"On the target: {statements(grants)}")


def replica_role(scene: Scene) -> Verdict:
    """Triggers and foreign keys must not fire while changes are applied."""
    if scene.target.facts.get("replica"):
        return passed("session_replication_role can be set")
    remedy = "Name a superuser as the target's user"
    if scene.target.version >= ROLE_SETTING_SINCE:
        remedy = f"On the target: GRANT SET ON PARAMETER session_replication_role TO {_me(scene)}"
    return alarm(
        "session_replication_role cannot be set: foreign keys and triggers are made only at the cutover", remedy
    )


def origins(scene: Scene) -> Verdict:
    """With an origin, the target's own subscribers can tell our writes from others."""
    if not scene.follows or scene.target.facts.get("origins"):
        return passed("replication origins can be used" if scene.follows else "not needed for a full copy")
    return passed("no right to replication origins: the position is kept in a table alone")


def roles(scene: Scene) -> Verdict:
    """Owners and grantees are made."""
    if scene.target.role.get("super") or scene.target.role.get("createrole"):
        return passed("roles can be made")
    missing = sorted(set(scene.source.roles) - set(scene.target.roles))
    named = [name for name in missing if not name.startswith(("pg_", "rds"))]
    if not named:
        return passed("all roles of the source are there")
    return alarm(
        f"Roles cannot be made; of the source's these are missing: {listed(named)}",
        f"On the target: ALTER ROLE {_me(scene)} CREATEROLE, or make those that own or are granted something",
    )


def extensions(scene: Scene) -> Verdict:
    """What the source has installed can be had."""
    missing, other = [], []
    for source, target in pairs(scene):
        for name, number in source.extensions.items():
            if name in target.extensions or name == "plpgsql":
                continue
            if name not in target.offered:
                missing.append(f"{name} ({source.name})")
            elif number not in target.offered[name]:
                other.append(f"{name} {number} -> {', '.join(sorted(target.offered[name]))}")
    if missing:
        return failed(
            f"Extensions that the target does not have: {listed(missing)}",
            "Install their packages on the target's machine; or, if of no use, on the source: DROP EXTENSION …",
        )
    if other:
        return alarm(
            f"Other versions: {listed(other)}", "See whether the new version suits, or install the old one"
        )
    return passed("all extensions of the source can be had")


def conflict(scene: Scene) -> Verdict:
    """Tables of the same name that are there already, but for those that hold this job's rows alone."""
    there = [table for _, table, match in _matches(scene) if match and match.path in _filled(scene)]
    names = listed([shown(table.path) for table in there])
    if not there:
        return passed("no selected table is on the target with rows")
    if scene.plan.conflict is Conflict.STOP:
        drop = [f"TRUNCATE {quoted(*table.path[1:])}" for table in there]
        return failed(
            f"Already on the target with rows: {names}", f"If of no use, on the target: {statements(drop)}"
        )
    if scene.plan.conflict is Conflict.SKIP:
        return alarm(f"Rows that are on the target stay: {names}", "Make sure that this is what you want")
    return alarm(f"Will be emptied on the target first: {names}", "Stop here if those rows are still needed")


def fitting(scene: Scene) -> Verdict:
    """A table that is there already has the columns that will be written."""
    wrong = []
    for _, table, match in _matches(scene):
        if match is None:
            continue
        place = taken(scene.plan.selection, table.path, table.root)
        theirs = {column.name: column for column in match.columns}
        for column in table.written:
            if place and place.columns and column.name not in place.columns:
                continue
            other = theirs.get(column.name)
            if other is None:
                wrong.append(f"{shown(match.path)} has no {column.name}")
            elif other.type != column.type:
                wrong.append(f"{shown(match.path)}.{column.name} is {other.type}, not {column.type}")
    if wrong:
        return failed(f"Tables that do not fit: {listed(wrong)}", "Drop them on the target, or alter them to fit")
    return passed("no table of the target is in the way")


def always(scene: Scene) -> Verdict:
    """Triggers that fire even for replication would change what is written."""
    found = [name for each in scene.target.seen for name in each.always]
    if not found:
        return passed("no trigger fires for replicated rows")
    return alarm(
        f"Fire even for what the job writes: {listed(found)}",
        "On the target: ALTER TABLE … ENABLE TRIGGER … for each, which makes it fire for ordinary writes alone",
    )


def other_jobs(scene: Scene) -> Verdict:
    """Two jobs may share a database, not its tables."""
    found = sorted({job for each in scene.target.seen for job in each.jobs})
    if not found:
        return passed("no other job writes there")
    return alarm(
        f"Jobs with a checkpoint there: {listed(found)}", "Make sure that they write other tables, or end them"
    )


def encoding(scene: Scene) -> Verdict:
    """Every text of the source can be stored."""
    other = [
        f"{target.name}: {target.facts['encoding']}, not {source.facts['encoding']}"
        for source, target in pairs(scene)
        if target.facts["encoding"] not in (source.facts["encoding"], "UTF8")
    ]
    if other:
        return failed(
            f"Other encodings: {listed(other)}", "Make the database anew with ENCODING 'UTF8' TEMPLATE template0"
        )
    return passed("the encoding takes all text of the source")


def collation(scene: Scene) -> Verdict:
    """Another collation sorts and compares text otherwise."""
    other = [
        f"{target.name}: {target.facts['collate']}/{target.facts['ctype']}, not"
        f" {source.facts['collate']}/{source.facts['ctype']}"
        for source, target in pairs(scene)
        if (target.facts["collate"], target.facts["ctype"]) != (source.facts["collate"], source.facts["ctype"])
    ]
    if other:
        return alarm(
            f"Other collations: {listed(other)}",
            "If order matters, make the database anew with the source's LC_COLLATE and LC_CTYPE",
        )
    return passed("collations are the same")


def money(scene: Scene) -> Verdict:
    """Values of type money are written in the manner of lc_monetary."""
    used = any(
        column.type.startswith("money") for each in scene.source.seen for t in each.tables for column in t.columns
    )
    other = [t.name for s, t in pairs(scene) if s.facts["money"] != t.facts["money"]]
    if used and other:
        set_ = [f"ALTER DATABASE {quoted(t.name)} SET lc_monetary = '{s.facts['money']}'" for s, t in pairs(scene)]
        return failed(f"lc_monetary differs in {listed(other)}", f"On the target: {statements(set_)}")
    return passed("no money column, or the same lc_monetary")


def disk(scene: Scene) -> Verdict:
    """How much comes. A server does not say how much room it has."""
    total = sum(table.size for each in scene.source.seen for table in each.tables)
    whole = sum(int(each.facts.get("size", 0)) for each in scene.source.seen)
    return passed(
        f"{size(total)} of rows; the databases take {size(whole)} with indexes: make sure that the target has 1.5"
        " times as much, as its log grows too"
    )


def connections(scene: Scene) -> Verdict:
    return connections_of(scene.target.number("max_connections"), scene.target.facts, "target")


def loop(scene: Scene) -> Verdict:
    """Source and target are not the same database."""
    one, other = scene.source.facts.get("system"), scene.target.facts.get("system")
    same = one is not None and one == other
    if same and scene.source.facts.get("standby") == scene.target.facts.get("standby"):
        both = [s.name for s in scene.source.databases if target_name(scene.plan, s.name) == s.name]
        if both:
            return failed(
                f"Source and target are the same server, and so is {listed(both)}",
                "Name another server, or another name for the database on the target",
            )
        return alarm("Source and target are the same server", "Make sure that this is what you want")
    return passed("two servers")


def clock(scene: Scene) -> Verdict:
    """Lag is told by clocks."""
    if scene.source.clock_ms is None or scene.target.clock_ms is None:
        return passed("the clocks were not read")
    apart = abs(scene.source.clock_ms - scene.target.clock_ms) / 1000
    if apart < 2:
        return passed(f"{apart:.1f} s apart")
    return alarm(f"The clocks are {apart:.1f} s apart: now() and lag will differ", "Let both keep time by NTP")


def time_zone(scene: Scene) -> Verdict:
    one, other = scene.source.settings.get("TimeZone"), scene.target.settings.get("TimeZone")
    zones = scene.source.facts.get("zone", one), scene.target.facts.get("zone", other)
    return passed(f"sessions of both are read in UTC; the servers' zones are {zones[0]} and {zones[1]}")


def names_fit(scene: Scene) -> Verdict:
    """No two tables go to the same place, and no new name is cut off."""
    taken_: dict[Path, Path] = {}
    double, long = [], []
    for each in scene.source.seen:
        for table in each.tables:
            place = taken(scene.plan.selection, table.path, table.root)
            if place is None:
                continue
            if place.to in taken_:
                double.append(f"{shown(table.path)} and {shown(taken_[place.to])} -> {shown(place.to)}")
            taken_[place.to] = table.path
            long += [name for name in place.to if len(name.encode()) > 63]
    if double or long:
        seen = f"Two to one name: {listed(double)}" if double else f"Names of more than 63 bytes: {listed(long)}"
        return failed(seen, "Choose other names")
    return passed("every table has a place of its own")


def pairs(scene: Scene) -> list[tuple[Database, Database]]:
    """Databases that were seen on both sides."""
    targets = {each.source: each for each in scene.target.seen}
    return [(each, targets[each.name]) for each in scene.source.seen if each.name in targets]


def _matches(scene: Scene) -> list[tuple[Database, Table, Table | None]]:
    """Each selected table with what is in its place on the target."""
    found: list[tuple[Database, Table, Table | None]] = []
    for source, target in pairs(scene):
        there = {table.path: table for table in target.tables}
        for table in source.tables:
            place = taken(scene.plan.selection, table.path, table.root)
            found.append((source, table, there.get(place.to) if place else None))
    return found


def _filled(scene: Scene) -> frozenset[Path]:
    """Tables with rows of others."""
    return frozenset(path for each in scene.target.seen for path in each.filled - each.ours)


def _me(scene: Scene) -> str:
    return quoted(scene.target.endpoint.user or "postgres")


JUDGES = {
    "databases": (databases, "network"),
    "encryption": (encryption, "network"),
    "version": (version, "db_version"),
    "writable": (writable, "db_target_status"),
    "other_jobs": (other_jobs, "db_target_status"),
    "connections": (connections, "db_params"),
    "creating": (creating, "db_user_privilege"),
    "replica_role": (replica_role, "db_user_privilege"),
    "origins": (origins, "db_user_privilege"),
    "roles": (roles, "db_user_privilege"),
    "extensions": (extensions, "db_object_dependency_check"),
    "conflict": (conflict, "db_object_conflict_check"),
    "fitting": (fitting, "db_object_conflict_check"),
    "always": (always, "db_object_conflict_check"),
    "names": (names_fit, "db_object_conflict_check"),
    "encoding": (encoding, "db_params"),
    "collation": (collation, "db_params"),
    "money": (money, "db_params"),
    "disk": (disk, "db_disk_size"),
    "loop": (loop, "src_info_check"),
    "clock": (clock, "db_params"),
}
"""By name: the judge, and the group in the words of the cloud's checks."""

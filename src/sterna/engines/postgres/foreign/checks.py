"""What a target must be for the tables that another kind of source describes.

All checks share one look at the target and one description of the source, made when the first of them runs.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sterna.core.errors import Trouble
from sterna.core.finding import Finding, Severity, Verdict, alarm, failed, passed
from sterna.core.job import JobId
from sterna.core.plan import Conflict, Plan
from sterna.core.ports import Check, Describes
from sterna.core.schema import Table
from sterna.engines.postgres.checks.either import NEWEST, OLDEST
from sterna.engines.postgres.checks.verdict import listed, statements
from sterna.engines.postgres.foreign.building import named
from sterna.engines.postgres.foreign.looking import Look, Seen
from sterna.engines.postgres.foreign.types import changed, loses_digits, type_of
from sterna.engines.postgres.names import quoted, shown

MOST_COLUMNS = 1600
WIDEST = 8100
"""Bytes of a row that must be on one page; what is long can be elsewhere."""
_WIDTHS = {"smallint": 2, "integer": 4, "real": 4, "boolean": 1, "uuid": 16, "date": 4}
_OTHER_WIDTH = 8
_ELSEWHERE = ("numeric", "char", "varchar", "text", "bytea", "json")
_LETTERS = 200
"""Of a definition that a finding shows."""


@dataclass(frozen=True)
class ForeignCheck:
    """One check: judges what was seen. Where nothing could be seen, the first one says so for all; that the
    server cannot be reached was said before."""

    name: str
    group: str
    look: Look
    judge: Callable[[Seen], Verdict]
    first: bool = False
    guards: bool = False

    async def run(self) -> Sequence[Finding]:
        try:
            await self.look.server()
        except Trouble:
            return []
        try:
            verdict = self.judge(await self.look.seen(anew=self.first))
        except Trouble:
            if self.first:
                raise
            return []
        return [Finding(self.name, verdict.severity, verdict.evidence, verdict.remedy, self.group)]


def foreign_checks(source: Describes, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
    """All of them. ``job_id``: of this job; what it has made already is not in its way."""
    look = Look(source, plan, job_id)
    others = [
        ForeignCheck(f"postgresql.target.{name}", group, look, judge, name == "tables", name in _GUARDS)
        for name, (judge, group) in JUDGES.items()
    ]
    return [Reachable(look), *others]


@dataclass(frozen=True)
class Reachable:
    """Whether the target answers."""

    look: Look
    name: str = "postgresql.target.reachable"
    guards: bool = True

    async def run(self) -> Sequence[Finding]:
        server = await self.look.server(anew=True)
        evidence = f"{server.label} at {self.look.plan.target}"
        return [Finding(self.name, Severity.PASSED, evidence, group="network")]


def tables(seen: Seen) -> Verdict:
    """Whether the source says what is to be made."""
    rows = sum(max(0, table.rows) for table in seen.tables)
    return passed(f"{len(seen.tables)} tables with {rows} rows")


def version(seen: Seen) -> Verdict:
    if seen.server.version < OLDEST:
        return failed(seen.server.label, "Use PostgreSQL 10 or later as the target")
    if seen.server.version >= NEWEST:
        return alarm(seen.server.label, "Sterna knows PostgreSQL 10 to 18: try this move on a copy first")
    return passed(seen.server.label)


def writable(seen: Seen) -> Verdict:
    if seen.server.standby:
        return failed("The target is a standby", "Name its primary, or promote it: SELECT pg_promote()")
    new = seen.server.readonly and any(name not in seen.server.encodings for name in seen.wanted)
    if seen.readonly or new:
        where = listed(seen.readonly or ["databases that are to be made"])
        orders = [f"ALTER DATABASE {quoted(name)} RESET default_transaction_read_only" for name in seen.readonly]
        orders += [f"ALTER ROLE {quoted(seen.server.user)} RESET default_transaction_read_only"]
        return failed(
            f"Sessions begin read-only in {where}", f"On the target, where it is set: {statements(orders)}"
        )
    return passed("the target takes writes")


def databases(seen: Seen) -> Verdict:
    """Each database is there and lets us in, or can be made."""
    closed = [name for name in seen.wanted if name in seen.server.encodings and name not in seen.server.enterable]
    if closed:
        grants = [f"GRANT CONNECT ON DATABASE {quoted(name)} TO {quoted(seen.server.user)}" for name in closed]
        return failed(f"No way into {listed(closed)}", f"On the target: {statements(grants)}")
    missing = [name for name in seen.wanted if name not in seen.server.encodings]
    if missing and not seen.server.may_make:
        create = [f"CREATE DATABASE {quoted(name)} OWNER {quoted(seen.server.user)}" for name in missing]
        return failed(f"There is no database {listed(missing)}", f"On the target: {statements(create)}")
    return passed(f"to be made: {listed(missing)}" if missing else listed(seen.wanted))


def creating(seen: Seen) -> Verdict:
    if not seen.barred:
        return passed("the user may make schemas and tables")
    to = quoted(seen.server.user)
    grants = [
        f"GRANT CREATE ON {'SCHEMA' if path[1:] else 'DATABASE'} {quoted(path[-1])} TO {to}"
        for path in seen.barred
    ]
    where = [shown(path) for path in seen.barred]
    return failed(f"CREATE is missing in {listed(where)}", f"On the target: {statements(grants)}")


def encoding(seen: Seen) -> Verdict:
    """Text of every script is to be stored."""
    other = [
        f"{name}: {seen.server.encodings[name]}"
        for name in seen.wanted
        if seen.server.encodings.get(name, "UTF8") != "UTF8"
    ]
    if other:
        return failed(
            f"Other encodings than UTF8: {listed(other)}",
            "Make the database anew with ENCODING 'UTF8' TEMPLATE template0, or choose another name for it",
        )
    return passed("UTF8")


def conflict(seen: Seen) -> Verdict:
    """Tables of the same name that are there already, and not this job's."""
    if not seen.way:
        return passed("no table of the target is in the way")
    if seen.plan.conflict is not Conflict.OVERWRITE:
        return failed(
            f"Already on the target: {named(seen.way)}",
            "Drop them there, choose another name for the database, or let them be overwritten",
        )
    lasting = [each for each in seen.way if not each.drop]
    if lasting:
        return failed(f"Something else has the name of a table: {named(lasting)}", "Rename it on the target")
    if seen.needed:
        return failed(
            f"Tables that are to be replaced are needed by others: {listed(seen.needed)}",
            "Drop what needs them, or choose another name for the database",
        )
    return alarm(f"Will be replaced on the target: {named(seen.way)}", "Stop here if they are still needed")


def names(seen: Seen) -> Verdict:
    """Names that PostgreSQL cannot have as they are."""
    found = [f"{old} -> {new}" for old, new in seen.draft.renamed]
    if found:
        return alarm(
            f"Called otherwise on the target: {listed(found)}",
            "Names hold 63 bytes, and those of a schema's indexes differ: have your programs use the new ones",
        )
    return passed("all names stay as they are")


def columns(seen: Seen) -> Verdict:
    """What a table of PostgreSQL has room for."""
    many = [shown(table.path) for table in seen.tables if len(table.columns) > MOST_COLUMNS]
    if many:
        return failed(
            f"More than {MOST_COLUMNS} columns: {listed(many)}",
            "Leave the table out, or split it before the backup",
        )
    wide = [shown(table.path) for table in seen.tables if _width(table) > WIDEST]
    if wide:
        return alarm(
            f"Rows that may be too wide for a page of PostgreSQL: {listed(wide)}",
            "Rows without NULLs of more than 8 kB of numbers and dates are refused: split such a table",
        )
    return passed("no table is too wide")


def _width(table: Table) -> int:
    total = 24 + len(table.columns) // 8
    for column in table.columns:
        kind = type_of(column.type)
        elsewhere = kind.startswith(_ELSEWHERE)
        total += (
            18 if elsewhere and column.type.length == -1 else 1 if elsewhere else _WIDTHS.get(kind, _OTHER_WIDTH)
        )
    return total


def types(seen: Seen) -> Verdict:
    """Columns whose values are kept in another form."""
    lossy = [
        f"{shown(table.path)}.{column.name}"
        for table in seen.tables
        for column in table.columns
        if loses_digits(column)
    ]
    other = [
        f"{shown(table.path)}.{column.name} ({column.type.native}) becomes {words}"
        for table in seen.tables
        for column in table.columns
        if (words := changed(column))
    ]
    if lossy:
        also = f"; {listed(other)}" if other else ""
        return alarm(
            f"The seventh digit of a second is rounded: {listed(lossy)}{also}",
            "PostgreSQL keeps microseconds: see that your programs do not compare the digit that is gone",
        )
    if other:
        return alarm(f"{listed(other)}", "See that your programs can do with these types")
    return passed("every column has a type of the same meaning")


def collation(seen: Seen) -> Verdict:
    """Text compares otherwise: SQL Server mostly without regard to case and to blanks at the end."""
    if not any(column.type.kind == "text" for table in seen.tables for column in table.columns):
        return passed("there are no columns of text")
    named_ = f" Among others: {listed(seen.draft.compares_text)}." if seen.draft.compares_text else ""
    return alarm(
        f"PostgreSQL compares text with regard to case, accents and blanks at the end.{named_}",
        "See which queries count on 'a' = 'A': use lower(), ILIKE, or columns of type citext there",
    )


def left(seen: Seen) -> Verdict:
    """What is not moved, or only in part."""
    if not seen.draft.left:
        return passed("everything that the source describes is made")
    counted = Counter(each.kind for each in seen.draft.left)
    total = ", ".join(f"{count} × {kind}" for kind, count in sorted(counted.items()))
    details = [
        f"{each.kind} {each.name}" + (f": {_brief(each.text)}" if each.text else "") + f" ({each.why})"
        for each in seen.draft.left
    ]
    return alarm(
        f"Left out: {total}. {'; '.join(details[:50])}" + ("; …" if len(details) > 50 else ""),
        "Write what you need of it in PostgreSQL's language once the job has ended; its events name every text",
    )


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LETTERS else line[:_LETTERS] + "…"


JUDGES: Mapping[str, tuple[Callable[[Seen], Verdict], str]] = {
    "tables": (tables, "db_object_dependency_check"),
    "version": (version, "db_version"),
    "writable": (writable, "db_target_status"),
    "databases": (databases, "db_user_privilege"),
    "creating": (creating, "db_user_privilege"),
    "encoding": (encoding, "db_params"),
    "conflict": (conflict, "db_object_conflict_check"),
    "names": (names, "db_object_conflict_check"),
    "columns": (columns, "db_object_conflict_check"),
    "types": (types, "db_params"),
    "collation": (collation, "db_params"),
    "left": (left, "db_object_dependency_check"),
}
"""By name: the judge, and the group in the words of the cloud's checks."""

_GUARDS = ("tables", "encoding", "conflict", "columns")
"""Without these, data might be lost or not be stored."""

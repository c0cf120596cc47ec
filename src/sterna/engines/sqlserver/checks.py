"""What is looked at before databases are loaded from backup files: all that RESTORE would tell, and more."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sterna.core.errors import BadData, NeedsOperator, NotFound, Refused, Trouble
from sterna.core.files import Opens
from sterna.core.finding import Finding, Severity
from sterna.core.plan import Path, Plan, Selection
from sterna.core.ports import Check
from sterna.engines.sqlserver.opening import Opened, opened
from sterna.engines.sqlserver.wire.chain import LogicalSet
from sterna.engines.sqlserver.wire.database import DatabaseBackup
from sterna.engines.sqlserver.wire.verify import Counts, verify

MOST = 20
"""Faults of one kind that are named."""

Findings = list[Finding]


@dataclass
class Survey:
    """Opens the files once for all checks of a plan and looks at everything; then they are closed."""

    plan: Plan
    opens: Opens | None
    _found: dict[str, Findings] | None = field(default=None, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def of(self, check: str, wanted: frozenset[str]) -> Findings:
        """What was found by one of the ``wanted`` checks. Raises Retryable where files are out of reach."""
        async with self._lock:
            if self._found is None:
                self._found = await self._look(wanted)
        return self._found.get(check, [])

    async def _look(self, wanted: frozenset[str]) -> dict[str, Findings]:
        try:
            async with opened(self.plan, self.opens) as files:
                found = {FILES: _files(files)}
                for name in (CHAIN, VERIFY, TABLES):
                    if name in wanted:
                        found[name] = await _sure(name, LOOKS[name], files)
                return found
        except (NeedsOperator, Refused) as trouble:
            return {FILES: [_failed(FILES, trouble.message, trouble.hint or _hint(trouble))]}


@dataclass(frozen=True)
class BackupCheck:
    """Meets ``core.ports.Check`` and ``Guards``."""

    name: str
    guards: bool
    survey: Survey
    wanted: frozenset[str]

    async def run(self) -> Sequence[Finding]:
        return await self.survey.of(self.name, self.wanted)


FILES = "sqlserver.files"
CHAIN = "sqlserver.chain"
VERIFY = "sqlserver.verify"
TABLES = "sqlserver.tables"


def checks(plan: Plan, opens: Opens | None) -> Sequence[Check]:
    """The checks of the files of a plan. A server that restores by itself is asked what it makes of them."""
    reads = plan.target.engine != "sqlserver"
    names = [FILES, CHAIN, VERIFY, TABLES] if reads else [VERIFY]
    if plan.options.get("precheck", "").lower() == "false":
        names.remove(VERIFY)
    survey, wanted = Survey(plan, opens), frozenset(names)
    return [BackupCheck(name, name != VERIFY, survey, wanted) for name in names]


async def _sure(name: str, look: Callable[[Opened], Awaitable[Findings]], files: Opened) -> Findings:
    """What a look found; trouble that a person must mend is found too."""
    try:
        return await look(files)
    except (NeedsOperator, Refused) as trouble:
        return [_failed(name, trouble.message, trouble.hint or _hint(trouble))]


def _files(files: Opened) -> Findings:
    """What each file is; and which databases were asked for."""
    found = [_passed(FILES, _described(one)) for each in files.databases for one in each.chain.sets]
    found += [_failed(FILES, f"The files hold no database {name}", _NAMES) for name in files.missing]
    if not files.databases and not files.missing:
        found.append(_failed(FILES, "The files hold no backup of a database that is taken", _NAMES))
    if len(files.databases) > 1 and any(each.old == "*" for each in files.selection.renames):
        several = ", ".join(each.name for each in files.databases)
        found.append(_failed(FILES, f"One new name was given, and the files hold {several}", _ONE))
    names = [each.name.lower() for each in files.databases]
    twice = {each.name for each in files.databases if names.count(each.name.lower()) > 1}
    found += [
        _failed(FILES, f"The files hold two different databases called {name}", "Load them by two jobs.")
        for name in sorted(twice)
    ]
    return found + _meeting(files)


def _meeting(files: Opened) -> Findings:
    """Databases that new names make one: which of them the target then had could not be told."""
    if any(each.old == "*" for each in files.selection.renames):
        return []
    found: list[Finding] = []
    first: dict[str, str] = {}
    for name in dict.fromkeys(each.name for each in files.databases):
        new = files.selection.database(name) or name
        if first.setdefault(new, name) != name:
            both = f"{first[new]} and {name} would both be called {new} on the target"
            found.append(_failed(FILES, both, "Give each a name of its own."))
    return found


def _described(one: LogicalSet) -> str:
    record = one.record
    when = f", finished {record.finished:%Y-%m-%d %H:%M:%S}" if record.finished else ""
    what = f"{one}: {one.kind} backup of {record.database}, SQL Server {record.version}{when}"
    return f"{what}, LSN {record.first_lsn} to {record.last_lsn}"


async def _chain(files: Opened) -> Findings:
    """Whether the files of each database are complete and fit together."""
    found = []
    for each in files.databases:
        found += [_failed(CHAIN, text, _CHAIN) for text in each.problems[:MOST]]
        found += [Finding(CHAIN, Severity.ALARM, text) for text in each.notes[:MOST]]
        if not each.problems:
            kinds = ", ".join(one.kind for one in each.chain.sets)
            found.append(_passed(CHAIN, f"{each.name}: {kinds}, complete up to LSN {each.chain.end}"))
    return found


async def _verify(files: Opened) -> Findings:
    """Every checksum that there is in the sets that are needed."""
    counts = Counts()
    faults = await asyncio.to_thread(_faults, files, counts)
    if faults:
        return [
            _failed(VERIFY, fault, "Copy the file again from where it was made, or take a new backup.")
            for fault in faults
        ]
    done = f"{counts.pages} pages, {counts.records} records and {counts.blocks} blocks checked, no fault"
    unseen = [_passed(VERIFY, f"could not be checked: {text}") for text in counts.not_checked[:MOST]]
    return [_passed(VERIFY, done), *unseen]


def _faults(files: Opened, counts: Counts) -> list[str]:
    """Of the sets that are needed; without any, of the files as a whole."""
    needed = [share for each in files.databases for one in each.chain.sets for share in one.stripes]
    faults = []
    for fault in verify(files.media, counts, needed or None):
        faults.append(str(fault))
        if len(faults) == MOST:
            break
    return faults


async def _tables(files: Opened) -> Findings:
    """Whether the catalogue can be read, and every table that is taken."""
    found = []
    for each in files.databases:
        if not each.problems:
            found += await asyncio.to_thread(_tables_of, each, files.selection)
    for path in await asyncio.to_thread(_unknown, files):
        found.append(_failed(TABLES, f"There is no {'.'.join(path)} to leave out", _AS_WRITTEN))
    return found


def _unknown(files: Opened) -> Sequence[Path]:
    """What is to be left out, and is not there: then something would be moved that must not be."""
    readable = [each for each in files.databases if not each.problems]
    if len(readable) < len(files.databases):
        return []
    tables = {table.path[:length] for each in readable for table in each.tables for length in (1, 2, 3)}
    wanted = [path for path in files.selection.without if path[0] not in files.others]
    return [path for path in wanted if path not in tables]


def _tables_of(database: DatabaseBackup, selection: Selection) -> Findings:
    needs = [(path, why) for path, why in database.needs.items() if selection.place(path) is not None]
    if needs:
        named = needs[:MOST]
        return [_failed(TABLES, f"{'.'.join(path)}: {why}", _UNREADABLE) for path, why in named]
    tables = [table for table in database.tables if selection.place(table.path) is not None]
    rows = sum(max(0, table.rows) for table in tables)
    seen = f"{database.name}: {len(tables)} tables, {rows} rows by the catalogue"
    remarks = [Finding(TABLES, Severity.ALARM, text) for text in database.remarks[:MOST]]
    return [_passed(TABLES, seen), *remarks]


LOOKS: dict[str, Callable[[Opened], Awaitable[Findings]]] = {CHAIN: _chain, VERIFY: _verify, TABLES: _tables}

_ONE = "Name the one database that is taken, or give a new name for each."
_AGAIN = "Copy the file again from where it was made, or take a new backup."
_NAMES = "Name a database that the files hold: sterna backup inspect shows them."
_CHAIN = (
    "Name all files of the chain: the full backup with all its stripes, the differential, and every log after it."
)
_AS_WRITTEN = "Write the names of the database, the schema and the table as the backup has them, capitals and all."
_UNREADABLE = "Restore the backup into a SQL Server, or leave the table out."


def _hint(trouble: Trouble) -> str:
    """What to do about trouble that says nothing of it itself."""
    if isinstance(trouble, NotFound):
        return "Look at the names of the bucket and the file."
    return _AGAIN if isinstance(trouble, BadData) else ""


def _passed(check: str, evidence: str) -> Finding:
    return Finding(check, Severity.PASSED, evidence)


def _failed(check: str, evidence: str, remedy: str) -> Finding:
    return Finding(check, Severity.FAILED, evidence, remedy)

"""The checks before files are imported: what they are, whether they can be read, and what the target must be."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sterna.core.errors import Trouble
from sterna.core.files import Opens
from sterna.core.finding import Finding, Severity, Verdict, alarm, failed, passed, size
from sterna.core.plan import Plan
from sterna.core.ports import Check
from sterna.engines.redis import checks_either as either
from sterna.engines.redis import checks_target
from sterna.engines.redis.aim import rdb_version
from sterna.engines.redis.files.scan import Scanned, scan
from sterna.engines.redis.files.shelf import archive_limit
from sterna.engines.redis.files.source import storages_of
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.survey import Facts, Survey
from sterna.engines.redis.verdict import Scene

MOST_NAMED = 5
TIGHT = 1.2


@dataclass(frozen=True)
class Sight:
    """What was seen. ``trouble``: why the files could not be looked at."""

    plan: Plan
    mapping: Mapping
    target: Facts
    files: Scanned
    trouble: Trouble | None

    @property
    def cluster(self) -> bool:
        return self.target.info.get("cluster_enabled") == "1"


class Look:
    """Looks at the files and at the target once for all checks."""

    def __init__(self, plan: Plan, mapping: Mapping, opens: Opens | None) -> None:
        self._plan = plan
        self._opens = opens
        self._mapping = mapping
        self._survey = Survey(plan, lambda _: max((new for _, new in mapping.moved), default=0))
        self._seen: tuple[Scanned, Trouble | None] | None = None
        self._lock = asyncio.Lock()

    async def sight(self) -> Sight:
        """Never raises Trouble."""
        target = await self._survey.look_at_target()
        async with self._lock:
            if self._seen is None:
                self._seen = await self._scanned(target)
        return Sight(self._plan, self._mapping, target, *self._seen)

    async def _scanned(self, target: Facts) -> tuple[Scanned, Trouble | None]:
        whole = target.info.get("cluster_enabled") == "1" or self._plan.options.get("check_files") == "all"
        try:
            storages = await storages_of(self._plan, self._opens)
            limit = archive_limit(self._plan.options)
            files = self._plan.source.files
            return await asyncio.to_thread(scan, storages, files, limit, all_of_it=whole), None
        except Trouble as trouble:
            return Scanned(), trouble


@dataclass(frozen=True)
class FileCheck:
    """One check: judges what was seen."""

    name: str
    look: Look
    judge: Callable[[Sight], Verdict]
    sides: tuple[str, ...]

    async def run(self) -> Sequence[Finding]:
        """Its one finding."""
        sight = await self.look.sight()
        verdict = self.judge(sight)
        if "target" in self.sides and sight.target.trouble:
            verdict = alarm("Not looked at: the target was not seen", "Mend what redis.target.* says first")
        elif "files" in self.sides and sight.trouble:
            verdict = alarm(
                "Not looked at: the files could not be opened", "Mend what redis.file.readable says first"
            )
        remedy = "" if verdict.severity is Severity.PASSED else verdict.remedy
        return [Finding(self.name, verdict.severity, verdict.evidence, remedy)]


def file_checks(plan: Plan, opens: Opens | None) -> Sequence[Check]:
    """All checks of an import. Raises Invalid where the plan's selection makes no sense."""
    look = Look(plan, Mapping.of(plan.selection), opens)
    return [FileCheck(f"redis.{name}", look, judge, sides) for name, (judge, sides) in _JUDGES.items()]


def readable(sight: Sight) -> Verdict:
    """Whether the files are there, can be opened, and are RDB or AOF files."""
    if sight.trouble:
        return failed(sight.trouble.message, sight.trouble.hint or "Name files that are there and can be read")
    if sight.files.faults:
        more = len(sight.files.faults) - MOST_NAMED
        named = "; ".join(sight.files.faults[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        return failed(named, "Take the files anew, or mend them: redis-check-rdb, redis-check-aof")
    kinds = ", ".join(
        f"{item.name} ({'AOF' if item.is_log else 'RDB'})" for item in sight.files.items[:MOST_NAMED]
    )
    more = len(sight.files.items) - MOST_NAMED
    said = f"{kinds}{f' and {more} more' if more > 0 else ''}, {size(sight.files.size)}"
    if sight.files.passed_over:
        return alarm(
            f"{said}; passed over: {', '.join(sight.files.passed_over[:MOST_NAMED])}",
            "Leave files out that are neither RDB nor AOF",
        )
    if sight.files.unchecked:
        return alarm(
            f"{said}; without a checksum: {', '.join(sight.files.unchecked[:MOST_NAMED])}",
            "Let the server write checksums: CONFIG SET rdbchecksum yes",
        )
    return passed(said)


def versions(sight: Sight) -> Verdict:
    """Whether the target can read what the files hold."""
    if not sight.files.rdb_versions:
        return passed(f"Commands only → {sight.target.label}")
    newest, reads = max(sight.files.rdb_versions.values()), rdb_version(dict(sight.target.info))
    writers = ", ".join(sorted(set(sight.files.written_by.values())))
    seen = f"RDB {newest}{f' of {writers}' if writers else ''} → {sight.target.label} (RDB {reads})"
    if newest > reads:
        return alarm(
            f"{seen}: newer to older",
            "Use a newer target, or make sure that nothing is used that came after it: such keys stop the import",
        )
    return passed(seen)


def memory(sight: Sight) -> Verdict:
    """Whether the data fits, as far as the files tell."""
    needed = max(sight.files.memory, sight.files.unpacked)
    used, limit = sight.target.number("used_memory") or 0, sight.target.number("maxmemory") or 0
    total = sight.target.number("total_system_memory") or 0
    room, what = (limit, "maxmemory") if limit else (total, "the machine's memory")
    seen = (
        f"{what} {size(room) if room else 'unknown'}, of it used {size(used)}; the files need about {size(needed)}"
    )
    if limit and sight.files.memory and limit < sight.files.memory * checks_target.CLEARLY_SMALL:
        return failed(seen, f"CONFIG SET maxmemory {int((needed + used) * 1.3)}, or a larger target")
    if room and room - used < needed * TIGHT:
        return alarm(seen, f"CONFIG SET maxmemory {int((needed + used) * 1.3)}, or a larger target")
    return passed(seen)


def mode(sight: Sight) -> Verdict:
    """A single server, or a cluster; of a cluster any master will do."""
    if sight.cluster:
        state = "the target is a cluster: keys go to its masters by their slots"
        return passed(state)
    return either.mode(sight.target, sight.plan.target)


def databases(sight: Sight) -> Verdict:
    """A cluster has one database; elsewhere the highest that is needed must exist."""
    if sight.cluster:
        targets = {number: sight.mapping.target_of(number) for number in sorted(sight.files.databases)}
        wrong = [number for number, target in targets.items() if target not in (None, 0)]
        if wrong:
            return failed(
                f"The files have keys in database {', '.join(map(str, wrong))}; a cluster has only database 0",
                "Take one database, and map it to 0",
            )
        return passed("Database 0 only")
    return checks_target.databases(_scene(sight))


def _scene(sight: Sight) -> Scene:
    keyspace = {f"db{number}": "keys=1" for number in sight.files.databases}
    return Scene(sight.plan, sight.mapping, Facts("files", info=keyspace), sight.target)


def _of_target(judge: Callable[[Scene], Verdict]) -> Callable[[Sight], Verdict]:
    return lambda sight: judge(_scene(sight))


_TARGET, _FILES, _BOTH = ("target",), ("files",), ("target", "files")
_JUDGES: dict[str, tuple[Callable[[Sight], Verdict], tuple[str, ...]]] = {
    "file.readable": (readable, ()),
    "target.reachable": (lambda sight: either.reachable(sight.target), ()),
    "target.authenticated": (lambda sight: either.authenticated(sight.target, sight.plan.target), ()),
    "target.version": (_of_target(checks_target.version), _TARGET),
    "target.mode": (mode, _TARGET),
    "target.loading": (lambda sight: either.loading(sight.target), _TARGET),
    "target.role": (_of_target(checks_target.role), _TARGET),
    "target.rights": (lambda sight: either.rights(sight.target, sight.plan.target.user), _TARGET),
    "target.writable": (_of_target(checks_target.writable), _TARGET),
    "target.memory": (memory, _BOTH),
    "target.eviction": (_of_target(checks_target.eviction), _TARGET),
    "target.databases": (databases, _BOTH),
    "target.empty": (_of_target(checks_target.empty), _TARGET),
    "file.versions": (versions, _BOTH),
}

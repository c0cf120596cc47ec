"""What is looked at on a SQL Server before it restores backup files: all that would make RESTORE fail halfway."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sterna.core.errors import NeedsOperator, Refused, Unsupported
from sterna.core.files import Opens
from sterna.core.finding import Finding, Severity
from sterna.core.job import JobId
from sterna.core.plan import Conflict, Endpoint, Plan
from sterna.core.ports import Check, Room
from sterna.engines.sqlserver.opening import SET
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.faults import ServerFault
from sterna.engines.sqlserver.restoring.folders import Folder, Located, sees
from sterna.engines.sqlserver.restoring.ordering import todo
from sterna.engines.sqlserver.restoring.reaching import tag_of, way_of
from sterna.engines.sqlserver.restoring.restore import INCREMENTAL, LAST, MODE, grouped, located
from sterna.engines.sqlserver.restoring.server import Server, connected
from sterna.engines.sqlserver.restoring.targets import check_names, target_name
from sterna.engines.sqlserver.restoring.values import (
    ELSEWHERE,
    EXPRESS,
    SINCE,
    BackedUp,
    Instance,
    by_reader,
    read_database,
    read_instance,
)
from sterna.engines.sqlserver.wire.chain import FULL, LogicalSet, logical_sets
from sterna.engines.sqlserver.wire.media import MediaFile, open_media

SERVER = "sqlserver.server"
WAY = "sqlserver.way"
RESTORE = "sqlserver.restore"
ROOM = "sqlserver.room"
NAMES = (SERVER, WAY, RESTORE, ROOM)


def express_limit(major: int) -> int:
    """Bytes that the data files of a database may have on an Express edition: more since SQL Server 2025."""
    return (50 if major >= 17 else 10) << 30


Findings = list[Finding]


@dataclass(frozen=True, slots=True)
class Size:
    """How many bytes the files of a database take on the server."""

    data: int
    log: int
    streams: bool


Pairs = Sequence[tuple[BackedUp, LogicalSet]]


@dataclass
class TargetSurvey:
    """Looks at everything in one session, once for all checks of a plan."""

    plan: Plan
    opens: Opens | None
    job_id: JobId | None
    _found: Mapping[str, Findings] | None = field(default=None, init=False)
    _new: set[str] = field(default_factory=set, init=False)
    """Databases on the target whose files will be made; those of others are there already."""
    _by_url: bool = field(default=False, init=False)
    """The server reads the files from the object store."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def of(self, check: str) -> Findings:
        """Raises Retryable where something is out of reach."""
        async with self._lock:
            if self._found is None:
                self._found = await self._look()
        return self._found.get(check, [])

    async def _look(self) -> Mapping[str, Findings]:
        found: dict[str, Findings] = {name: [] for name in NAMES}
        step = SERVER
        try:
            async with connected(self.plan.target) as server:
                instance = await read_instance(server)
                found[SERVER] = _server(instance)
                if any(each.severity is Severity.FAILED for each in found[SERVER]):
                    return found
                step = WAY
                files = await located(self.plan, self.opens)
                found[WAY] = await self._way(server, instance, files)
                step = RESTORE
                sets, strange = await _read(files)
                found[RESTORE] += strange
                if sets or not strange:
                    found[RESTORE] += await self._restore(server, instance, sets)
                    step = ROOM
                    found[ROOM] = await self._room(server, instance, sets)
        except (NeedsOperator, Refused) as trouble:
            found[step].append(_failed(step, trouble.message, trouble.hint))
        return found

    async def _way(self, server: Server, instance: Instance, files: Sequence[Located]) -> Findings:
        job_id = self.job_id or JobId("check")
        way = way_of(self.plan, files, instance.major, Room(job_id, 0, Path()))
        for number, each in enumerate(files):
            await asyncio.to_thread(each.storage.head, each.file.name)
            way.device(number, each)
        if not isinstance(way, Folder):
            self._by_url = True
            way.check()
            if not instance.may_credential:
                text = "The login may make no credential; one for the address of the bucket has to be there"
                return [_alarm(WAY, text, "Give it the right ALTER ANY CREDENTIAL, or make the credential.")]
            return [_passed(WAY, "The server reads the files from the object store by itself")]
        if why := await sees(way, server):
            text = f"The server does not see the shared folder {way.here} as {way.there}: {why}"
            return [_failed(WAY, text, "Share the folder with the server, and correct shared_path.")]
        return [_passed(WAY, f"The server sees the shared folder {way.here} as {way.there}")]

    async def _restore(self, server: Server, instance: Instance, pairs: Pairs) -> Findings:
        databases = grouped(self.plan, [one for one, _ in pairs])
        check_names(self.plan, list(databases))
        found: Findings = []
        for sets in databases.values():
            found += [_older(one, instance) for one in sets if _release(one.version) > _release(instance.version)]
            try:
                found.append(await self._database(server, instance, sets))
                found += [_second(one) for one in sets if self._by_url and one.position > 1]
            except (NeedsOperator, Refused) as trouble:
                found.append(_failed(RESTORE, trouble.message, trouble.hint))
        return found

    async def _database(self, server: Server, instance: Instance, sets: Sequence[BackedUp]) -> Finding:
        target = target_name(self.plan, sets[0].database)
        number = self.plan.options.get(SET, "")
        left = todo(
            sets,
            await read_database(server, target),
            target,
            tag=tag_of(self.job_id or "check"),
            cover=self.plan.conflict is Conflict.OVERWRITE,
            last=self.plan.options.get(LAST, "").lower() != "false",
            number=int(number) if number.isdecimal() else None,
            may_overwrite=instance.may_overwrite,
            later=self.plan.options.get(MODE) == INCREMENTAL,
        )
        if not left.is_again and any(one.kind == FULL for one in left.sets):
            self._new.add(target)
        kinds = ", ".join(one.kind for one in left.sets) or "nothing more"
        over = ", over the database that is there" if left.replace else ""
        then = "" if left.recover else "; it then waits for more backups"
        return _passed(RESTORE, f"{left.source} is restored as {target}{over}: {kinds}{then}")

    async def _room(self, server: Server, instance: Instance, pairs: Pairs) -> Findings:
        sizes = _sizes(self.plan, pairs)
        found: Findings = []
        for target, size in sizes.items():
            limit = express_limit(instance.major)
            if instance.engine_edition == EXPRESS and size.data > limit:
                text = f"{target} has {size.data} bytes of data, and {instance.edition} takes {limit}"
                found.append(_failed(ROOM, text, "Restore into another edition."))
            if size.streams and not instance.filestream:
                text = f"{target} holds FILESTREAM or memory-optimised data, and FILESTREAM is off on the server"
                found.append(_alarm(ROOM, text, "Turn FILESTREAM on unless all of it is memory-optimised."))
        new = [size for target, size in sizes.items() if target in self._new]
        return found + (await _free(server, instance, new) if new else [])


@dataclass(frozen=True)
class TargetCheck:
    """Meets ``core.ports.Check`` and ``Guards``."""

    name: str
    guards: bool
    survey: TargetSurvey

    async def run(self) -> Sequence[Finding]:
        return await self.survey.of(self.name)


def target_checks(plan: Plan, opens: Opens | None, job_id: JobId | None) -> Sequence[Check]:
    """The checks on the server. All but the one for room are carried out even where none are wanted."""
    survey = TargetSurvey(plan, opens, job_id)
    return [TargetCheck(name, name != ROOM, survey) for name in NAMES]


async def probe(endpoint: Endpoint) -> Mapping[str, str]:
    """For ``core.ports.Engine``. Raises Unreachable, AccessDenied."""
    async with connected(endpoint) as server:
        instance = await read_instance(server)
    return {"version": instance.version, "edition": instance.edition, "role": "primary"}


async def _read(files: Sequence[Located]) -> tuple[Pairs, Findings]:
    """The sets of the files by Sterna's own reader; and what it does not know, which is left to the server."""
    media: list[MediaFile] = []
    strange: Findings = []
    blobs = []
    try:
        for each in files:
            blob = await asyncio.to_thread(each.storage.open, each.file.name)
            blobs.append(blob)
            try:
                media.append(await asyncio.to_thread(open_media, blob))
            except Unsupported as unknown:
                text = f"{each.file.name} is left to the server: {unknown.message}"
                strange.append(_alarm(RESTORE, text, unknown.hint))
        places = {each.file.name: number for number, each in enumerate(files)}
        sets, _ = logical_sets(media)
        faults = [fault for one in sets for fault in one.faults()]
        strange += [_failed(RESTORE, fault, "Name all files, and copy them whole.") for fault in faults]
        return [(by_reader(one, places), one) for one in sets], strange
    finally:
        for blob in blobs:
            blob.close()


def _server(instance: Instance) -> Findings:
    if named := ELSEWHERE.get(instance.engine_edition):
        text = f"{named} has no RESTORE that takes these files and leaves a database waiting for more"
        return [_failed(SERVER, text, "Restore into a SQL Server.")]
    if instance.major < SINCE:
        text = f"SQL Server {instance.version} is older than 2012"
        return [_failed(SERVER, text, "Restore into SQL Server 2012 or newer.")]
    found = [_passed(SERVER, f"SQL Server {instance.version}, {instance.edition}")]
    if not instance.may_restore:
        text = "The login may not restore databases"
        found.append(_failed(SERVER, text, "Make it a member of dbcreator, or of sysadmin."))
    if not instance.may_read_history:
        text = "The login may not read msdb.dbo.restorehistory, by which is known what was restored already"
        found.append(_failed(SERVER, text, "Give it SELECT on restorehistory, restorefile and backupset in msdb."))
    return found


def _release(version: str) -> tuple[int, int]:
    """Of 10.50.1600 the 10 and the 50: 2008 R2 is newer than 2008."""
    parts = [int(each) if each.isdecimal() else 0 for each in [*version.split("."), "0", "0"]]
    return parts[0], parts[1]


def _second(one: BackedUp) -> Finding:
    text = f"{one} is not the first in its file: from an object store, SQL Server is documented to read no other"
    return _alarm(RESTORE, text, "Use a shared folder if the server refuses it.")


def _older(one: BackedUp, instance: Instance) -> Finding:
    text = f"{one} was made by SQL Server {one.version}, which is newer than the server's {instance.version}"
    return _failed(RESTORE, text, "Restore into a SQL Server of the same version or a newer one.")


def _sizes(plan: Plan, pairs: Pairs) -> Mapping[str, Size]:
    """By the names on the target: the largest of each one's sets."""
    taken = grouped(plan, [one for one, _ in pairs])
    wanted = {id(one) for sets in taken.values() for one in sets}
    sizes: dict[str, Size] = {}
    for one, by_files in pairs:
        if id(one) not in wanted:
            continue
        files = by_files.stripes[0].files
        size = Size(
            sum(each.size for each in files if each.kind == 1),
            sum(each.size for each in files if each.kind == 2),
            any(each.kind not in (1, 2) for each in files),
        )
        target = target_name(plan, one.database)
        before = sizes.get(target, size)
        sizes[target] = max(before, size, key=lambda each: each.data + each.log)
    return sizes


async def _free(server: Server, instance: Instance, sizes: Sequence[Size]) -> Findings:
    """Whether the volumes of the default folders have room for it all."""
    wanted: dict[str, int] = {}
    try:
        rows = await server.raw_rows(tsql.volumes())
    except ServerFault as fault:
        text = f"How much room the server has cannot be seen: {fault}"
        return [_alarm(ROOM, text, "Give the login VIEW SERVER STATE, or look for yourself.")]
    volumes = {
        str(row["volume_mount_point"]): int(row["available_bytes"])
        for row in rows
        if row["volume_mount_point"] and row["available_bytes"] is not None
    }
    for path, size in (
        (instance.data_path, sum(each.data for each in sizes)),
        (instance.log_path, sum(each.log for each in sizes)),
    ):
        volume = _volume_of(path, volumes)
        if volume is None:
            return [_alarm(ROOM, f"How much room {path} has cannot be seen", "Look for yourself.")]
        wanted[volume] = wanted.get(volume, 0) + size
    return [_room(volume, size, volumes[volume]) for volume, size in wanted.items()]


def _room(volume: str, size: int, free: int) -> Finding:
    text = f"{volume} has {free} bytes free, and the databases take {size}"
    if size > free:
        return _failed(ROOM, text, "Give the volume more room.")
    return _passed(ROOM, text)


def _volume_of(path: str, volumes: Mapping[str, int]) -> str | None:
    holding = [each for each in volumes if path.lower().startswith(each.lower())]
    return max(holding, key=len, default=None)


def _passed(check: str, evidence: str) -> Finding:
    return Finding(check, Severity.PASSED, evidence)


def _alarm(check: str, evidence: str, remedy: str) -> Finding:
    return Finding(check, Severity.ALARM, evidence, remedy)


def _failed(check: str, evidence: str, remedy: str) -> Finding:
    return Finding(check, Severity.FAILED, evidence, remedy)

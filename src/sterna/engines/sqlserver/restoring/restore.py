"""A SQL Server restores the plan's files: they are brought to where it sees them, then restored one set at a time.

Before each database the server is asked how far it is, so a run after a crash, a cut or a stop goes on from there.
What this job made on the server is known by the names of the files that it chose for its databases.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from sterna.core.errors import BadData, NeedsOperator, Refused, ServerBusy, Trouble, Unsupported
from sterna.core.event import Level
from sterna.core.files import Opens
from sterna.core.plan import Conflict, Plan
from sterna.core.ports import Restoring, Room, Teller
from sterna.engines.sqlserver.opening import ALL, SET, takes, unique
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.credentials import Web, lock_name, take_away
from sterna.engines.sqlserver.restoring.folders import Folder, Located
from sterna.engines.sqlserver.restoring.ordering import Todo, todo
from sterna.engines.sqlserver.restoring.patience import Patience
from sterna.engines.sqlserver.restoring.reaching import Way, folder_of, note_of, opened_way, tag_of, way_of
from sterna.engines.sqlserver.restoring.server import Server, connected
from sterna.engines.sqlserver.restoring.targets import check_names, new_files, target_name
from sterna.engines.sqlserver.restoring.tsql import Device, Take
from sterna.engines.sqlserver.restoring.values import (
    ONLINE,
    BackedUp,
    Instance,
    read_database,
    read_files,
    read_headers,
    read_instance,
    read_label,
)
from sterna.engines.sqlserver.wire.chain import FULL, LOG
from sterna.engines.sqlserver.wire.media import open_media

LAST = "last_backup"
"""Option: ``false`` leaves the databases waiting for further backups."""
MODE, INCREMENTAL = "recovery_mode", "incre"
"""Option, and its value for the backups that follow on a full one."""
_BRINGING = 30
"""Percent of the whole that bringing the files to the server counts for."""
_DOOR_MS = 3000
"""How long to wait for a session that was cut to end on the server, milliseconds; then the job tries later."""
_NAMED = 20
Heard = Callable[[int], None]


class SqlServerRestoring:
    """Meets ``core.ports.Restoring``."""

    def __init__(self, plan: Plan, room: Room, tell: Teller, opens: Opens | None) -> None:
        self._plan = plan
        self._room = room
        self._tell = tell
        self._opens = opens
        self._tag = tag_of(room.job_id)

    async def run(self, heard: Heard) -> None:
        try:
            await self._run(heard)
        except (NeedsOperator, Refused):
            await self._tidy()
            raise

    async def forget(self) -> None:
        await self._tidy()
        if note_of(self._room).exists():
            async with connected(self._plan.target) as server:
                await take_away(server, note_of(self._room))

    async def _tidy(self) -> None:
        """Nobody takes up what was brought for a job that has failed for good."""
        try:
            if folder := folder_of(self._plan, self._room):
                await asyncio.to_thread(folder.forget)
        except Trouble as trouble:
            self._tell(Level.WARN, "restore.left", f"Copies of the backup files stay: {trouble.message}")

    async def _run(self, heard: Heard) -> None:
        files = await located(self._plan, self._opens)
        async with connected(self._plan.target) as server:
            instance = await read_instance(server)
            way = way_of(self._plan, files, instance.major, self._room)
            share = _BRINGING if isinstance(way, Folder) else 0
            await self._bring(way, files, lambda percent: heard(percent * share // 100))
            async with opened_way(way, server, self._tell):
                devices = [way.device(number, each) for number, each in enumerate(files)]
                patience = Patience(self._room.folder / "taken")
                work = _Work(self._plan, server, instance, way, devices, self._tag, self._tell, patience)
                sets = await work.sets([each.file.name for each in files])
                await self._compare(files, sets)
                await work.restore(sets, lambda percent: heard(share + percent * (100 - share) // 100))
            if isinstance(way, Folder):
                await asyncio.to_thread(way.forget)

    async def _bring(self, way: Way, files: Sequence[Located], heard: Heard) -> None:
        if not isinstance(way, Folder):
            return
        entries = [await asyncio.to_thread(each.storage.head, each.file.name) for each in files]
        total = max(1, sum(each.size for each in entries))
        loop, done = asyncio.get_running_loop(), 0

        def more(size: int) -> None:
            nonlocal done
            done += size
            loop.call_soon_threadsafe(heard, min(100, done * 100 // total))

        await way.put(files, more)

    async def _compare(self, files: Sequence[Located], sets: Sequence[BackedUp]) -> None:
        """The server must see what the bucket holds: in a shared folder may lie something else.

        Raises BadData. A file that Sterna's reader does not know is left to the server.
        """
        used = {number for one in sets for number in one.files}
        for number, each in ((number, each) for number, each in enumerate(files) if number in used):
            try:
                own = await asyncio.to_thread(_guids, each)
            except Unsupported as unknown:
                message = f"{each.file.name} is left to the server: {unknown.message}"
                self._tell(Level.INFO, "restore.unknown", message)
                continue
            seen = {one.guid for one in sets if number in one.files}
            if own != seen:
                raise BadData(
                    f"The server sees other backup sets in {each.file.name} than the bucket holds",
                    hint="Start the job again: the file is brought to the server anew.",
                )


class _Work:
    """The conversation with one server."""

    def __init__(
        self,
        plan: Plan,
        server: Server,
        instance: Instance,
        way: Way,
        devices: Sequence[Device],
        tag: str,
        tell: Teller,
        patience: Patience,
    ) -> None:
        self._plan = plan
        self._server = server
        self._instance = instance
        self._region = way.region if isinstance(way, Web) else ""
        self._devices = devices
        self._tag = tag
        self._tell = tell
        self._patience = patience
        self._last = plan.options.get(LAST, "").lower() != "false"

    async def sets(self, names: Sequence[str]) -> Sequence[BackedUp]:
        """The backup sets of all files, as the server reads them. Raises BadData for incomplete media sets."""
        families: dict[tuple[UUID, int], dict[int, int]] = {}
        counts: dict[tuple[UUID, int], int] = {}
        for number, device in enumerate(self._devices):
            label = await read_label(self._server, device, f"Reading the label of {names[number]}")
            key = label.media_set, (0 if label.count > 1 else number)
            families.setdefault(key, {}).setdefault(label.sequence, number)
            counts[key] = label.count
        found: list[BackedUp] = []
        for key, members in families.items():
            numbers = tuple(members[sequence] for sequence in sorted(members))
            named = ", ".join(names[number] for number in numbers)
            missing = set(range(1, counts[key] + 1)) - set(members)
            if missing:
                raise BadData(
                    f"{named}: striped over {counts[key]} files, and file {min(missing)} is missing",
                    hint="Name all files of the media set.",
                )
            what = f"Reading the headers of {named}"
            found += await read_headers(self._server, self._devices[numbers[0]], what, numbers, named)
        return found

    async def restore(self, sets: Sequence[BackedUp], heard: Heard) -> None:
        """All databases, one after the other."""
        databases = grouped(self._plan, sets)
        check_names(self._plan, list(databases))
        weights = [max(1, sum(one.size for one in each)) for each in databases.values()]
        total, done = sum(weights), 0
        for weight, each in zip(weights, databases.values(), strict=True):
            before = done

            def part(percent: int, before: int = before, weight: int = weight) -> None:
                heard((before * 100 + weight * percent) // total)

            await self._database(each, part)
            done += weight
            heard(done * 100 // total)

    async def _database(self, sets: Sequence[BackedUp], heard: Heard) -> None:
        target = target_name(self._plan, sets[0].database)
        if not await self._server.alone(lock_name("restore", target), _DOOR_MS):
            raise ServerBusy(f"Another session of Sterna's is still at work on {target}")
        left = await self._todo(sets, target)
        for note in left.notes:
            self._tell(Level.INFO, "restore.note", note)
        if left.is_done:
            self._tell(Level.INFO, "restore.done", f"The database {target} is restored already")
            await self._let_in_again(target)
            return
        for number, one in enumerate(left.sets):
            recover = left.recover and one is left.sets[-1]

            def part(percent: int, number: int = number) -> None:
                heard((number * 100 + percent) // len(left.sets))

            await self._set(left, one, recover, part)
        if left.recover:
            await self._bring_online(target, left)

    async def _todo(self, sets: Sequence[BackedUp], target: str) -> Todo:
        there = await read_database(self._server, target)
        number = self._plan.options.get(SET, "")
        return todo(
            sets,
            there,
            target,
            tag=self._tag,
            cover=self._plan.conflict is Conflict.OVERWRITE,
            last=self._last,
            number=int(number) if number.isdecimal() else None,
            may_overwrite=self._instance.may_overwrite,
            later=self._plan.options.get(MODE) == INCREMENTAL,
        )

    async def _set(self, left: Todo, one: BackedUp, recover: bool, heard: Heard) -> None:
        """Restore one set. Users who were sent away for it may come back if it could not even begin."""
        what = f"Restoring {left.target} from {one} ({one.kind} backup)"
        if one.contained and not self._instance.contained:
            raise Unsupported(
                f"{what}: it is a contained database, and the server lets none in",
                hint="Let it in: EXEC sp_configure 'contained database authentication', 1; RECONFIGURE.",
            )
        take = Take(
            left.target,
            [self._devices[number] for number in one.files],
            one.position,
            recover,
            is_log=one.kind == LOG,
            moves=await self._moves(left.target, one),
            region=self._region,
        )
        if one.kind != FULL:
            await self._server.run(tsql.restore(take), what, heard)
            self._said(what, recover)
            return
        async with self._alone(left):
            await self._server.run(tsql.restore(replace(take, replace=left.replace)), what, heard)
        self._said(what, recover)

    @asynccontextmanager
    async def _alone(self, left: Todo) -> AsyncIterator[None]:
        """Nobody else is in a database that is overwritten."""
        if not left.send_away:
            yield
            return
        try:
            await self._server.run(tsql.single_user(left.target), f"Sending the users of {left.target} away")
            try:
                yield
            except BaseException:
                await self._let_in(left.target)
                raise
        except ServerBusy as busy:
            self._patience.taken(left.target, busy)
            raise
        self._patience.over()

    async def _let_in(self, target: str) -> None:
        """After a failure: the old database, if it still is one, takes users again."""
        try:
            async with connected(self._plan.target) as fresh:
                there = await read_database(fresh, target)
                if there and there.state == ONLINE and there.single_user:
                    await fresh.run(tsql.multi_user(target), f"Letting users into {target}")
        except Trouble as trouble:
            message = f"The database {target} may be in SINGLE_USER mode: {trouble.message}"
            self._tell(Level.WARN, "restore.single_user", message)

    async def _moves(self, target: str, one: BackedUp) -> Mapping[str, str]:
        """New paths for the files in a set that the database does not have yet."""
        listed = await read_files(
            self._server, self._devices[one.files[0]], one.position, f"Reading the files in {one}"
        )
        there = await read_database(self._server, target) if one.kind != FULL else None
        missing = [each for each in listed if there is None or not there.has_file(each)]
        return new_files(missing, target, self._instance, self._tag)

    async def _bring_online(self, target: str, left: Todo) -> None:
        """Recovery, where nothing was left to be restored; and users, whom the backup may keep out."""
        what = f"Bringing {target} online"
        if not left.sets:
            await self._server.run(tsql.recover(target), what)
        there = await read_database(self._server, target)
        if there is None or there.state != ONLINE:
            state = there.state if there else "gone"
            raise NeedsOperator(f"{what}: it is {state}", hint="Look into the error log of the SQL Server.")
        await self._let_in_again(target)
        await self._orphans(target)

    async def _let_in_again(self, target: str) -> None:
        """A backup keeps who was let in, and so may a database that was overwritten."""
        there = await read_database(self._server, target)
        if there and there.state == ONLINE and there.single_user:
            await self._server.run(tsql.multi_user(target), f"Letting users into {target}")

    async def _orphans(self, target: str) -> None:
        """Say which users cannot come in: their logins are not part of a database."""
        try:
            rows = await self._server.rows(tsql.orphans(target), f"Looking for the users of {target}")
        except NeedsOperator as trouble:
            message = f"Whether the users of {target} have logins here was not seen: {trouble.message}"
            self._tell(Level.INFO, "restore.users", message)
            return
        names = [str(row["name"]) for row in rows]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            named = ", ".join(names[:_NAMED]) + more
            message = (
                f"Users of {target} have no login on this server: {named}. Create the logins with the same SID, "
                f"or tie each user to a login (ALTER USER … WITH LOGIN = …)"
            )
            self._tell(Level.WARN, "restore.orphans", message)

    def _said(self, what: str, recover: bool) -> None:
        state = "online" if recover else "waits for more backups"
        self._tell(Level.INFO, "restore.set", f"{what}: done, the database {state}")


def grouped(plan: Plan, sets: Sequence[BackedUp]) -> Mapping[str, Sequence[BackedUp]]:
    """The sets of each database that the plan takes, by name. Raises BadData, naming a missing one.

    A set that is in two files counts once. Names of databases differ not by case alone.
    """
    found: dict[str, list[BackedUp]] = {}
    names: dict[str, str] = {}
    once: dict[UUID, BackedUp] = {}
    for one in sets:
        once.setdefault(one.guid, one)
    for one in once.values():
        if takes(plan.selection, one.database):
            found.setdefault(names.setdefault(one.database.lower(), one.database), []).append(one)
    missing = [name for name in _asked(plan) if name.lower() not in names]
    if missing or not found:
        named = ", ".join(missing) or "that is taken"
        held = ", ".join(sorted({one.database for one in sets})) or "no database"
        raise BadData(f"The files hold no database {named}", hint=f"They hold {held}.")
    return found


def _asked(plan: Plan) -> Sequence[str]:
    """The databases that must be there. A later backup of a chain is renamed as its first, which may hold more."""
    selection = plan.selection
    renamed = () if plan.options.get(MODE) == INCREMENTAL else selection.renames
    names = [*selection.only, *(each.path[0] for each in selection.objects), *(each.old for each in renamed)]
    return tuple(dict.fromkeys(name for name in names if name != ALL))


async def located(plan: Plan, opens: Opens | None) -> Sequence[Located]:
    """The plan's files, each once. Raises NotFound for a bucket that is gone."""
    if opens is None:
        raise NeedsOperator("Nobody here can open files: there is no registry of buckets")
    return [Located(file, await opens(file.bucket)) for file in unique(plan.source.files)]


def _guids(located: Located) -> set[UUID]:
    """The backup sets of a file, by Sterna's own reader."""
    blob = located.storage.open(located.file.name)
    try:
        return {one.guid for one in open_media(blob).sets}
    finally:
        blob.close()


@asynccontextmanager
async def open_restoring(plan: Plan, room: Room, tell: Teller, opens: Opens | None) -> AsyncIterator[Restoring]:
    """For ``core.ports.Restores``: what it needs on the server is opened by ``run`` itself."""
    yield SqlServerRestoring(plan, room, tell, opens)

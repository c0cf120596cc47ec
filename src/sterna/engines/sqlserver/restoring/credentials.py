"""The object store's keys on the server: a credential is made, shared by jobs that need it at once, and goes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sterna.core.errors import ServerBusy, Trouble, Unsupported
from sterna.core.event import Level
from sterna.core.files import Remote
from sterna.core.ports import Teller
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.faults import ServerFault, trouble
from sterna.engines.sqlserver.restoring.folders import Located
from sterna.engines.sqlserver.restoring.server import Server, connected
from sterna.engines.sqlserver.restoring.tsql import Device

LONGEST_URL = 259
WAY_HINT = (
    "Give the instance a folder that Sterna and the server both see (shared_folder here, shared_path as the "
    "server sees it); or use SQL Server 2022 or newer with a bucket that is reached by https."
)
_DOOR_MS = 20_000
"""How long to wait for another job that makes or takes away a credential, milliseconds."""
_WITHDRAWALS, _BETWEEN_S = 4, 0.5
"""How often a credential is tried to be taken away after a restore, and how long is waited between, seconds."""


@dataclass(frozen=True)
class Web:
    """The server reads the files from the object store by itself."""

    remotes: Sequence[Remote]
    note: Path
    """Remembers credentials that were made, so that a later run takes them away."""

    def device(self, number: int, located: Located) -> Device:
        place = f"{credential_name(self.remotes[number])}/{self.remotes[number].key}"
        if len(place) > LONGEST_URL:
            raise Unsupported(
                f"The server takes addresses of up to {LONGEST_URL} characters: {place}", hint=WAY_HINT
            )
        return Device("URL", place)

    def check(self) -> None:
        """Raises Unsupported for keys and addresses of which a SQL Server can make no credential."""
        for each in self.remotes:
            tsql.create_credential(credential_name(each), each.access_key, each.secret_key)

    @property
    def region(self) -> str:
        return self.remotes[0].region if self.remotes else ""

    async def open(self, server: Server) -> None:
        """Give the server the keys of the store. Credentials that an operator made are used as they are.

        One that another job made and still needs is used together: the last of them takes it away. Raises
        ServerBusy while another job makes or takes away one.
        """
        for name, remote in {credential_name(each): each for each in self.remotes}.items():
            async with _door(server, name):
                await self._give(server, name, remote)

    async def _give(self, server: Server, name: str, remote: Remote) -> None:
        mine = name in await asyncio.to_thread(_lines, self.note)
        there, free = await _is_there(server, name), await server.alone(_used(name))
        if free:
            await server.leave(_used(name))
        if there and free and not mine:
            return
        await server.together(_used(name))
        if not mine:
            await asyncio.to_thread(_add_line, self.note, name)
        if there and free:
            await server.run(tsql.drop_credential(name), f"Dropping the credential {name}")
        if free or not there:
            await self._make(server, name, remote, f"Making the credential {name}")

    async def _make(self, server: Server, name: str, remote: Remote, what: str) -> None:
        try:
            await server.raw_rows(tsql.create_credential(name, remote.access_key, remote.secret_key))
        except ServerFault as fault:
            told = ServerFault([type(each)(each.number, _without(remote, each.text)) for each in fault.errors])
            raise trouble(told, what) from None


async def take_away(server: Server, note: Path) -> None:
    """Drop the credentials that a job made, but for those that other jobs still use. Twice is once."""
    left = []
    for name in dict.fromkeys(await asyncio.to_thread(_lines, note)):
        async with _door(server, name):
            if not await server.alone(_used(name)):
                left.append(name)
                continue
            if await _is_there(server, name):
                await server.run(tsql.drop_credential(name), f"Dropping the credential {name}")
            await server.leave(_used(name))
    await asyncio.to_thread(note.unlink, missing_ok=True)
    for name in left:
        await asyncio.to_thread(_add_line, note, name)


async def _is_there(server: Server, name: str) -> bool:
    return bool(await server.rows(tsql.credential(name), f"Looking for the credential {name}"))


@asynccontextmanager
async def _door(server: Server, name: str) -> AsyncIterator[None]:
    """Only one job at a time makes or takes away a credential. Raises ServerBusy."""
    lock = lock_name("credential", name)
    if not await server.alone(lock, _DOOR_MS):
        raise ServerBusy(f"Another job makes or takes away the credential {name}")
    try:
        yield
    finally:
        with suppress(Trouble):  # a session that is gone has given it up
            await server.leave(lock)


def _used(name: str) -> str:
    """What all jobs share that need a credential of Sterna's."""
    return lock_name("credential-used", name)


def lock_name(kind: str, name: str) -> str:
    """The name of a lock on the server; those of locks are short, and differ by case."""
    return f"sterna-{kind}-{hashlib.sha256(name.rstrip().lower().encode()).hexdigest()[:32]}"


@asynccontextmanager
async def given(way: Web, server: Server, tell: Teller) -> AsyncIterator[None]:
    """The server has the keys of the store, for a while."""
    try:
        await way.open(server)
        yield
    except BaseException:
        await _withdraw(way, server, tell, tries=1)  # the next run does it too
        raise
    await _withdraw(way, server, tell, tries=_WITHDRAWALS)


async def _withdraw(way: Web, server: Server, tell: Teller, tries: int) -> None:
    """Take the credentials away, by another session: the first may be broken, or told to stop."""
    with suppress(Trouble):
        for name in await asyncio.to_thread(_lines, way.note):
            await server.leave(_used(name))
    for left in range(tries - 1, -1, -1):
        try:
            async with connected(server.endpoint) as fresh:
                await take_away(fresh, way.note)
            return
        except Trouble as trouble:
            if not left:
                message = f"The credential for the object store stays on the server: {trouble.message}"
                tell(Level.WARN, "restore.credential", message)
                return
        await asyncio.sleep(_BETWEEN_S)


def credential_name(remote: Remote) -> str:
    """The address of a bucket in the server's words, which is also what its credential is called."""
    place = urlsplit(remote.endpoint)
    if remote.virtual:
        return f"s3://{remote.bucket}.{place.netloc}"
    return f"s3://{place.netloc}/{remote.bucket}"


def _without(remote: Remote, text: str) -> str:
    for secret in (remote.secret_key, remote.access_key):
        for written in (secret.replace("'", "''"), secret):  # as in the statement, and as it is
            text = text.replace(written, "…") if written else text
    return text


def _lines(note: Path) -> list[str]:
    try:
        return note.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _add_line(note: Path, name: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    with note.open("a", encoding="utf-8") as file:
        file.write(name + "\n")

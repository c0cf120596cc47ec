"""The connections with which one database of the source is compared with one of the target."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sterna.core.errors import IllegalMove, Trouble
from sterna.core.plan import Endpoint, Plan
from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.compare.following import Following, following
from sterna.engines.postgres.compare.hashing import Hashing, choose
from sterna.engines.postgres.connection import Connection, connect, trouble_of

TOLD = "sterna compare"
Ends = tuple[Connection, Connection]
_SETTINGS = (
    "SELECT set_config(name, CASE name WHEN 'lc_monetary' THEN 'C' ELSE 'off' END, false) FROM pg_settings "
    "WHERE name IN ('lc_monetary', 'jit')"
)
"""Money is written alike on both sides; no query here is worth compiling."""


class Desk:
    """Opens what is needed when it is needed, and keeps it until it is closed."""

    def __init__(self, plan: Plan, database: str, target: str) -> None:
        self.plan = plan
        self.database = database
        self.target = target
        self._stack = AsyncExitStack()
        self._ends: dict[str, Ends] = {}
        self._hashing: Hashing | None = None

    async def ends(self, purpose: str) -> Ends:
        """A connection to each side; the same ones for the same purpose. Raises Unreachable, AccessDenied."""
        if purpose not in self._ends:
            source = await self._open(self.plan.source, self.database, read_only=True)
            self._ends[purpose] = source, await self._open(self.plan.target, self.target, read_only=False)
        return self._ends[purpose]

    async def _open(self, endpoint: Endpoint, database: str, *, read_only: bool) -> Connection:
        connection = await connect(endpoint, database, purpose=TOLD)
        self._stack.push_async_callback(connection.close)
        await ask(connection, _SETTINGS)
        if read_only:
            await ask(connection, "SET default_transaction_read_only = on")
        return connection

    async def hashing(self) -> Hashing:
        """How rows are hashed on both sides."""
        if self._hashing is None:
            self._hashing = await choose(*await self.ends("scan"))
        return self._hashing

    async def following(self) -> Following:
        """What follows from the one side to the other now."""
        return await following(*await self.ends("look"), self.database)

    async def may_repair(self) -> None:
        """Raises IllegalMove where something writes to the target that a repair cannot be kept apart from."""
        now = await self.following()
        if now.other:
            raise IllegalMove(
                f"The target's database {self.target} subscribes to another server",
                hint="Disable its subscriptions, then repair.",
            )
        if now.job and await now.applied() < 0:
            raise IllegalMove(
                f"A job copies to the target's database {self.target}",
                hint="Repair once the job follows, or has ended.",
            )

    def trouble(self, error: Exception) -> Trouble:
        """What an error means, told of the side that it came from."""
        notes = getattr(error, "__notes__", ())
        return trouble_of(error, self.plan.source if str(self.plan.source) in notes else self.plan.target)

    @property
    def broken(self) -> bool:
        """Whether a connection was lost."""
        return any(end.closed or end.broken for pair in self._ends.values() for end in pair)

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def desk(plan: Plan, database: str, target: str) -> AsyncIterator[Desk]:
    """A desk, closed at the end."""
    opened = Desk(plan, database, target)
    try:
        yield opened
    finally:
        await opened.close()

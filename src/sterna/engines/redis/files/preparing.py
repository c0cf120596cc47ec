"""What happens on the target around the import of files: as around a copy, but there is no server to ask."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sterna.core.errors import KeyConflict
from sterna.core.event import Level
from sterna.core.plan import Mode, Plan
from sterna.core.ports import Teller
from sterna.engines.redis.connection import Connection
from sterna.engines.redis.files.shelf import names_mark
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.names import CHECKPOINT_PREFIX, printable
from sterna.engines.redis.preparing import Preparing, Transact, call, matching, pages

NOTHING_HELD = "nothing-held"
"""A file in the job's folder: no expiry was held, so none has to be looked for at the end."""


class FilePreparing(Preparing):
    """Of one server, or one node of a cluster."""

    forgives = False

    def __init__(self, plan: Plan, mapping: Mapping, folder: Path, key: bytes, tell: Teller) -> None:
        super().__init__(replace(plan, mode=Mode.INCREMENTAL), mapping, folder, lambda: (), key, tell)
        self._files = names_mark(plan.source.files)
        self._told = tell
        self._home = folder

    async def _refuse_twin(self, target: Connection) -> None:
        """Two jobs that write the same files at the same time would write every command twice."""
        await call(target, "SELECT", 0)
        async for page in matching(target, CHECKPOINT_PREFIX + b"*"):
            for key in page:
                if key != self._key and await self._is_twin(target, key, (self._files,)):
                    job = key.removeprefix(CHECKPOINT_PREFIX).decode("utf-8", "replace")
                    raise KeyConflict(
                        f"Job {job} already imports the same files into this target",
                        hint="Let that job go on, or stop it. If it is gone for good, delete the key "
                        f"{printable(key)} in database 0 of the target.",
                    )

    async def _refuse_shared(self, target: Connection, databases: Iterable[int]) -> None:
        """Which keys the files hold is known once all is read: so any key there is a conflict."""
        for database in databases:
            async for page in pages(target, database):
                if page:
                    sample = ", ".join(printable(key) for key in page[:5])
                    raise KeyConflict(f"The target holds keys, in database {database}: {sample}")

    async def sweep(self, all_ours: bool, transact: Transact) -> None:
        """The files stand still: a second copy of the same overwrites the first; only other files would not."""
        self._told(
            Level.INFO, "redis.left", "The files were read anew. Were they replaced since the first try, keys that"
            " only the earlier ones held are still on the target",
        )  # fmt: skip

    async def release(self, transact: Transact) -> None:
        """Set the held expiries of keys from an AOF to the true ones."""
        if not (self._home / NOTHING_HELD).exists():
            await super().release(transact)

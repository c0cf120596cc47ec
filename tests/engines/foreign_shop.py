"""A made-up database of another kind: it describes its tables in T-SQL and gives its rows as COPY text."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from sterna.core.change import Chunk, Format, Name, Part, Position
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.finding import Finding, Severity
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Path, Plan, StoredFile
from sterna.core.ports import Check, Engine, Log, Room, Sink, Source, Teller
from sterna.core.schema import Column, Kind, Schema, Table, Type
from sterna.engines.postgres.engine import PostgresEngine
from sterna.jobs.desk import Desk
from tests.engines.moving import Move

FILES = Endpoint("shop", (), files=(StoredFile("bucket", "shop.bak"),))
TEXT = Format("postgresql-text")


def column(name: str, kind: Kind, native: str = "", **more: object) -> Column:
    """A column; what ``Type`` knows goes to the type, the rest to the column."""
    of_type = {key: more.pop(key) for key in ("bits", "length", "precision", "scale", "fixed") if key in more}
    return Column(name, Type(kind, native or kind.value, **of_type), **more)  # type: ignore[arg-type]


def integer(name: str, **more: object) -> Column:
    return column(name, Kind.INTEGER, "int", **({"bits": 32} | more))


def text(name: str, length: int = 50, **more: object) -> Column:
    return column(name, Kind.TEXT, f"nvarchar({length})", length=length, **more)


@dataclass
class Shop:
    """What there is, and how it is given."""

    schema: Schema
    rows: Mapping[Path, Sequence[bytes]] = field(default_factory=dict)
    """Lines without their ends."""
    chunk: int = 100
    """Rows in a chunk."""
    pieces: int = 2
    pause: float = 0.0
    """Seconds before each chunk."""
    opened: int = 0


@dataclass
class ShopSource:
    shop: Shop
    log: Log | None = None

    async def schema(self) -> Schema:
        return self.shop.schema

    async def names(self) -> Sequence[Name]:
        return [Name(table.path) for table in self.shop.schema.tables]

    async def parts(self, name: Name) -> Sequence[Part]:
        count = len(self.shop.rows.get(name.path, ()))
        step = -(-count // self.shop.pieces) or 1
        return [
            Part(f"{name}/{first}", name, f"{first}:{min(first + step, count)}", min(step, count - first))
            for first in range(0, count, step)
        ]

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        assert TEXT in formats
        first, last = (int(each) for each in part.spec.split(":"))
        rows = self.shop.rows[part.name.path]
        for at in range(int(after.removeprefix("row ")) if after else first, last, self.shop.chunk):
            await asyncio.sleep(self.shop.pause)
            end = min(at + self.shop.chunk, last)
            data = b"".join(line + b"\n" for line in rows[at:end])
            yield Chunk(TEXT, data, end - at, len(data), Position(f"row {end}"))

    async def copied(self) -> None:
        """Nothing is held."""

    async def rows(self) -> int:
        return sum(len(rows) for rows in self.shop.rows.values())


@dataclass(frozen=True)
class Said:
    """A check of the source that finds what it is told to."""

    name: str
    severity: Severity = Severity.PASSED

    async def run(self) -> Sequence[Finding]:
        return [Finding(self.name, self.severity, "seen", "mend it")]


@dataclass
class ShopEngine:
    shop: Shop
    gates: Sequence[Check] = (Said("shop.files"),)
    name: str = "shop"

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]:
        return self._source()

    @asynccontextmanager
    async def _source(self) -> AsyncIterator[Source]:
        self.shop.opened += 1
        yield ShopSource(self.shop)

    def sink(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]:
        raise AssertionError("files are not written")

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return self.gates

    async def compare(
        self,
        plan: Plan,
        *,
        room: Room | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        raise AssertionError("not asked for")

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        return {"version": "1"}


class ShopMove(Move):
    """A job from a made-up database to PostgreSQL."""

    def __init__(self, shop: Shop, plan: Plan, folder: FilePath, *gates: Check) -> None:
        nowhere = Endpoint("postgresql", (("127.0.0.1", 1),))
        super().__init__(nowhere, nowhere, folder, plan)
        self.plan = plan
        source = ShopEngine(shop, gates or (Said("shop.files"),))
        self.engines: dict[str, Engine] = {"shop": source, "postgresql": PostgresEngine()}
        self.desk = Desk(self.store, self.engines)


def table(path: Path, *columns: Column, **more: object) -> Table:
    return Table(path, columns, **more)  # type: ignore[arg-type]  # the names are Table's own

"""Backup files in a bucket, and a stand-in for a SQL Server (``tests.servers.sqlserver``) that restores them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from sterna.core.errors import NotFound
from sterna.core.event import Level
from sterna.core.files import Entry, Remote, Storage
from sterna.core.finding import Finding, Severity
from sterna.core.job import JobId
from sterna.core.plan import Conflict, Endpoint, Mode, Plan, Rename, Selection, StoredFile
from sterna.core.ports import Check, Restores, Room
from sterna.engines.sqlserver.engine import SqlServerEngine
from sterna.storage.folder import FolderStorage
from tests.backups.database import Built, build
from tests.backups.describe import Col, Db, Tbl
from tests.backups.headers import START
from tests.backups.writer import Media, Set, write_backup
from tests.servers.sqlserver import Model
from tests.servers.tds import HOST, TdsServer, serving

USER, PASSWORD = "sterna", "p'w]d;"
ACCESS, SECRET = "AKID0123456789", "s'ecret]key"
BUCKET = "b"
JOB = JobId("job-1")


@cache
def built(name: str, moment: int = 0, version: float = 2016) -> Built:
    table = Tbl("dbo", "numbers", [Col("n", "int"), Col("t", "varchar(20)")], [(n, f"row {n}") for n in range(20)])
    return build(Db(name, [table]), version, moment)


def full(name: str = "Shop", version: float = 2016) -> Set:
    return Set(built(name, version=version), name=f"{name} full")


def differential(base: Set) -> Set:
    later = built(base.built.db.name, 1)
    return Set(later, "differential", base=base, changed={(1, 1)}, start=START.replace(minute=10))


def log(base: Set, number: int) -> Set:
    """The log backups 1, 2, 3 … follow on the full one; the differential falls into the first."""
    ends = [base.last, *((36 + n, 4000, 1) for n in range(number))]
    start = START.replace(minute=20 + number)
    return Set(base.built, "log", base=base, log_from=ends[-2], log_to=ends[-1], start=start)


class Shared(FolderStorage):
    """A folder that other machines read too, as an object store would let them."""

    def __init__(self, folder: Path, endpoint: str = "https://store.test:9000") -> None:
        super().__init__(folder)
        self.endpoint = endpoint

    def remote(self, name: str) -> Remote:
        return Remote(self.endpoint, "backups", name, "eu-1", False, ACCESS, SECRET)


@dataclass
class Scene:
    folder: Path
    model: Model
    server: TdsServer
    storage: Storage
    percents: list[int] = field(default_factory=list)
    told: list[tuple[Level, str, str]] = field(default_factory=list)

    @property
    def bucket(self) -> Path:
        return self.folder / "bucket"

    @property
    def share(self) -> Path:
        return self.folder / "share"

    @property
    def engine(self) -> SqlServerEngine:
        async def opens(bucket_id: str) -> Storage:
            if bucket_id != BUCKET:
                raise NotFound(f"There is no bucket {bucket_id}")
            return self.storage

        return SqlServerEngine(opens)

    def write(self, names: str | Sequence[str], *sets: Set, seed: int = 1) -> None:
        """A media set in the bucket; several names are its stripes."""
        listed = [names] if isinstance(names, str) else names
        first = str(sets[0].guid) + listed[0]
        write_backup([self.bucket / name for name in listed], sets, Media(seed=seed, name=first))

    def plan(self, *files: str, cover: bool = False, renames: dict[str, str] | None = None, **more: str) -> Plan:
        only = tuple(each for each in more.pop("only", "").split(",") if each)
        options = {"shared_folder": str(self.share), "shared_path": self.model.disk, "recovery_mode": "full"}
        target = Endpoint("sqlserver", ((HOST, self.server.port),), user=USER, password=PASSWORD)
        return Plan(
            Endpoint("sqlserver", (), files=tuple(StoredFile(BUCKET, name) for name in files)),
            target,
            Mode.FULL,
            Selection(only=only, renames=tuple(Rename(*pair) for pair in (renames or {}).items())),
            conflict=Conflict.OVERWRITE if cover else Conflict.STOP,
            options={name: value for name, value in {**options, **more}.items() if value},
        )

    def by_url(self, plan: Plan) -> Plan:
        options = {name: value for name, value in plan.options.items() if not name.startswith("shared")}
        return replace(plan, options=options)

    async def restore(self, plan: Plan, job: JobId = JOB) -> None:
        engine = self.engine
        assert isinstance(engine, Restores)
        room = Room(job, 1, self.folder / "room" / job)

        def tell(level: Level, code: str, message: str, **fields: str) -> None:
            self.told.append((level, code, message))

        self.percents.clear()
        async with engine.restoring(plan, room, tell) as restoring:
            await restoring.run(self.percents.append)

    def checks(self, plan: Plan) -> Sequence[Check]:
        return self.engine.checks(plan, JOB)

    async def look(self, plan: Plan) -> list[Finding]:
        return [finding for check in self.checks(plan) for finding in await check.run()]

    async def failed(self, plan: Plan) -> str:
        """What the checks say that must be mended."""
        return "; ".join(
            f"{each.check}: {each.evidence} ({each.remedy})"
            for each in await self.look(plan)
            if each.severity is Severity.FAILED
        )

    def states(self) -> dict[str, str]:
        return {name: each.state for name, each in self.model.databases.items()}

    def restores(self) -> list[str]:
        return self.model.ran("RESTORE DATABASE", "RESTORE LOG")

    def entries(self) -> list[Entry]:
        return list(self.storage.list())


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    for name in ("bucket", "share"):
        (folder / name).mkdir()
    model = Model(folder / "share", stored=folder / "bucket", secret=f"{ACCESS}:{SECRET}")
    with serving(model) as server:
        yield Scene(folder, model, server, FolderStorage(folder / "bucket"))

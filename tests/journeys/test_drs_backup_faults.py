"""Backup migration while processes, servers, networks and files fail: exact in the end, or it says what to do."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from psycopg import errors

from sterna.core.job import JobId
from tests.backups import big, scenes
from tests.backups.copied import lines
from tests.backups.corpus import Found, simple
from tests.backups.describe import Db
from tests.effort import seed as chosen_seed
from tests.journeys.backup_stand import FAR, Stand, Target, made_stand
from tests.journeys.command import Running, wait_for
from tests.journeys.test_kill import kill, workers
from tests.servers.objectstore import SECRET_KEY
from tests.servers.proxy import Proxy, proxy

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

ROWS = 240_000
"""So many that what is read ahead is a part of the file."""
SLOW = 6 << 20
"""Bytes a second of one connection to the object store and to the target: a load takes its time."""
SOME = 2 << 20
"""Bytes to the target with which some rows are there, and by far not all."""
SLOW_BUCKET = "slow"
NUMBERS = count(1)
Tables = dict[str, Found]


@dataclass
class Scene:
    """A service whose ways to the bucket and to the target can be disturbed."""

    stand: Stand
    target: Target
    """Reached by the second proxy."""
    to_bucket: Proxy
    to_target: Proxy
    number: int = 0
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _service: Running | None = None

    def serve(self) -> None:
        """Start the service, unless it runs."""
        if self._service is None:
            self._service = self._running.enter_context(self.stand.serving())

    def kill(self) -> None:
        """End the service at once."""
        assert self._service
        kill(self._service)
        self._service = None

    def kill_with_worker(self, id: str) -> None:
        """The same, and its worker with it."""
        self.kill()
        kill_workers(id)
        wait_for(lambda: not workers(JobId(id)), "a worker is left")

    def end(self) -> None:
        self._running.close()

    def calm(self) -> None:
        """Everything can be reached."""
        for way in (self.to_bucket, self.to_target):
            way.cut_no_more()
            way.flow()
            way.accept()
        self.serve()

    def begin(self, file: str, **options: Any) -> str:
        """A task that loads a file of the slow bucket."""
        self.number = next(NUMBERS)
        usual = {"is_precheck": False, "reset_db_name_map": {"": self.database}}
        return self.stand.api.create(
            self.target, f"fault-{self.number}", file, bucket=SLOW_BUCKET, **{**usual, **options}
        )

    @property
    def database(self) -> str:
        return f"db{self.number}"

    def rows(self, table: str) -> int:
        """How many have arrived; 0 where there is no such table yet."""
        if self.database not in self.target.databases():
            return 0
        with contextlib.suppress(errors.UndefinedTable, errors.InvalidSchemaName):  # or dropped just now
            return int(self.target.server.sql(f"SELECT count(*) FROM {table}", self.database)[0][0])
        return 0

    def begin_half(self, file: str, table: str = "dbo.big") -> str:
        """A task of which some rows are there, and nothing moves any more; it cannot be over before that is so."""
        self.to_target.stall_after(SOME, "to_server")
        id = self.begin(file)
        wait_for(lambda: self.to_target.stalled, "nothing is sent")
        wait_for(lambda: self._kept(table), "nothing arrives")
        self.to_target.stall()
        self.to_bucket.stall()
        return id

    def _kept(self, table: str) -> bool:
        """Whether some rows are there. A target that has kept nothing of what it has got is sent a little more."""
        if self.rows(table):
            return True
        if self.to_target.stalled:
            time.sleep(0.5)
            self.to_target.stall_after(SOME // 4, "to_server")
        return False

    def flow(self) -> None:
        """Let everything go on."""
        for way in (self.to_bucket, self.to_target):
            way.flow()

    def fails(self, id: str, *said: str) -> str:
        """The error log of a task that fails, which says these words, and what to do."""
        done = self.stand.api.ended(id)
        print(done.status, done.error_log)
        assert done.status == "FAILED", done
        for word in said:
            assert word.lower() in done.error_log.lower(), done.error_log
        return str(done.error_log)

    def again(self, failed: str, file: str, tables: Tables) -> None:
        """A new task over what a failed one left succeeds, and stays exact when the failed one is deleted."""
        database = self.database
        id = self.begin(file, is_cover=True, reset_db_name_map={"": database})
        self.stand.api.succeeds(id)
        self.stand.api.delete(failed)
        self.target.holds(database, tables)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with made_stand(tmp_path_factory.mktemp("faults")) as stand:
        store, server = stand.store, stand.target().server
        with proxy(store.host, store.port) as one, proxy(server.host, server.port) as other:
            one.limit(SLOW)
            other.limit(SLOW)
            stand.register_bucket(SLOW_BUCKET, f"http://{one.address}")
            scene = Scene(stand, stand.registered(server, "by-proxy", port=other.port), one, other)
            try:
                yield scene
            finally:
                scene.end()


@pytest.fixture
def scene(whole: Scene) -> Iterator[Scene]:
    """Calm before a test and after it."""
    whole.calm()
    yield whole
    whole.calm()


def kill_workers(id: str) -> None:
    for worker in workers(JobId(id)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def big_file(stand: Stand, rows: int = ROWS, name: str = "big.bak") -> tuple[str, Tables]:
    """One table without a key, so that a row may be there twice; uploaded."""
    path = stand.bucket / name
    if not path.exists():
        big.big_backup(path, rows)
    table = big.table(10, rows)
    return stand.upload(path), {"dbo.big": Found(tuple(col.name for col in table.columns), tuple(lines(table)))}


def keyed_file(stand: Stand, many: int, name: str) -> tuple[str, Tables]:
    """Tables with keys, indexes and foreign keys; uploaded."""
    tables = [scenes.tall(many, "one"), scenes.tall(many // 2, "two"), *scenes.shop(), *scenes.lobs()]
    fixture = simple(stand.bucket, name, Db("Keyed", tables))
    return stand.upload(fixture.paths[0]), fixture.databases["Keyed"]


# At any moment.


SOAK = pytest.mark.slow
"""Takes a minute or more: ``make soak`` runs these."""


@pytest.mark.parametrize(
    ("seed", "rounds"), [(0, 4), pytest.param(11, 5, marks=SOAK), pytest.param(12, 5, marks=SOAK)]
)
def test_a_load_whose_processes_servers_and_networks_die_at_any_moment_is_exact(
    scene: Scene, seed: int, rounds: int
) -> None:
    _disturb_again_and_again(scene, seed or chosen_seed(24), rounds)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("_", range(6))
def test_a_load_that_is_disturbed_very_often_is_exact(scene: Scene, _: int) -> None:
    _disturb_again_and_again(scene, random.randrange(1, 1 << 30), 12)


def _disturb_again_and_again(scene: Scene, seed: int, rounds: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    stand = scene.stand
    file, tables = big_file(stand) if seed % 2 else keyed_file(stand, 12_000, "keyed")
    id = scene.begin(file, is_precheck=chance.random() < 0.5)
    table = next(iter(tables))
    for number in range(rounds):
        if number:
            _comes_further(scene, id, table)
        time.sleep(chance.uniform(0.0, 1.0))
        what = chance.choice(("worker", "service", "postgres", "store", "cut", "drop", "refuse"))
        print(what, stand.api.shown(id).status, scene.rows(table))
        _disturb(scene, id, what, chance)
    stand.api.succeeds(id)
    scene.target.holds(scene.database, tables)
    stand.api.delete(id)


def _comes_further(scene: Scene, id: str, table: str) -> None:
    """Wait until more rows have arrived than are there now, or everything has."""
    before = scene.rows(table)
    wait_for(
        lambda: scene.rows(table) > before or scene.stand.api.shown(id).status != "TRANSFERRING", "nothing arrives"
    )


def _disturb(scene: Scene, id: str, what: str, chance: random.Random) -> None:
    """Do something bad; afterwards everything can be reached again."""
    ways = scene.to_bucket, scene.to_target
    if what == "worker":
        kill_workers(id)
    elif what == "service":
        scene.kill()
        scene.serve()
    elif what in ("postgres", "store"):
        server: Any = scene.target.server if what == "postgres" else scene.stand.store
        server.kill9()
        server.start()
    elif what == "cut":
        for way in ways:
            way.cut(chance.randrange(1, 1 << 20), chance.choice(("to_server", "to_client")))
    else:
        for way in ways:
            if what == "refuse":
                way.refuse()
            way.drop()
        time.sleep(chance.uniform(0.0, 1.0) if what == "refuse" else 0)
        for way in ways:
            way.accept()


@SOAK
def test_an_object_store_that_is_away_for_long_is_waited_for(scene: Scene) -> None:
    file, tables = big_file(scene.stand)
    id = scene.begin_half(file)
    scene.to_bucket.refuse()
    scene.to_bucket.drop()
    scene.to_target.flow()
    log = ("job", "log", id)
    wait_for(lambda: "run.retry" in scene.stand.home.run(*log, "--json").out, "nobody notices")
    assert scene.stand.api.shown(id).status == "TRANSFERRING"
    scene.flow()
    scene.to_bucket.accept()
    scene.stand.api.succeeds(id)
    scene.target.holds(scene.database, tables)


# Files that change.


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(scene: Scene) -> None:
    file, _ = big_file(scene.stand)
    _, tables = other = big_file(scene.stand, 60_000, "other.bak")
    id = scene.begin_half(file)
    scene.stand.upload(scene.stand.bucket / other[0], file)
    scene.flow()
    scene.fails(id, "big.bak", "replaced", "start again")
    scene.again(id, file, tables)


@pytest.mark.parametrize("other", ["other.bak", pytest.param("longer.bak", marks=SOAK)])
def test_a_file_that_is_replaced_while_nobody_runs_is_loaded_anew(scene: Scene, other: str) -> None:
    file, _ = big_file(scene.stand)
    _, tables = big_file(scene.stand, {"other.bak": 60_000, "longer.bak": ROWS + 5_000}[other], other)
    id = scene.begin_half(file)
    scene.kill_with_worker(id)
    scene.stand.upload(scene.stand.bucket / other, file)
    scene.flow()
    scene.serve()
    scene.stand.api.succeeds(id)
    scene.target.holds(scene.database, tables)


@SOAK
def test_tables_of_two_backups_are_not_mixed_though_each_was_read_from_one(scene: Scene) -> None:
    stand = scene.stand
    file, _ = keyed_file(stand, 60_000, "first")
    _, tables = keyed_file(stand, 68_000, "second")
    id = scene.begin_half(file, "dbo.one")
    scene.kill_with_worker(id)
    assert scene.rows("dbo.one") < 60_000
    stand.upload(stand.bucket / "second.bak", file)
    scene.flow()
    scene.serve()
    stand.api.succeeds(id)
    scene.target.holds(scene.database, tables)


@SOAK
def test_a_file_that_is_taken_away_while_it_is_read_is_said(scene: Scene) -> None:
    file, tables = big_file(scene.stand)
    id = scene.begin_half(file)
    scene.stand.store.client().delete_object(Bucket=FAR, Key=file)
    scene.flow()
    scene.fails(id, "big.bak", "no file")
    scene.again(id, big_file(scene.stand)[0], tables)


# What a person must mend.


@SOAK
def test_a_secret_that_was_changed_is_said_and_a_new_one_works(scene: Scene) -> None:
    stand = scene.stand
    file, tables = big_file(stand)
    id = scene.begin_half(file)
    keys = stand.store.folder / "keys.json"
    old = keys.read_text()
    stand.store.kill9()
    try:
        with _other_secret("another-secret-key"):
            stand.store.start()
        scene.flow()
        log = scene.fails(id, "signature", "secret key")
        assert SECRET_KEY not in log
        _change_secret(scene, "another-secret-key")
        scene.again(id, file, tables)
    finally:
        stand.store.kill9()
        stand.store.start()
        _change_secret(scene, SECRET_KEY)
    assert keys.read_text() == old


def _change_secret(scene: Scene, secret: str) -> None:
    scene.stand.home.good("bucket", "change", SLOW_BUCKET, "--secret-env", "NEW", NEW=secret)


@contextlib.contextmanager
def _other_secret(secret: str) -> Iterator[None]:
    """The object store starts with another secret key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.servers.seaweedfs.SECRET_KEY", secret)
        yield


TROUBLES = {
    "no room": (
        "CREATE FUNCTION full_disk() RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'could not extend file \"base/1/2\"' USING ERRCODE = 'disk_full'; END $$;"
        "ALTER TABLE dbo.big ADD CONSTRAINT full_disk CHECK (full_disk()) NOT VALID",
        ("no room", "give the target more room"),
        "DROP TABLE dbo.big; DROP FUNCTION full_disk",
    ),
    "a constraint": (
        "ALTER TABLE dbo.big ADD CONSTRAINT few CHECK (c0 < 0) NOT VALID",
        ("few", "big"),
        "ALTER TABLE dbo.big DROP CONSTRAINT few",
    ),
    "rows of others": (
        "INSERT INTO dbo.big (c0) VALUES (-1)",
        ("dbo.big", "were sent", "end it"),
        "SELECT 1",
    ),
    "the table is gone": ("DROP TABLE dbo.big", ("big",), "SELECT 1"),
}


@pytest.mark.parametrize("what", [pytest.param(what, marks=[SOAK] * (what != "no room")) for what in TROUBLES])
def test_trouble_on_the_target_is_said_and_a_new_task_works_once_it_is_mended(scene: Scene, what: str) -> None:
    trouble, said, mended = TROUBLES[what]
    file, tables = big_file(scene.stand)
    id = scene.begin_half(file)
    scene.to_target.flow()  # what is under way holds the table; then there is nothing more to load
    scene.target.server.sql(trouble, scene.database)
    scene.flow()
    scene.fails(id, *said)
    scene.target.server.sql(mended, scene.database)
    scene.again(id, file, tables)


@SOAK
def test_a_failed_task_that_is_deleted_leaves_nothing_of_its_own(scene: Scene) -> None:
    file, _ = big_file(scene.stand)
    id = scene.begin_half(file)
    scene.to_target.flow()
    scene.target.server.sql("INSERT INTO dbo.big (c0) VALUES (-1)", scene.database)
    scene.flow()
    scene.fails(id, "were sent")
    query = "SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'"
    assert scene.target.server.sql(query, scene.database) == [("sterna",)]
    scene.stand.api.delete(id)
    assert scene.target.server.sql(query, scene.database) == []

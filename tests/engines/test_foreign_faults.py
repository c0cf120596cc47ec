"""What goes wrong on the way of another kind's tables: what was moved is exact, or the job says why not."""

import asyncio
import random
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sterna.core.change import Chunk, Name, Part, Position
from sterna.core.digest import digest_of
from sterna.core.errors import Fenced, NotFound, StartAgain, Unsupported
from sterna.core.event import Level
from sterna.core.finding import Finding, Severity
from sterna.core.job import Condition, Job, JobId, Phase
from sterna.core.plan import Conflict, Mode, Plan, Rename, Selection
from sterna.core.ports import Engine, Room
from sterna.core.progress import Progress
from sterna.core.schema import Key, Kind, Schema, Table
from sterna.engines.postgres.engine import PostgresEngine
from sterna.engines.postgres.foreign import building
from sterna.jobs.desk import Desk
from sterna.store.sql import open_store
from tests.contract.stores import KEY
from tests.effort import PATIENCE, seed
from tests.engines.foreign_shop import (
    FILES,
    TEXT,
    Shop,
    ShopEngine,
    ShopMove,
    ShopSource,
    column,
    integer,
    table,
    text,
)
from tests.engines.moving import QUICK, postgres_endpoint
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer, Unavailable, start
from tests.servers.proxy import proxy

pytestmark = pytest.mark.server

AGAIN = replace(QUICK, first_wait=0.02, longest_wait=0.1)
ROWS = 3000
SLOWLY = 0.05
"""Seconds before each chunk of fifty rows, while a test wants to be there in the middle: a second or two."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with ExitStack() as stack:
        try:
            server = start("pg18")
        except Unavailable as reason:
            pytest.skip(str(reason))
        stack.callback(server.close)
        yield server


@pytest.fixture
def database(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """The name of a database that the test makes; there is none of it yet."""
    return f"{zlib.crc32(request.node.name.encode()):x} {request.node.name[5:45]}"


def tables(database: str) -> tuple[Table, ...]:
    things = table(
        (database, "dbo", "Things"),
        integer("id", nullable=False),
        text("name"),
        text("shown", 61, computed="([name]+N'!')", stored=True),
        primary=Key("PK_Things", ("id",)),
    )
    pile = table((database, "dbo", "Pile"), text("a"), integer("b"))
    return things, pile


def shop_of(database: str, pause: float = 0.0, rows: int = ROWS) -> Shop:
    things, pile = tables(database)
    lines = {
        things.path: [b"%d\tname %d\tname %d!" % (n, n, n) for n in range(rows)],
        pile.path: [b"same\t%d" % (n % 10) for n in range(rows)],
    }
    return Shop(Schema("tsql", (things, pile)), lines, chunk=50, pieces=3, pause=pause)


def plan_of(server: PostgresServer, port: int | None = None, **more: object) -> Plan:
    target = postgres_endpoint(server, port)
    return Plan(FILES, target, **({"mode": Mode.FULL} | more))  # type: ignore[arg-type]  # the names are Plan's own


async def assert_exact(server: PostgresServer, shop: Shop, database: str) -> None:
    plan = plan_of(server)
    for each in shop.schema.tables:
        sent = digest_of(b"".join(line + b"\n" for line in shop.rows[each.path]))
        assert await PostgresEngine().digest(plan, each) == sent
    assert server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'sterna'", database) == [(0,)]
    keys = server.sql(_KEYS, database)
    assert keys == [("PK_Things",)]


_KEYS = "SELECT conname::text FROM pg_constraint WHERE contype = 'p' AND connamespace = 'dbo'::regnamespace"


def retried(before: int, _: Job, figures: Progress) -> bool:
    return figures.retries > before


async def copies(move: ShopMove, beyond: int = 0) -> None:
    await move.until(lambda job, figures: job.phase is Phase.COPY and figures.rows > beyond)


async def test_a_run_that_is_killed_goes_on_where_the_target_has_it(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    shop = shop_of(database, pause=SLOWLY)
    move = ShopMove(shop, plan_of(server), tmp_path)
    await move.start()
    for cut in range(1, 5):
        await copies(move, cut * 500)
        await move.cut()
        move.go()
    shop.pause = 0
    await move.ended()
    await assert_exact(server, shop, database)
    assert not await move.events("run.again")
    assert not await move.events("proof.differs")


async def test_a_run_that_is_killed_on_another_machine_goes_on_too(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    shop = shop_of(database, pause=SLOWLY)
    move = ShopMove(shop, plan_of(server), tmp_path / "one")
    await move.start()
    await copies(move, 500)
    await move.cut()
    shop.pause = 0
    move.folder = tmp_path / "two"
    move.go()
    await move.ended()
    await assert_exact(server, shop, database)


async def test_a_source_that_is_cut_into_other_parts_since_is_copied_anew(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    shop = shop_of(database, pause=SLOWLY)
    move = ShopMove(shop, plan_of(server), tmp_path)
    await move.start()
    await copies(move, 1500)
    await move.cut()
    shop.pieces, shop.pause = 2, 0
    move.go()
    await move.ended()
    await assert_exact(server, shop, database)
    assert await move.events("run.again")


@pytest.mark.parametrize("step", ["create_database", "drop", "make_table", "_made"])
async def test_a_run_that_is_killed_while_it_makes_something_makes_it_again(
    server: PostgresServer, database: str, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    monkeypatch_step(monkeypatch, step, reached)
    shop = shop_of(database, rows=100)
    move = ShopMove(shop, plan_of(server), tmp_path)
    await move.start()
    await asyncio.wait_for(reached.wait(), PATIENCE)
    await move.cut()
    monkeypatch.undo()
    move.go()
    await move.ended()
    await assert_exact(server, shop, database)


def monkeypatch_step(monkeypatch: pytest.MonkeyPatch, step: str, reached: asyncio.Event) -> None:
    """The step is done, and then nothing more happens."""
    from sterna.engines.postgres.foreign import sink

    where: object = building.Finisher if step == "_made" else sink
    done = getattr(where, step)

    async def stuck(*arguments: object) -> None:
        await done(*arguments)
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(where, step, stuck)


async def test_a_network_that_breaks_anywhere_loses_and_doubles_nothing(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    shop = shop_of(database, pause=SLOWLY)
    with proxy(server.host, server.port) as way:
        move = ShopMove(shop, plan_of(server, way.port), tmp_path)
        move.tempo = AGAIN
        await move.start()
        for cut in range(6):
            await copies(move, cut * 400)
            before = (await move.progress()).retries
            way.cut(100 + 3000 * cut, "to_server" if cut % 2 else "to_client")
            way.drop()
            await move.until(partial(retried, before))
        way.cut_no_more()
        shop.pause = 0
        await move.ended()
    await assert_exact(server, shop, database)


async def test_a_target_that_loses_power_loses_nothing_that_is_not_copied_again(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server("pg15")
    shop = shop_of("power", pause=SLOWLY)
    move = ShopMove(shop, plan_of(server), tmp_path)
    await move.start()
    await copies(move, 1000)
    shop.pause = 0
    server.kill9()
    server.start()
    await move.ended()
    await assert_exact(server, shop, "power")


async def test_a_target_that_was_dropped_meanwhile_is_filled_anew(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    shop = shop_of(database, pause=SLOWLY)
    move = ShopMove(shop, plan_of(server), tmp_path)
    await move.start()
    await copies(move, 500)
    await move.pause()
    shop.pause = 0
    server.sql(f'DROP DATABASE "{database}" WITH (FORCE)')
    await move.again()
    await move.ended()
    await assert_exact(server, shop, database)
    assert await move.events("run.again")


async def test_a_pause_and_a_stop_leave_what_they_should(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    move = ShopMove(shop_of(database, pause=SLOWLY), plan_of(server), tmp_path)
    await move.start()
    await copies(move, 500)
    await move.pause()
    await move.again()
    await copies(move, 600)
    await move.stop()
    assert server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'sterna'", database) == [(0,)]


async def test_rows_that_somebody_else_wrote_are_found_out(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    shop = shop_of(database, pause=SLOWLY)
    move = ShopMove(shop, plan_of(server), tmp_path)
    await move.start()
    await copies(move, 500)
    shop.pause = 0
    server.sql("INSERT INTO dbo.\"Pile\" VALUES ('theirs')", database)
    assert f"{ROWS + 1} rows of {database}.dbo.Pile" in await move.fails("STERNA.2007")


async def test_values_that_read_otherwise_are_told_of(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    path = (database, "dbo", "T")
    schema = Schema("tsql", (table(path, column("a", Kind.TEXT, "char(5)", length=5, fixed=True)),))
    move = ShopMove(Shop(schema, {path: [b"ab"]}), plan_of(server), tmp_path)
    await move.start()
    await move.ended()
    assert [event.level for event in await move.events("proof.differs")] == [Level.WARN]


async def test_a_row_that_does_not_fit_stops_the_job_and_names_the_table(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    path = (database, "dbo", "T")
    shop = Shop(Schema("tsql", (table(path, text("a", 3)),)), {path: [b"abcd"]})
    move = ShopMove(shop, plan_of(server), tmp_path)
    await move.start()
    assert f"{database}.dbo.T were refused" in await move.fails("STERNA.2007")


# Tables that are there already


async def test_tables_in_the_way_stop_the_job_or_are_replaced_as_it_was_told(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    server.create_database(database)
    server.sql(
        'CREATE SCHEMA dbo; CREATE TABLE dbo."Things" (a int); CREATE VIEW dbo."Pile" AS SELECT 1', database
    )
    server.sql("CREATE TABLE dbo.other (a int); INSERT INTO dbo.other VALUES (1)", database)
    shop = shop_of(database, rows=20)
    stopped = ShopMove(shop, plan_of(server, conflict=Conflict.STOP), tmp_path / "one")
    await stopped.start()
    assert f"{database}.dbo.Pile, {database}.dbo.Things" in await stopped.fails("STERNA.2008")
    unchecked = plan_of(server, conflict=Conflict.STOP, options={"precheck": "false"})
    again = ShopMove(shop, unchecked, tmp_path / "two")
    await again.start()
    assert f"{database}.dbo.Things" in await again.fails("STERNA.2008")
    assert server.sql('SELECT count(*) FROM dbo."Things"', database) == [(0,)]
    move = ShopMove(shop, plan_of(server), tmp_path / "three")
    await move.start()
    await move.ended()
    await assert_exact(server, shop, database)
    assert server.sql("SELECT a FROM dbo.other", database) == [(1,)]


async def test_a_table_that_others_need_is_not_replaced(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    server.create_database(database)
    server.sql('CREATE SCHEMA dbo; CREATE TABLE dbo."Things" (a int)', database)
    server.sql('CREATE VIEW public.v AS SELECT a FROM dbo."Things"', database)
    move = ShopMove(shop_of(database, rows=20), plan_of(server), tmp_path)
    await move.start()
    assert "needed by others: view public.v" in await move.fails("STERNA.2008")
    assert server.sql("SELECT count(*) FROM public.v", database) == [(0,)]


async def test_a_table_of_another_owner_is_not_replaced(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    user = f"u {database}"[:60]
    server.sql(f"CREATE ROLE \"{user}\" LOGIN PASSWORD 'p'")
    server.create_database(database)
    server.sql(
        f'CREATE SCHEMA dbo; CREATE TABLE dbo."Things" (a int); GRANT ALL ON SCHEMA dbo TO "{user}"', database
    )
    server.sql(f'GRANT ALL ON DATABASE "{database}" TO "{user}"')
    plan = plan_of(server)
    plan = replace(plan, target=replace(plan.target, user=user, password="p"))
    move = ShopMove(shop_of(database, rows=20), plan, tmp_path)
    await move.start()
    assert 'needed by others: postgres, who owns dbo."Things"' in await move.fails("STERNA.2008")


async def test_a_job_runs_anew_over_its_own_tables(server: PostgresServer, database: str, tmp_path: Path) -> None:
    shop = shop_of(database, rows=50)
    move = ShopMove(shop, plan_of(server), tmp_path)
    for _ in range(2):
        await (move.again() if move.task else move.start())
        await move.ended()
    await assert_exact(server, shop, database)


async def test_two_databases_that_would_be_one_are_refused(server: PostgresServer, tmp_path: Path) -> None:
    schema = Schema("tsql", (*tables("a"), *tables("b")))
    both = plan_of(server, selection=Selection(renames=(Rename("*", "one"),)))
    move = ShopMove(Shop(schema), both, tmp_path)
    await move.start()
    assert "would both be one.dbo.Things" in await move.fails("STERNA.2008")


async def test_an_index_whose_name_another_table_of_the_target_has_gets_another_one(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    server.create_database(database)
    server.sql('CREATE SCHEMA dbo; CREATE TABLE dbo.other (a int CONSTRAINT "PK_Things" PRIMARY KEY)', database)
    move = ShopMove(shop_of(database, rows=20), plan_of(server), tmp_path)
    await move.start()
    await move.ended()
    assert len(await move.events("schema.renamed")) == 1
    keys = server.sql(f"{_KEYS} AND conrelid = 'dbo.\"Things\"'::regclass", database)
    assert keys[0][0].startswith("PK_Things_")


# The sink by itself


def room(folder: Path, epoch: int = 1) -> Room:
    return Room(JobId("j"), epoch, folder)


def silent(level: Level, code: str, message: str, **fields: str) -> None:
    """Nobody listens."""


def chunk(first: int, last: int) -> Chunk:
    data = b"".join(b"same\t%d\n" % n for n in range(first, last))
    return Chunk(TEXT, data, last - first, len(data), Position(f"row {last}"))


async def test_a_chunk_that_comes_twice_is_written_once_and_an_older_epoch_writes_nothing(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    source, plan = ShopSource(shop_of(database)), plan_of(server)
    part = Part("p", Name((database, "dbo", "Pile")))
    engine = PostgresEngine()
    async with engine.sink_for(source, plan, room(tmp_path), silent) as old:
        await old.claim()
        assert await old.position("follow") is None
        await old.prepare()
        assert await old.position("copy:p") == ""
        await old.load(part, chunk(0, 5))
        await old.load(part, chunk(0, 5))
        assert await old.position("copy:p") == "row 5"
        async with engine.sink_for(source, plan, room(tmp_path, 2), silent) as new:
            await new.claim()
            assert await new.position("copy:p") == "row 5"
            await new.load(part, chunk(5, 8))
            with pytest.raises(Fenced):
                await old.load(part, chunk(5, 8))
            with pytest.raises(Fenced):
                await old.verify()
            await new.copied(Position(""))
            assert await new.rows() == 8
            assert await new.position("follow") == ""
            await new.finish()
            await new.finish()
    assert server.sql('SELECT count(*), sum(b) FROM dbo."Pile"', database) == [(8, 28)]


async def test_a_chunk_that_is_not_the_next_one_starts_the_copy_again(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    source, plan = ShopSource(shop_of(database)), plan_of(server)
    part = Part("p", Name((database, "dbo", "Pile")))
    engine = PostgresEngine()
    async with engine.sink_for(source, plan, room(tmp_path), silent) as sink:
        await sink.claim()
        await sink.prepare()
        await sink.load(part, chunk(0, 5))
        async with engine.sink_for(source, plan, room(tmp_path), silent) as same:
            await same.claim()
            await same.load(part, chunk(5, 6))
        with pytest.raises(StartAgain):
            await sink.load(part, chunk(5, 8))


async def test_a_digest_says_what_is_missing(server: PostgresServer, database: str) -> None:
    things, _ = tables(database)
    with pytest.raises(NotFound, match="no database"):
        await PostgresEngine().digest(plan_of(server), things)
    server.create_database(database)
    with pytest.raises(NotFound, match="no table"):
        await PostgresEngine().digest(plan_of(server), things)
    server.sql('CREATE SCHEMA dbo; CREATE TABLE dbo."Things" (id int)', database)
    with pytest.raises(Unsupported, match="other columns"):
        await PostgresEngine().digest(plan_of(server), things)


# The checks


async def findings(shop: Shop, plan: Plan) -> dict[str, Finding]:
    checks = PostgresEngine().checks_for(ShopSource(shop), plan)
    return {each.check.rpartition(".")[2]: each for check in checks for each in await check.run()}


async def test_the_checks_of_a_server_that_suits_find_nothing_that_stops(
    server: PostgresServer, database: str
) -> None:
    found = await findings(shop_of(database), plan_of(server))
    assert {name for name, each in found.items() if each.severity is not Severity.PASSED} == {"collation"}
    assert found["databases"].evidence == f"to be made: {database}"


async def test_the_checks_name_what_is_changed_and_what_stops(server: PostgresServer, database: str) -> None:
    server.sql(f"CREATE DATABASE \"{database}\" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    path = (database, "dbo", "T")
    odd = table(
        path,
        column("at", Kind.TIMESTAMP, "datetime2(7)", scale=7),
        column("doc", Kind.XML, "xml"),
        integer("x" * 70),
        integer("ctid", default="(dbo.next())"),
    )
    wide = table((database, "dbo", "wide"), *(integer(f"c{n}") for n in range(1700)))
    found = await findings(Shop(Schema("tsql", (odd, wide))), plan_of(server))
    assert found["encoding"].severity is found["columns"].severity is Severity.FAILED
    assert "LATIN1" in found["encoding"].evidence
    assert f"{database}.dbo.wide" in found["columns"].evidence
    assert "seventh digit" in found["types"].evidence
    assert "doc (xml) becomes text" in found["types"].evidence
    assert "dbo.T.ctid -> _ctid" in found["names"].evidence
    assert "dbo.next()" in found["left"].evidence
    for name in ("types", "names", "left"):
        assert found[name].severity is Severity.ALARM
        assert found[name].remedy


async def test_the_checks_say_which_rights_are_missing(server: PostgresServer, database: str) -> None:
    user = f"u {database}"[:60]
    server.sql(f"CREATE ROLE \"{user}\" LOGIN PASSWORD 'p'")
    target = replace(postgres_endpoint(server), user=user, password="p")
    plan = replace(plan_of(server), target=target)
    assert (await findings(shop_of(database), plan))["databases"].severity is Severity.FAILED
    server.create_database(database)
    found = await findings(shop_of(database), plan)
    assert found["databases"].severity is Severity.PASSED
    assert found["creating"].severity is Severity.FAILED
    server.sql(found["creating"].remedy.removeprefix("On the target: "))
    assert (await findings(shop_of(database), plan))["creating"].severity is Severity.PASSED
    server.sql("CREATE SCHEMA dbo", database)
    found = await findings(shop_of(database), plan)
    assert found["creating"].evidence == f"CREATE is missing in {database}.dbo"
    server.sql(found["creating"].remedy.removeprefix("On the target: "), database)
    assert (await findings(shop_of(database), plan))["creating"].severity is Severity.PASSED


async def test_a_database_that_is_there_is_enough_for_a_user_who_may_make_none(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    user = f"u {database}"[:60]
    server.sql(f"CREATE ROLE \"{user}\" LOGIN PASSWORD 'p'")
    server.sql(f'CREATE DATABASE "{database}" OWNER "{user}"')
    plan = plan_of(server)
    plan = replace(plan, target=replace(plan.target, user=user, password="p"))
    shop = shop_of(database, rows=20)
    move = ShopMove(shop, plan, tmp_path)
    await move.start()
    await move.ended()
    await assert_exact(server, shop, database)


async def test_a_server_that_does_not_answer_is_said_once(server: PostgresServer, tmp_path: Path) -> None:
    move = ShopMove(shop_of("gone"), plan_of(server, 1), tmp_path)
    await move.start()
    await move.fails("STERNA.2008")
    found = await move.store.findings(move.job.id)
    assert [each.check for each in found] == ["shop.files", "postgresql.target.reachable"]


@pytest.mark.long
async def test_a_worker_that_is_killed_at_any_moment_leaves_nothing_half_done(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    chance = random.Random(seed(1))
    shop = shop_of(database)
    engines: dict[str, Engine] = {"shop": ShopEngine(shop), "postgresql": PostgresEngine()}
    store = await open_store(tmp_path / "sterna.db", KEY)
    try:
        desk = Desk(store, engines)
        job = await desk.create("0" * 32, "cli", "move", plan=plan_of(server))
        await desk.run(job)
        words = [str(tmp_path / "sterna.db"), job.id, str(tmp_path / "job"), database]
        kills = 0
        while (await store.job(job.id)).condition is not Condition.DONE:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.engines.foreign_child", *words
            )
            try:
                await asyncio.wait_for(child.wait(), 1 + 2 * chance.random() if kills < 8 else PATIENCE)
            except TimeoutError:
                child.kill()
                await child.wait()
                kills += 1
            assert (await store.job(job.id)).condition is not Condition.FAILED, (await store.job(job.id)).failure
        assert kills
    finally:
        await store.close()
    await assert_exact(server, shop, database)

"""Plans whose sides are of different kinds: which steps are walked, which checks are run, what waits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.core.digest import Digest, digest_of, lines_in_python
from sterna.core.errors import ApplyFailed, BadData, Invalid, Unreachable
from sterna.core.finding import Severity
from sterna.core.job import JobId, Phase
from sterna.core.plan import Endpoint, Mode, Plan
from sterna.core.ports import Check, Engine, Restoring, Room, Teller
from sterna.core.progress import Progress
from sterna.core.schema import Schema
from sterna.jobs.desk import Desk
from tests.engines.foreign_shop import FILES, Said, Shop, ShopEngine, ShopMove

SERVER = Endpoint("server", (("127.0.0.1", 1),))
PLAN = Plan(FILES, SERVER, mode=Mode.FULL)


@dataclass(frozen=True)
class Guarding(Said):
    guards: bool = True


@dataclass
class Files:
    """A server that reads files by itself."""

    troubles: list[Exception] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    runs: int = 0
    forgotten: int = 0

    async def forget(self) -> None:
        self.forgotten += 1

    async def run(self, heard: Callable[[int], None]) -> None:
        self.runs += 1
        heard(40)
        if self.troubles:
            raise self.troubles.pop(0)
        await self.gate.wait()


class Server(ShopEngine):
    """An engine of another name, whose checks of its own are never asked."""

    def __init__(self) -> None:
        super().__init__(Shop(Schema("tsql", ())), (), "server")

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        raise AssertionError("the source's engine is asked")


class RestoringServer(Server):
    def __init__(self) -> None:
        super().__init__()
        self.files = Files()

    def restoring(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Restoring]:
        return self._restoring()

    @asynccontextmanager
    async def _restoring(self) -> AsyncIterator[Restoring]:
        yield self.files


def moving(target: Engine, folder: Path, plan: Plan = PLAN, *gates: Check) -> ShopMove:
    move = ShopMove(Shop(Schema("tsql", ())), plan, folder, *gates)
    move.engines["server"] = target
    return move


async def test_a_server_that_restores_by_itself_is_let_to_and_says_how_far_it_is(tmp_path: Path) -> None:
    server = RestoringServer()
    move = await moving(server, tmp_path).start()
    await move.until(lambda job, figures: job.phase is Phase.COPY and figures.percent == 40)
    server.files.gate.set()
    await move.ended()
    assert (await move.progress()).percent == 100
    assert server.files.runs == 1


async def test_a_restore_goes_on_after_passing_faults_and_ends_with_others(tmp_path: Path) -> None:
    server = RestoringServer()
    server.files.troubles = [Unreachable("gone"), Unreachable("gone"), ApplyFailed("it is broken")]
    move = await moving(server, tmp_path).start()
    assert "it is broken" in await move.fails("STERNA.2007")
    assert server.files.runs == 3


async def test_a_restore_that_is_stopped_ends(tmp_path: Path) -> None:
    server = RestoringServer()
    move = moving(server, tmp_path)
    move.tempo = replace(move.tempo, grace=0.1)
    await move.start()
    await move.until(lambda job, _: job.phase is Phase.COPY)
    await move.pause()
    assert server.files.forgotten == 0
    await move.again()
    await move.until(lambda job, _: job.phase is Phase.COPY)
    await move.stop()
    assert server.files.forgotten == 1


async def test_a_failed_check_of_the_source_s_engine_stops_a_restore(tmp_path: Path) -> None:
    server = RestoringServer()
    move = await moving(server, tmp_path, PLAN, Said("shop.files", Severity.FAILED)).start()
    assert "shop.files: seen" in await move.fails("STERNA.2008")
    assert server.files.runs == 0


async def test_without_checks_those_that_guard_the_data_are_run_alone(tmp_path: Path) -> None:
    plan = replace(PLAN, options={"precheck": "false"})
    gates = (Said("shop.files", Severity.FAILED), Guarding("shop.chain"))
    server = RestoringServer()
    server.files.gate.set()
    move = await moving(server, tmp_path, plan, *gates).start()
    await move.ended()
    assert [each.check for each in await move.store.findings(move.job.id)] == ["shop.chain"]


class Taker(Server):
    """An engine that could take tables, and must not be asked to."""

    def sink_for(self, *arguments: object) -> AbstractAsyncContextManager[object]:
        raise AssertionError("nothing is loaded")

    def checks_for(self, source: object, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return [Said("server.suits")]

    async def digest(self, plan: Plan, table: object) -> Digest:
        raise AssertionError("nothing is compared")


async def test_before_the_last_backup_of_a_chain_the_checks_alone_are_run(tmp_path: Path) -> None:
    taker = Taker()
    plan = replace(PLAN, options={"last_backup": "false"})
    move = await moving(taker, tmp_path, plan).start()
    await move.ended()
    assert [each.check for each in await move.store.findings(move.job.id)] == ["shop.files", "server.suits"]
    assert len(await move.events("backup.waits")) == 1
    assert (await move.now()).phase is Phase.CLOSE


async def test_a_chain_that_is_broken_fails_before_its_last_backup(tmp_path: Path) -> None:
    plan = replace(PLAN, options={"last_backup": "false"})
    move = await moving(Taker(), tmp_path, plan, Said("shop.chain", Severity.FAILED)).start()
    await move.fails("STERNA.2008")


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, source=replace(SERVER, engine="shop"))])
async def test_a_way_that_nobody_knows_is_refused_when_the_job_is_described(plan: Plan, tmp_path: Path) -> None:
    server: Engine = Server() if plan is PLAN else Taker()
    move = moving(server, tmp_path, plan)
    with pytest.raises(Invalid, match="shop cannot be moved to server"):
        await Desk(move.store, move.engines).create("0" * 32, "cli", "move", plan=plan)


# Digests and figures


def test_a_digest_does_not_depend_on_the_order_of_the_rows_but_on_their_number() -> None:
    one, other = digest_of(b"a\nb\n"), digest_of(b"b\na\n")
    assert one == other == digest_of(b"a\n") + digest_of(b"b\n")
    assert one != digest_of(b"a\nb\nb\n") != digest_of(b"a\nb\na\n")
    assert digest_of(b"") == Digest()
    assert Digest.of(str(one)) == one


def test_half_a_line_is_no_row() -> None:
    with pytest.raises(BadData):
        digest_of(b"a\nb")


def test_what_a_server_restored_counts_as_progress() -> None:
    assert Progress("COPY", restored=40).percent == 40
    assert Progress("COPY", restored=100).percent == 99
    assert Progress("CLOSE", restored=100).percent == 100


@given(st.lists(st.binary(max_size=400) | st.integers(100, 300).map(bytes)), st.binary(max_size=300))
def test_the_compiled_digest_is_the_same(lines: list[bytes], long: bytes) -> None:
    native = pytest.importorskip("sterna.core._digest")
    data = b"\n".join([*lines, long * 3])
    assert native.lines(data) == lines_in_python(data)
    assert native.lines(memoryview(data)) == lines_in_python(data)

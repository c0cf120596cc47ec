"""The way to a SQL Server: TLS, broken connections, the runner. The server is a stand-in, not a SQL Server."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.errors import AccessDenied, Unreachable
from sterna.core.files import Storage
from sterna.core.job import Condition, Phase
from sterna.core.plan import Endpoint, Plan, Tls
from sterna.engines.sqlserver.engine import SqlServerEngine
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.server import Server, connected
from sterna.jobs.desk import Desk
from tests.backups.corpus import MAKERS
from tests.effort import PATIENCE
from tests.engines.moving import Move
from tests.engines.sqlserver_scene import PASSWORD, USER, Scene, full, scene
from tests.servers.certificates import Certificates, certificates_in, make_certificates
from tests.servers.proxy import proxy
from tests.servers.sqlserver import Database, Fault, Model
from tests.servers.tds import HOST, SqlError, _Session, serving


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as it:
        yield it


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    make_certificates(tmp_path)
    return certificates_in(tmp_path)


def server_side(files: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_cert, files.server_key)
    return context


def at(port: int, tls: Tls | None = None, password: str = PASSWORD) -> Endpoint:
    return Endpoint("sqlserver", ((HOST, port),), user=USER, password=password, tls=tls)


async def version(endpoint: Endpoint) -> str:
    return (await SqlServerEngine().probe(endpoint))["version"]


async def test_a_server_with_tls_is_reached_by_its_authority(tmp_path: Path, certificates: Certificates) -> None:
    with serving(Model(tmp_path), tls=server_side(certificates)) as server:
        by_file = Tls(ca_file=str(certificates.ca))
        by_text = Tls(authority=certificates.ca.read_text())
        for tls in (by_file, by_text, Tls(verify=False)):
            assert await version(at(server.port, tls)) == "16.0.4135.4"
        assert server.logins == [(USER, True)] * 3


async def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_login(
    tmp_path: Path, certificates: Certificates
) -> None:
    with serving(Model(tmp_path), tls=server_side(certificates)) as server:
        with pytest.raises(AccessDenied, match="certificate"):
            await version(at(server.port, Tls()))
        assert server.logins == []


async def test_a_certificate_of_another_host_is_refused_unless_the_name_does_not_matter(
    tmp_path: Path, certificates: Certificates
) -> None:
    with serving(Model(tmp_path), tls=server_side(certificates), host="127.0.0.2") as server:
        tls = Tls(ca_file=str(certificates.ca))
        there = replace(at(server.port, tls), addresses=(("127.0.0.2", server.port),))
        with pytest.raises(AccessDenied, match="certificate"):
            await version(there)
        assert server.logins == []
        assert await version(replace(there, tls=replace(tls, host_name=False)))


async def test_a_server_without_tls_gets_no_password_of_one_that_should_have_it(tmp_path: Path) -> None:
    with serving(Model(tmp_path)) as server:
        with pytest.raises(AccessDenied, match="does not offer TLS"):
            await version(at(server.port, Tls(verify=False)))
        assert server.logins == []


async def test_a_server_that_wants_tls_says_so(tmp_path: Path, certificates: Certificates) -> None:
    with serving(Model(tmp_path), tls=server_side(certificates), must_encrypt=True) as server:
        with pytest.raises(AccessDenied, match="encrypted connections only"):
            await version(at(server.port))
        assert server.logins == []


async def test_a_wrong_password_and_nobody_there_are_told_apart(tmp_path: Path) -> None:
    with serving(Model(tmp_path)) as server, pytest.raises(AccessDenied, match="error 18456"):
        await version(at(server.port, password="wrong"))
    with pytest.raises(Unreachable):
        await version(at(server.port))


async def test_a_password_that_no_server_takes_is_no_passing_fault(tmp_path: Path) -> None:
    with serving(Model(tmp_path)) as server:
        with pytest.raises(AccessDenied, match="128") as refused:
            await version(at(server.port, password="secret" * 30))
        assert "secret" not in str(refused.value)


async def test_a_server_that_does_not_stop_is_cut_off(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.transport._PATIENCE", 0.1)
    monkeypatch.setattr(_Session, "check", lambda self: None)
    stage.write("shop.bak", full())
    stage.model.hold_at = 40
    task = asyncio.create_task(stage.restore(stage.plan("shop.bak")))
    await asyncio.to_thread(stage.model.held.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stage.model.go_on.set()


async def test_other_faults_of_a_login_are_told_at_once(tmp_path: Path) -> None:
    class Paused(Model):
        def log_in(self, user: str, password: str) -> None:
            raise SqlError((17142, 14, "SQL Server service has been paused."))

    with serving(Paused(tmp_path)) as server:
        with pytest.raises(Unreachable, match="error 17142: SQL Server service has been paused"):
            await version(at(server.port))
        assert len(server.logins) == 1


async def test_something_else_behind_the_port_is_no_sql_server() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)
        writer.close()

    web = await asyncio.start_server(answer, HOST, 0)
    port = web.sockets[0].getsockname()[1]
    for tls in (None, Tls(verify=False)):
        with pytest.raises((Unreachable, AccessDenied)):
            await version(at(port, tls))
    web.close()


async def test_a_session_goes_on_after_an_error_and_its_rows_are_right(tmp_path: Path) -> None:
    model = Model(
        tmp_path, databases={"a]b": Database("a]b", files={"a": "D:\\data\\a.mdf"}, redo_start=10**24 + 7)}
    )
    with serving(model) as server:
        async with connected(at(server.port)) as session:
            model.faults = [Fault("sys.databases", ((229, 14, "no"),))]
            with pytest.raises(AccessDenied, match="error 229: no"):
                await session.rows(tsql.database("x"), "Looking")
            (row,) = await session.rows(tsql.database("A]B"), "Looking")
            assert row["name"] == "a]b"
            (file,) = await session.rows(tsql.database_files("a]b"), "Looking")
            assert file["redo_start_lsn"] == 10**24 + 7
            assert await session.rows(tsql.database("nothing"), "Looking") == []


async def test_a_closed_session_is_unreachable(tmp_path: Path) -> None:
    with serving(Model(tmp_path)) as server:
        session = Server(at(server.port))
        await session.open()
        server.stop()
        with pytest.raises(Unreachable):
            await session.rows(tsql.instance(), "Looking")
        with pytest.raises(Unreachable):
            await session.rows(tsql.instance(), "Looking")
        await session.close()


@pytest.mark.parametrize("after", [0, 40, 300, 900, 2000, 4000])
async def test_a_connection_that_is_cut_anywhere_ends_in_a_passing_fault(stage: Scene, after: int) -> None:
    stage.write("shop.bak", full())
    with proxy(HOST, stage.server.port) as way:
        plan = stage.plan("shop.bak")
        through = replace(plan, target=at(way.port))
        way.cut(after=after, direction="to_client")
        with pytest.raises(Unreachable):
            await stage.restore(through)
    await stage.restore(plan)
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_restore_over_tls_is_stopped_by_an_attention_too(stage: Scene, certificates: Certificates) -> None:
    stage.write("shop.bak", full())
    stage.model.hold_at = 40
    with serving(stage.model, tls=server_side(certificates)) as server:
        plan = replace(stage.plan("shop.bak"), target=at(server.port, Tls(ca_file=str(certificates.ca))))
        task = asyncio.create_task(stage.restore(plan))
        await asyncio.to_thread(stage.model.held.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stage.states() == {"Shop": "RESTORING"}
        await stage.restore(plan)
        assert stage.states() == {"Shop": "ONLINE"}


# --- the whole job ---


class RestoreMove(Move):
    """A job whose target is the stand-in."""

    def __init__(self, stage: Scene, plan: Plan) -> None:
        nowhere = Endpoint("postgresql", (("127.0.0.1", 1),))
        super().__init__(nowhere, nowhere, stage.folder / "job", plan)
        self.plan = plan
        self.engines = {"sqlserver": stage.engine}

        async def opens(bucket_id: str) -> Storage:
            return stage.storage

        self.desk = Desk(self.store, self.engines, opens=opens)

    async def start(self) -> "RestoreMove":
        self.job = await self.desk.create("0" * 32, "drs-backup", "move", plan=self.plan)
        await self.desk.run(self.job)
        self.go()
        return self


async def test_a_job_is_checked_restores_and_is_done(stage: Scene) -> None:
    fixture = MAKERS["log_chain"](stage.bucket)
    stage.model.hold_at = 50
    move = await RestoreMove(stage, stage.plan(*(path.name for path in fixture.paths))).start()
    await move.until(lambda job, figures: job.phase is Phase.COPY and 40 <= figures.percent < 100)
    stage.model.go_on.set()
    await move.ended()
    assert (await move.progress()).percent == 100
    assert stage.states() == {"Logged": "ONLINE"}
    assert len(stage.model.databases["Logged"].sets) == 3
    found = await move.store.findings(move.job.id)
    assert {"sqlserver.server", "sqlserver.way", "sqlserver.restore"} <= {each.check for each in found}
    assert PASSWORD not in str([each.message for each in await move.events()])


async def test_a_job_whose_checks_fail_touches_nothing(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop")
    move = await RestoreMove(stage, stage.plan("shop.bak")).start()
    assert "has a database Shop already" in await move.fails("STERNA.2008")
    assert stage.restores() == []


async def test_a_job_that_is_paused_halfway_goes_on(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.hold_at = 50
    move = RestoreMove(stage, stage.plan("shop.bak"))
    move.tempo = replace(move.tempo, grace=0.2)
    await move.start()
    await move.until(lambda job, figures: figures.percent > 40)
    await move.pause()
    assert stage.states() == {"Shop": "RESTORING"}
    await move.again()
    await move.ended()
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_job_whose_run_dies_goes_on_in_another(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.hold_at = 50
    move = await RestoreMove(stage, stage.plan("shop.bak")).start()
    await move.until(lambda job, figures: figures.percent > 40)
    await move.cut()
    stage.model.go_on.set()
    move.go()
    await move.ended()
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_database_that_others_keep_taking_is_given_up_after_some_tries_and_had_by_the_next_start(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.patience.TRIES", 3)
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop", users=3)
    stage.model.intruders = 1
    move = await RestoreMove(stage, stage.plan("shop.bak", cover=True)).start()
    assert "Others keep taking the database Shop" in await move.fails("STERNA.2007")
    assert len(await move.events("run.retry")) == 2
    stage.model.databases["Shop"].users = 0
    await move.again()
    await move.ended()
    assert stage.states() == {"Shop": "ONLINE"}
    assert not stage.model.databases["Shop"].single_user


async def test_a_busy_server_and_one_that_restarts_are_waited_for(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.faults = [
        Fault("RESTORE DATABASE", ((3101, 16, "Exclusive access could not be obtained."),), times=2),
        Fault("RESTORE DATABASE", ((6005, 16, "SHUTDOWN is in progress."),), times=1),
    ]
    move = await RestoreMove(stage, stage.plan("shop.bak")).start()
    await move.ended()
    assert len(await move.events("run.retry")) == 3
    assert (await move.now()).condition is Condition.DONE

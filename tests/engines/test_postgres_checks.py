"""Each check against real servers that are right, worth an alarm, or wrong."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from sterna.core.errors import AccessDenied
from sterna.core.finding import Finding, Severity
from sterna.core.job import JobId
from sterna.core.plan import Conflict, Endpoint, Mode, Path, Picked, Plan, Selection
from sterna.engines.postgres.checks import checks
from sterna.engines.postgres.checks.on_source import JUDGES as SOURCE
from sterna.engines.postgres.checks.on_target import JUDGES as TARGET
from sterna.engines.postgres.connection import connect
from sterna.engines.postgres.names import slot
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer, Unavailable, running
from tests.servers.redis import free_port

pytestmark = pytest.mark.server
PASSED, ALARM, FAILED = Severity.PASSED, Severity.ALARM, Severity.FAILED
NAMES = {f"postgresql.{side}.{name}" for side, all_ in (("source", SOURCE), ("target", TARGET)) for name in all_}
NAMES |= {"postgresql.source.reachable", "postgresql.target.reachable"}
HARMLESS = {"postgresql.source.kept_wal", "postgresql.target.origins"}
"""What a server that nobody tuned is warned of."""


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Two servers for all tests here; each test has databases of its own."""
    try:
        with running("pg15") as source, running("pg18") as target:
            yield source, target
    except Unavailable as reason:
        pytest.skip(str(reason))


def endpoint(server: PostgresServer, user: str = "postgres", password: str = "") -> Endpoint:
    return Endpoint("postgresql", ((server.host, server.port),), user, password or server.password)


def plan_of(
    pair: tuple[PostgresServer, PostgresServer],
    *objects: Picked,
    user: str = "postgres",
    target_user: str = "postgres",
    mode: Mode = Mode.INCREMENTAL,
    conflict: Conflict = Conflict.OVERWRITE,
) -> Plan:
    return Plan(
        endpoint(pair[0], user),
        endpoint(pair[1], target_user),
        mode=mode,
        selection=Selection(objects=objects),
        conflict=conflict,
    )


async def look(plan: Plan, job_id: JobId | None = None) -> Mapping[str, Finding]:
    found: dict[str, Finding] = {}
    for check in checks(plan, job_id):
        for finding in await check.run():
            assert finding.check == check.name
            assert finding.group
            assert bool(finding.remedy) == (finding.severity is not PASSED)
            found[finding.check] = finding
    return found


def worse(findings: Mapping[str, Finding]) -> dict[str, Severity]:
    """All that did not pass, without what any server is warned of."""
    return {
        name.removeprefix("postgresql."): finding.severity
        for name, finding in findings.items()
        if finding.severity is not PASSED and name not in HARMLESS
    }


def database(server: PostgresServer, name: str, *statements: str) -> Path:
    """A database made anew, with what the statements make in it."""
    server.sql(f'DROP DATABASE IF EXISTS "{name}"')
    server.create_database(name)
    for statement in statements:
        server.sql(statement, name)
    return (name,)


async def test_two_servers_as_they_should_be_pass_every_check(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "fine", "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)")
    found = await look(plan_of(pair, Picked(path)))
    assert set(found) == NAMES
    assert worse(found) == {}


async def test_a_server_that_is_not_there_is_said_once() -> None:
    nobody = Endpoint("postgresql", (("127.0.0.1", free_port()),), "postgres", "x")
    found = await look(Plan(nobody, nobody))
    assert worse(found) == {"source.reachable": FAILED, "target.reachable": FAILED}


async def test_a_wrong_password_is_said_without_it(pair: tuple[PostgresServer, PostgresServer]) -> None:
    wrong = Plan(endpoint(pair[0], password="s3cret-typo"), endpoint(pair[1]))
    finding = (await look(wrong))["postgresql.source.reachable"]
    assert finding.severity is FAILED
    assert "password" in finding.evidence
    assert "s3cret" not in repr(finding)


async def test_tables_that_are_awkward_to_follow_are_named(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(
        pair[0],
        "Awk.ward",
        'CREATE TABLE "no.Key" (a int)',
        "CREATE TABLE full_row (a int); ALTER TABLE full_row REPLICA IDENTITY FULL",
        "CREATE UNLOGGED TABLE fleeting (a int PRIMARY KEY)",
        "SELECT lo_create(0)",
        "CREATE SCHEMA sterna",
    )
    found = await look(plan_of(pair, Picked(path)))
    assert worse(found) == {
        "source.identity": ALARM,
        "source.unlogged": ALARM,
        "source.large_objects": ALARM,
        "source.reserved": ALARM,
    }
    finding = found["postgresql.source.identity"]
    assert "no.Key" in finding.evidence
    assert "full_row" not in finding.evidence


async def test_a_user_without_rights_learns_what_to_grant(pair: tuple[PostgresServer, PostgresServer]) -> None:
    source, target = pair
    for server in pair:
        server.sql("DROP ROLE IF EXISTS plain")
        server.sql(f"CREATE ROLE plain LOGIN PASSWORD '{server.password}'")
    path = database(source, "rights", "CREATE SCHEMA app; CREATE TABLE app.a (id int PRIMARY KEY)")
    database(target, "rights")
    plan = plan_of(pair, Picked(path), user="plain", target_user="plain")
    found = await look(plan)
    assert worse(found) == {
        "source.replication": FAILED,
        "source.reading": FAILED,
        "source.publication": FAILED,
        "source.ddl": ALARM,
        "source.passwords": ALARM,
        "target.creating": FAILED,
        "target.replica_role": ALARM,
    }
    for name in ("reading", "publication", "replication"):
        remedy = found[f"postgresql.source.{name}"].remedy
        for statement in re.split("on the source: ", remedy, flags=re.IGNORECASE)[1].split("; "):
            source.sql(statement.rstrip(";"), "rights")
    remedy = found["postgresql.target.creating"].remedy.removeprefix("On the target: ")
    target.sql(remedy, "rights")
    target.sql(found["postgresql.target.replica_role"].remedy.removeprefix("On the target: "), "rights")
    mended = worse(await look(plan))
    assert {name for name, severity in mended.items() if severity is FAILED} == set()
    assert "target.replica_role" not in mended


async def test_what_is_picked_has_to_be_there(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "picked", "CREATE TABLE a (id int PRIMARY KEY, b text, c int)")
    table = (*path, "public", "a")
    assert worse(await look(plan_of(pair, Picked((*path, "public", "nobody"))))) == {"source.objects": FAILED}
    wrong = await look(plan_of(pair, Picked(table, columns=("id", "typo"))))
    assert "picked.public.a.typo" in wrong["postgresql.source.objects"].evidence
    assert worse(await look(plan_of(pair, Picked(("absent",)))))["source.databases"] is FAILED
    assert worse(await look(plan_of(pair, Picked(table, columns=("b",))))) == {"source.columns": FAILED}
    assert worse(await look(plan_of(pair, Picked(table, where="c > 1")))) == {"source.filters": ALARM}
    assert worse(await look(plan_of(pair, Picked(table, where="nonsense >")))) == {"source.filters": FAILED}
    injected = "true) ; DROP TABLE public.a ; SELECT (true"
    assert worse(await look(plan_of(pair, Picked(table, where=injected)))) == {"source.filters": FAILED}
    assert pair[0].sql("SELECT count(*) FROM a", "picked") == [(0,)]


async def test_tables_in_the_way_are_judged_by_the_policy(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "way", "CREATE TABLE a (id int PRIMARY KEY, b text)")
    database(pair[1], "way", "CREATE TABLE a (id int PRIMARY KEY, b text)")
    assert worse(await look(plan_of(pair, Picked(path), conflict=Conflict.STOP))) == {}
    pair[1].sql("INSERT INTO a VALUES (1)", "way")
    for conflict, severity in ((Conflict.STOP, FAILED), (Conflict.OVERWRITE, ALARM), (Conflict.SKIP, ALARM)):
        assert worse(await look(plan_of(pair, Picked(path), conflict=conflict))) == {"target.conflict": severity}
    pair[1].sql("TRUNCATE a; ALTER TABLE a ALTER b TYPE varchar(3)", "way")
    found = await look(plan_of(pair, Picked(path)))
    assert worse(found) == {"target.fitting": FAILED}
    assert "character varying(3)" in found["postgresql.target.fitting"].evidence


async def test_references_out_of_the_selection_are_told(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(
        pair[0],
        "refers",
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (id int PRIMARY KEY, up int REFERENCES parent)",
    )
    alone = Picked((*path, "public", "child"))
    assert worse(await look(plan_of(pair, alone))) == {"source.dependency": ALARM}
    assert worse(await look(plan_of(pair, alone, Picked((*path, "public", "parent"))))) == {}


async def test_two_tables_cannot_go_to_one_place(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "names", "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    into = (*path, "public", "c")
    found = await look(plan_of(pair, Picked((*path, "public", "a"), into), Picked((*path, "public", "b"), into)))
    assert worse(found) == {"target.names": FAILED}


async def test_a_database_is_not_moved_onto_itself(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "mirror", "CREATE TABLE a (id int PRIMARY KEY)")
    itself = (pair[0], pair[0])
    assert worse(await look(plan_of(itself, Picked(path))))["target.loop"] is FAILED
    assert worse(await look(plan_of(itself, Picked(path, ("mirror2",)))))["target.loop"] is ALARM


async def test_transactions_that_hold_up_a_start_are_told(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "waits", "CREATE TABLE a (id int PRIMARY KEY)")
    pair[0].sql("BEGIN; INSERT INTO a VALUES (1); PREPARE TRANSACTION 'left over'", "waits")
    try:
        assert worse(await look(plan_of(pair, Picked(path)))) == {"source.transactions": ALARM}
    finally:
        pair[0].sql("ROLLBACK PREPARED 'left over'", "waits")


async def test_a_source_that_is_not_set_up_for_changes(postgres_server: StartPostgres) -> None:
    source = postgres_server("pg18", "wal_level=replica", "max_replication_slots=1", "max_wal_senders=1")
    source.sql("CREATE DATABASE two")
    source.sql("SELECT pg_create_physical_replication_slot('taken')")
    plan = Plan(endpoint(source), endpoint(source), selection=Selection(objects=(Picked(("two",), ("three",)),)))
    found = await look(plan)
    assert {name: severity for name, severity in worse(found).items() if severity is FAILED} == {
        "source.wal_level": FAILED,
        "source.slots": FAILED,
    }
    assert "ALTER SYSTEM SET wal_level = 'logical'" in found["postgresql.source.wal_level"].remedy
    full = await look(Plan(plan.source, plan.target, mode=Mode.FULL, selection=plan.selection))
    assert FAILED not in worse(full).values()


async def test_what_the_job_itself_left_is_not_in_its_way(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "again", *(f"CREATE TABLE {name} (id int PRIMARY KEY)" for name in "abc"))
    database(pair[1], "again", *(f"CREATE TABLE {name} AS SELECT 1 AS id" for name in "abc"), _CHECKPOINT)
    mine, another = JobId("job-1"), JobId("job-2")
    plan = plan_of(pair, Picked(path), conflict=Conflict.STOP)
    for job, in_the_way, others in (
        (None, "again.public.a, again.public.b, again.public.c", "job-1, job-2"),
        (mine, "again.public.b, again.public.c", "job-2"),
        (another, "again.public.a, again.public.c", "job-1"),
    ):
        found = await look(plan, job)
        assert found["postgresql.target.conflict"].severity is FAILED
        assert found["postgresql.target.conflict"].evidence.endswith(f": {in_the_way}")
        assert found["postgresql.target.other_jobs"].evidence.endswith(f": {others}")


_CHECKPOINT = """
    CREATE SCHEMA sterna;
    CREATE TABLE sterna.job (job text PRIMARY KEY, epoch bigint NOT NULL);
    CREATE TABLE sterna.filled (job text, name text[], PRIMARY KEY (job, name));
    INSERT INTO sterna.job VALUES ('job-1', 1), ('job-2', 1);
    INSERT INTO sterna.filled VALUES ('job-1', '{again,public,a}'), ('job-2', '{again,public,b}')"""


async def test_slots_of_the_job_itself_count_as_free(pair: tuple[PostgresServer, PostgresServer]) -> None:
    path = database(pair[0], "slotted", "CREATE TABLE a (id int PRIMARY KEY)")
    most = int(pair[0].sql("SHOW max_replication_slots")[0][0])
    names = [slot("job-1", "slotted"), *(f"other_{number}" for number in range(most - 1))]
    for name in names:
        pair[0].sql(f"SELECT pg_create_physical_replication_slot('{name}')")
    try:
        plan = plan_of(pair, Picked(path))
        found = [(await look(plan, job))["postgresql.source.slots"].severity for job in (None, JobId("job-1"))]
        assert found == [FAILED, PASSED]
    finally:
        for name in names:
            pair[0].sql(f"SELECT pg_drop_replication_slot('{name}')")


async def test_a_user_that_may_not_log_in_is_a_matter_of_rights(
    pair: tuple[PostgresServer, PostgresServer],
) -> None:
    pair[1].sql(f"CREATE ROLE locked NOLOGIN PASSWORD '{pair[1].password}'")
    pair[1].sql(f"CREATE ROLE shut_out LOGIN PASSWORD '{pair[1].password}'")
    database(pair[1], "shut", "REVOKE CONNECT ON DATABASE shut FROM public")
    for user, base in (("locked", ""), ("shut_out", "shut")):
        with pytest.raises(AccessDenied):
            await connect(replace(endpoint(pair[1], user), database=base))

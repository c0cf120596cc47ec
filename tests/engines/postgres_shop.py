"""Two databases in which every doubled, lost or misplaced change shows, a writer, and an own look at both sides.

Nothing of the product looks here: contents are compared by SQL as multisets of rows.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from sterna.engines.postgres.names import literal
from tests.effort import PATIENCE
from tests.servers.postgres import PostgresServer

DATABASES = ("shop", 'Lager "Ost" 东.%')
SEATS = 200

_SHAPE = """
    CREATE SCHEMA "Über.Schema";
    CREATE TABLE pile (a int, b text);
    ALTER TABLE pile REPLICA IDENTITY FULL;
    CREATE TABLE added (a int, at timestamptz DEFAULT clock_timestamp());
    CREATE TABLE "Über.Schema"."Doc ""1"" x" (
        id int PRIMARY KEY, n int NOT NULL DEFAULT 0, body text, "select" text);
    ALTER TABLE "Über.Schema"."Doc ""1"" x" ALTER body SET STORAGE EXTERNAL;
    CREATE TABLE seat (id int PRIMARY KEY, place int NOT NULL UNIQUE);
    CREATE TABLE moved (seat int REFERENCES seat, place int);
    ALTER TABLE moved REPLICA IDENTITY FULL;
    CREATE TABLE scratch (id serial PRIMARY KEY, n int);
    CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.moved VALUES (new.id, new.place); RETURN new; END $$;
    CREATE TRIGGER note AFTER UPDATE ON seat FOR EACH ROW EXECUTE FUNCTION note_move();
"""
_ROWS = """
    INSERT INTO pile SELECT n % 50, 'same' FROM generate_series(1, {half}) n;
    INSERT INTO added SELECT n FROM generate_series(1, {half}) n;
    INSERT INTO "Über.Schema"."Doc ""1"" x"
        SELECT n, 0, repeat(md5(n::text), 100), n::text FROM generate_series(1, {half} / 10) n;
    INSERT INTO seat SELECT n, n FROM generate_series(1, {seats}) n;
    INSERT INTO scratch (n) SELECT n FROM generate_series(1, {half} / 10) n;
"""
TABLES = (
    "public.pile",
    "public.added",
    '"Über.Schema"."Doc ""1"" x"',
    "public.seat",
    "public.moved",
    "public.scratch",
)


def fill(source: PostgresServer, rows: int = 20_000, databases: Sequence[str] = DATABASES) -> None:
    """Make the databases; the first has a little more than twice ``rows`` rows, the others few."""
    for number, database in enumerate(databases):
        source.create_database(database)
        half = rows if number == 0 else 200
        source.sql(_SHAPE + _ROWS.format(half=half, seats=SEATS), database)


class Writer:
    """Changes everything all the time, on connections that are made anew whenever they break."""

    def __init__(self, source: PostgresServer, databases: Sequence[str], seed: int, pause: float) -> None:
        self.source = source
        self.databases = databases
        self.committed = 0
        self.truncates = False
        """Also empties a table now and then. A copy that is not complete begins anew then."""
        self.error: BaseException | None = None
        self._chance = random.Random(seed)
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> int:
        """Stop writing; how many transactions were committed."""
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self.error:
            raise self.error
        return self.committed

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._write()
            except psycopg.OperationalError:
                time.sleep(0.05)  # the source is away
            except BaseException as error:
                self.error = error
                return

    def _write(self) -> None:
        lines = [psycopg.connect(self.source.dsn(name), connect_timeout=2) for name in self.databases]
        try:
            while not self._stop.is_set():
                line = lines[0] if self._chance.random() < 0.8 else self._chance.choice(lines)
                with line.transaction():
                    for _ in range(self._chance.choice((1, 1, 1, 2, 5, 40))):
                        self._change(line)
                self.committed += 1
                time.sleep(self._pause)
        finally:
            for line in lines:
                line.close()

    def _change(self, line: psycopg.Connection[Any]) -> None:
        chance, kind = self._chance, self._chance.randrange(12)
        doc = '"Über.Schema"."Doc ""1"" x"'
        some = chance.randrange(1, 300)
        if kind < 3:
            line.execute(f"INSERT INTO pile VALUES ({some % 50}, 'same'), ({some}, NULL)")
        elif kind == 3:
            line.execute(
                "DELETE FROM pile WHERE ctid = (SELECT ctid FROM pile WHERE a = %s LIMIT 1)", (some % 50,)
            )
        elif kind == 4:
            line.execute(
                "UPDATE pile SET b = %s WHERE ctid = (SELECT ctid FROM pile WHERE a = %s LIMIT 1)",
                (f"other {some}", some % 50),
            )
        elif kind == 5:
            line.execute(f"INSERT INTO added (a) VALUES ({some})")
        elif kind == 6:
            line.execute(f"UPDATE {doc} SET n = n + 1 WHERE id = {some}")
        elif kind == 7:
            line.execute(
                f"INSERT INTO {doc} SELECT max(id) + 1, 0, repeat(md5(random()::text), 100), 'x' FROM {doc}"
            )
        elif kind == 8:
            line.execute(f"DELETE FROM {doc} WHERE id = {some}")
            line.execute(f"INSERT INTO {doc} VALUES ({some}, -1, repeat('new', 2000), NULL)")
        elif kind == 9:
            one, other = chance.sample(range(1, SEATS + 1), 2)
            line.execute(f"UPDATE seat SET place = -{one} WHERE place = {one}")
            line.execute(f"UPDATE seat SET place = {one} WHERE place = {other}")
            line.execute(f"UPDATE seat SET place = {other} WHERE place = -{one}")
        elif kind == 10:
            line.execute(f"INSERT INTO scratch (n) VALUES ({some})")
        elif self.truncates and chance.random() < 0.2:
            line.execute("TRUNCATE scratch")


@contextmanager
def writing(
    source: PostgresServer, databases: Sequence[str] = DATABASES, *, seed: int = 0, pause: float = 0.002
) -> Iterator[Writer]:
    """A writer for the length of a block."""
    writer = Writer(source, databases, seed, pause)
    writer.begin()
    try:
        yield writer
    finally:
        writer.end()


def contents(server: PostgresServer, database: str, tables: Sequence[str] = TABLES) -> dict[str, tuple[int, str]]:
    """Each table as the number of its rows and a digest of the multiset of them."""
    digest = "md5(coalesce(string_agg(md5(t::text), '' ORDER BY md5(t::text) COLLATE \"C\"), ''))"
    selects = (f"SELECT {literal(table)}, count(*), {digest} FROM {table} t" for table in tables)
    return {name: (count, sum_) for name, count, sum_ in server.sql(" UNION ALL ".join(selects), database)}


def assert_same(source: PostgresServer, target: PostgresServer, databases: Sequence[str] = DATABASES) -> None:
    for database in databases:
        wanted = contents(source, database)
        assert sum(count for count, _ in wanted.values()) > 300
        assert contents(target, database) == wanted, database


def drop_slots(server: PostgresServer) -> None:
    """Drop all slots, once nobody has them: the process that served a connection outlives that for a moment."""
    end = time.monotonic() + PATIENCE
    while server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active"):
        assert time.monotonic() < end, "a slot stays in use"
        time.sleep(0.02)
    server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


_LEFT = """
    SELECT 'slot ' || slot_name FROM pg_replication_slots
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication
    UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
    UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname LIKE 'sterna%'
    UNION ALL SELECT 'origin ' || roname FROM pg_replication_origin
    UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts
    UNION ALL SELECT 'session ' || application_name FROM pg_stat_activity WHERE application_name LIKE 'sterna%'"""


def left(*servers: PostgresServer, databases: Sequence[str] = (), job: str = "") -> list[str]:
    """What of ours is on servers: slots, publications, triggers, schemas, origins, sessions. Waits for sessions.

    ``databases``: of things that are in a database, look in these alone; none: in all. ``job``: what may be seen
    to be that job's alone.
    """
    end = time.monotonic() + PATIENCE
    while True:
        found = [
            f"{server.port} {database}: {thing}"
            for server in servers
            for (database,) in server.sql(
                "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"
            )
            if not databases or database in databases
            for (thing,) in server.sql(_LEFT, database)
            if job in thing or "schema " in thing
        ]
        if time.monotonic() > end or not any(": session" in thing for thing in found):
            return found
        time.sleep(0.1)

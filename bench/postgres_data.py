"""What the PostgreSQL measurements move, the tools that they are compared with, and whether both sides are equal.

One database: the tables of pgbench, and two of the kind that applications have: a wide one of text, jsonb, bytea
and arrays with indexes, and a child of it with a foreign key.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import Failed
from tests.servers import debian
from tests.servers.places import Unavailable, made_once
from tests.servers.postgres import PostgresServer, program, running

FLAVOR = "pg15"
DATABASE = "bench"
ACCOUNTS = 5_000_000
"""As ``pgbench -i -s 50`` makes them."""
WIDE = 400_000
TUNING = ("shared_buffers=256MB", "max_wal_size=4GB", "wal_sender_timeout=0", "autovacuum=off")
TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers", "wide", "child")

_MAKE = """
CREATE TABLE pgbench_branches (bid int NOT NULL, bbalance int, filler char(88)) WITH (fillfactor=100);
CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84)) WITH (fillfactor=100);
CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84)) WITH (fillfactor=100);
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
INSERT INTO pgbench_branches SELECT n, 0, '' FROM generate_series(1, {branches}) n;
INSERT INTO pgbench_tellers SELECT n, (n - 1) / 10 + 1, 0, '' FROM generate_series(1, {branches} * 10) n;
INSERT INTO pgbench_accounts SELECT n, (n - 1) / 100000 + 1, 0, '' FROM generate_series(1, {accounts}) n;
ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid);
ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid);
ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid);
CREATE TABLE wide (
    id bigint PRIMARY KEY, title text NOT NULL, body text, doc jsonb, blob bytea, tags text[], price numeric(12,2),
    made timestamptz, code uuid);
INSERT INTO wide SELECT n, 'title ' || n, repeat(md5(n::text) || ' ', 12),
    jsonb_build_object('n', n, 'name', md5(n::text), 'list', jsonb_build_array(n, n + 1, md5((n * 3)::text))),
    decode(md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text) || md5((n + 3)::text) || md5((n + 4)::text)
        || md5((n + 5)::text) || md5((n + 6)::text) || md5((n + 7)::text), 'hex'),
    ARRAY[md5(n::text), 'tag' || n % 100], n / 100.0, timestamptz '2026-01-01' + n * interval '1 second',
    md5(n::text)::uuid
    FROM generate_series(1, {wide}) n;
CREATE INDEX wide_made ON wide (made);
CREATE INDEX wide_title ON wide (title);
CREATE TABLE child (id bigint PRIMARY KEY, wide_id bigint NOT NULL REFERENCES wide, note text);
INSERT INTO child SELECT n, (n::bigint * 7919) % {wide} + 1, md5(n::text) FROM generate_series(1, {wide}) n;
CREATE INDEX child_wide ON child (wide_id);
VACUUM ANALYZE;
CHECKPOINT;
"""


SUM = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.{} t"


@contextmanager
def loaded(scale: float, *options: str) -> Iterator[PostgresServer]:
    """A source that holds the data."""
    sizes = {"accounts": int(ACCOUNTS * scale), "branches": max(1, int(50 * scale)), "wide": int(WIDE * scale)}
    with running(FLAVOR, *TUNING, *options) as server:
        server.create_database(DATABASE)
        for statement in _MAKE.format(**sizes).split(";\n"):
            if statement.strip():
                server.sql(statement, DATABASE)
        yield server


@contextmanager
def empty(*options: str) -> Iterator[PostgresServer]:
    """A target with the same settings and an empty database."""
    with running(FLAVOR, *TUNING, *options) as server:
        server.create_database(DATABASE)
        yield server


def size(server: PostgresServer) -> int:
    """Bytes of the database."""
    return int(server.sql(f"SELECT pg_database_size('{DATABASE}')")[0][0])


def same(source: PostgresServer, target: PostgresServer) -> bool:
    """Whether all rows are equal, and the number of indexes and foreign keys."""
    return _sums(source) == _sums(target)


def _sums(server: PostgresServer) -> list[tuple[object, ...]]:
    facts: list[tuple[object, ...]] = []
    for table in TABLES:
        facts += server.sql(SUM.format(table), DATABASE)
    facts += server.sql("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'", DATABASE)
    facts += server.sql("SELECT count(*) FROM pg_constraint WHERE contype = 'f'", DATABASE)
    return facts


def tool(name: str) -> str:
    """A client program of the servers' version, as a word for a shell. Raises Failed if it cannot be had."""
    words = program(FLAVOR, name)
    if words is None:
        raise Failed(f"there is no {name}")
    return shlex.join(words)


def pgcopydb() -> tuple[str, Path]:
    """pgcopydb as a word for a shell, and a folder with the client programs that it looks for in the PATH."""
    suite, version = "sid", "0.18"
    try:
        home = made_once(f"pgcopydb-{version}", lambda into: debian.unpack("pgcopydb", version, suite, into))
    except Unavailable as reason:
        raise Failed(str(reason)) from reason
    folder = made_once(f"pgcopydb-{version}-path", _programs)
    return shlex.join([*debian.loader(home / "root"), str(home / "root" / "usr" / "bin" / "pgcopydb")]), folder


def _programs(folder: Path) -> None:
    for name in ("pg_dump", "pg_restore", "psql", "vacuumdb", "pg_config", "pg_dumpall"):
        if words := program(FLAVOR, name):
            script = folder / name
            script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            script.chmod(0o755)

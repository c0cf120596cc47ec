"""A real service that restores SQL Server backups out of buckets into real PostgreSQL servers, and its clients.

Servers are started when they are first asked for; a test that needs one which cannot be had here is skipped.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdrs import v5
from psycopg import sql

from sterna.engines.postgres.foreign.naming import fitted
from tests.backups.corpus import MAKERS, Fixture, Found
from tests.effort import PATIENCE
from tests.journeys.command import Home, Running, wait_for
from tests.journeys.drs_stand import PASSWORD
from tests.servers.objectstore import ACCESS_KEY, SECRET_KEY
from tests.servers.postgres import SUPERUSER, PostgresServer, Unavailable, running
from tests.servers.redis import free_port
from tests.servers.seaweedfs import SeaweedFs, seaweedfs

FOLDER, FAR = "backups", "far-away"
"""Registered buckets: a folder of this machine, and one of a real object store."""
LATEST = "pg18"


@dataclass(frozen=True)
class Target:
    """A PostgreSQL server, and the id that it is registered by."""

    server: PostgresServer
    instance: str

    def databases(self) -> set[str]:
        return {str(name) for (name,) in self.server.sql("SELECT datname FROM pg_database")}

    def tables(self, database: str) -> set[str]:
        """``schema.table`` of all that are not the server's own."""
        query = (
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^pg_|^information_schema'"
        )
        return {str(name) for (name,) in self.server.sql(query, database)}

    def lines(self, database: str, table: str, columns: Sequence[str]) -> list[str]:
        """A table's rows as COPY prints them."""
        schema, _, name = fitted_path(table).partition(".")
        listed = sql.SQL(", ").join(sql.Identifier(fitted(column)) for column in columns)
        query = sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier(schema, name), listed)
        with self.server.connect(database) as connection, connection.cursor().copy(query) as copy:
            return b"".join(copy).decode().split("\n")[:-1]

    def holds(self, database: str, tables: Mapping[str, Found]) -> None:
        """Exactly these rows, in whatever order, and nothing of ours besides."""
        assert "sterna" not in {name.partition(".")[0] for name in self.tables(database)}
        for table, found in tables.items():
            lines = Counter(self.lines(database, table, found.columns))
            wanted = Counter(line.rstrip("\n") for line in found.lines)
            missing, more = wanted - lines, lines - wanted
            assert not missing, (table, list(missing)[:3], list(more)[:3])
            assert not more, (table, list(more)[:3])

    def state(self) -> dict[str, dict[str, int]]:
        """What is there: every database with its tables and how many rows each has; while no task runs."""
        return {name: self.counts(name) for name in sorted(self.databases() - {"template0", "template1"})}

    def counts(self, database: str) -> dict[str, int]:
        """How many rows each table of one database has; while no task runs into it."""
        with self.server.connect(database) as connection:
            counts = {}
            for table in self.tables(database):
                schema, _, name = table.partition(".")
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
                counts[table] = next(iter(connection.execute(query)))[0]
            return counts


@dataclass(frozen=True)
class Api:
    """The clients of one project."""

    url: str
    project: str
    keys: tuple[str, str]
    user: tuple[str, str, str]
    """Name, password and domain."""

    @cached_property
    def sdk(self) -> Any:
        """The vendor's own."""
        credentials = BasicCredentials(*self.keys, self.project)
        config = HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)
        builder = v5.DrsClient.new_builder().with_credentials(credentials).with_http_config(config)
        return builder.with_endpoint(self.url).build()

    @contextmanager
    def plain(self) -> Iterator[httpx.Client]:
        """HTTP with a token, as scripts of v1.0 do it."""
        user = {"name": self.user[0], "password": self.user[1], "domain": {"name": self.user[2]}}
        identity = {"methods": ["password"], "password": {"user": user}}
        token = {"auth": {"identity": identity, "scope": {"project": {"id": self.project}}}}
        with httpx.Client(base_url=self.url, timeout=PATIENCE) as client:
            client.headers["X-Auth-Token"] = client.post("/v3/auth/tokens", json=token).headers["X-Subject-Token"]
            yield client

    def create(self, target: Target, name: str, *files: str, bucket: str = FOLDER, **options: Any) -> str:
        """A task of v5; its id. ``options`` are those of the request."""
        usual = {
            "is_cover": False,
            "is_default_restore": True,
            "is_last_backup": True,
            "is_precheck": True,
            "recovery_mode": "full",
        }
        body = v5.CreateOfflineTaskReq(
            base_info=v5.BackupJobBaseInfo(name=name, engine_type="sqlserver"),
            target_db_info=v5.BackupJobEndpointInfo(target_instance_id=target.instance),
            backup_info=v5.BackupInfo(
                file_source="OBS", bucket_name=bucket, files=[_file(file) for file in files]
            ),
            options=v5.BackupRestoreOptionInfo(**{**usual, **options}),
        )
        id: str = self.sdk.create_replication_job(v5.CreateReplicationJobRequest(body=body)).job_id
        return id

    def shown(self, id: str) -> Any:
        return self.sdk.show_replication_job(v5.ShowReplicationJobRequest(job_id=id))

    def ended(self, id: str) -> Any:
        """The task's detail, once it has ended."""
        end = time.monotonic() + PATIENCE
        while (shown := self.shown(id)).status == "TRANSFERRING":
            assert time.monotonic() < end, "the task does not end"
            time.sleep(0.2)
        return shown

    def succeeds(self, id: str) -> Any:
        """The same of one that must have succeeded."""
        done = self.ended(id)
        assert (done.status, done.error_log) == ("SUCCESS", None), (done.status, done.error_log)
        return done

    def delete(self, id: str) -> None:
        self.sdk.delete_replication_job(v5.DeleteReplicationJobRequest(job_id=id))


def fitted_path(table: str) -> str:
    """A table of the corpus as PostgreSQL has it, which cuts long names."""
    return ".".join(map(fitted, table.split(".", 1)))


def _file(path: str) -> Any:
    folder, _, name = path.rpartition("/")
    return v5.BackupFileInfo(name=name, obs_path=f"{folder}/" if folder else "")


@dataclass
class Stand:
    """All of it."""

    home: Home
    bucket: Path
    """The folder that is registered as one."""
    port: int
    made: Mapping[str, str]
    stack: ExitStack
    _targets: dict[str, Target] = field(default_factory=dict)
    _fixtures: dict[str, Fixture] = field(default_factory=dict)
    _store: SeaweedFs | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def api(self) -> Api:
        made = self.made
        keys, user = (made["access_key"], made["secret_key"]), (made["user"], made["password"], made["domain"])
        return Api(self.url, made["project_id"], keys, user)

    def other_project(self) -> Api:
        """A second project with a user of its own."""
        project = self.home.good("project", "add", f"other-{free_port()}")
        user = self.home.good("user", "add", f"ann-{project['name']}", "--project", project["name"])
        key = self.home.good("key", "create", user["name"])
        login = (user["name"], user["password"], self.made["domain"])
        return Api(self.url, project["id"], (key["access_key"], key["secret_key"]), login)

    @contextmanager
    def serving(self, **environment: str) -> Iterator[Running]:
        """The service runs."""
        with self.home.running("serve", "--listen", f"127.0.0.1:{self.port}", **environment) as service:
            wait_for(lambda: answers(self.url), "the service does not answer")
            yield service

    def target(self, flavor: str = LATEST) -> Target:
        if flavor not in self._targets:
            try:
                server = self.stack.enter_context(running(flavor, password=PASSWORD))
            except Unavailable as reason:
                pytest.skip(str(reason))
            self._targets[flavor] = self.registered(server, flavor)
        return self._targets[flavor]

    def registered(self, server: PostgresServer, name: str, *, port: int = 0) -> Target:
        """A server as a target, perhaps by another port that leads to it."""
        instance = self.home.good(
            "instance", "add", "--project", self.made["project_id"],
            "--name", name, "--engine", "postgresql", "--address",
            f"127.0.0.1:{port or server.port}", "--user", SUPERUSER, "--password-env", "TARGET_PASSWORD",
            TARGET_PASSWORD=server.password,
        )  # fmt: skip
        return Target(server, instance["id"])

    @property
    def store(self) -> SeaweedFs:
        """A real object store with a bucket that is registered as ``FAR``."""
        if self._store is None:
            try:
                self._store = self.stack.enter_context(seaweedfs())
            except Unavailable as reason:
                pytest.skip(str(reason))
            self._store.client().create_bucket(Bucket=FAR)
            self.register_bucket(FAR, self._store.endpoint)
        return self._store

    def register_bucket(self, name: str, endpoint: str, secret: str = SECRET_KEY) -> None:
        """A name for the object store's bucket, by an address that leads to it."""
        self.home.good(
            "bucket", "add", name, "--project", self.made["project_id"],
            "--endpoint", endpoint, "--access-key", ACCESS_KEY, "--secret-env",
            "BUCKET_SECRET", "--remote-name", FAR, BUCKET_SECRET=secret,
        )  # fmt: skip

    def upload(self, path: Path, name: str = "") -> str:
        """Put a file into the object store; its name there."""
        name = name or path.name
        with path.open("rb") as body:
            self.store.client().put_object(Bucket=FAR, Key=name, Body=body)
        return name

    def fixture(self, name: str, *, far: bool = False) -> tuple[Fixture, list[str]]:
        """One of the corpus, written into the folder and perhaps uploaded; and its files' names there."""
        if name not in self._fixtures:
            self._fixtures[name] = MAKERS[name](self.bucket)
        fixture = self._fixtures[name]
        return fixture, [self.upload(path) if far else path.name for path in fixture.paths]


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def made_stand(folder: Path) -> Iterator[Stand]:
    """A stand whose service does not run yet."""
    home, bucket = Home(folder / "home"), folder / "bucket"
    for path in (home.folder, bucket):
        path.mkdir()
    made = home.good("init")
    home.good("bucket", "add", FOLDER, "--folder", str(bucket))
    with ExitStack() as stack:
        yield Stand(home, bucket, free_port(), made, stack)

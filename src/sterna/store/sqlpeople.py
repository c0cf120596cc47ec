"""Domains, projects, users, keys, tokens, registered instances and buckets in the database."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update

from sterna.core.errors import IllegalMove, Invalid, NotFound
from sterna.core.people import AccessKey, Bucket, Domain, Instance, Project, Token, User
from sterna.store import rules, tables, values
from sterna.store.database import Database
from sterna.store.secrets import Vault

T = TypeVar("T", bound=Domain | Project)


class SqlPeople:
    """``PeopleStore`` on a database. Everything is listed in the order in which it was added."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def add_domain(self, domain: Domain) -> None:
        await self._database.write(_add_domain, domain)

    async def domains(self) -> Sequence[Domain]:
        return await self._database.read(_domains)

    async def add_project(self, project: Project) -> None:
        await self._database.write(_add_project, project)

    async def projects(self) -> Sequence[Project]:
        return await self._database.read(_projects)

    async def remove_project(self, id: str) -> None:
        await self._database.write(_remove_project, id)

    async def add_user(self, user: User) -> None:
        await self._database.write(_add_user, rules.distinct(user))

    async def put_user(self, user: User) -> None:
        await self._database.write(_put_user, rules.distinct(user))

    async def users(self) -> Sequence[User]:
        return await self._database.read(_users)

    async def remove_user(self, id: str) -> None:
        await self._database.write(_remove, tables.users, tables.users.c.id, id, "user")

    async def add_key(self, key: AccessKey) -> None:
        await self._database.write(self._add_key, key)

    async def key(self, access_key: str) -> AccessKey | None:
        found = await self._database.read(self._keys, tables.access_keys.c.access_key == access_key)
        return found[0] if found else None

    async def keys(self, user_id: str | None = None) -> Sequence[AccessKey]:
        wanted = () if user_id is None else (tables.access_keys.c.user_id == user_id,)
        return await self._database.read(self._keys, *wanted)

    async def remove_key(self, access_key: str) -> None:
        keys = tables.access_keys
        await self._database.write(_remove, keys, keys.c.access_key, access_key, "access key")

    async def add_token(self, token: Token) -> None:
        await self._database.write(_add_token, token)

    async def token(self, digest: str) -> Token | None:
        return await self._database.read(_token, digest)

    async def revoke_token(self, digest: str) -> bool:
        return bool(await self._database.write(_delete, tables.tokens, tables.tokens.c.digest == digest))

    async def sweep_tokens(self, now_ms: int) -> int:
        return await self._database.write(_sweep, now_ms)

    async def add_instance(self, instance: Instance) -> None:
        await self._database.write(self._add_instance, instance)

    async def instance(self, id: str) -> Instance:
        found = await self._database.read(self._instances, tables.instances.c.id == id)
        if not found:
            raise NotFound(f"There is no instance {id}")
        return found[0]

    async def instances(self, project_id: str | None = None) -> Sequence[Instance]:
        wanted = () if project_id is None else (tables.instances.c.project_id == project_id,)
        return await self._database.read(self._instances, *wanted)

    async def put_instance(self, instance: Instance) -> None:
        await self._database.write(self._put_instance, instance)

    async def remove_instance(self, id: str) -> None:
        await self._database.write(_remove, tables.instances, tables.instances.c.id, id, "instance")

    async def add_bucket(self, bucket: Bucket) -> None:
        await self._database.write(self._add_bucket, bucket)

    async def bucket(self, id: str) -> Bucket:
        found = await self._database.read(self._buckets, tables.buckets.c.id == id)
        if not found:
            raise NotFound(f"There is no bucket {id}")
        return found[0]

    async def buckets(self, project_id: str | None = None) -> Sequence[Bucket]:
        wanted = () if project_id is None else (tables.buckets.c.project_id == project_id,)
        return await self._database.read(self._buckets, *wanted)

    async def put_bucket(self, bucket: Bucket) -> None:
        await self._database.write(self._put_bucket, bucket)

    async def remove_bucket(self, id: str) -> None:
        await self._database.write(_remove, tables.buckets, tables.buckets.c.id, id, "bucket")

    def _add_key(self, transaction: Connection, key: AccessKey) -> None:
        keys = tables.access_keys
        _there(transaction, tables.users, key.user_id, "user")
        _free(transaction, "access_key", key.access_key, keys.c.access_key == key.access_key)
        transaction.execute(insert(keys).values(values.columns_of_key(key, self._vault)))

    def _keys(self, transaction: Connection, *wanted: ColumnElement[bool]) -> Sequence[AccessKey]:
        return [values.key_of(row, self._vault) for row in _rows(transaction, tables.access_keys, *wanted)]

    def _add_instance(self, transaction: Connection, instance: Instance) -> None:
        _free(transaction, "id", instance.id, tables.instances.c.id == instance.id)
        transaction.execute(insert(tables.instances).values(values.columns_of_instance(instance, self._vault)))

    def _put_instance(self, transaction: Connection, instance: Instance) -> None:
        _there(transaction, tables.instances, instance.id, "instance")
        columns = values.columns_of_instance(instance, self._vault)
        transaction.execute(update(tables.instances).where(tables.instances.c.id == instance.id).values(columns))

    def _instances(self, transaction: Connection, *wanted: ColumnElement[bool]) -> Sequence[Instance]:
        return [values.instance_of(row, self._vault) for row in _rows(transaction, tables.instances, *wanted)]

    def _add_bucket(self, transaction: Connection, bucket: Bucket) -> None:
        _free(transaction, "id", bucket.id, tables.buckets.c.id == bucket.id)
        _free_bucket_name(transaction, bucket)
        transaction.execute(insert(tables.buckets).values(values.columns_of_bucket(bucket, self._vault)))

    def _put_bucket(self, transaction: Connection, bucket: Bucket) -> None:
        _there(transaction, tables.buckets, bucket.id, "bucket")
        _free_bucket_name(transaction, bucket)
        columns = values.columns_of_bucket(bucket, self._vault)
        transaction.execute(update(tables.buckets).where(tables.buckets.c.id == bucket.id).values(columns))

    def _buckets(self, transaction: Connection, *wanted: ColumnElement[bool]) -> Sequence[Bucket]:
        return [values.bucket_of(row, self._vault) for row in _rows(transaction, tables.buckets, *wanted)]


def _add_domain(transaction: Connection, domain: Domain) -> None:
    domains = tables.domains
    _free(transaction, "id", domain.id, domains.c.id == domain.id)
    _free(transaction, "name", domain.name, domains.c.name == domain.name)
    transaction.execute(insert(domains).values(id=domain.id, name=domain.name))


def _domains(transaction: Connection) -> Sequence[Domain]:
    return [Domain(row.id, row.name) for row in _rows(transaction, tables.domains)]


def _add_project(transaction: Connection, project: Project) -> None:
    _there(transaction, tables.domains, project.domain_id, "domain")
    _free(transaction, "id", project.id, tables.projects.c.id == project.id)
    _free_name(transaction, tables.projects, project)
    columns = {"id": project.id, "domain_id": project.domain_id, "name": project.name}
    transaction.execute(insert(tables.projects).values(columns))


def _projects(transaction: Connection) -> Sequence[Project]:
    return [Project(row.id, row.name, row.domain_id) for row in _rows(transaction, tables.projects)]


def _remove_project(transaction: Connection, id: str) -> None:
    _there(transaction, tables.projects, id, "project")
    jobs = tables.jobs
    held = _count(transaction, jobs, jobs.c.project_id == id, jobs.c.deleted.is_(False))
    for table in (tables.instances, tables.buckets):
        held += _count(transaction, table, table.c.project_id == id)
    if held:
        raise IllegalMove(f"Project {id} still holds jobs, instances or buckets")
    _delete(transaction, tables.projects, tables.projects.c.id == id)


def _add_user(transaction: Connection, user: User) -> None:
    _fits(transaction, user)
    _free(transaction, "id", user.id, tables.users.c.id == user.id)
    transaction.execute(insert(tables.users).values(_columns_of_user(user)))
    _enrol(transaction, user)


def _put_user(transaction: Connection, user: User) -> None:
    _there(transaction, tables.users, user.id, "user")
    _fits(transaction, user)
    before = next(it for it in _users(transaction) if it.id == user.id)
    if rules.voids_tokens(before, user):
        _delete(transaction, tables.tokens, tables.tokens.c.user_id == user.id)
    transaction.execute(update(tables.users).where(tables.users.c.id == user.id).values(_columns_of_user(user)))
    _delete(transaction, tables.memberships, tables.memberships.c.user_id == user.id)
    _enrol(transaction, user)


def _columns_of_user(user: User) -> values.Columns:
    return {
        "id": user.id,
        "domain_id": user.domain_id,
        "name": user.name,
        "password_hash": user.password_hash,
        "enabled": user.enabled,
    }


def _fits(transaction: Connection, user: User) -> None:
    _there(transaction, tables.domains, user.domain_id, "domain")
    for project in user.project_ids:
        _there(transaction, tables.projects, project, "project")
    _free_name(transaction, tables.users, user)


def _enrol(transaction: Connection, user: User) -> None:
    for place, project in enumerate(user.project_ids):
        columns = {"user_id": user.id, "project_id": project, "place": place}
        transaction.execute(insert(tables.memberships).values(columns))


def _users(transaction: Connection) -> Sequence[User]:
    projects: dict[str, list[str]] = {}
    for row in transaction.execute(select(tables.memberships).order_by(tables.memberships.c.place)):
        projects.setdefault(row.user_id, []).append(row.project_id)
    return [
        User(row.id, row.name, row.domain_id, row.password_hash, tuple(projects.get(row.id, ())), row.enabled)
        for row in _rows(transaction, tables.users)
    ]


def _add_token(transaction: Connection, token: Token) -> None:
    _there(transaction, tables.users, token.user_id, "user")
    if token.project_id is not None:
        _there(transaction, tables.projects, token.project_id, "project")
    if _count(transaction, tables.tokens, tables.tokens.c.digest == token.digest):
        raise Invalid("digest", "There is such a token already")
    transaction.execute(insert(tables.tokens).values(values.columns_of_token(token)))


def _token(transaction: Connection, digest: str) -> Token | None:
    row = transaction.execute(select(tables.tokens).where(tables.tokens.c.digest == digest)).first()
    return values.token_of(row) if row else None


def _sweep(transaction: Connection, now_ms: int) -> int:
    tokens = _delete(transaction, tables.tokens, tables.tokens.c.expires_ms <= now_ms)
    return tokens + _delete(transaction, tables.access_keys, tables.access_keys.c.expires_ms <= now_ms)


def _rows(transaction: Connection, table: Table, *wanted: ColumnElement[bool]) -> Sequence[Any]:
    return transaction.execute(select(table).where(*wanted).order_by(table.c.number)).all()


def _count(transaction: Connection, table: Table, *wanted: ColumnElement[bool]) -> int:
    return transaction.execute(select(func.count()).select_from(table).where(*wanted)).scalar_one()


def _delete(transaction: Connection, table: Table, wanted: ColumnElement[bool]) -> int:
    return transaction.execute(delete(table).where(wanted)).rowcount


def _remove(transaction: Connection, table: Table, column: ColumnElement[str], id: str, kind: str) -> None:
    if not _delete(transaction, table, column == id):
        raise NotFound(f"There is no {kind} {id}")


def _there(transaction: Connection, table: Table, id: str, kind: str) -> None:
    if not _count(transaction, table, table.c.id == id):
        raise NotFound(f"There is no {kind} {id}")


def _free(transaction: Connection, field: str, value: str, *taken: ColumnElement[bool]) -> None:
    if transaction.execute(select(1).where(*taken)).first():
        raise Invalid(field, f"{value} is taken")


def _free_name(transaction: Connection, table: Table, new: User | Project) -> None:
    same = (table.c.domain_id == new.domain_id, table.c.name == new.name, table.c.id != new.id)
    _free(transaction, "name", new.name, *same)


def _free_bucket_name(transaction: Connection, new: Bucket) -> None:
    buckets = tables.buckets
    same = (buckets.c.project_id == new.project_id, buckets.c.name == new.name, buckets.c.id != new.id)
    _free(transaction, "name", new.name, *same)

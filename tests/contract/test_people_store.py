"""What every store promises about domains, projects, users, keys, tokens, instances and buckets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from sterna.core.errors import IllegalMove, Invalid, NotFound
from sterna.core.people import AccessKey, Bucket, Domain, Instance, Project, Token, User
from sterna.core.stores import Store
from tests.contract.stores import a_job

Call = Callable[[], Awaitable[object]]

HOME = Domain("d", "home")
NORTH = Project("n", "north", "d")
SOUTH = Project("s", "south", "d")
ANNA = User("a", "anna", "d", "scrypt$hash", ("s", "n"))
TOKEN = Token("digest", "a", "n", ("password", "totp"), 1, 100)
KEY = AccessKey("AK", "the-secret-key", "a", 5, "the-security-token", 50)
SERVER = Instance("i", "n", "cache", "redis", (("h", 1), ("g", 2)), "u", "the-password", '{"verify": true}', 7)

BUCKET = Bucket(
    id="b",
    project_id="n",
    name="backups",
    kind="s3",
    endpoint="https://obs.example",
    remote_name="corp-backups",
    prefix="sql/",
    region="eu-1",
    style="virtual",
    access_key="AK",
    secret_key="the-bucket-secret",
    tls='{"verify": true}',
    created_ms=9,
)
FOLDER = Bucket("f", "s", "backups", "folder", folder="/srv/备份")


@pytest.fixture
async def town(store: Store) -> Store:
    """A store with a domain, two projects and a user."""
    await store.add_domain(HOME)
    await store.add_project(NORTH)
    await store.add_project(SOUTH)
    await store.add_user(ANNA)
    return store


async def test_people_come_back_as_they_were_added(town: Store) -> None:
    await town.add_key(KEY)
    await town.add_token(TOKEN)
    await town.add_instance(SERVER)
    assert list(await town.domains()) == [HOME]
    assert list(await town.projects()) == [NORTH, SOUTH]
    assert list(await town.users()) == [ANNA]
    assert await town.key("AK") == KEY
    assert await town.token("digest") == TOKEN
    assert await town.instance("i") == SERVER
    await town.add_bucket(BUCKET)
    assert await town.bucket("b") == BUCKET


async def test_what_is_not_there_is_none_or_not_found(store: Store) -> None:
    assert await store.key("x") is None
    assert await store.token("x") is None
    assert await store.revoke_token("x") is False
    calls: list[Call] = [
        lambda: store.remove_project("x"),
        lambda: store.put_user(ANNA),
        lambda: store.remove_user("x"),
        lambda: store.remove_key("x"),
        lambda: store.instance("x"),
        lambda: store.remove_instance("x"),
        lambda: store.bucket("x"),
        lambda: store.put_bucket(BUCKET),
        lambda: store.remove_bucket("x"),
        lambda: store.add_project(NORTH),
        lambda: store.add_user(ANNA),
        lambda: store.add_key(KEY),
        lambda: store.add_token(TOKEN),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call()


async def test_a_name_is_taken_once_in_its_domain(town: Store) -> None:
    await town.add_domain(Domain("d2", "away"))
    await town.add_project(Project("n2", "north", "d2"))
    await town.add_user(replace(ANNA, id="a2", domain_id="d2"))
    calls: list[Call] = [
        lambda: town.add_domain(Domain("d3", "home")),
        lambda: town.add_project(Project("n3", "north", "d")),
        lambda: town.add_user(replace(ANNA, id="a3")),
    ]
    for call in calls:
        with pytest.raises(Invalid) as refusal:
            await call()
        assert refusal.value.field == "name"
    await town.add_user(replace(ANNA, id="b", name="Anna"))
    with pytest.raises(Invalid):
        await town.put_user(replace(ANNA, id="b"))


async def test_an_id_is_taken_once(town: Store) -> None:
    await town.add_key(KEY)
    await town.add_token(TOKEN)
    await town.add_instance(SERVER)
    calls: list[Call] = [
        lambda: town.add_domain(Domain("d", "x")),
        lambda: town.add_project(Project("n", "x", "d")),
        lambda: town.add_user(replace(ANNA, name="x")),
        lambda: town.add_key(KEY),
        lambda: town.add_token(TOKEN),
        lambda: town.add_instance(SERVER),
    ]
    for call in calls:
        with pytest.raises(Invalid):
            await call()


async def test_of_many_who_want_one_name_at_once_one_gets_it(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.add_domain(Domain(f"d{n}", "home")) for n in range(6)), return_exceptions=True
    )
    assert [type(answer) for answer in answers if answer] == [Invalid] * 5
    assert len(await store.domains()) == 1


async def test_a_users_facts_are_replaced_as_a_whole(town: Store) -> None:
    changed = User("a", "anna b.", "d", "scrypt$other", ("n",), enabled=False)
    await town.put_user(changed)
    assert list(await town.users()) == [changed]
    await town.put_user(replace(changed, project_ids=("s", "n", "s")))
    assert (await town.users())[0].project_ids == ("s", "n")


async def test_another_password_or_being_disabled_voids_the_users_tokens(town: Store) -> None:
    other = replace(ANNA, id="b", name="berta")
    await town.add_user(other)
    for changes, left in (({}, True), ({"password_hash": "scrypt$other"}, False), ({"enabled": False}, False)):
        await town.add_token(replace(TOKEN, digest="hers", user_id="b"))
        await town.add_token(replace(TOKEN, digest="annas", user_id="a"))
        await town.put_user(replace(other, **changes))
        assert (await town.token("hers") is not None) is left
        assert await town.token("annas") is not None
        await town.put_user(other)
        for digest in ("hers", "annas"):
            await town.revoke_token(digest)


async def test_a_user_must_belong_to_projects_that_exist(town: Store) -> None:
    with pytest.raises(NotFound):
        await town.put_user(replace(ANNA, project_ids=("nowhere",)))
    assert list(await town.users()) == [ANNA]


async def test_a_user_goes_with_all_keys_and_tokens(town: Store) -> None:
    other = replace(ANNA, id="b", name="berta")
    await town.add_user(other)
    for user in ("a", "b"):
        await town.add_key(replace(KEY, access_key=user, user_id=user))
        await town.add_token(replace(TOKEN, digest=user, user_id=user))
    await town.remove_user("a")
    assert list(await town.users()) == [other]
    assert [key.access_key for key in await town.keys()] == ["b"]
    assert await town.token("a") is None
    assert await town.token("b") is not None


async def test_keys_are_listed_by_user_and_removed(town: Store) -> None:
    await town.add_user(replace(ANNA, id="b", name="berta"))
    keys = [replace(KEY, access_key=f"AK{n}", user_id="ab"[n % 2]) for n in range(4)]
    for key in keys:
        await town.add_key(key)
    assert list(await town.keys()) == keys
    assert list(await town.keys("b")) == keys[1::2]
    await town.remove_key("AK1")
    assert list(await town.keys("b")) == [keys[3]]


async def test_a_permanent_key_has_neither_token_nor_end(town: Store) -> None:
    key = AccessKey("AK", "secret", "a")
    await town.add_key(key)
    assert await town.key("AK") == key
    assert await town.sweep_tokens(2**50) == 0


async def test_a_revoked_token_is_gone(town: Store) -> None:
    await town.add_token(TOKEN)
    assert await town.revoke_token("digest") is True
    assert await town.revoke_token("digest") is False
    assert await town.token("digest") is None


async def test_sweeping_removes_what_has_expired_and_nothing_else(town: Store) -> None:
    for end in (99, 100, 101):
        await town.add_token(replace(TOKEN, digest=str(end), expires_ms=end))
        await town.add_key(replace(KEY, access_key=str(end), expires_ms=end))
    assert await town.sweep_tokens(100) == 4
    assert [key.access_key for key in await town.keys()] == ["101"]
    assert await town.token("100") is None
    assert await town.token("101") is not None


async def test_a_project_stays_while_it_holds_instances_or_jobs(town: Store) -> None:
    await town.add_instance(SERVER)
    with pytest.raises(IllegalMove):
        await town.remove_project("n")
    await town.remove_instance("i")
    job = a_job(project_id="n")
    await town.add_job(job)
    with pytest.raises(IllegalMove):
        await town.remove_project("n")
    await town.delete_job(job.id)
    await town.remove_project("n")
    assert list(await town.projects()) == [SOUTH]


async def test_a_removed_project_is_nobodys_and_its_tokens_are_void(town: Store) -> None:
    await town.add_token(TOKEN)
    await town.add_token(replace(TOKEN, digest="unscoped", project_id=None, domain_scoped=True))
    await town.remove_project("n")
    assert (await town.users())[0].project_ids == ("s",)
    assert await town.token("digest") is None
    assert await town.token("unscoped") is not None


async def test_instances_are_listed_by_project(town: Store) -> None:
    servers = [replace(SERVER, id=str(n), project_id="ns"[n % 2]) for n in range(3)]
    for server in servers:
        await town.add_instance(server)
    assert list(await town.instances()) == servers
    assert list(await town.instances("s")) == [servers[1]]


async def test_no_secret_of_a_person_shows_in_what_is_printed(town: Store) -> None:
    await town.add_key(KEY)
    await town.add_instance(SERVER)
    await town.add_bucket(BUCKET)
    shown = repr([await town.key("AK"), await town.instance("i"), await town.users(), await town.bucket("b")])
    for secret in ("the-bucket-secret", "the-secret-key", "the-security-token", "the-password", "scrypt"):
        assert secret not in shown


async def test_an_instance_is_replaced_with_all_that_is_known_of_it(town: Store) -> None:
    await town.add_instance(SERVER)
    changed = replace(SERVER, name="other", password="new", facts={"description": "说明", "vpc": {"id": 1}})
    await town.put_instance(changed)
    assert await town.instance("i") == changed
    with pytest.raises(NotFound):
        await town.put_instance(replace(changed, id="unknown"))


async def test_buckets_are_listed_by_project_and_removed(town: Store) -> None:
    await town.add_bucket(BUCKET)
    await town.add_bucket(FOLDER)
    assert list(await town.buckets()) == [BUCKET, FOLDER]
    assert list(await town.buckets("s")) == [FOLDER]
    await town.remove_bucket("b")
    assert list(await town.buckets()) == [FOLDER]
    with pytest.raises(NotFound):
        await town.bucket("b")


async def test_a_buckets_name_is_taken_once_in_its_project(town: Store) -> None:
    await town.add_bucket(BUCKET)
    await town.add_bucket(replace(FOLDER, project_id="s"))
    await town.add_bucket(replace(BUCKET, id="b2", name="other"))
    calls: list[Call] = [
        lambda: town.add_bucket(replace(FOLDER, id="f2", project_id="n")),
        lambda: town.put_bucket(replace(BUCKET, id="b2")),
    ]
    for call in calls:
        with pytest.raises(Invalid) as refusal:
            await call()
        assert refusal.value.field == "name"
    with pytest.raises(Invalid) as refusal:
        await town.add_bucket(replace(BUCKET, name="a third"))
    assert refusal.value.field == "id"
    await town.put_bucket(replace(BUCKET, name="renamed"))
    await town.add_bucket(replace(FOLDER, id="f3", project_id="n"))


async def test_a_bucket_is_replaced_with_all_that_is_known_of_it(town: Store) -> None:
    await town.add_bucket(BUCKET)
    changed = replace(FOLDER, id="b", project_id="n", secret_key="another", name="moved")
    await town.put_bucket(changed)
    assert await town.bucket("b") == changed


async def test_a_project_stays_while_it_holds_buckets(town: Store) -> None:
    await town.add_bucket(BUCKET)
    with pytest.raises(IllegalMove):
        await town.remove_project("n")
    await town.remove_bucket("b")
    await town.remove_project("n")
    assert list(await town.projects()) == [SOUTH]

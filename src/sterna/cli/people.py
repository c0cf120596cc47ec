"""``sterna user``, ``sterna project`` and ``sterna key``: who may use the service, and what they see."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sterna.cli.context import Tools, tools_of
from sterna.cli.folder import one_of, opened, password_from, settings_of, the_domain, the_project, the_user
from sterna.cli.init import check_name, new_key, new_password
from sterna.cli.options import Config, Data, DomainName, Json, PasswordEnv
from sterna.cli.output import print_facts, print_rows, time_of
from sterna.core.errors import NotFound
from sterna.core.people import Project, User, hash_password, new_id
from sterna.core.stores import Store

users = typer.Typer(no_args_is_help=True, help="Add, list and remove users, and change their passwords.")
projects = typer.Typer(no_args_is_help=True, help="Add, list and remove projects. A project is also a region.")
keys = typer.Typer(no_args_is_help=True, help="Create, list and remove access keys (AK and SK).")

UserName = Annotated[str, typer.Argument(metavar="USER", help="Name or id of the user.")]
Result = TypeVar("Result")


def _with_store(
    context: typer.Context,
    data: Path | None,
    config: Path | None,
    work: Callable[[Tools, Store], Awaitable[Result]],
) -> Result:
    tools = tools_of(context)
    settings = settings_of(tools, data, config)

    async def run() -> Result:
        async with opened(tools, settings) as store:
            return await work(tools, store)

    return asyncio.run(run())


def _user_row(user: User, all_projects: Sequence[Project]) -> dict[str, object]:
    names = {each.id: each.name for each in all_projects}
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "projects": [names.get(each, each) for each in user.project_ids],
        "enabled": user.enabled,
    }


def _identified(user: User) -> dict[str, object]:
    return {"id": user.id, "name": user.name}


@users.command("add")
def add_user(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name to log in with.")],
    project: Annotated[
        list[str] | None,
        typer.Option(
            "--project", metavar="NAME", help="Project that the user may use; may be repeated. Default: all."
        ),
    ] = None,
    domain: DomainName = None,
    password_env: PasswordEnv = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add a user. Without --password-env a password is made up and printed, once."""
    check_name("user", name)

    async def work(tools: Tools, store: Store) -> dict[str, object]:
        given = password_from(tools.environ, password_env)
        password = given or new_password()
        home = await the_domain(store, domain)
        everything = [each for each in await store.projects() if each.domain_id == home.id]
        chosen = [one_of(everything, "project", each) for each in project] if project else everything
        user = User(new_id(), name, home.id, hash_password(password), tuple(each.id for each in chosen))
        await store.add_user(user)
        return _user_row(user, everything) | ({} if given else {"password": password})

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@users.command("list")
def list_users(context: typer.Context, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """List all users and the projects that they may use."""

    async def work(_: Tools, store: Store) -> list[dict[str, object]]:
        everything = await store.projects()
        return [_user_row(each, everything) for each in await store.users()]

    print_rows(_with_store(context, data, config, work), ("name", "projects", "enabled", "id"), as_json=as_json)


@users.command("remove")
def remove_user(
    context: typer.Context, user: UserName, data: Data = None, config: Config = None, as_json: Json = False
) -> None:
    """Remove a user with all of the user's keys and tokens."""

    async def work(_: Tools, store: Store) -> dict[str, object]:
        found = await the_user(store, user)
        await store.remove_user(found.id)
        return {"removed": found.id, "name": found.name}

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@users.command("passwd")
def change_password(
    context: typer.Context,
    user: UserName,
    password_env: PasswordEnv = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Give a user another password. Without --password-env one is made up and printed, once.

    The user's tokens are void from now on; access keys stay.
    """

    async def work(tools: Tools, store: Store) -> dict[str, object]:
        given = password_from(tools.environ, password_env)
        password = given or new_password()
        found = await the_user(store, user)
        await store.put_user(dataclasses.replace(found, password_hash=hash_password(password)))
        return _identified(found) | ({} if given else {"password": password})

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@users.command("disable")
def disable(
    context: typer.Context, user: UserName, data: Data = None, config: Config = None, as_json: Json = False
) -> None:
    """Lock a user out: password, tokens and keys are refused from now on. Jobs go on."""
    print_facts(_with_store(context, data, config, _switched(user, enabled=False)), as_json=as_json)


@users.command("enable")
def enable(
    context: typer.Context, user: UserName, data: Data = None, config: Config = None, as_json: Json = False
) -> None:
    """Let a disabled user in again, with the same password and keys."""
    print_facts(_with_store(context, data, config, _switched(user, enabled=True)), as_json=as_json)


def _switched(user: str, *, enabled: bool) -> Callable[[Tools, Store], Awaitable[dict[str, object]]]:
    async def work(_: Tools, store: Store) -> dict[str, object]:
        changed = dataclasses.replace(await the_user(store, user), enabled=enabled)
        await store.put_user(changed)
        return _user_row(changed, await store.projects())

    return work


@users.command("grant")
def grant(
    context: typer.Context,
    user: UserName,
    project: Annotated[str, typer.Argument(help="Name or id of the project.")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a user use a project."""

    async def work(_: Tools, store: Store) -> dict[str, object]:
        found, wanted = await the_user(store, user), await the_project(store, project)
        ids = tuple(dict.fromkeys((*found.project_ids, wanted.id)))
        changed = dataclasses.replace(found, project_ids=ids)
        await store.put_user(changed)
        return _user_row(changed, await store.projects())

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@users.command("revoke")
def revoke(
    context: typer.Context,
    user: UserName,
    project: Annotated[str, typer.Argument(help="Name or id of the project.")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a user no longer use a project."""

    async def work(_: Tools, store: Store) -> dict[str, object]:
        found, wanted = await the_user(store, user), await the_project(store, project)
        changed = dataclasses.replace(
            found, project_ids=tuple(each for each in found.project_ids if each != wanted.id)
        )
        await store.put_user(changed)
        return _user_row(changed, await store.projects())

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@projects.command("add")
def add_project(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the project, which is its region's name too.")],
    user: Annotated[
        list[str] | None,
        typer.Option(
            "--user", metavar="NAME", help="User who may use the project; may be repeated. Default: nobody yet."
        ),
    ] = None,
    domain: DomainName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add a project. See also: sterna user grant."""
    check_name("project", name)

    async def work(_: Tools, store: Store) -> dict[str, object]:
        home = await the_domain(store, domain)
        chosen = [await the_user(store, each) for each in user or ()]
        project = Project(new_id(), name, home.id)
        await store.add_project(project)
        for each in chosen:
            await store.put_user(dataclasses.replace(each, project_ids=(*each.project_ids, project.id)))
        return {"id": project.id, "name": name, "domain_id": home.id, "users": [each.name for each in chosen]}

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@projects.command("list")
def list_projects(context: typer.Context, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """List all projects."""

    async def work(_: Tools, store: Store) -> list[dict[str, object]]:
        return [{"id": each.id, "name": each.name, "domain_id": each.domain_id} for each in await store.projects()]

    print_rows(_with_store(context, data, config, work), ("name", "id", "domain_id"), as_json=as_json)


@projects.command("remove")
def remove_project(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Name or id of the project.")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove a project. Refused while it holds jobs or instances."""

    async def work(_: Tools, store: Store) -> dict[str, object]:
        found = await the_project(store, project)
        await store.remove_project(found.id)
        return {"removed": found.id, "name": found.name}

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@keys.command("create")
def create_key(
    context: typer.Context, user: UserName, data: Data = None, config: Config = None, as_json: Json = False
) -> None:
    """Create an access key for a user. The secret key is printed, once."""

    async def work(_: Tools, store: Store) -> dict[str, object]:
        owner = await the_user(store, user)
        key = new_key(owner.id)
        await store.add_key(key)
        return {
            "access_key": key.access_key,
            "secret_key": key.secret_key,
            "user": owner.name,
            "user_id": owner.id,
        }

    print_facts(_with_store(context, data, config, work), as_json=as_json)


@keys.command("list")
def list_keys(
    context: typer.Context,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only the keys of this user.")] = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List access keys, without their secret keys."""

    async def work(_: Tools, store: Store) -> list[dict[str, object]]:
        owner = (await the_user(store, user)).id if user else None
        names = {each.id: each.name for each in await store.users()}
        return [
            {
                "access_key": each.access_key,
                "user": names.get(each.user_id, each.user_id),
                "user_id": each.user_id,
                "created": time_of(each.created_ms),
                "expires": time_of(each.expires_ms),
            }
            for each in await store.keys(owner)
        ]

    rows = _with_store(context, data, config, work)
    print_rows(rows, ("access_key", "user", "created", "expires"), as_json=as_json)


@keys.command("remove")
def remove_key(
    context: typer.Context,
    access_key: Annotated[str, typer.Argument(help="The access key (AK).")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove an access key: requests signed with it are refused from now on."""

    async def work(_: Tools, store: Store) -> dict[str, object]:
        if await store.key(access_key) is None:
            raise NotFound("There is no such access key")
        await store.remove_key(access_key)
        return {"removed": access_key}

    print_facts(_with_store(context, data, config, work), as_json=as_json)

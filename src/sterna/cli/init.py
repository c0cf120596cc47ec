"""``sterna init``: a new data folder with one domain, project, user and key."""

import asyncio
import secrets
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.context import Tools, tools_of
from sterna.cli.folder import make_private, password_from, settings_of
from sterna.cli.options import Config, Data, Json, PasswordEnv
from sterna.cli.output import print_facts, print_note
from sterna.core.errors import Invalid, Refused
from sterna.core.people import AccessKey, Domain, Project, User, hash_password, new_id
from sterna.core.stores import Store
from sterna.jobs.desk import now_ms
from sterna.settings import PREFIX, Settings

_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Names:
    """What the first things are called."""

    domain: str
    project: str
    user: str


def init(
    context: typer.Context,
    data: Data = None,
    domain: Annotated[str, typer.Option(help="Name of the domain (the account).")] = "sterna",
    project: Annotated[str, typer.Option(help="Name of the project, which is its region's name too.")] = "local-1",
    user: Annotated[str, typer.Option(help="Name of the first user.")] = "admin",
    password_env: PasswordEnv = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a new service in an empty data folder.

    Prints the first user's password and access key, once: they are not kept in clear. A password can be given in
    STERNA_ADMIN_PASSWORD, or in the variable that --password-env names; otherwise one is made up.

    A folder that already holds a service is refused and left as it is.
    """
    tools = tools_of(context)
    settings = settings_of(tools, data, config)
    given = password_from(tools.environ, password_env) or tools.environ.get(PREFIX + "ADMIN_PASSWORD", "")
    facts = asyncio.run(_init(tools, settings, Names(domain, project, user), given or new_password()))
    print_facts(facts, as_json=as_json)
    if not as_json:
        print_note(
            f"\nThe password and the secret key are shown only now. Next: sterna serve --data {settings.data}"
        )


def new_password() -> str:
    """24 letters and digits: 142 bits, and nothing that a shell or a URL would trip over."""
    return "".join(secrets.choice(_LETTERS) for _ in range(24))


def new_key(user_id: str) -> AccessKey:
    """A key pair in the form that the cloud gives out: 20 capitals and digits, 40 letters and digits."""
    access = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20))
    secret = "".join(secrets.choice(_LETTERS) for _ in range(40))
    return AccessKey(access, secret, user_id, created_ms=now_ms())


async def _init(tools: Tools, settings: Settings, names: Names, password: str) -> dict[str, object]:
    for field, name in (("domain", names.domain), ("project", names.project), ("user", names.user)):
        check_name(field, name)
    make_private(settings.data)
    store = await tools.open_store(settings.store_url, settings.key_path)
    try:
        if await store.domains():
            raise Refused(
                f"There is a Sterna service in {settings.data} already",
                hint="Start it with sterna serve, or add users and keys with sterna user and sterna key.",
            )
        facts = await first_things(store, names, password)
    finally:
        await store.close()
    _only_owner(settings)
    return {"data": str(settings.data), **facts}


async def first_things(store: Store, names: Names, password: str) -> dict[str, object]:
    """Add one domain, project, user and key, and return all their facts."""
    domain = Domain(new_id(), names.domain)
    project = Project(new_id(), names.project, domain.id)
    user = User(new_id(), names.user, domain.id, hash_password(password), (project.id,))
    key = new_key(user.id)
    await store.add_domain(domain)
    await store.add_project(project)
    await store.add_user(user)
    await store.add_key(key)
    return {
        "access_key": key.access_key,
        "secret_key": key.secret_key,
        "project_id": project.id,
        "project_name": project.name,
        "domain": domain.name,
        "domain_id": domain.id,
        "user": user.name,
        "user_id": user.id,
        "password": password,
    }


def check_name(field: str, name: str) -> None:
    """Raises Invalid unless the name is one that the APIs and their clients can carry."""
    if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip() or "/" in name:
        of_what = "" if field == "name" else f" of a {field}"
        raise Invalid(field, f"The name{of_what} has 1 to 64 printable characters, none of them a slash")


def _only_owner(settings: Settings) -> None:
    for path in (settings.key_path, Path(settings.store_url)):
        if path.is_file():
            path.chmod(0o600)

"""The service's data folder as the administration commands see it: its settings and its store."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from sterna.cli.context import Tools
from sterna.core.errors import Invalid, NotFound
from sterna.core.people import Domain, Project, User
from sterna.core.stores import Store
from sterna.settings import Settings, load


def settings_of(tools: Tools, data: Path | None, config: Path | None, **given: object) -> Settings:
    """The settings for a command that was given these options. Raises Invalid."""
    return load({"data": data, "config": config, **given}, tools.environ).settings


def must_exist(settings: Settings) -> None:
    """Raises NotFound if nobody has made this data folder: a mistyped path must not make a new service."""
    if not settings.key_path.exists():
        raise NotFound(
            f"There is no Sterna service in {settings.data}",
            hint="Make one with: sterna init --data DIR, or name the right folder with --data or STERNA_DATA.",
        )


@contextlib.asynccontextmanager
async def opened(tools: Tools, settings: Settings) -> AsyncIterator[Store]:
    """The store of an existing data folder. Raises NotFound, NeedsOperator."""
    must_exist(settings)
    store = await tools.open_store(settings.store_url, settings.key_path)
    try:
        yield store
    finally:
        await store.close()


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can enter. Raises Invalid."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise Invalid("data", f"The folder {folder} cannot be made or used: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise Invalid("data", f"The folder {folder} cannot be written")


def password_from(environ: Mapping[str, str], variable: str | None) -> str:
    """The password in a variable of the environment; empty if none was named. Raises Invalid if it is not set."""
    if variable is None:
        return ""
    password = environ.get(variable, "")
    if not password:
        # The name is not repeated: someone may have typed the password itself there.
        raise Invalid("password_env", "The environment variable that --password-env names is not set or empty")
    return password


class Named(Protocol):
    """Something with an id and a name."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


Thing = TypeVar("Thing", bound=Named)


def one_of(things: Sequence[Thing], what: str, wanted: str | None) -> Thing:
    """The one thing with this name or id; without a name, the only one there is. Raises NotFound, Invalid."""
    if wanted is None:
        if len(things) == 1:
            return things[0]
        raise Invalid(what, f"There is no one {what}: say which", hint=f"--{what} NAME; {_listed(things)}")
    found = [each for each in things if wanted == each.id] or [each for each in things if wanted == each.name]
    if len(found) == 1:
        return found[0]
    if found:
        raise Invalid(what, f"There are several with the name {wanted}: give the id of the {what}")
    raise NotFound(f"There is no {what} {wanted}", hint=_listed(things))


def _listed(things: Sequence[Named]) -> str:
    return f"There are: {', '.join(sorted(each.name for each in things))}." if things else "There are none."


async def the_domain(store: Store, wanted: str | None) -> Domain:
    return one_of(await store.domains(), "domain", wanted)


async def the_project(store: Store, wanted: str | None) -> Project:
    return one_of(await store.projects(), "project", wanted)


async def the_user(store: Store, wanted: str) -> User:
    return one_of(await store.users(), "user", wanted)

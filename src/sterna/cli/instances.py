"""``sterna instance``: the database servers that the APIs refer to by id."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.context import tools_of
from sterna.cli.folder import one_of, opened, password_from, settings_of, the_project
from sterna.cli.init import check_name
from sterna.cli.options import Config, Data, Force, Json, PasswordEnv, ProjectName
from sterna.cli.output import print_facts, print_rows, time_of
from sterna.core.errors import Invalid
from sterna.core.people import Instance, Project, new_id
from sterna.core.plan import Tls
from sterna.jobs.desk import now_ms
from sterna.jobs.using import check_instance
from sterna.settings import split_address

instances = typer.Typer(no_args_is_help=True, help="Register database servers, which the APIs refer to by id.")


@instances.command("add")
def add_instance(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="Name of the instance.")],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where the server listens; several with commas.")
    ],
    engine: Annotated[str, typer.Option("--engine", help="Kind of database, e.g. redis (Valkey too).")] = "redis",
    user: Annotated[str, typer.Option("--user", help="User to log in with; empty: the default user.")] = "",
    password_env: PasswordEnv = None,
    tls: Annotated[bool, typer.Option("--tls", help="Connect with TLS.")] = False,
    tls_no_verify: Annotated[
        bool, typer.Option("--tls-no-verify", help="Connect with TLS and take any certificate.")
    ] = False,
    tls_ca: Annotated[
        Path | None, typer.Option("--tls-ca", metavar="FILE", help="PEM file with the authority to trust.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="PEM file with a client certificate.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="PEM file with its private key.")
    ] = None,
    shared_folder: Annotated[
        Path | None,
        typer.Option(
            "--shared-folder",
            metavar="DIR",
            help="SQL Server: a folder here that the server sees too, for backups.",
        ),
    ] = None,
    shared_path: Annotated[
        str, typer.Option("--shared-path", metavar="PATH", help="SQL Server: what the server calls that folder.")
    ] = "",
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Register a database server. The password is kept encrypted and is never printed."""
    tools = tools_of(context)
    settings = settings_of(tools, data, config)
    check_name("name", name)
    if engine not in tools.engines():
        raise Invalid("engine", f"There is no engine {engine}", hint=f"There are: {', '.join(tools.engines())}.")
    files = {"ca_file": tls_ca, "cert_file": tls_cert, "key_file": tls_key}
    described = tls_text(tls or any(files.values()), tls_no_verify, files)
    password = password_from(tools.environ, password_env)
    shared = _shared(shared_folder, shared_path)

    async def work() -> dict[str, object]:
        async with opened(tools, settings) as store:
            home = await the_project(store, project)
            instance = Instance(
                new_id(), home.id, name, engine, _addresses(address), user, password, described, now_ms(), shared
            )
            await store.add_instance(instance)
            return _row(instance, home)

    print_facts(asyncio.run(work()), as_json=as_json)


@instances.command("list")
def list_instances(
    context: typer.Context,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List registered servers, without their passwords."""
    tools = tools_of(context)
    settings = settings_of(tools, data, config)

    async def work() -> list[dict[str, object]]:
        async with opened(tools, settings) as store:
            wanted = (await the_project(store, project)).id if project else None
            names = {each.id: each for each in await store.projects()}
            return [_row(each, names[each.project_id]) for each in await store.instances(wanted)]

    columns = ("name", "engine", "address", "tls", "project", "id")
    print_rows(asyncio.run(work()), columns, as_json=as_json)


@instances.command("change")
def change_instance(
    context: typer.Context,
    instance: Annotated[str, typer.Argument(help="Name or id of the instance.")],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where the server listens; several with commas.")
    ] = "",
    user: Annotated[str, typer.Option("--user", help="User to log in with.")] = "",
    password_env: PasswordEnv = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Change where a server is, or as whom to log in. Jobs that are there already keep what they have."""
    tools = tools_of(context)
    settings = settings_of(tools, data, config)
    if not (address or user or password_env):
        raise Invalid(
            "instance", "Nothing was named that should change", hint="See sterna instance change --help."
        )

    async def work() -> dict[str, object]:
        async with opened(tools, settings) as store:
            found = one_of(await store.instances(), "instance", instance)
            changed = dataclasses.replace(
                found,
                addresses=_addresses(address) if address else found.addresses,
                user=user or found.user,
                password=password_from(tools.environ, password_env) or found.password,
            )
            await store.put_instance(changed)
            return _row(changed, one_of(await store.projects(), "project", found.project_id))

    print_facts(asyncio.run(work()), as_json=as_json)


@instances.command("remove")
def remove_instance(
    context: typer.Context,
    instance: Annotated[str, typer.Argument(help="Name or id of the instance.")],
    force: Force = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove a server from the register, unless jobs need it. The server itself is not touched.

    With --force jobs that use it keep its address and password, and go on; a chain of backups into it ends.
    """
    tools = tools_of(context)
    settings = settings_of(tools, data, config)

    async def work() -> dict[str, object]:
        async with opened(tools, settings) as store:
            found = one_of(await store.instances(), "instance", instance)
            if not force:
                check_instance((await store.jobs(found.project_id))[1], found.id, found.name)
            await store.remove_instance(found.id)
            return {"removed": found.id, "name": found.name}

    print_facts(asyncio.run(work()), as_json=as_json)


def tls_text(wanted: bool, no_verify: bool, files: dict[str, Path | None]) -> str:
    """How an instance keeps its TLS settings: a JSON object, or empty. Paths are kept absolute. Raises Invalid."""
    if not wanted and not no_verify:
        return ""
    if files["key_file"] and not files["cert_file"]:
        raise Invalid("tls_key", "--tls-key needs --tls-cert")
    for field, path in files.items():
        if path and not path.is_file():
            raise Invalid(field, f"There is no file {path}")
    paths = {field: str(path.resolve()) if path else "" for field, path in files.items()}
    tls = Tls(not no_verify, paths["ca_file"], paths["cert_file"], paths["key_file"])
    return json.dumps(dataclasses.asdict(tls))


def _shared(folder: Path | None, path: str) -> dict[str, object]:
    """The folder that a SQL Server and Sterna both see, as an instance keeps it. Raises Invalid."""
    if bool(folder) != bool(path):
        raise Invalid("shared_folder", "--shared-folder and --shared-path are one folder: both are needed")
    if folder is None:
        return {}
    if not folder.is_dir():
        raise Invalid("shared_folder", f"There is no folder {folder}")
    return {"shared_folder": str(folder.resolve()), "shared_path": path}


def _addresses(text: str) -> tuple[tuple[str, int], ...]:
    try:
        return tuple(split_address(each.strip()) for each in text.split(","))
    except ValueError as error:
        raise Invalid("address", f"--address: {error}") from None


def _row(instance: Instance, project: Project) -> dict[str, object]:
    return {
        "id": instance.id,
        "name": instance.name,
        "engine": instance.engine,
        "address": ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in instance.addresses
        ),
        "user": instance.user,
        "has_password": bool(instance.password),
        "tls": bool(instance.tls),
        "project": project.name,
        "project_id": project.id,
        "created": time_of(instance.created_ms),
    }

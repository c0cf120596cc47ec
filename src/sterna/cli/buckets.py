"""``sterna bucket``: the buckets of object stores, and folders, that jobs read files from and write them to."""

import asyncio
import dataclasses
import itertools
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from sterna.cli.context import Tools, tools_of
from sterna.cli.folder import one_of, opened, settings_of, the_project
from sterna.cli.init import check_name
from sterna.cli.instances import tls_text
from sterna.cli.options import Config, Data, Force, Json, ProjectName
from sterna.cli.output import print_facts, print_note, print_rows, time_of
from sterna.core.errors import Invalid
from sterna.core.files import Storage
from sterna.core.people import Bucket, Project, new_id
from sterna.jobs.desk import now_ms
from sterna.jobs.using import check_bucket
from sterna.settings import Settings

_PLAIN = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""What the documents of DRS let a bucket be called."""
COUNTED = 10_000
"""How many files ``test`` counts before it says that there are more."""

buckets = typer.Typer(no_args_is_help=True, help="Register buckets of object stores, and folders, with files.")

Name = Annotated[str, typer.Argument(help="Name or id of the bucket.")]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM file with the authority to trust.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Take any certificate of the object store.")]


@buckets.command("add")
def add_bucket(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What requests call it; unique within the project.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="PATH", help="A folder of this machine instead of a bucket.")
    ] = None,
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="URL", help="Address of the object store: https://HOST[:PORT].")
    ] = "",
    access_key: Annotated[str, typer.Option("--access-key", metavar="AK", help="Access key.")] = "",
    secret_env: Annotated[
        str | None,
        typer.Option(
            "--secret-env",
            metavar="VAR",
            help="Name of the environment variable that holds the secret key. Without: asked for.",
        ),
    ] = None,
    style: Annotated[
        str,
        typer.Option(
            "--style",
            metavar="path|virtual",
            help="Where the bucket's name goes. Default: virtual for OBS and AWS, path for all others.",
        ),
    ] = "",
    region: Annotated[
        str, typer.Option("--region", help="Region to sign for. Default: the one in the endpoint's name.")
    ] = "",
    remote_name: Annotated[
        str, typer.Option("--remote-name", help="What the object store calls the bucket. Default: NAME.")
    ] = "",
    prefix: Annotated[
        str, typer.Option("--prefix", help="Use only what is below this folder of the bucket.")
    ] = "",
    ca_file: CaFile = None,
    insecure: Insecure = False,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Register a bucket of an object store (OBS, S3 …) or a folder. The secret key is kept encrypted."""
    tools = tools_of(context)
    settings = settings_of(tools, data, config)
    check_name("name", name)
    bucket = Bucket(new_id(), "", name, "s3", prefix=_below(prefix), created_ms=now_ms())
    if folder is not None:
        _nothing_of_s3(endpoint, access_key, secret_env, style, region, remote_name, ca_file, insecure)
        bucket = dataclasses.replace(bucket, kind="folder", folder=_folder(folder))
    else:
        address = _endpoint(endpoint)
        if not access_key:
            raise Invalid("access_key", "A bucket of an object store needs --access-key")
        bucket = dataclasses.replace(
            bucket,
            endpoint=address,
            access_key=access_key,
            secret_key=_secret(tools.environ, secret_env),
            style=_style(style, address),
            region=region,
            remote_name=remote_name,
            tls=_tls(ca_file, insecure),
        )
        _must_fit(bucket)
    tools.open_bucket(bucket)  # asks nobody, but refuses what cannot be

    async def work() -> dict[str, object]:
        async with opened(tools, settings) as store:
            home = await the_project(store, project)
            mine = dataclasses.replace(bucket, project_id=home.id)
            await store.add_bucket(mine)
            return _row(mine, home)

    print_facts(asyncio.run(work()), as_json=as_json)
    if bucket.endpoint.startswith("http:"):
        print_note("Requests to this endpoint are not encrypted: it is not https.")
    if not _PLAIN.fullmatch(name):
        print_note(
            f"Requests of DRS cannot name it: they take 3 to 63 of a-z, 0-9, - and . for a bucket, not {name}."
        )


@buckets.command("list")
def list_buckets(
    context: typer.Context,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List registered buckets, without their secret keys."""
    tools = tools_of(context)
    settings = settings_of(tools, data, config)

    async def work() -> list[dict[str, object]]:
        async with opened(tools, settings) as store:
            wanted = (await the_project(store, project)).id if project else None
            names = {each.id: each for each in await store.projects()}
            return [_row(each, names[each.project_id]) for each in await store.buckets(wanted)]

    print_rows(asyncio.run(work()), ("name", "kind", "place", "prefix", "project", "id"), as_json=as_json)


@buckets.command("show")
def show_bucket(
    context: typer.Context,
    bucket: Name,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show all that is known of a bucket but its secret key."""
    tools = tools_of(context)
    found, home = asyncio.run(_found(tools, settings_of(tools, data, config), bucket, project))
    print_facts(_row(found, home), as_json=as_json)


@buckets.command("test")
def try_bucket(
    context: typer.Context,
    bucket: Name,
    write: Annotated[bool, typer.Option("--write", help="Also write a small file, and delete it.")] = False,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List a bucket and read from it, and say what is wrong if that fails. Changes nothing without --write."""
    tools = tools_of(context)
    found, _ = asyncio.run(_found(tools, settings_of(tools, data, config), bucket, project))
    storage = tools.open_bucket(found)
    facts: dict[str, object] = {"name": found.name, "place": _place(found), **_tried(storage)}
    if write:
        _write(storage)
        facts["written"] = True
    print_facts(facts, as_json=as_json)


@buckets.command("change")
def change_bucket(
    context: typer.Context,
    bucket: Name,
    access_key: Annotated[str, typer.Option("--access-key", metavar="AK", help="Access key.")] = "",
    secret_env: Annotated[
        str | None,
        typer.Option(
            "--secret-env",
            metavar="VAR",
            help="Name of the environment variable that holds the secret key. Without: asked for with a new key.",
        ),
    ] = None,
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="URL", help="Address of the object store: https://HOST[:PORT].")
    ] = "",
    style: Annotated[
        str, typer.Option("--style", metavar="path|virtual", help="Where the bucket's name goes.")
    ] = "",
    region: Annotated[str, typer.Option("--region", help="Region to sign for.")] = "",
    ca_file: CaFile = None,
    insecure: Insecure = False,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Change a bucket's keys or the way to it. Jobs that use it take what is new when they open a file next."""
    tools = tools_of(context)
    settings = settings_of(tools, data, config)
    found, home = asyncio.run(_found(tools, settings, bucket, project))
    if found.kind != "s3":
        raise Invalid("bucket", f"{found.name} is a folder: it has neither keys nor an address")
    address = _endpoint(endpoint) if endpoint else found.endpoint
    new_secret = bool(access_key) or secret_env is not None
    changed = dataclasses.replace(
        found,
        endpoint=address,
        style=_style(style, address) if style else found.style,
        region=region or found.region,
        access_key=access_key or found.access_key,
        secret_key=_secret(tools.environ, secret_env) if new_secret else found.secret_key,
        tls=_tls(ca_file, insecure) or found.tls,
    )
    if changed == found and not new_secret:
        raise Invalid("bucket", "Nothing was named that should change", hint="See sterna bucket change --help.")
    _must_fit(changed)
    tools.open_bucket(changed)  # asks nobody, but refuses what cannot be

    async def work() -> dict[str, object]:
        async with opened(tools, settings) as store:
            await store.put_bucket(changed)
            return _row(changed, home)

    print_facts(asyncio.run(work()), as_json=as_json)


@buckets.command("remove")
def remove_bucket(
    context: typer.Context,
    bucket: Name,
    force: Force = False,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove a bucket from the register, unless jobs or backups need it. Its files are not touched.

    With --force jobs that use it cannot open its files any more. What only changes, as a key does, is for
    sterna bucket change.
    """
    tools = tools_of(context)
    settings = settings_of(tools, data, config)

    async def work() -> dict[str, object]:
        found, _ = await _found(tools, settings, bucket, project)
        async with opened(tools, settings) as store:
            if not force:
                check_bucket((await store.jobs(found.project_id))[1], found.id, found.name)
            await store.remove_bucket(found.id)
        return {"removed": found.id, "name": found.name}

    print_facts(asyncio.run(work()), as_json=as_json)


async def _found(tools: Tools, settings: Settings, wanted: str, project: str | None) -> tuple[Bucket, Project]:
    async with opened(tools, settings) as store:
        home = await the_project(store, project) if project else None
        found = one_of(await store.buckets(home.id if home else None), "bucket", wanted)
        return found, home or one_of(await store.projects(), "project", found.project_id)


def _tried(storage: Storage) -> dict[str, object]:
    """What a listing and one read find. Raises whatever is wrong."""
    entries = list(itertools.islice(storage.list(), COUNTED + 1))
    files = str(COUNTED) + " or more" if len(entries) > COUNTED else len(entries)
    facts: dict[str, object] = {"files": files, "bytes": sum(each.size for each in entries[:COUNTED])}
    if some := next((each for each in entries if each.size), None):
        blob = storage.open(some.name)
        try:
            blob.read_at(0, 1)
        finally:
            blob.close()
        facts["read"] = some.name
    return facts


def _write(storage: Storage) -> None:
    name = f"sterna-test-{secrets.token_hex(8)}"
    try:
        storage.write(name, [b"Written by sterna bucket test; may be deleted.\n"])
    finally:
        storage.delete(name)


def _secret(environ: Mapping[str, str], variable: str | None) -> str:
    """The secret key, from the environment or typed in. Raises Invalid."""
    if variable is not None:
        secret = environ.get(variable, "")
        if not secret:
            # The name is not repeated: someone may have typed the secret itself there.
            raise Invalid("secret_env", "The environment variable that --secret-env names is not set or empty")
        return secret
    if not sys.stdin.isatty():
        raise Invalid("secret_env", "Name the environment variable that holds the secret key with --secret-env")
    return str(typer.prompt("Secret key", hide_input=True))


def _tls(ca_file: Path | None, insecure: bool) -> str:
    """As a bucket keeps it: a JSON object, or empty. Raises Invalid."""
    return tls_text(bool(ca_file), insecure, {"ca_file": ca_file, "cert_file": None, "key_file": None})


def _must_fit(bucket: Bucket) -> None:
    """Raises Invalid for an encryption that the endpoint has not."""
    if bucket.tls and not bucket.endpoint.startswith("https:"):
        raise Invalid("ca_file", "--ca-file and --insecure are for endpoints with https")


def _endpoint(text: str) -> str:
    if not text:
        raise Invalid("endpoint", "Give --folder PATH for a folder, or --endpoint URL for an object store")
    return (text if "://" in text else f"https://{text}").rstrip("/")


def _style(style: str, endpoint: str) -> str:
    if style not in ("", "path", "virtual"):
        raise Invalid("style", "--style is path or virtual")
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:  # it is refused as an endpoint, in better words
        host = ""
    named = host.startswith("obs.") or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return style or ("virtual" if named else "path")


def _below(prefix: str) -> str:
    prefix = prefix.strip("/")
    return f"{prefix}/" if prefix else ""


def _folder(path: Path) -> str:
    if not path.is_dir():
        raise Invalid("folder", f"There is no folder {path}")
    return str(path.resolve())


def _nothing_of_s3(*given: object) -> None:
    if any(given):
        raise Invalid("folder", "--folder goes with --prefix alone, not with what describes an object store")


def _place(bucket: Bucket) -> str:
    return bucket.folder or f"{bucket.endpoint}/{bucket.remote_name or bucket.name}"


def _row(bucket: Bucket, project: Project) -> dict[str, object]:
    facts: dict[str, object] = {
        "id": bucket.id,
        "name": bucket.name,
        "kind": bucket.kind,
        "place": _place(bucket),
        "prefix": bucket.prefix,
    }
    if bucket.kind == "s3":
        facts |= {
            "endpoint": bucket.endpoint,
            "remote_name": bucket.remote_name or bucket.name,
            "style": bucket.style,
            "region": bucket.region,
            "access_key": bucket.access_key,
            "has_secret_key": bool(bucket.secret_key),
            "tls": bool(bucket.tls) or bucket.endpoint.startswith("https:"),
        }
    return facts | {"project": project.name, "project_id": project.id, "created": time_of(bucket.created_ms)}

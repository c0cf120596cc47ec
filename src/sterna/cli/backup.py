"""``sterna backup``: what backup files hold, and whether they are sound."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from sterna.cli.context import Tools, tools_of
from sterna.cli.exits import ExitCode
from sterna.cli.files import open_file
from sterna.cli.folder import settings_of
from sterna.cli.options import Config, Data, Json, ProjectName
from sterna.cli.output import bytes_of, print_facts, print_json, print_line, print_note, print_rows
from sterna.core.files import Blob
from sterna.settings import Settings

Json_ = Mapping[str, Any]
"""A JSON object; what is in it stands with the methods that give it."""


class Backups(Protocol):
    """Reads backup files. What its methods give can be written as JSON as it is."""

    def inspect(self, blobs: Sequence[Blob]) -> Json_:
        """What files hold: ``sets``, and ``media`` of one file, ``files`` (file, media, sets) of several.

        Beside ``media``, ``trouble`` tells why not all can be told. Raises BadData, Unsupported.
        """
        ...

    def verify(self, blobs: Sequence[Blob], tell: Callable[[Json_], None]) -> Json_:
        """Reads everything. Tells of each fault (file, offset, page, message) when it is found.

        Gives ``pages``, ``records``, ``blocks``: how many were checked; ``faults``: how many were found;
        ``not_checked``: what could not be, and why.
        """
        ...

    def tables(self, blobs: Sequence[Blob], set_number: int | None = None) -> Json_:
        """The tables of the databases that the files give, their rows read and counted.

        Gives ``tables``: ``schema``, ``table``, ``rows``, ``rcrows`` (the server's own count), ``columns``;
        ``trouble`` where rows cannot be read; ``note`` where they are not as many as the server counted;
        ``database`` where there are several. ``set_number``: of files with several sets, the state of the one at
        that position is wanted. Raises BadData, Unsupported.
        """
        ...

    def export(
        self,
        blobs: Sequence[Blob],
        folder: Path,
        form: str,
        tell: Callable[[Json_], None],
        *,
        tables: Sequence[str] = (),
        set_number: int | None = None,
        replace_unstorable: bool = False,
    ) -> Json_:
        """Writes tables into a folder, a file for each, complete or not at all; ``form``: csv, parquet, sql.

        ``tables``: only these, as ``schema.table``. Tells how far it is (database, schema, table, rows, done,
        note). Gives ``tables`` (schema, table, rows, file, perhaps note), ``skipped`` (schema, table, trouble),
        ``scripts`` (files that are none of a table's) and ``replaced`` (characters). Raises BadData, Unsupported,
        Invalid before anything is written; DiskFull, NeedsOperator, Unreachable.
        """
        ...


FILES = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...", help="Backup files: paths, or bucket:NAME/FILE, s3://BUCKET/FILE. All stripes together."
    ),
]

backups = typer.Typer(
    no_args_is_help=True,
    help="Look into backup files of SQL Server, export them, load them and RDB and AOF files.",
)


@backups.command("inspect")
def inspect_backup(
    context: typer.Context,
    files: FILES,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Show what backup files hold: backup sets, their places in the log, the database's files.

    Of a file that is encrypted or damaged, what can be told is told, and the exit code is 4.
    """
    tools = tools_of(context)
    with opened_files(tools, settings_of(tools, data, config), files, project) as blobs:
        found = tools.backups().inspect(blobs)
    media = found.get("files", [found])
    if as_json:
        print_json(found)
    else:
        _print_found(found["sets"], media)
    return ExitCode.FAILED if any("trouble" in each for each in media) else ExitCode.DONE


def _print_found(sets: Sequence[Json_], files: Sequence[Json_]) -> None:
    for each in files:
        print_facts(_media_facts(each["media"]), as_json=False)
        if "trouble" in each:
            print_line(f"Not all of it can be told: {each['trouble']}")
        print_line("")
    if not sets and not any("trouble" in each for each in files):
        print_line("No backup set: the file ends before the first one does, or none was written yet")
    for each in sets:
        print_facts(_set_facts(each), as_json=False)
        print_rows([_file_row(file) for file in each["files"]], _FILE_COLUMNS, as_json=False)
        print_line("")


@backups.command("verify")
def verify_backup(
    context: typer.Context,
    files: FILES,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Read backup files whole and check all their checksums, and that they fit together."""
    tools = tools_of(context)
    faults: list[Json_] = []
    tell = faults.append if as_json else _print_fault
    with opened_files(tools, settings_of(tools, data, config), files, project) as blobs:
        result = tools.backups().verify(blobs, tell)
    if as_json:
        print_json({**result, "faults": faults})
    else:
        for note in result["not_checked"]:
            print_line(f"Not checked: {note}")
        counted = "{pages} pages, {records} records, {blocks} blocks checked".format(**result)
        print_line(f"{counted}, {result['faults'] or 'no'} fault{'s' if result['faults'] > 1 else ''}")
    return ExitCode.FAILED if result["faults"] else ExitCode.DONE


@backups.command("tables")
def tables_of_backup(
    context: typer.Context,
    files: FILES,
    set_number: Annotated[
        int | None,
        typer.Option(
            "--set", min=1, metavar="N", help="Of files with several sets: the state of set N, not the newest."
        ),
    ] = None,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """List the tables in backup files and count their rows by reading them. Several files: stripes, or a chain.

    Tables whose rows cannot be read are named with why, and the exit code is 4. One that has other rows than the
    server counted has a note.
    """
    tools = tools_of(context)
    with opened_files(tools, settings_of(tools, data, config), files, project) as blobs:
        found = tools.backups().tables(blobs, set_number)
    if as_json:
        print_json(found)
    else:
        _print_tables([{**each, "columns": len(each["columns"])} for each in found["tables"]])
    return ExitCode.FAILED if any("trouble" in each for each in found["tables"]) else ExitCode.DONE


def _print_tables(tables: Sequence[Json_]) -> None:
    columns = ["schema", "table", "rows", "columns"]
    if any("database" in each for each in tables):
        columns.insert(0, "database")
    columns += [name for name in ("note", "trouble") if any(name in each for each in tables)]
    print_rows(tables, columns, as_json=False)


@dataclass(frozen=True)
class AsTyped:
    """A file under the name that was typed for it: messages name it so."""

    blob: Blob
    name: str

    @property
    def size(self) -> int:
        return self.blob.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self.blob.read_at(offset, length)

    def close(self) -> None:
        self.blob.close()


class Form(StrEnum):
    """What files of tables are made of."""

    CSV = "csv"
    PARQUET = "parquet"
    SQL = "sql"


@backups.command("export")
def export_backup(
    context: typer.Context,
    files: FILES,
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DIR", help="Folder for the files; made if missing. Files in it are replaced."
        ),
    ],
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            metavar="csv|parquet|sql",
            help=(
                "csv: UTF-8 with a header, NULL empty, empty text as two quotes. parquet: exact types, needs "
                "pyarrow. sql: scripts of T-SQL for a SQL Server from 2008 on."
            ),
        ),
    ],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="SCHEMA.TABLE", help="Only this table; may be repeated."),
    ] = None,
    set_number: Annotated[
        int | None,
        typer.Option(
            "--set", min=1, metavar="N", help="Of files with several sets: the state of set N, not the newest."
        ),
    ] = None,
    replace_unstorable: Annotated[
        bool,
        typer.Option(
            "--replace-unstorable",
            help="csv, parquet: write U+FFFD for lone surrogates, which UTF-8 cannot hold; sql keeps them.",
        ),
    ] = False,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Write the tables in backup files into a folder: a file for each, SCHEMA.TABLE.csv, .parquet or .sql.

    Several files: stripes, or a chain. Each file is there complete or not at all. Tables that cannot be read are
    skipped, named, and the exit code is 4. With sql, schema.sql makes tables and keys and is run first, finish.sql
    makes indexes and foreign keys and is run last.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tools = tools_of(context)
    with opened_files(tools, settings_of(tools, data, config), files, project) as blobs:
        result = tools.backups().export(
            blobs,
            to,
            form.value,
            _print_progress,
            tables=table or (),
            set_number=set_number,
            replace_unstorable=replace_unstorable,
        )
    if as_json:
        print_json(result)
    else:
        _print_exported(result, to)
    return ExitCode.FAILED if result["skipped"] else ExitCode.DONE


def _print_progress(told: Json_) -> None:
    """Beside the output proper, so that it can be read while the output goes elsewhere."""
    name = f"{told['database']}.{told['schema']}.{told['table']}"
    rows = f"{told['rows']} rows{'' if told['done'] else ' so far'}"
    print_note(f"{name}: {rows}{', ' + told['note'] if told['note'] else ''}")


def _print_exported(result: Json_, folder: Path) -> None:
    several = any("database" in each for each in (*result["tables"], *result["skipped"]))
    names = [*(["database"] if several else []), "schema", "table"]
    print_rows(result["tables"], [*names, "rows", "file"], as_json=False)
    for name in result["scripts"]:
        print_line(f"Also written: {name}")
    for each in result["tables"]:
        if "note" in each:
            print_line(f"Note: {'.'.join(each[name] for name in names)}: {each['note']}")
    for each in result["skipped"]:
        print_line(f"Skipped: {'.'.join(each[name] for name in names)}: {each['trouble']}")
    if result["replaced"]:
        print_line(f"Characters replaced by U+FFFD: {result['replaced']}")
    rows = sum(each["rows"] for each in result["tables"])
    print_line(f"{len(result['tables'])} tables, {rows} rows in {folder}, {len(result['skipped'])} tables skipped")


@contextlib.contextmanager
def opened_files(
    tools: Tools, settings: Settings, files: Sequence[str], project: str | None
) -> Iterator[Sequence[Blob]]:
    """The files, open. Raises Invalid, NotFound, AccessDenied, Unreachable."""
    with contextlib.ExitStack() as stack:
        blobs: list[Blob] = []
        for text in files:
            blobs.append(AsTyped(asyncio.run(open_file(tools, settings, text, project)), text))
            stack.callback(blobs[-1].close)
        yield blobs


_FILE_COLUMNS = ("file_id", "type", "logical", "size", "pages_in_backup", "physical")


def _media_facts(media: Json_) -> Json_:
    if "media_set" not in media:
        return {"file": media["file"], "compressed": media["compressed"], "encrypted": media["encrypted"]}
    facts = {
        "file": media["file"],
        "media set": media["media_set"],
        "family": f"{media['family_sequence']} of {media['family_count']}",
        "name": media["name"],
        "compressed": media["compressed"],
        "media password": media["password"],
    }
    return {name: value for name, value in facts.items() if value not in ("", False)}


def _set_facts(found: Json_) -> Json_:
    facts = {
        "set": found["position"],
        "database": found["database"],
        "type": found["type"],
        "name": found["backup_name"],
        "description": found["description"],
        "server": found["server"],
        "version": found["version"],
        "started": found["start"],
        "finished": found["finish"],
        "size": bytes_of(found["backup_size"]),
        "first LSN": found["first_lsn"],
        "last LSN": found["last_lsn"],
        "checkpoint LSN": found["checkpoint_lsn"],
        "database backup LSN": found["database_backup_lsn"],
        "differential base": found.get("differential_base_lsn", ""),
        "complete": found["complete"],
        "encrypted pages": found["tde"] or "",
        "needs": found["needs"] or "",
    }
    return {name: value for name, value in facts.items() if value != ""}


def _file_row(file: Json_) -> Json_:
    return {**file, "size": bytes_of(file["size"])}


def _print_fault(fault: Json_) -> None:
    page = f", page {fault['page']}" if fault["page"] else ""
    print_line(f"{fault['file']}, byte {fault['offset']}{page}: {fault['message']}")

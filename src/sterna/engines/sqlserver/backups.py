"""Backup files of SQL Server for those who ask about them: the commands and the checks before a job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from sterna.core.files import Blob
from sterna.core.schema import Table
from sterna.engines.sqlserver.exporting.export import Export, Told
from sterna.engines.sqlserver.exporting.texts import Unicode
from sterna.engines.sqlserver.wire.counting import count_tables, verify_rows, whole_databases
from sterna.engines.sqlserver.wire.faults import Damaged, Fault
from sterna.engines.sqlserver.wire.inspecting import inspect
from sterna.engines.sqlserver.wire.media import MediaFile, open_media
from sterna.engines.sqlserver.wire.verify import Counts, verify

_MOST_FAULTS = 1000


class SqlServerBackups:
    """What the command ``sterna backup`` needs."""

    def inspect(self, blobs: Sequence[Blob]) -> Mapping[str, Any]:
        """What files hold: ``sets``, and ``media`` of one file, ``files`` (file, media, sets) of several.

        Sets that are striped over several of the files are one. Beside ``media``, ``trouble`` tells why not
        everything can be told. Raises BadData, Unsupported for files of which nothing can be.
        """
        return inspect(blobs)

    def tables(self, blobs: Sequence[Blob], set_number: int | None = None) -> Mapping[str, Any]:
        """The tables of all databases of which the files hold backups, with their rows, all read.

        Several files are stripes or a chain, in any order. ``tables``: schema, table, rows, rcrows, columns;
        trouble where the rows cannot be read, note where they are not as many as the server counted; database
        where there are several. Raises BadData, Unsupported.
        """
        found = list(count_tables([open_media(each) for each in blobs], set_number))
        several = len({one.database for one in found}) > 1
        return {"tables": [{**({"database": one.database} if several else {}), **one.as_json()} for one in found]}

    def export(
        self,
        blobs: Sequence[Blob],
        folder: Path,
        form: str,
        tell: Callable[[Mapping[str, Any]], None],
        *,
        tables: Sequence[str] = (),
        set_number: int | None = None,
        replace_unstorable: bool = False,
    ) -> Mapping[str, Any]:
        """Writes tables into a folder, a file for each: ``form`` is csv, parquet or sql.

        ``tables``: only these, as ``schema.table``. Tells how far it is: database, schema, table, rows,
        done, note.

        Gives ``tables`` (schema, table, rows, file relative to the folder, perhaps note), ``skipped`` (schema,
        table, trouble), ``scripts`` (the other files of sql), ``replaced`` (characters that UTF-8 cannot hold);
        database where there are several. Raises BadData, Unsupported, Invalid before anything is written;
        DiskFull, NeedsOperator, Unreachable also later.
        """
        unicode = Unicode(replace_unstorable)
        export = Export(folder, form, lambda told: tell(_told(told)), unicode)
        databases = whole_databases([open_media(each) for each in blobs], set_number)
        result = export.run(databases, tables)
        several = len(databases) > 1
        done = [
            {**_place(one.table, several), "rows": one.rows, "file": one.file, **_noted(one.note)}
            for one in result.tables
        ]
        skipped = [{**_place(table, several), "trouble": why} for table, why in result.skipped]
        return {"tables": done, "skipped": skipped, "scripts": result.scripts, "replaced": result.replaced}

    def verify(self, blobs: Sequence[Blob], tell: Callable[[Mapping[str, Any]], None]) -> Mapping[str, Any]:
        """Reads everything; tells of each fault (file, offset, page, message) when it is found.

        Gives how many ``pages``, ``records`` and ``blocks`` were checked, how many ``faults`` there are, and what
        was ``not_checked``. Raises Unsupported for files that cannot be read at all.
        """
        counts = Counts()
        found: set[Fault] = set()
        medias: list[MediaFile] = []
        for blob in blobs:
            try:
                medias.append(open_media(blob))
            except Damaged as error:
                tell(_json(error.fault))
                found.add(error.fault)
        for fault in chain(verify(medias, counts), verify_rows(medias, counts.not_checked)):
            if fault in found:  # a page that is damaged is met again by who reads its rows
                continue
            tell(_json(fault))
            found.add(fault)
            if len(found) >= _MOST_FAULTS:
                counts.not_checked.append(f"the rest: {len(found)} faults are enough")
                break
        return asdict(counts) | {"faults": len(found)}


def _place(table: Table, several: bool) -> Mapping[str, Any]:
    database, schema, name = table.path
    return {**({"database": database} if several else {}), "schema": schema, "table": name}


def _noted(note: str) -> Mapping[str, str]:
    return {"note": note} if note else {}


def _told(told: Told) -> Mapping[str, Any]:
    return {**_place(told.table, True), "rows": told.rows, "done": told.done, "note": told.note}


def _json(fault: Fault) -> Mapping[str, Any]:
    return asdict(fault)

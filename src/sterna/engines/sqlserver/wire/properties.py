"""Extended properties: comments of tables and columns, and whatever else people and tools noted down."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sterna.core.errors import BadData
from sterna.core.plan import Path
from sterna.core.schema import Leftover
from sterna.engines.sqlserver.wire.base import Row
from sterna.engines.sqlserver.wire.catalog import Catalog
from sterna.engines.sqlserver.wire.copytext import variant_text
from sterna.engines.sqlserver.wire.texts import Texts
from sterna.engines.sqlserver.wire.variant import read_variant

USER_TABLE = b"U "
SYSTEM_SCHEMA = 4
SHIPPED = 1
"""An object that every database has."""
DESCRIPTION = "MS_Description"
"""The property that tools take for a comment."""
OF_OBJECTS, OF_SCHEMAS, OF_INDEXES = 1, 3, 7
"""Classes of properties, as ``sys.extended_properties`` has them in the reference of SQL Server."""
_FAULTS = (ValueError, struct.error, IndexError, OverflowError, ArithmeticError, LookupError, BadData)


@dataclass(frozen=True)
class Properties:
    """Those of one database."""

    catalog: Catalog
    texts: Texts
    database: str

    def comment(self, table: int, column: int = 0) -> str:
        """Of a table, or of one of its columns; empty: there is none."""
        for row in self.catalog.properties.get((OF_OBJECTS, table), ()):
            if row["subid"] == column and row.text("name") == DESCRIPTION:
                return self._text(row)
        return ""

    def leftovers(self) -> Iterator[Leftover]:
        """What is no comment of a table or a column: all of a thing together, as tools note down very many."""
        for (kind, number), rows in sorted(self.catalog.properties.items()):
            found = self.catalog.objects.get(number) if kind == OF_OBJECTS else None
            if kind == OF_OBJECTS and (
                found is None or found["status"] & SHIPPED or found["nsid"] == SYSTEM_SCHEMA
            ):
                continue
            commented = found is not None and found.raw("type") == USER_TABLE
            texts = [
                f"{self._part(kind, number, row['subid'])}{row.text('name')}: {self._text(row)}"
                for row in rows
                if not (commented and row.text("name") == DESCRIPTION)
            ]
            if texts:
                path = self._owner(kind, number)
                yield Leftover("extended properties", path, "\n".join(texts), "PostgreSQL has none")

    def _text(self, row: Row) -> str:
        """The value as text; empty where it cannot be read."""
        try:
            return variant_text(read_variant(self.texts.value(row)))
        except _FAULTS:
            return ""

    def _owner(self, kind: int, number: int) -> Path:
        """What properties are of."""
        if kind == OF_SCHEMAS:
            return (self.database, self.catalog.schemas.get(number, str(number)))
        found = self.catalog.objects.get(number) if kind in (OF_OBJECTS, OF_INDEXES) else None
        if found is None:
            return (self.database,)
        parent = self.catalog.objects.get(found["pid"])
        schema = self.catalog.schemas.get(found["nsid"], str(found["nsid"]))
        return (self.database, schema, *([parent.text("name")] if parent else []), found.text("name"))

    def _part(self, kind: int, number: int, part: int) -> str:
        """The name of a column, or of an index, and a dot; empty: the thing itself is meant."""
        if not part:
            return ""
        catalog, key = self.catalog, "indid" if kind == OF_INDEXES else "colid"
        among = catalog.indexes if kind == OF_INDEXES else catalog.columns
        name = next((row.text("name") for row in among.get(number, ()) if row[key] == part), str(part))
        return f"{name}."

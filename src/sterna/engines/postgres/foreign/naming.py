"""What things of another kind of database are called in PostgreSQL: as there, wherever that can be.

Names keep their letters and their case, as they are always quoted. One that is longer than PostgreSQL keeps is
cut, with a hash of the whole at its end; one that PostgreSQL has for itself gets an underscore in front. Tables
and indexes of a schema share one space of names: an index whose name is taken gets its table's in front.
"""

import hashlib
from dataclasses import dataclass, field

from sterna.core.plan import Path, Selection
from sterna.engines.postgres.names import LONGEST, SCHEMA

_HASH = 8
_COLUMNS = {"ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"}
_SCHEMAS = {SCHEMA, "information_schema"}
_DATABASES = {"template0", "template1"}


def fitted(name: str) -> str:
    """At most 63 bytes of UTF-8, without letters that PostgreSQL does not know; the same every time."""
    encoded = name.replace("\0", "�").encode("utf-8", "replace")
    if len(encoded) > LONGEST:
        short = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
        return encoded[: LONGEST - _HASH - 1].decode("utf-8", "ignore") + "_" + short
    return encoded.decode()


def column_name(name: str) -> str:
    return fitted(f"_{name}" if name in _COLUMNS else name)


def schema_name(name: str) -> str:
    return fitted(f"_{name}" if name in _SCHEMAS or name.startswith("pg_") else name)


def database_name(name: str) -> str:
    return fitted(f"_{name}" if name in _DATABASES else name)


def wanted(selection: Selection, path: Path) -> Path | None:
    """Where the operator wants a database, schema or table to go; None: it is not taken."""
    database, found = selection.database(path[0]), selection.place(path)
    if database is None or found is None:
        return None
    return (database if found.to[0] == path[0] else found.to[0], *found.to[1:])


def place(selection: Selection, path: Path) -> Path | None:
    """Where it goes, as PostgreSQL can have it; None: it is not taken."""
    to = wanted(selection, path)
    return to and tuple(make(name) for make, name in zip((database_name, schema_name, fitted), to, strict=False))


def unlike(table: str, name: str) -> str:
    """A name for a table's index that nothing else is likely to have."""
    short = hashlib.sha256(f"{table}\n{name}".encode()).hexdigest()[:_HASH]
    return fitted(f"{name.encode()[: LONGEST - _HASH - 1].decode('utf-8', 'ignore')}_{short}")


@dataclass
class Taken:
    """The names that the relations of a schema have: tables, and what indexes and keys make."""

    names: set[str] = field(default_factory=set)

    def give(self, name: str, table: str) -> str:
        """A name for an index of a table: its own, or another one if that is taken."""
        number, found = 1, fitted(name)
        while found in self.names:
            tail = f"_{number}" if number > 1 else ""
            number, found = number + 1, fitted(f"{table}_{name}{tail}")
        self.names.add(found)
        return found

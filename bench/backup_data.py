"""The SQL Server backups that are measured, prepared once, and what has to come out of them.

The text is worked out from the rows' numbers, without the reader: it is what the reader must give, and what psql
loads for comparison.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sterna.core.plan import Path as Names
from tests.backups.big import big_backup, values
from tests.servers.places import made_once

ROWS = 1_000_000
COLUMNS = 10
DATABASE = "Big"
TABLE: Names = ("Big", "dbo", "big")
COLUMN_TYPES = (
    "int", "varchar(40)", "numeric(12,2)", "timestamp(3)", "boolean", "bigint", "numeric(19,4)",
    "varchar(60)", "date", "double precision",
)  # fmt: skip
FORMS = ("uncompressed", "compressed")


@dataclass(frozen=True)
class Prepared:
    """A table in three forms, in one folder."""

    folder: Path
    rows: int

    def file(self, form: str) -> Path:
        """The backup."""
        return self.folder / f"{form}.bak"

    @property
    def text(self) -> Path:
        """Its rows as COPY gives them, in the order of the table's pages."""
        return self.folder / "big.copy"


def prepared(rows: int) -> Prepared:
    """The backups of a table of so many rows, made at the first use."""
    return Prepared(made_once(f"bench-bak-{rows}", lambda into: _prepare(rows, into)), rows)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lines(rows: int) -> Iterator[str]:
    """The rows as lines of COPY text."""
    for number in range(rows):
        yield "\t".join(map(_text, values(number, COLUMNS))) + "\n"


def _text(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, str) and "." in value and value[4:5] == "-":
        return value.rstrip("0").removesuffix(".")  # a moment
    return f"{value:f}" if hasattr(value, "scaleb") else str(value)


def _prepare(rows: int, into: Path) -> None:
    made = Prepared(into, rows)
    for form in FORMS:
        big_backup(made.file(form), rows, COLUMNS, compressed=form == "compressed")
    with made.text.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines(rows))

"""What comparing two sides finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sterna.core.change import Name


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same on both sides."""

    name: str
    """Where: database and key, or table and key, printable."""
    kind: str
    """``missing`` on the target, ``extra`` on the target, ``type``, ``value`` or ``expiry``."""
    detail: str = ""
    remedy: str = ""
    """What mends it on the target, in the server's own language; may be empty."""


class Depth(StrEnum):
    """How closely a comparison looks."""

    OBJECTS = "objects"  #: what there is: tables, indexes, views …
    ROWS = "rows"  #: that, and how many rows each table has
    CONTENTS = "contents"  #: that, and what is in the rows


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found of one table, collection or database."""

    name: Name
    target: Name
    source_rows: int
    """-1: not known, or there is none."""
    target_rows: int
    different: int = 0
    """Rows that are missing, extra or different; with ``ROWS`` the difference of the counts."""
    trouble: str = ""
    """Why it could not be compared; empty: it was."""

    @property
    def equal(self) -> bool:
        return not self.different and not self.trouble


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found."""

    equal: bool
    compared: int
    differences: Sequence[Difference]
    """At most as many as were asked for; ``different`` counts all."""
    different: int
    counts: Mapping[str, tuple[int, int]]
    """Database or table: rows on the source, rows on the target."""
    unsettled: int = 0
    """Things that changed each time they were looked at."""
    repaired: int = 0
    objects: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Kind of object (``tables``, ``indexes`` …): how many on the source, how many on the target."""
    tables: Sequence[Compared] = ()

"""Which databases and keys of the source go where: the operator's selection, as Redis understands it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sterna.core.errors import Invalid
from sterna.core.plan import Selection

EVERY = "*"
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})|\\\\")


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where each source database goes, and which keys go along.

    Several source databases may go into one target database: the cloud service allows it. Where the same key is
    in more than one of them, whichever was written last wins, and in a copy the highest database.
    """

    only: frozenset[int] = frozenset()
    """Source databases to take; none: all."""
    moved: tuple[tuple[int, int], ...] = ()
    """Source database and its target, for those that are named."""
    everything_to: int | None = None
    """The target of the databases that ``moved`` does not name; None: the same number."""
    include: tuple[bytes, ...] = ()
    """Prefixes of the keys to take; none: all."""
    exclude: tuple[bytes, ...] = ()
    """Prefixes of the keys to leave out, stronger than ``include``."""

    @classmethod
    def of(cls, selection: Selection) -> "Mapping":
        """Read the operator's words: databases are numbers, ``*`` is all of them. Raises Invalid."""
        moved: dict[int, int] = {}
        everything_to: int | None = None
        for rename in selection.renames:
            new = _database(rename.new, "renames")
            if rename.old == EVERY:
                if everything_to not in (None, new):
                    raise Invalid("renames", f"All databases cannot go into both {everything_to} and {new}")
                everything_to = new
                continue
            old = _database(rename.old, "renames")
            if moved.setdefault(old, new) != new:
                raise Invalid("renames", f"Database {old} cannot go into both {moved[old]} and {new}")
        return cls(
            only=frozenset(_database(text, "only") for text in selection.only),
            moved=tuple(sorted(moved.items())),
            everything_to=everything_to,
            include=tuple(prefix(text) for text in selection.rows.include),
            exclude=tuple(prefix(text) for text in selection.rows.exclude),
        )

    def target_of(self, source: int) -> int | None:
        """The target database of a source database; None: it is left out."""
        if self.only and source not in self.only:
            return None
        for old, new in self.moved:
            if old == source:
                return new
        return source if self.everything_to is None else self.everything_to

    @property
    def identity(self) -> bool:
        """True where every database is taken and keeps its number."""
        return not self.only and self.everything_to is None and all(old == new for old, new in self.moved)

    @property
    def filtered(self) -> bool:
        """True where some keys may be left out."""
        return bool(self.include or self.exclude)

    def keep(self, key: bytes) -> bool:
        """Whether the key goes along."""
        if self.include and not key.startswith(self.include):
            return False
        return not (self.exclude and key.startswith(self.exclude))

    def sources_in(self, used: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """Of the source databases in use: each target database with those that go into it, both ascending."""
        found: dict[int, list[int]] = {}
        for source in sorted(set(used)):
            target = self.target_of(source)
            if target is not None:
                found.setdefault(target, []).append(source)
        return {target: tuple(sources) for target, sources in sorted(found.items())}


def prefix(text: str) -> bytes:
    r"""A prefix as bytes: UTF-8, where ``\xNN`` is one byte and ``\\`` a backslash."""
    return _ESCAPE.sub(lambda found: bytes.fromhex((found[1] or b"5c").decode()), text.encode())


def _database(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(where, f"{text!r} is not the number of a database")
    return int(text)

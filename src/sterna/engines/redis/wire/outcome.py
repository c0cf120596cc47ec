"""What comes out of a walk through an RDB file."""

from dataclasses import dataclass, field

from sterna.engines.redis.wire.command import command
from sterna.engines.redis.wire.place import Place
from sterna.engines.redis.wire.tape import shown

MOST_NAMED = 10
"""So many keys that hold nothing are named, as servers do."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Commands to send as they are. ``place`` is behind the last of their keys."""

    data: bytes
    commands: int
    """How many answers will come: keys, and a SELECT where the database changes."""
    keys: int
    expired: int
    """Keys that were left out because their time is over."""
    left_out: int
    """Keys that the selection does not want, or that hold nothing."""
    place: Place
    selected: int | None
    """The target's database after these commands."""


@dataclass(frozen=True, slots=True)
class Big:
    """A value of more than ``limit`` bytes. ``Walker.pieces`` gives its commands; ``walk`` goes on after them."""

    key: bytes
    type: str
    """``string``, ``list``, ``set``, ``zset``, ``hash`` or ``stream``."""
    database: int
    """The target's database, which must be selected before the first piece."""
    expires_ms: int
    """When it expires on the target, epoch milliseconds; 0: never."""
    place: Place
    """Before the key: a walker that starts there meets it again."""


@dataclass(frozen=True, slots=True)
class Needs:
    """More bytes are needed to go on, at least this many."""

    missing: int


@dataclass(frozen=True, slots=True)
class Functions:
    """The code of a function library, for FUNCTION LOAD REPLACE. ``place`` is behind it."""

    code: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class End:
    """The file is over. ``checked``: it had a checksum, and it is right. What is behind it: ``Walker.rest``."""

    place: Place
    checked: bool


@dataclass(slots=True)
class Facts:
    """What a file says about itself, as far as it was read."""

    aux: dict[str, str] = field(default_factory=dict)
    """``redis-ver``, ``repl-id``, ``repl-offset``, ``used-mem`` …"""
    keys: int = 0
    """How many keys the databases seen so far hold; 0 if not said."""
    notes: list[str] = field(default_factory=list)
    """What was passed over and is not on the target."""
    empty: int = 0
    """Keys that hold nothing; they are left out, as a server does that loads the file."""
    empty_keys: list[bytes] = field(default_factory=list)
    """The first of them."""

    def note_empty(self, key: bytes) -> None:
        self.empty += 1
        if self.empty <= MOST_NAMED:
            self.empty_keys.append(key)

    def said(self) -> list[str]:
        """What was passed over, in sentences."""
        if not self.empty:
            return list(self.notes)
        names = ", ".join(map(shown, self.empty_keys)) + (" …" if self.empty > MOST_NAMED else "")
        what = "1 key holds no element and is" if self.empty == 1 else f"{self.empty} keys hold no element and are"
        return [*self.notes, f"{what} left out, as a server does that loads the file: {names}"]


@dataclass(slots=True)
class Gathered:
    """What one walk has gathered so far."""

    selected: int | None
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    commands: int = 0
    keys: int = 0
    expired: int = 0
    left_out: int = 0

    @property
    def anything(self) -> bool:
        return bool(self.keys or self.expired or self.left_out)

    def add(self, data: bytes, keys: int) -> None:
        self.parts.append(data)
        self.size += len(data)
        self.commands += keys
        self.keys += keys

    def choice(self, database: int) -> bytes:
        """The SELECT that a key of this database needs; empty: none."""
        return b"" if self.selected == database else command(b"SELECT", b"%d" % database)

    def select(self, database: int) -> None:
        if choice := self.choice(database):
            self.add(choice, 0)
            self.commands += 1
            self.selected = database

    def restored(self, place: Place) -> Restored:
        data = b"".join(self.parts)
        return Restored(data, self.commands, self.keys, self.expired, self.left_out, place, self.selected)

"""Cuts the messages of a slot's stream into pieces that are written together.

What comes in: the payloads of CopyData as a walsender sends them, ``w`` (a pgoutput message behind a header of
25 bytes) and ``k`` (a keepalive). What goes out: frames, each the length of a message in four bytes and the
message as it came. The layouts are in PostgreSQL's documentation, "Streaming Replication Protocol" and "Logical
Replication Message Formats" (protocol version 1).
"""

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from sterna.core.change import Change, Command, Ddl
from sterna.core.errors import BadData
from sterna.engines.postgres.wire.native import compiled

LARGE = 4 << 20
"""A transaction with more bytes than this goes out in several pieces."""

_HEADER = 25
_DATA, _ALIVE = b"wk"
_native = compiled("_frames")
_length = struct.Struct(">I").pack
_KEEPALIVE = struct.Struct(">cQQB")
_COMMIT = struct.Struct(">cBQQQ")
_TRUNCATE = struct.Struct(">cIB")
_MESSAGE = struct.Struct(">cBQ")
_ONE_COLUMN = struct.Struct(">5xcHcI")
_TRANSACTIONAL = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole transactions, or with ``more`` some of one whose rest is in the next pieces."""

    changes: Sequence[Change]
    end: int
    """The end of the last whole transaction so far."""
    size: int
    more: bool = False


@dataclass
class Cutter:
    """The stream of one database. ``feed`` it what came, then ``take`` pieces until there is none."""

    database: str
    end: int
    """The end of the last whole transaction that came in."""
    prefix: str = ""
    """Messages in the log with this prefix are the job's own and become ``Ddl``; others are left out."""
    journal: tuple[str, str] = ("", "")
    """Schema and name of a table whose rows mean the same."""
    reached: int = 0
    """Everything that was committed before this place of the log has come in."""
    asked: bool = False
    """The walsender wants to hear from us at once; whoever answers sets it back."""
    open: bool = False
    """A transaction has begun and its end has not come in."""
    large: int = LARGE
    _split: bool = False
    """A piece of the open transaction was cut off."""
    _journal_id: bytes = b""
    _known: dict[bytes, bytes] = field(default_factory=dict)
    """The last description of each relation, by its id, as a frame."""
    _ready: "deque[Piece]" = field(default_factory=deque)
    _whole: "_Draft" = field(init=False)
    """Whole transactions, to be written together."""
    _part: "_Draft" = field(init=False)
    """What came in of the open one."""

    def __post_init__(self) -> None:
        self._whole, self._part = _Draft(self.database), _Draft(self.database)

    @property
    def pending(self) -> bool:
        """Something came in that was not taken, or that is not complete."""
        return self.open or self._whole.worth or bool(self._ready)

    @property
    def waiting(self) -> int:
        """Bytes that can be taken. What came in of an open transaction is beside that, at most ``large``."""
        return self._whole.worth * self._whole.size + sum(piece.size for piece in self._ready)

    def take(self) -> Piece | None:
        """What can be written now, oldest first; None: nothing."""
        if not self._ready and self._whole.worth:
            self._ready.append(self._close_whole())
        return self._ready.popleft() if self._ready else None

    def feed(self, payloads: list[bytes]) -> None:
        """Take in what came, in order. Raises BadData."""
        at = 0
        try:
            while at < len(payloads):
                if _native is not None:
                    at = self._run(_native, payloads, at)
                if at < len(payloads):
                    self._one(payloads[at])
                    at += 1
        except (struct.error, KeyError, IndexError, ValueError) as error:
            raise BadData(
                f"The stream of {self.database} holds a message that its format does not allow"
            ) from error

    def _run(self, native: ModuleType, payloads: list[bytes], at: int) -> int:
        """Take in a run of ordinary messages at once; gives where it ends."""
        draft = self._part if self.open else self._whole
        relations = self._known, draft.holds, draft.needs, self._journal_id
        if self.open:
            at, frames, rows = native.rows(payloads, at, *relations, self.large - draft.size)
            draft.run(frames, rows)
            if draft.size > self.large:
                self._cut_off()
        else:
            at, frames, rows, end, reached, asked = native.whole(payloads, at, *relations, self.large)
            draft.run(frames, rows)
            self.end, self.reached = max(self.end, end), max(self.reached, reached, end)
            self.asked = self.asked or asked
        return at

    def _one(self, payload: bytes) -> None:
        if payload[0] == _DATA:
            self._message(payload[_HEADER:])
        elif payload[0] == _ALIVE:
            self._alive(payload)
        else:
            raise ValueError

    def _alive(self, payload: bytes) -> None:
        _, end, _, asked = _KEEPALIVE.unpack(payload)
        self.reached = max(self.reached, end)
        self.asked = self.asked or bool(asked)

    def _message(self, message: bytes) -> None:
        kind = message[0]
        if kind in b"IUD":
            if message[1:5] == self._journal_id:
                self._part.ddl(_only_text(message))
                return
            self._part.row(message, self._known)
            if self._part.size > self.large:
                self._cut_off()
        elif kind in b"YO":
            self._part.add(message)
        elif kind == ord("B"):
            self._begin(message)
        elif kind == ord("C"):
            self._commit(message)
        elif kind == ord("R"):
            self._relation(message)
        elif kind == ord("T"):
            self._part.truncation(message, self._known)
        elif kind == ord("M"):
            self._told(message)
        else:
            raise ValueError

    def _relation(self, message: bytes) -> None:
        schema, _, rest = message[5:].partition(b"\0")
        name, mark, _ = rest.partition(b"\0")
        if not mark:
            raise ValueError
        if (schema.decode(), name.decode()) == self.journal:
            self._journal_id = message[1:5]
        else:
            self._known[message[1:5]] = self._part.relation(message)

    def _begin(self, message: bytes) -> None:
        if self.open:
            raise ValueError
        self.open = True
        self._part.add(message)

    def _commit(self, message: bytes) -> None:
        _, _, _, end, _ = _COMMIT.unpack(message)
        if not self.open:
            raise ValueError
        self._part.add(message)
        before = self._close_whole() if self._part.reshapes and not self._split else None
        self.open, self.end, self.reached = False, end, max(self.reached, end)
        if self._split:
            self._ready.append(Piece(self._part.changes(), end, self._part.size))
        elif before:  # the sink may stop in the midst of it: nothing else goes with it
            self._ready += [before] if before.changes else []
            self._ready.append(Piece(self._part.changes(), end, self._part.size))
        elif self._part.worth or self._part.holds:  # later rows may need a description that stands here
            self._whole.take_in(self._part)
        self._split, self._part = False, _Draft(self.database)

    def _cut_off(self) -> None:
        """Make a piece of what came in of a large transaction, behind everything before it."""
        before = self._close_whole()  # also where there is nothing in it: its descriptions grow old
        if before.changes:
            self._ready.append(before)
        self._ready.append(Piece(self._part.changes(), self.end, self._part.size, more=True))
        self._split, self._part = True, _Draft(self.database)

    def _close_whole(self) -> Piece:
        changes = self._whole.changes() if self._whole.worth else ()
        piece = Piece(changes, self.end, self._whole.size)
        self._whole = _Draft(self.database)
        return piece

    def _told(self, message: bytes) -> None:
        """A message that somebody wrote into the log."""
        _, flags, _ = _MESSAGE.unpack_from(message)
        prefix, _, rest = message[_MESSAGE.size :].partition(b"\0")
        if len(rest) < 4 or int.from_bytes(rest[:4], "big") != len(rest) - 4:
            raise ValueError
        if flags & _TRANSACTIONAL and prefix.decode() == self.prefix and len(rest) > 4:
            self._part.ddl(rest[4:].decode())


def _only_text(message: bytes) -> str:
    """The value of an inserted row with one column."""
    kind, columns, form, size = _ONE_COLUMN.unpack_from(message)
    if (kind, columns, form) != (b"N", 1, b"t") or len(message) != _ONE_COLUMN.size + size:
        raise ValueError
    return message[_ONE_COLUMN.size :].decode()


@dataclass
class _Draft:
    """A piece in the making."""

    database: str
    size: int = 0
    worth: bool = False
    """There is something in it that changes the target."""
    reshapes: bool = False
    """There are changes of shape in it."""
    _done: list[Change] = field(default_factory=list)
    _frames: list[bytes] = field(default_factory=list)
    """After what is done."""
    _rows: int = 0
    """In these frames."""
    needs: dict[bytes, bytes] = field(default_factory=dict)
    """Descriptions of relations that it uses and does not hold before their first use, by id."""
    holds: set[bytes] = field(default_factory=set)
    """Ids of relations whose first use has its description."""

    def add(self, message: bytes) -> bytes:
        frame = _length(len(message)) + message
        self._frames.append(frame)
        self.size += len(frame)
        return frame

    def row(self, message: bytes, known: Mapping[bytes, bytes]) -> None:
        self._use(message[1:5], known)
        self.add(message)
        self._rows += 1
        self.worth = True

    def run(self, frames: bytes, rows: int) -> None:
        """Frames that were made elsewhere; what they need is noted."""
        if frames:
            self._frames.append(frames)
            self._rows += rows
            self.size += len(frames)
            self.worth = True

    def truncation(self, message: bytes, known: Mapping[bytes, bytes]) -> None:
        _, count, _ = _TRUNCATE.unpack_from(message)
        if len(message) != _TRUNCATE.size + 4 * count:
            raise ValueError
        for at in range(_TRUNCATE.size, len(message), 4):
            self._use(message[at : at + 4], known)
        self.add(message)
        self._rows += 1
        self.worth = True

    def relation(self, message: bytes) -> bytes:
        self.holds.add(message[1:5])
        return self.add(message)

    def _use(self, relation: bytes, known: Mapping[bytes, bytes]) -> None:
        if relation not in self.holds:
            self.needs[relation] = known[relation]
            self.holds.add(relation)

    def ddl(self, text: str) -> None:
        self._close_frames()
        self._done.append(Ddl(self.database, text))
        self.size += len(text)
        self.worth = self.reshapes = True

    def take_in(self, other: "_Draft") -> None:
        """Append what comes later."""
        for relation in other.needs.keys() - self.holds:
            self.needs[relation] = other.needs[relation]
        self.holds |= other.holds
        if other._done:
            self._close_frames()
            self._done += other._done
        self._frames += other._frames
        self._rows += other._rows
        self.size += other.size
        self.worth = self.worth or other.worth

    def changes(self) -> Sequence[Change]:
        """All of it; descriptions that it needs come first."""
        self._close_frames()
        if not self.needs:
            return self._done
        first, needed = self._done[0], b"".join(self.needs.values())
        if isinstance(first, Command):
            return [Command(needed + first.data, first.count, self.database), *self._done[1:]]
        return [Command(needed, 0, self.database), *self._done]

    def _close_frames(self) -> None:
        if self._frames:
            self._done.append(Command(b"".join(self._frames), self._rows, self.database))
            self._frames, self._rows = [], 0

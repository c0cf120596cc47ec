"""Turns the command stream of a Redis or Valkey master into commands for a target, in pieces that stand alone.

The stream is what a replica receives. A piece ends where a command ends, never inside a source transaction; it
is meant to be sent between a ``MULTI`` and an ``EXEC`` together with the position it ends at, so the source's
own ``MULTI`` and ``EXEC`` are taken out. The order of commands is never changed.
"""

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sterna.core.errors import Trouble, Unsupported
from sterna.engines.redis.wire.draft import Draft, Words
from sterna.engines.redis.wire.expiry import MOST_HOLD
from sterna.engines.redis.wire.native import compiled
from sterna.engines.redis.wire.resp import Framer, bad
from sterna.engines.redis.wire.rewrite import KINDS, PLAIN, SET, Found, Rewriter, Rules

__all__ = ["MOST_TRANSACTION", "Piece", "Rules", "Transformer"]

MOST_TRANSACTION = 256 << 20
"""Bytes of the longest source transaction that is taken; it has to be held in memory whole."""

_native = compiled("_stream")
_NEEDS_PYTHON = 1
_AT_NEXT_MARK = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the stream, ready to be sent."""

    data: bytes
    """Commands, the first being a SELECT; empty if the stretch held nothing for the target."""
    count: int
    """How many commands ``data`` holds; each gets one answer."""
    consumed: int
    """Bytes of the stream that it covers; 0: nothing is complete yet."""
    database: int
    """The source database that is selected after it; -1: none yet."""
    read_at_ms: int
    """When its first byte arrived, ms since 1970; 0 if nothing was consumed."""
    dropped: int = 0
    """Commands left out because of their database or key."""
    flushes: int = 0
    """FLUSHALL and FLUSHDB left out."""
    swaps: Sequence[tuple[int, int]] = ()
    """Databases of the target that ``data`` swaps with one another."""
    notes: Sequence[str] = ()
    """What an operator should be told, in sentences."""


@dataclass(frozen=True, slots=True)
class _Border:
    """Where a transaction begins that has not ended yet."""

    at: int
    database: int
    read_at_ms: int


class Transformer:
    """Takes the stream in at one end and gives pieces out at the other.

    ``database`` is the source database that was selected where the stream is entered; -1: none, as after a full
    sync. ``offset`` is where that is, for messages. Bytes go in and bytes come out; memory is about what was fed
    and not yet taken.
    """

    def __init__(self, rules: Rules, *, database: int = -1, offset: int = 0) -> None:
        self._buffer = bytearray()
        self._base = offset
        """The stream offset of the buffer's first byte."""
        self._at = offset
        """The stream offset up to which commands are drafted."""
        self._framer = Framer()
        self._marks: deque[tuple[int, int]] = deque()
        self._oldest_ms = 0
        self._outer = Draft()
        self._border: _Border | None = None
        self._error: Trouble | None = None
        self._rewriter = Rewriter(rules, self._outer, database)
        self._native = _native if rules.keep is None and 0 <= rules.hold_ms <= MOST_HOLD else None
        self._databases = None if rules.databases is None else dict(rules.databases)
        self._partial = (0, 0)
        """Of a command that the compiled loop saw in part: words left, and the stream offset of the next."""

    def feed(self, data: bytes, read_at_ms: int) -> None:
        """The next bytes of the stream and when they arrived (ms since 1970)."""
        if not data:
            return
        if not self._buffer:
            self._oldest_ms = read_at_ms
        self._marks.append((self._base + len(self._buffer), read_at_ms))
        self._buffer += data

    def take(self, most_bytes: int, most_commands: int) -> Piece:
        """Everything that is complete, up to about these limits, or a piece with ``consumed`` 0.

        ``most_bytes`` limits the stream bytes that a piece covers; a command larger than that is taken alone, and
        a source transaction is taken whole, up to MOST_TRANSACTION. Raises BadData where the stream is not what
        a master sends, and Unsupported where a command cannot be replayed; what came before is given out first.
        """
        if not self._error:
            try:
                self._draft(self._base + most_bytes, most_commands)
            except Trouble as error:
                self._error = error
        piece = self._cut()
        if self._error and not piece.consumed:
            raise self._error
        return piece

    def _draft(self, most_at: int, most_commands: int) -> None:
        """Draft commands while there are complete ones and, outside transactions, room."""
        if self._native is None:
            self._scan(most_at, most_commands, sys.maxsize)
        else:
            while self._leap(most_at, most_commands):
                self._framer.restart()
                if not self._scan(most_at, most_commands, 1):
                    break
        if self._border and self._base + len(self._buffer) - self._border.at > MOST_TRANSACTION:
            raise _too_large(self._border)

    def _scan(self, most_at: int, most_commands: int, most_steps: int) -> bool:
        """The same for at most some commands. True: there may be more."""
        framer, buffer, base = self._framer, self._buffer, self._base
        start = self._at - base
        while (end := framer.next(buffer, start, base)) >= 0:
            if not self._border and start and (base + end > most_at or self._outer.count >= most_commands):
                return False
            if framer.spans:
                self._command(base + start, base + end, framer.spans)
            start = end
            self._at = base + end
            most_steps -= 1
            if not most_steps:
                return True
        return False

    def _leap(self, most_at: int, most_commands: int) -> bool:
        """The same by the compiled loop, as far as that goes. True: the next command needs Python."""
        assert self._native is not None, "asked before"
        rewriter, base = self._rewriter, self._base
        reason = _AT_NEXT_MARK
        while reason == _AT_NEXT_MARK and self._buffer:
            draft = rewriter.draft
            read_at_ms = self._time(self._at)
            until = self._marks[1][0] - base if len(self._marks) > 1 else len(self._buffer)
            left, following = self._partial
            reason, at, count, dropped, database, target, selected, left, following, parts = self._native.scan(
                self._buffer,
                base,
                self._at - base,
                until,
                most_at - base,
                most_commands - self._outer.count,
                MOST_TRANSACTION,
                self._border is not None,
                self._databases,
                rewriter.database,
                -1 if rewriter.target is None else rewriter.target,
                draft.selected,
                read_at_ms,
                rewriter.rules.hold_ms,
                rewriter.rules.count,
                left,
                following - base if left else 0,
            )
            self._at = base + at
            self._partial = (left, base + following) if left else (0, 0)
            draft.add(parts, count, dropped, selected)
            rewriter.database, rewriter.target = database, None if target < 0 else target
        return bool(reason == _NEEDS_PYTHON)

    def _command(self, start: int, end: int, spans: Sequence[int]) -> None:
        name = bytes(self._buffer[spans[0] : spans[1]])
        kind = KINDS.get(name)
        if kind is None:
            name = name.upper()
            kind = KINDS.get(name, PLAIN)
        rewriter = self._rewriter
        plain = kind == PLAIN or (kind == SET and len(spans) == 6)
        if plain and rewriter.target is not None and rewriter.rules.keep is None:
            draft = rewriter.draft
            if draft.selected != rewriter.target:
                draft.select(rewriter.target)
            draft.raw(start, end)
            draft.count += 1
            return
        words = Words(self._buffer, spans, start - self._base)
        found = Found(name.upper(), words, start, end, self._time(start))
        if found.name == b"MULTI":
            self._begin(found)
        elif found.name == b"EXEC":
            self._end(found)
        else:
            rewriter.rewrite(found, kind)

    def _begin(self, found: Found) -> None:
        """A transaction is drafted apart, as it may not be complete when a piece is taken."""
        if self._border:
            raise bad("a MULTI inside a transaction", found.start)
        self._border = _Border(found.start, self._rewriter.database, found.read_at_ms)
        self._rewriter.draft = Draft(self._outer.selected)

    def _end(self, found: Found) -> None:
        if not self._border:
            raise bad("an EXEC outside a transaction", found.start)
        if found.end - self._border.at > MOST_TRANSACTION:
            raise _too_large(self._border)
        self._outer.extend(self._rewriter.draft)
        self._rewriter.draft, self._border = self._outer, None

    def _time(self, offset: int) -> int:
        """When the byte at this stream offset arrived. Never asked for an earlier one again."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= offset:
            marks.popleft()
        return marks[0][1]

    def _cut(self) -> Piece:
        """Give out what is drafted up to the last border."""
        border = self._border
        at, database = (border.at, border.database) if border else (self._at, self._rewriter.database)
        draft = self._outer
        consumed = at - self._base
        piece = Piece(
            data=draft.data(self._buffer, self._base),
            count=draft.count,
            consumed=consumed,
            database=database,
            read_at_ms=self._oldest_ms if consumed else 0,
            dropped=draft.dropped,
            flushes=draft.flushes,
            swaps=tuple(draft.swaps),
            notes=tuple(draft.notes),
        )
        if consumed:
            self._forget(consumed)
        return piece

    def _forget(self, consumed: int) -> None:
        del self._buffer[:consumed]
        self._base += consumed
        self._framer.moved(consumed)
        self._outer = Draft()
        if self._border:
            self._rewriter.draft.stand_alone()
            self._oldest_ms = self._border.read_at_ms
        else:
            self._rewriter.draft = self._outer
            self._oldest_ms = self._time(self._at) if self._buffer else 0


def _too_large(border: _Border) -> Unsupported:
    return Unsupported(
        f"The transaction at byte {border.at} of the stream is larger than {MOST_TRANSACTION} bytes",
        hint="Let the application write in smaller transactions or scripts, then start the job anew.",
    )

"""Turns the command stream of a Redis or Valkey master into commands for a target, in pieces that stand alone.

The stream is what a replica receives. A piece ends where a command ends, never inside a source transaction; it
is meant to be sent between a ``MULTI`` and an ``EXEC`` together with the position it ends at, so the source's
own ``MULTI`` and ``EXEC`` are taken out. The order of commands is never changed.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sterna.core.errors import Trouble, Unsupported
from sterna.engines.redis.wire import commands, expiry
from sterna.engines.redis.wire.draft import Draft, Words, edited
from sterna.engines.redis.wire.resp import Framer, bad, bulk, command

MOST_TRANSACTION = 256 << 20
"""Bytes of the longest source transaction that is taken; it has to be held in memory whole."""


@dataclass(frozen=True)
class Rules:
    """What happens to commands on their way."""

    databases: Mapping[int, int] | None = None
    """Which source database goes where; one that is absent is left out. None: all, under the same number."""
    hold_ms: int = 0
    """Added to every expiry of a key, see ``expiry``. Relative expiries are made absolute in any case."""
    flush: bool = False
    """Whether FLUSHALL and FLUSHDB are replayed; otherwise they are left out, counted and noted."""
    keep: Callable[[int, bytes], bool] | None = None
    """Whether a key of a source database is wanted. None: all are."""


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


class Transformer:
    """Takes the stream in at one end and gives pieces out at the other.

    ``database`` is the source database that was selected where the stream is entered; -1: none, as after a full
    sync. Bytes go in and bytes come out; memory is about what was fed and not yet taken.
    """

    def __init__(self, rules: Rules, *, database: int = -1) -> None:
        self._rules = rules
        self._buffer = bytearray()
        self._base = 0
        self._at = 0
        self._framer = Framer()
        self._marks: deque[tuple[int, int]] = deque()
        self._oldest_ms = 0
        self._outer = Draft()
        self._draft = self._outer
        self._border: _Border | None = None
        self._error: Trouble | None = None
        self._go_to(database)

    def feed(self, data: bytes, read_at_ms: int) -> None:
        """The next bytes of the stream and when they arrived (ms since 1970)."""
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
                self._scan(self._base + most_bytes, most_commands)
            except Trouble as error:
                self._error = error
        piece = self._cut()
        if self._error and not piece.consumed:
            raise self._error
        return piece

    def _scan(self, most_at: int, most_commands: int) -> None:
        """Draft commands while there are complete ones and, outside transactions, room."""
        framer, buffer, base = self._framer, self._buffer, self._base
        start = self._at - base
        while (end := framer.next(buffer, start, base)) >= 0:
            if not self._border and start and (base + end > most_at or self._outer.count >= most_commands):
                return
            if framer.spans:
                self._command(base + start, base + end, framer.spans)
            start = end
            self._at = base + end
        if self._border and base + len(buffer) - self._border.at > MOST_TRANSACTION:
            raise _too_large(self._border)

    def _command(self, start: int, end: int, spans: list[int]) -> None:
        name = bytes(self._buffer[spans[0] : spans[1]])
        kind = _KINDS.get(name)
        if kind is None:
            name = name.upper()
            kind = _KINDS.get(name, _PLAIN)
        plain = kind == _PLAIN or (kind == _SET and len(spans) == 6)
        if plain and self._target is not None and self._rules.keep is None:
            draft = self._draft
            if draft.selected != self._target:
                draft.select(self._target)
            draft.raw(start, end)
            draft.count += 1
        else:
            self._special(_Found(name.upper(), Words(self._buffer, spans), start, end), kind)

    def _special(self, found: "_Found", kind: str) -> None:
        if handler := _HANDLERS.get(found.name):
            handler(self, found)
        elif kind == _GLOBAL:
            self._forward_anywhere(found)
        elif self._placed(found):
            self._forward(found)

    # Commands that are about the connection

    def _nothing(self, found: "_Found") -> None:
        """A sign of life."""

    def _select(self, found: "_Found") -> None:
        database = expiry.number(found.words[1]) if len(found.words) == 2 else None
        if database is None or database < 0:
            raise bad("a SELECT of no database", found.start)
        self._go_to(database)

    def _go_to(self, database: int) -> None:
        databases = self._rules.databases
        self._database = database
        self._target = None if database < 0 else database if databases is None else databases.get(database)

    def _multi(self, found: "_Found") -> None:
        if self._border:
            raise bad("a MULTI inside a transaction", found.start)
        self._border = _Border(found.start, self._database, self._time(found.start))
        self._draft = Draft(self._outer.selected)

    def _exec(self, found: "_Found") -> None:
        if not self._border:
            raise bad("an EXEC outside a transaction", found.start)
        if found.end - self._border.at > MOST_TRANSACTION:
            raise _too_large(self._border)
        self._outer.extend(self._draft)
        self._draft, self._border = self._outer, None

    # Commands about one database or several

    def _flush(self, found: "_Found") -> None:
        rules, everything = self._rules, found.name == b"FLUSHALL"
        if not everything and not self._placed(found):
            return
        if not rules.flush:
            self._draft.flushes += 1
            where = "all databases" if everything else f"database {self._database}"
            self._draft.notes.append(
                f"{found.name.decode()} emptied {where} of the source at byte {found.start} of the stream;"
                " it is not repeated on the target"
            )
        elif rules.keep:
            raise _cannot(found, "empties a database, of which only some keys are migrated")
        elif rules.databases is None:
            self._forward_anywhere(found) if everything else self._raw(found)
        else:
            self._empty(found, rules.databases, everything)

    def _empty(self, found: "_Found", databases: Mapping[int, int], everything: bool) -> None:
        sources = sorted(databases) if everything else [self._database]
        if not everything and not self._alone(self._database):
            raise _cannot(found, "empties one of several databases that are merged into one")
        for target in dict.fromkeys(databases[source] for source in sources):
            self._draft.select(target)
            self._send(b"FLUSHDB", *found.words[1:])

    def _alone(self, database: int) -> bool:
        """Whether no other source database goes to the same place."""
        databases = self._rules.databases or {}
        return sum(target == databases.get(database) for target in databases.values()) == 1

    def _swapdb(self, found: "_Found") -> None:
        pair = [expiry.number(word) for word in found.words[1:]]
        if len(pair) != 2 or None in pair:
            raise bad("a SWAPDB of no databases", found.start)
        first, second = (number for number in pair if number is not None)
        databases = self._rules.databases
        targets = (
            [first, second] if databases is None else [databases[n] for n in (first, second) if n in databases]
        )
        if not targets:
            self._draft.dropped += 1
        elif self._rules.keep:
            raise _cannot(found, f"swaps databases {first} and {second}, of which only some keys are migrated")
        elif len(targets) == 1:
            raise _cannot(found, f"swaps databases {first} and {second}, of which only one is migrated")
        elif databases is not None and first != second and not (self._alone(first) and self._alone(second)):
            raise _cannot(
                found, f"swaps databases {first} and {second}, which are merged with others on the target"
            )
        else:
            self._anywhere()
            self._send(b"SWAPDB", *targets)
            self._draft.swaps.append((targets[0], targets[1]))

    def _move(self, found: "_Found") -> None:
        words = found.words
        other = expiry.number(words[2]) if len(words) == 3 else None
        if other is None:
            raise bad("a MOVE to no database", found.start)
        self._known(found)
        here, there = self._wanted(self._database, words[1]), self._wanted(other, words[1])
        if there is not None and here is None:
            raise _cannot(found, f"moves a key that is not migrated to database {other}")
        if here is None or here == there:
            self._draft.dropped += here is None
        elif there is None:
            self._draft.select(here)
            self._send(b"UNLINK", words[1])
        else:
            self._draft.select(here)
            self._send(words[0], words[1], there)

    def _copy(self, found: "_Found") -> None:
        words = found.words
        options = [words[place].upper() for place in range(3, len(words))]
        if len(words) < 3 or b"DB" not in options[:-1]:
            if self._placed(found):
                self._forward(found)
            return
        place = 3 + options.index(b"DB") + 1
        other = expiry.number(words[place])
        if other is None:
            raise bad("a COPY to no database", found.start)
        self._known(found)
        here, there = self._wanted(self._database, words[1]), self._wanted(other, words[2])
        if there is None:
            self._draft.dropped += 1
        elif here is None:
            raise _cannot(found, f"copies a key that is not migrated to database {other}")
        elif here == there and words[1] == words[2]:
            self._draft.dropped += 1
        else:
            self._draft.select(here)
            self._send(*words[0:place], there, *words[place + 1 :])

    def _wanted(self, database: int, key: bytes) -> int | None:
        """The target database of a key; None if the key is not migrated."""
        rules = self._rules
        if rules.keep and not rules.keep(database, key):
            return None
        return database if rules.databases is None else rules.databases.get(database)

    def _slots(self, found: "_Found") -> None:
        raise Unsupported(
            f"The source moves slots between its nodes: {found.name.decode()} at byte {found.start} of the stream",
            hint="Leave the slots where they are while the job runs; start the job anew when they are settled.",
        )

    # Everything else

    def _known(self, found: "_Found") -> None:
        if self._database < 0:
            raise bad(f"{found.name[:32].decode(errors='replace')} before any SELECT", found.start)

    def _placed(self, found: "_Found") -> bool:
        """Whether the selected database is migrated. Counts what is left out."""
        self._known(found)
        if self._target is None:
            self._draft.dropped += 1
        return self._target is not None

    def _forward(self, found: "_Found") -> None:
        """A command of the selected database, which is migrated."""
        if self._rules.keep:
            self._filter(found, self._rules.keep)
        else:
            self._hold(found)

    def _filter(self, found: "_Found", keep: Callable[[int, bytes], bool]) -> None:
        places = commands.keys(found.name, found.words)
        if places is None:
            raise _cannot(found, "is not known here, so its keys cannot be told")
        kept = [place for place in places if keep(self._database, found.words[place])]
        writes = commands.written(found.name, places) if places else None
        if len(kept) == len(places):
            self._hold(found)
        elif not kept or (writes is not None and writes not in kept):
            self._draft.dropped += 1
        elif found.name in commands.DIVISIBLE:
            self._divide(found, kept)
        elif found.name in (b"RENAME", b"RENAMENX") and kept == [1]:
            self._draft.select(self._placed_target())
            self._send(b"UNLINK", found.words[1])
        else:
            raise _cannot(found, "touches keys that are migrated together with keys that are not")

    def _divide(self, found: "_Found", kept: Sequence[int]) -> None:
        """Only some keys of a command that means the same for each of them."""
        words = list(found.words)
        if found.name in (b"DEL", b"UNLINK"):
            words = [words[0], *(words[place] for place in kept)]
        else:
            pairs = [word for place in kept for word in words[place : place + 2]]
            if found.name == b"MSETEX":
                rest = 2 + 2 * int(words[1])
                words = [words[0], b"%d" % len(kept), *pairs, *words[rest:]]
            else:
                words = [words[0], *pairs]
        edits = self._edits(found, words)
        self._draft.select(self._placed_target())
        self._send(*(edited(words, edits) if edits else words))

    def _hold(self, found: "_Found") -> None:
        """Forward a command as it came, but for the expiry it may set."""
        edits = self._edits(found, found.words)
        self._draft.select(self._placed_target())
        if edits is None:
            self._raw(found)
        elif edits is expiry.GONE:
            self._send(b"UNLINK", found.words[1])
        else:
            self._patch(found, edits)

    def _edits(self, found: "_Found", words: Sequence[bytes]) -> list[expiry.Edit] | None:
        holder = expiry.HOLDERS.get(found.name)
        clock = expiry.Clock(self._time(found.start), self._rules.hold_ms)
        return holder(words, clock) if holder else None

    def _patch(self, found: "_Found", edits: Sequence[expiry.Edit]) -> None:
        """Send a command with some of its words replaced; the others, which may be large, are not copied."""
        draft, words, base = self._draft, found.words, self._base
        place = base + words.place(0)
        draft.text(b"*%d\r\n" % (len(words) + sum(len(edit.words) - edit.last + edit.first for edit in edits)))
        for first, last, new in edits:
            draft.raw(place, base + words.place(first))
            draft.text(b"".join(bulk(word) for word in new))
            place = base + words.place(last)
        draft.raw(place, found.end)
        draft.count += 1

    def _placed_target(self) -> int:
        assert self._target is not None, "only asked once the command is placed"
        return self._target

    def _raw(self, found: "_Found") -> None:
        self._draft.select(self._placed_target())
        self._draft.raw(found.start, found.end)
        self._draft.count += 1

    def _send(self, *words: bytes | int) -> None:
        self._draft.text(command(*words))
        self._draft.count += 1

    def _forward_anywhere(self, found: "_Found") -> None:
        """A command that belongs to no database."""
        self._anywhere()
        self._draft.raw(found.start, found.end)
        self._draft.count += 1

    def _anywhere(self) -> None:
        """Select something, if nothing is selected yet."""
        if self._draft.selected < 0:
            self._draft.select(self._target if self._target is not None else 0)

    # Time, and cutting

    def _time(self, offset: int) -> int:
        """When the byte at this stream offset arrived. Never asked for an earlier one again."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= offset:
            marks.popleft()
        return marks[0][1]

    def _cut(self) -> Piece:
        """Give out what is drafted up to the last border."""
        border = self._border
        at, database = (border.at, border.database) if border else (self._at, self._database)
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
            self._draft.stand_alone()
            self._oldest_ms = self._border.read_at_ms
        else:
            self._draft = self._outer
            self._oldest_ms = self._time(self._at) if self._buffer else 0


@dataclass(frozen=True, slots=True)
class _Border:
    """Where a transaction begins that has not ended yet."""

    at: int
    database: int
    read_at_ms: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A command that needs a look. ``start`` and ``end`` are stream offsets, ``name`` is in capitals."""

    name: bytes
    words: Words
    start: int
    end: int


def _too_large(border: _Border) -> Unsupported:
    return Unsupported(
        f"The transaction at byte {border.at} of the stream is larger than {MOST_TRANSACTION} bytes",
        hint="Let the application write in smaller transactions or scripts, then start the job anew.",
    )


def _cannot(found: _Found, why: str) -> Unsupported:
    name = found.name[:32].decode(errors="replace")
    return Unsupported(
        f"{name} at byte {found.start} of the stream {why}; it cannot be repeated on the target",
        hint="Migrate all databases and keys that such commands touch, or keep the command from being used.",
    )


_PLAIN, _GLOBAL, _SET, _LOOK = "plain", "global", "set", "look"

_HANDLERS: dict[bytes, Callable[[Transformer, _Found], None]] = {
    b"PING": Transformer._nothing,
    b"REPLCONF": Transformer._nothing,
    b"SELECT": Transformer._select,
    b"MULTI": Transformer._multi,
    b"EXEC": Transformer._exec,
    b"FLUSHALL": Transformer._flush,
    b"FLUSHDB": Transformer._flush,
    b"SWAPDB": Transformer._swapdb,
    b"MOVE": Transformer._move,
    b"COPY": Transformer._copy,
    b"CLUSTER": Transformer._slots,
    b"TRIMSLOTS": Transformer._slots,
}


def _kinds() -> dict[bytes, str]:
    kinds = dict.fromkeys([*commands.RANGES, *commands.FINDERS], _PLAIN)
    kinds |= dict.fromkeys([name for name, found in commands.RANGES.items() if found == commands.NONE], _GLOBAL)
    kinds |= dict.fromkeys([*_HANDLERS, *expiry.HOLDERS], _LOOK)
    kinds[b"SET"] = _SET
    return kinds | {name.lower(): kind for name, kind in kinds.items()}


_KINDS = _kinds()

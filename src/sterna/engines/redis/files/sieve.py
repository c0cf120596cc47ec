"""Takes the bytes of an AOF, lets commands that change data through, and says where in the file each one stood.

Time stamps (``#TS:``) go; commands that are not about data are refused by name, so that no file can change a
server's settings. Where keys are tracked, a key is taken away on the target before the file's first command for
it: what the file says of a key begins with nothing, whatever the target has. So FLUSHALL and FLUSHDB take away
what the file has brought, and nothing else.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from sterna.core.errors import Trouble, Unsupported
from sterna.engines.redis.files.longs import Long
from sterna.engines.redis.files.scratch import Store
from sterna.engines.redis.wire import commands
from sterna.engines.redis.wire.draft import Words
from sterna.engines.redis.wire.resp import Framer, bad, command

MOST_COMMAND = 64 << 20
"""Bytes of the longest command; it has to be held in memory whole."""
MOST_WORDS = 4 << 20
"""Words of one command; 64 bytes or so are held for each of them where keys are tracked."""
MOST_ANNOTATION = 1024
OUT = 1 << 20
"""Bytes that are given out at once, or a little more."""
PART = 8192
"""So many words of a command that means the same for each key are given out at once where keys are tracked."""
_DIVISIBLE = {b"MSET": 2, b"DEL": 1, b"UNLINK": 1}
"""With the number of words for each key."""
_HASH, _LINE_END = ord("#"), b"\n"

_PASS, _LOOK = 0, 1
_LOOKED_AT = (b"SELECT", b"FLUSHALL", b"FLUSHDB", b"SWAPDB", b"SCRIPT", b"FUNCTION", b"PUBLISH", b"SPUBLISH")
_CALM = (b"MULTI", b"EXEC", b"PING", b"MOVE", b"COPY")
_ACTIONS = {
    **dict.fromkeys([*commands.RANGES, *commands.FINDERS, *_CALM], _PASS),
    **dict.fromkeys(_LOOKED_AT, _LOOK),
}
_ACTIONS.update({name.lower(): action for name, action in list(_ACTIONS.items())})
_HARMLESS = {b"SCRIPT": (b"LOAD",), b"FUNCTION": (b"LOAD", b"DELETE", b"RESTORE")}


class Tracks(Protocol):
    """Knows which keys the data set has touched; see ``touched``."""

    def first(self, database: int, key: bytes) -> bool: ...
    def databases(self) -> Sequence[int]: ...
    def pages(self, database: int) -> Iterator[Sequence[bytes]]: ...
    def swap(self, one: int, other: int) -> None: ...


class Sieve:
    """Commands of one file from ``offset`` on, where ``database`` is selected.

    ``alone``: the target holds nothing but what the file brings. ``words``: how many a command may have.
    ``store`` takes long words; what is given out has marks in their place. ``keys_matter``: somebody behind it has
    to look at each key.
    """

    def __init__(
        self,
        name: str,
        offset: int,
        database: int,
        touched: Tracks | None,
        *,
        alone: bool,
        words: int = MOST_WORDS,
        store: Store | None = None,
        keys_matter: bool = True,
    ) -> None:
        self.touched = touched
        self._alone = alone
        self.needs_touched = False
        """It stands before a command for which all keys before it must be known: set ``touched``, then go on."""
        self.notes: list[str] = []
        """What an operator should be told."""
        self._name = name
        self._words = words
        self._buffer = bytearray()
        self._base = offset
        self._framer = Framer()
        self._database = database
        self._longs = Long(name, store, keys_matter=keys_matter or touched is not None) if store else None
        self._given = 0
        self._marks: deque[tuple[int, int, bool]] = deque([(0, offset, True)])
        """From how many bytes given out on, which place in the file that is, and whether it moves with them."""

    @property
    def waiting(self) -> int:
        """Bytes of a command that has not come to its end."""
        return len(self._buffer) + self._gone

    @property
    def _gone(self) -> int:
        """Bytes that the first command has in the file and not in the buffer."""
        return self._longs.gone if self._longs else 0

    @property
    def at(self) -> int:
        """Where in the file the next command begins."""
        return self._base

    def feed(self, data: bytes) -> None:
        self._buffer += self._longs.swallow(data, self._buffer) if self._longs else data
        self._too_long()

    def place(self, given: int) -> int:
        """Where the command begins that follows ``given`` bytes. Never asked for an earlier one again."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= given:
            marks.popleft()
        out, place, moves = marks[0]
        return place + given - out if moves else place

    def take(self) -> Iterator[bytes]:
        """All commands that are complete, in pieces.

        Raises BadData, Unsupported, with the place in the file; what came before is given out first.
        """
        start = run = 0
        wrong: Trouble | None = None
        try:
            while (end := self._next(start)) > 0:
                if self._longs and self._longs.gone:
                    yield from self._give_long(self._longs, end)
                    continue
                instead = self._instead(start, end) if self._framer.spans else b""
                if self.needs_touched:
                    self._framer.restart()
                    break
                if instead is not None:
                    yield from self._give(self._cut(run, start))
                    yield from self._give_instead(instead, self._base + start, self._base + end)
                    run = end
                elif end - run > OUT:
                    yield from self._let_go(run, end)
                    run = end = 0
                start = end
        except Trouble as error:
            wrong = error
        yield from self._let_go(run, start)
        if wrong:
            raise wrong
        if self._longs and self._framer.expected and not self.needs_touched:
            self._longs.relieve(self._buffer, self._framer, self._base)

    def _give_long(self, long: Long, end: int) -> Iterator[bytes]:
        """The first command in the buffer, of which something was put away."""
        end = long.finish(self._buffer, self._framer, end, self._base)
        instead = self._instead(0, end)
        whole = self._cut(0, end) if instead is None else instead
        yield from self._give_instead(whole, self._base, self._base + end + long.gone)
        self._drop(end)
        self._base += long.gone
        long.done()

    def _let_go(self, run: int, upto: int) -> Iterator[bytes]:
        """Give out what stays, a part at a time, holding none of it longer than that."""
        self._drop(run)
        upto -= run
        while upto:
            part = self._cut(0, min(upto, OUT))
            self._drop(len(part))
            upto -= len(part)
            self._given += len(part)
            yield part

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._framer.moved(size)
        self._base += size

    def _next(self, start: int) -> int:
        """Where the command, or a line between commands, ends; below 0: it is not all there."""
        if start < len(self._buffer) and self._buffer[start] == _HASH:
            return self._annotation(start)
        end = self._framer.next(self._buffer, start, self._base + self._gone)
        if end - start > MOST_COMMAND:
            raise self._refuse_long(start, end - start)
        if (words := self._framer.expected) > self._words and not self._any_number():
            raise Unsupported(
                f"{self._name}: the command at byte {self._base + start} has {words} words; at most {self._words}"
                " can be taken",
                hint="Import an RDB file of the same data: there a value may have any size.",
            )
        return end

    def _any_number(self) -> bool:
        """Whether the command may have more words than others."""
        if self._longs is None or self._words < MOST_WORDS:
            return False
        return not self._framer.spans or self._longs.takes(self._buffer, self._framer)

    def _cut(self, start: int, end: int) -> bytes:
        with memoryview(self._buffer) as view:
            return bytes(view[start:end])

    def _give(self, data: bytes) -> Iterator[bytes]:
        if data:
            self._given += len(data)
            yield data

    def _give_instead(self, pieces: "bytes | Iterator[bytes]", start: int, end: int) -> Iterator[bytes]:
        """Something else for a command; the rest follows it in the file."""
        self._marks.append((self._given, start, False))
        rest = iter((pieces,)) if isinstance(pieces, bytes) else pieces
        held = next(rest, b"")
        for piece in rest:
            yield from self._give(held)
            held = piece
        self._marks.append((self._given + len(held), end, True))  # known before the last of it is carried on
        yield from self._give(held)

    def _annotation(self, start: int) -> int:
        """Where a line with ``#`` ends; below 0: not yet."""
        end = self._buffer.find(_LINE_END, start, start + MOST_ANNOTATION)
        if end < 0:
            if len(self._buffer) - start >= MOST_ANNOTATION:
                raise bad("a line that begins with # and does not end", self._base + start)
            return -1
        self._framer.restart()
        del self._framer.spans[:]
        return end + 1

    def _instead(self, start: int, end: int) -> "bytes | Iterator[bytes] | None":
        """What takes the place of a command; None: it stays."""
        spans, buffer = self._framer.spans, self._buffer
        name = bytes(buffer[spans[0] : spans[1]])
        action = _ACTIONS.get(name)
        if action == _PASS and self.touched is None:
            return None
        words = Words(buffer, spans, start)
        name = name.upper()
        if action is None and (action := _ACTIONS.get(name)) is None:
            if commands.keys(name, words) is None:
                raise self._refused(name, start)
            action = _PASS
        if action == _LOOK:
            return self._look(name, words, start, end)
        return self._first_touches(name, words, start, end) if self.touched else None

    def _look(self, name: bytes, words: Words, start: int, end: int) -> "bytes | Iterator[bytes] | None":
        match name:
            case b"SELECT":
                number = words[1] if len(words) == 2 else b""
                if not number.isdigit() or len(number) > 9:
                    raise bad("a SELECT of no database", self._base + start)
                self._database = int(number)
                return None
            case b"FLUSHALL" | b"FLUSHDB":
                return self._flush(name == b"FLUSHALL")
            case b"SWAPDB":
                self._swap(words, start)
                return None
            case b"SCRIPT" | b"FUNCTION":
                return self._library(name, words, start)
            case _:
                return b""  # a message to subscribers is no data

    def _library(self, name: bytes, words: Words, start: int) -> bytes | None:
        what = words[1].upper() if len(words) > 1 else b""
        if what not in _HARMLESS[name]:
            said = f"{name.decode()} {what[:32].decode(errors='replace')}".strip()
            self.notes.append(f"{said} at byte {self._base + start} of {self._name} is left out")
            return b""
        if name == b"FUNCTION" and what == b"LOAD" and len(words) == 3:
            return command(b"FUNCTION", b"LOAD", b"REPLACE", words[2])
        return None

    def _flush(self, everything: bool) -> "Iterator[bytes] | None":
        if self.touched is None:
            self.needs_touched = True
            return None
        return self._unlinked(self.touched, self.touched.databases() if everything else [self._database])

    def _unlinked(self, touched: Tracks, databases: Sequence[int]) -> Iterator[bytes]:
        for database in databases:
            yield command(b"SELECT", database)
            for page in touched.pages(database):
                yield command(b"UNLINK", *page)
        yield command(b"SELECT", self._database)

    def _swap(self, words: Words, start: int) -> None:
        """Keys change places; beside others' keys, these would too."""
        numbers = [int(word) for word in words[1:] if word.isdigit() and len(word) < 10]
        if self.touched is None or len(numbers) != 2:
            return  # what is wrong with it, the next reader says
        if self._alone:
            self.touched.swap(*numbers)
            return
        raise Unsupported(
            f"{self._name}: SWAPDB at byte {self._base + start} would swap what the target holds besides",
            hint="Import the file alone, into an empty target.",
        )

    def _first_touches(self, name: bytes, words: Words, start: int, end: int) -> "bytes | Iterator[bytes] | None":
        """The command, after an UNLINK of the keys that were not touched before."""
        assert self.touched is not None, "asked before"
        step = _DIVISIBLE.get(name, 0)
        if step and len(words) > PART and len(words) % step == 1 % step:
            return self._parted(name, words, step, self.touched)
        there, found = self._places(name, words), b""
        for database, keys in there.items():
            if new := [key for key in keys if self.touched.first(database, key)]:
                choice = database != self._database
                found += command(b"SELECT", database) if choice else b""
                found += command(b"UNLINK", *new)
                found += command(b"SELECT", self._database) if choice else b""
        return found + bytes(self._buffer[start:end]) if found else None

    def _parted(self, name: bytes, words: Words, step: int, touched: Tracks) -> Iterator[bytes]:
        """The same for very many keys, some at a time: written again from its beginning it gives the same."""
        for at in range(1, len(words), PART):
            some = words[at : min(at + PART, len(words))]
            new = [key for key in some[::step] if touched.first(self._database, key)]
            yield (command(b"UNLINK", *new) if new else b"") + command(name, *some)

    def _places(self, name: bytes, words: Words) -> dict[int, list[bytes]]:
        """The keys of a command, by their database."""
        places = commands.keys(name, words) or []
        there = {self._database: [words[place] for place in places]}
        other = words[2] if name == b"MOVE" and len(words) == 3 else self._copy_to(name, words)
        if other.isdigit():
            there.setdefault(int(other), []).append(words[2] if name == b"COPY" else words[1])
            if name == b"COPY":
                there[self._database] = [words[1]] if int(other) != self._database else [words[1], words[2]]
        return there

    @staticmethod
    def _copy_to(name: bytes, words: Words) -> bytes:
        """The database of ``COPY a b DB 3``."""
        if name == b"COPY":
            for place in range(3, len(words) - 1):
                if words[place].upper() == b"DB":
                    return words[place + 1]
        return b""

    def _refused(self, name: bytes, start: int) -> Unsupported:
        said = name[:32].decode("ascii", "backslashreplace")
        return Unsupported(
            f"{self._name}: {said} at byte {self._base + start} is not a command about data, or not known here",
            hint="An AOF that a server wrote holds no such command. One of a module must be left out of the file.",
        )

    def _too_long(self) -> None:
        if len(self._buffer) > MOST_COMMAND + OUT * 8:
            raise self._refuse_long(0, len(self._buffer))

    def _refuse_long(self, start: int, size: int) -> Unsupported:
        return Unsupported(
            f"{self._name}: the command at byte {self._base + start} has {size} bytes or more; at most"
            f" {MOST_COMMAND} can be held",
            hint="Import an RDB file of the same data: there a value may have any size.",
        )

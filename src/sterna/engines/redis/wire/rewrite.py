"""What becomes of each command that needs a look: databases mapped, keys left out, expiries held.

Nothing is drafted before it is clear that a command can be repeated, so an error leaves the draft as it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sterna.core.errors import Unsupported
from sterna.engines.redis.wire import commands, expiry
from sterna.engines.redis.wire.draft import Draft, Words, edited
from sterna.engines.redis.wire.resp import bad, bulk, command

MOST_DATABASES = 1 << 16
"""Source databases from this number on cannot be mapped."""


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
    count: int = MOST_DATABASES
    """How many databases the target has: the rest of a transaction whose SELECT fails lands in a wrong one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A command in the stream. ``start`` and ``end`` are stream offsets, ``name`` is in capitals."""

    name: bytes
    words: Words
    start: int
    end: int
    read_at_ms: int


class Rewriter:
    """Drafts commands by some rules. ``database`` is the source database that is selected at first; -1: none."""

    def __init__(self, rules: Rules, draft: Draft, database: int) -> None:
        self.rules = rules
        self.draft = draft
        self.go_to(database)

    def go_to(self, database: int, start: int = 0) -> None:
        """The source has selected a database, by the command at ``start``. Raises Unsupported."""
        databases = self.rules.databases
        target = None if database < 0 else database if databases is None else databases.get(database)
        self.target = self.fits(database, target, start)
        self.database = database

    def fits(self, source: int, target: int | None, start: int) -> int | None:
        """The target database, if there is such. Raises Unsupported."""
        if target is None and source < MOST_DATABASES:
            return None
        if target is not None and target < self.rules.count:
            return target
        where = f"Database {source} of the source, used at byte {start} of the stream,"
        if target is None:
            raise Unsupported(f"{where} has too high a number to be mapped")
        raise Unsupported(
            f"{where} belongs into database {target}, but the target has {self.rules.count}",
            hint="Raise 'databases' on the target, or map the databases.",
        )

    def rewrite(self, found: Found, kind: str) -> None:
        """Draft what becomes of a command. Raises BadData, Unsupported."""
        if handler := HANDLERS.get(found.name):
            handler(self, found)
        elif kind == GLOBAL:
            self._forward_anywhere(found)
        elif self._placed(found):
            self._forward(found)

    # Commands that are about the connection

    def _nothing(self, found: Found) -> None:
        """A sign of life."""

    def _select(self, found: Found) -> None:
        database = expiry.number(found.words[1]) if len(found.words) == 2 else None
        if database is None or database < 0:
            raise bad("a SELECT of no database", found.start)
        self.go_to(database, found.start)

    # Commands about one database or several

    def _flush(self, found: Found) -> None:
        rules, everything = self.rules, found.name == b"FLUSHALL"
        if not everything and not self._placed(found):
            return
        if not rules.flush:
            self.draft.flushes += 1
            where = "all databases" if everything else f"database {self.database}"
            self.draft.notes.append(
                f"{found.name.decode()} emptied {where} of the source at byte {found.start} of the stream;"
                " it is not repeated on the target"
            )
        elif rules.keep:
            raise _cannot(found, "empties a database, of which only some keys are migrated")
        elif rules.databases is None:
            self._forward_anywhere(found) if everything else self._raw(found)
        else:
            self._empty(found, rules.databases, everything)

    def _empty(self, found: Found, databases: Mapping[int, int], everything: bool) -> None:
        sources = sorted(databases) if everything else [self.database]
        if not everything and not self._alone(self.database):
            raise _cannot(found, "empties one of several databases that are merged into one")
        for target in dict.fromkeys(databases[source] for source in sources):
            if target >= self.rules.count:
                continue  # there is nothing, then
            self.draft.select(target)
            self._send(b"FLUSHDB", *found.words[1:])

    def _alone(self, database: int) -> bool:
        """Whether no other source database goes to the same place."""
        databases = self.rules.databases or {}
        return sum(target == databases.get(database) for target in databases.values()) == 1

    def _swapdb(self, found: Found) -> None:
        pair = [expiry.number(word) for word in found.words[1:]]
        if len(pair) != 2 or None in pair:
            raise bad("a SWAPDB of no databases", found.start)
        first, second = (number for number in pair if number is not None)
        databases = self.rules.databases
        targets = (
            [first, second] if databases is None else [databases[n] for n in (first, second) if n in databases]
        )
        if not targets:
            self.draft.dropped += 1
        elif self.rules.keep:
            raise _cannot(found, f"swaps databases {first} and {second}, of which only some keys are migrated")
        elif len(targets) == 1:
            raise _cannot(found, f"swaps databases {first} and {second}, of which only one is migrated")
        elif databases is not None and first != second and not (self._alone(first) and self._alone(second)):
            raise _cannot(
                found, f"swaps databases {first} and {second}, which are merged with others on the target"
            )
        else:
            for source, target in zip((first, second), targets, strict=True):
                self.fits(source, target, found.start)
            self._anywhere()
            self._send(b"SWAPDB", *targets)
            self.draft.swaps.append((targets[0], targets[1]))

    def _move(self, found: Found) -> None:
        words = found.words
        other = expiry.number(words[2]) if len(words) == 3 else None
        if other is None:
            raise bad("a MOVE to no database", found.start)
        self._known(found)
        here, there = self._wanted(self.database, words[1]), self._wanted(other, words[1])
        if there is not None and here is None:
            raise _cannot(found, f"moves a key that is not migrated to database {other}")
        if here is None or here == there:
            self.draft.dropped += here is None
        elif there is None:
            self.draft.select(here)
            self._send(b"UNLINK", words[1])
        else:
            self.fits(other, there, found.start)
            self.draft.select(here)
            self._send(words[0], words[1], there)

    def _copy(self, found: Found) -> None:
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
        here, there = self._wanted(self.database, words[1]), self._wanted(other, words[2])
        if there is None:
            self.draft.dropped += 1
        elif here is None:
            raise _cannot(found, f"copies a key that is not migrated to database {other}")
        elif here == there and words[1] == words[2]:
            self.draft.dropped += 1
        else:
            self.fits(other, there, found.start)
            self.draft.select(here)
            self._send(*words[0:place], there, *words[place + 1 :])

    def _wanted(self, database: int, key: bytes) -> int | None:
        """The target database of a key; None if the key is not migrated."""
        rules = self.rules
        if rules.keep and not rules.keep(database, key):
            return None
        return database if rules.databases is None else rules.databases.get(database)

    def _slots(self, found: Found) -> None:
        raise Unsupported(
            f"The source moves slots between its nodes: {found.name.decode()} at byte {found.start} of the stream",
            hint="Leave the slots where they are while the job runs; start the job anew when they are settled.",
        )

    # Everything else

    def _known(self, found: Found) -> None:
        if self.database < 0:
            raise bad(f"{found.name[:32].decode(errors='replace')} before any SELECT", found.start)

    def _placed(self, found: Found) -> bool:
        """Whether the selected database is migrated. Counts what is left out."""
        self._known(found)
        if self.target is None:
            self.draft.dropped += 1
        return self.target is not None

    def _forward(self, found: Found) -> None:
        """A command of the selected database, which is migrated."""
        if self.rules.keep:
            self._filter(found, self.rules.keep)
        else:
            self._hold(found)

    def _filter(self, found: Found, keep: Callable[[int, bytes], bool]) -> None:
        places = commands.keys(found.name, found.words)
        if places is None:
            raise _cannot(found, "is not known here, so its keys cannot be told")
        kept = [place for place in places if keep(self.database, found.words[place])]
        writes = commands.written(found.name, places) if places else None
        if len(kept) == len(places):
            self._hold(found)
        elif not kept or (writes is not None and writes not in kept):
            self.draft.dropped += 1
        elif found.name in commands.DIVISIBLE:
            self._divide(found, kept)
        elif found.name in (b"RENAME", b"RENAMENX") and kept == [1]:
            self.draft.select(self._placed_target())
            self._send(b"UNLINK", found.words[1])
        else:
            raise _cannot(found, "touches keys that are migrated together with keys that are not")

    def _divide(self, found: Found, kept: Sequence[int]) -> None:
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
        self.draft.select(self._placed_target())
        self._send(*(edited(words, edits) if edits else words))

    def _hold(self, found: Found) -> None:
        """Forward a command as it came, but for the expiry it may set."""
        edits = self._edits(found, found.words)
        self.draft.select(self._placed_target())
        if edits is None:
            self._raw(found)
        elif edits is expiry.GONE:
            self._send(b"UNLINK", found.words[1])
        else:
            self._patch(found, edits)

    def _edits(self, found: Found, words: Sequence[bytes]) -> list[expiry.Edit] | None:
        holder = expiry.HOLDERS.get(found.name)
        clock = expiry.Clock(found.read_at_ms, self.rules.hold_ms)
        return holder(words, clock) if holder else None

    def _patch(self, found: Found, edits: Sequence[expiry.Edit]) -> None:
        """Send a command with some of its words replaced; the others, which may be large, are not copied."""
        draft, words = self.draft, found.words
        base = found.start - words.start
        place = base + words.place(0)
        draft.text(b"*%d\r\n" % (len(words) + sum(len(edit.words) - edit.last + edit.first for edit in edits)))
        for first, last, new in edits:
            draft.raw(place, base + words.place(first))
            draft.text(b"".join(bulk(word) for word in new))
            place = base + words.place(last)
        draft.raw(place, found.end)
        draft.count += 1

    def _placed_target(self) -> int:
        assert self.target is not None, "only asked once the command is placed"
        return self.target

    def _raw(self, found: Found) -> None:
        self.draft.select(self._placed_target())
        self.draft.raw(found.start, found.end)
        self.draft.count += 1

    def _send(self, *words: bytes | int) -> None:
        self.draft.text(command(*words))
        self.draft.count += 1

    def _forward_anywhere(self, found: Found) -> None:
        """A command that belongs to no database."""
        self._anywhere()
        self.draft.raw(found.start, found.end)
        self.draft.count += 1

    def _anywhere(self) -> None:
        """Select something, if nothing is selected yet."""
        if self.draft.selected < 0:
            self.draft.select(self.target if self.target is not None else 0)


def _cannot(found: Found, why: str) -> Unsupported:
    name = found.name[:32].decode(errors="replace")
    return Unsupported(
        f"{name} at byte {found.start} of the stream {why}; it cannot be repeated on the target",
        hint="Migrate all databases and keys that such commands touch, or keep the command from being used.",
    )


PLAIN, GLOBAL, SET, LOOK = "plain", "global", "set", "look"

HANDLERS: dict[bytes, Callable[[Rewriter, Found], None]] = {
    b"PING": Rewriter._nothing,
    b"REPLCONF": Rewriter._nothing,
    b"SELECT": Rewriter._select,
    b"FLUSHALL": Rewriter._flush,
    b"FLUSHDB": Rewriter._flush,
    b"SWAPDB": Rewriter._swapdb,
    b"MOVE": Rewriter._move,
    b"COPY": Rewriter._copy,
    b"CLUSTER": Rewriter._slots,
    b"TRIMSLOTS": Rewriter._slots,
}


def _kinds() -> dict[bytes, str]:
    kinds = dict.fromkeys([*commands.RANGES, *commands.FINDERS], PLAIN)
    kinds |= dict.fromkeys([name for name, found in commands.RANGES.items() if found == commands.NONE], GLOBAL)
    kinds |= dict.fromkeys([*HANDLERS, *expiry.HOLDERS, b"MULTI", b"EXEC"], LOOK)
    kinds[b"SET"] = SET
    return kinds | {name.lower(): kind for name, kind in kinds.items()}


KINDS = _kinds()
"""How much of a look a command needs, by its name as it is mostly written."""

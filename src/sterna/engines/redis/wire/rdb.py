"""Turns an RDB file into RESTORE commands without looking into the values, going on where it stopped.

Bytes go in with ``feed``, results come out of ``walk``: a stretch of ready commands, a value too large for one
command, a function library, the end, or the wish for more bytes. Every result has the place from which another
walker could go on. Whatever is wrong with the file is said before anything behind the wrong byte is given out.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from struct import Struct
from typing import TypeVar

from sterna.core.errors import NeedsOperator
from sterna.engines.redis.wire.aside import SELECT, SLOT_IMPORT, Passing, Scanning, hint, recoded, wall_ms
from sterna.engines.redis.wire.command import command
from sterna.engines.redis.wire.empty import is_empty
from sterna.engines.redis.wire.kinds import MODULE_2, Kind, kind_in, readable, tables
from sterna.engines.redis.wire.large import cut_off, read_large, rebuilt
from sterna.engines.redis.wire.native import native
from sterna.engines.redis.wire.outcome import Big, End, Facts, Functions, Gathered, Needs, Restored
from sterna.engines.redis.wire.place import Place, version_of
from sterna.engines.redis.wire.record import (
    BEFORE_KEYS,
    FIRST_OPCODE,
    MOST_MS,
    NotBeforeKeys,
    Record,
    Style,
    read_record,
)
from sterna.engines.redis.wire.refusing import damaged, refuse_kind, refuse_module, refuse_opcode
from sterna.engines.redis.wire.skipping import Skip
from sterna.engines.redis.wire.tape import Short, Tape
from sterna.engines.redis.wire.values import Piece

__all__ = ["Big", "End", "Facts", "Functions", "Needs", "Piece", "Place", "Restored", "Walker"]

T = TypeVar("T")

_U64 = Struct("<Q")
_FUNCTIONS, _END = 245, 255
_ENOUGH = Needs(0)


class Walker:
    """Goes through one RDB file for one target.

    ``target_version``: the target's RDB version, which says what its RESTORE can read (9: Redis 5 to 6.2, 10:
    7.0, 11: 7.2 and Valkey 7.2 to 8.1, 12: Redis 7.4 to 8.4, 13: 8.6, 14: 8.8, 80: Valkey 9). ``limit``: a
    value of more bytes than this in the file comes as Big. ``databases``: source database to target database,
    or None to leave it out. ``keep``: source database and key to whether the key is wanted. ``hold_ms`` is
    added to every expiry below it and ``UNHELD_FROM``, so that the target lets nothing expire meanwhile; with
    0, keys whose time is over at ``now_ms`` are left out, and with ``skip_expired_before_ms`` those of before
    that moment. ``replace``: write over a key that is there. ``absolute``: give expiries as points in time
    (Redis 5 and later). ``hints``: pass on idle time and frequency (Redis 5 and later). ``place``: where the
    bytes that will be fed begin.
    """

    def __init__(
        self,
        *,
        target_version: int,
        limit: int,
        databases: Callable[[int], int | None] | None = None,
        keep: Callable[[int, bytes], bool] | None = None,
        hold_ms: int = 0,
        now_ms: Callable[[], int] = wall_ms,
        replace: bool = True,
        absolute: bool = True,
        hints: bool = True,
        skip_expired_before_ms: int | None = None,
        clear: bool = False,
        place: Place | None = None,
    ) -> None:
        self.facts = Facts()
        self._place = place or Place()
        self._tape = Tape(base=self._place.offset, crc=self._place.crc)
        self._target_version = target_version
        self._limit = limit
        self._databases = databases
        self._keep = keep
        self._style = Style(min(hold_ms, MOST_MS), replace, absolute, hints)
        self._now_ms = now_ms
        self._before_ms = skip_expired_before_ms
        self._clear = clear
        self._now = self._cutoff = 0
        self._enter(self._place.database)
        self._learn(self._place.magic)
        self._scanning: Scanning | None = None
        self._passing: Passing | None = None
        self._big: Big | None = None
        self._ended = False

    @property
    def place(self) -> Place:
        """Behind the last record that was given out or passed over."""
        return self._place

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add the file's next bytes."""
        self._tape.data += data

    def close(self) -> None:
        """No more bytes will come: where some are missing, ``walk`` raises BadData from now on."""
        self._tape.closed = True

    def rest(self) -> bytes:
        """After End: the bytes that were fed and are behind the file."""
        return bytes(self._tape.data[self._tape.at :])

    def walk(self, most_bytes: int, selected: int | None = None) -> Restored | Big | Needs | Functions | End:
        """The next result: of commands, as many whole keys as make ``most_bytes`` or a little more.

        ``selected`` is the database that the target's connection has selected; None: not known. Raises BadData
        for a file that is damaged or cut off, Unsupported for what cannot be moved. Not to be called after Big
        before all its pieces were taken, nor after End.
        """
        if self._big or self._ended:
            raise RuntimeError("walk() after a Big without its pieces, or after the End")
        gathered = Gathered(selected)
        self._look_at_clock()
        result: Big | Needs | Functions | End | None = None
        try:
            while result is None and gathered.size < max(1, most_bytes):
                result = self._step(gathered, most_bytes)
        except Short as short:
            result = self._missing(short, gathered)
        except NeedsOperator:
            if not gathered.anything:
                raise
        if not self._ended:
            self._settle()
        if gathered.anything:
            return gathered.restored(self._place)
        assert result is not None
        return result

    def pieces(self, skip: int = 0) -> Iterator[Piece | None]:
        """The commands of the Big that ``walk`` just returned, in pieces; None: feed more bytes first.

        The first piece deletes the key (if ``replace``), the last sets its expiry. The same value makes the same
        pieces every time, so ``skip`` of them can be left out after an interruption. Raises BadData,
        Unsupported.
        """
        big, record, kind = self._large()
        pieces = rebuilt(
            self._tape, record, kind, self._target_version, big.expires_ms, delete=self._style.replace, skip=skip
        )
        return self._over(pieces)

    def read(self, adding: Callable[[Tape, Kind], Iterator[None]]) -> Iterator[None]:
        """Instead of ``pieces``: ``adding`` reads the value of the Big that ``walk`` just returned.

        It gives None where more bytes are to be fed first, and lets go of what it has read. Raises BadData,
        Unsupported.
        """
        _, record, kind = self._large()
        return self._over(read_large(self._tape, record, kind, adding))

    def _large(self) -> tuple[Big, Record, Kind]:
        if self._big is None or self._scanning is None:
            raise RuntimeError("the last result was no Big")
        record = self._scanning.record
        return self._big, record, self._kind(record)

    def _over(self, steps: Iterator[T]) -> Iterator[T]:
        """All of a large value; then the walk goes on behind it."""
        yield from steps
        self._scanning = self._big = None
        self._settle()

    def _step(self, gathered: Gathered, most: int) -> Big | Needs | Functions | End | None:
        """One record, or as many as the compiled loop can take. None: there may be more."""
        tape = self._tape
        if self._passing:
            self._go_on_passing(self._passing, gathered)
            return None
        if self._scanning:
            return self._go_on_scanning(self._scanning, gathered)
        if not self._version:
            self._learn(tape.raw(9).decode("latin-1"))
        if self._run_native(gathered, most):
            return None
        if tape.at >= len(tape.data):
            raise Short(1)
        code = tape.data[tape.at]
        if code in BEFORE_KEYS or code < FIRST_OPCODE:
            return self._key(gathered)
        if code in (_FUNCTIONS, _END) and gathered.anything:
            return _ENOUGH  # they are results of their own, after what was gathered
        return self._opcode(code)

    def _run_native(self, gathered: Gathered, most: int) -> bool:
        """Let the compiled loop take as many records as it can. False: the next one is for Python."""
        if native is None:
            return False
        tape, target = self._tape, self._target
        choice = b"" if target is None else gathered.choice(target)
        data, tape.at, keys, expired, left_out, full = native.restore(
            tape.data,
            tape.at,
            most - gathered.size - len(choice),
            self._limit,
            self._footers,
            self._layouts,
            target is not None,
            self._cutoff,
            self._style.hold_ms,
            self._style.flags,
            self._now,
            self._database,
            self._keep,
        )
        gathered.expired += expired
        gathered.left_out += left_out
        if keys and target is not None:
            gathered.select(target)
            gathered.add(data, keys)
        return bool(full)

    # Keys

    def _key(self, gathered: Gathered) -> Big | None:
        tape = self._tape
        try:
            record, at = read_record(tape)
        except NotBeforeKeys as error:
            if error.opcode == SLOT_IMPORT:
                refuse_opcode(self._version, error.opcode, error.offset)
            raise
        kind = self._kind(record)
        selected = self._is_selected(record)
        if not selected or (record.expires_ms is not None and record.expires_ms <= self._cutoff):
            self._pass_by(Passing(Skip(kind.layout), record, expired=selected), at, gathered)
            return None
        if record.number == MODULE_2:
            refuse_module(record, Tape(tape.data[at : at + 9]).length())
        scanning = Scanning(Skip(kind.layout), record, tape.base + at)
        return self._go_on_scanning(scanning, gathered)

    def _go_on_scanning(self, scanning: Scanning, gathered: Gathered) -> Big | None:
        """Look for the value's end; there, make the command. Nothing is consumed before."""
        tape, skip, record = self._tape, scanning.skip, scanning.record
        try:
            at = skip.run(tape.data, scanning.reached - tape.base)
        except ValueError as error:
            self._scanning = None
            raise damaged(record, error) from error
        self._scanning = replace(scanning, reached=tape.base + at)
        if tape.base + at + skip.owed - record.value > self._limit:
            return self._begin_big(record, gathered)
        if not skip.done:
            raise Short(max(1, skip.owed))
        value = bytes(tape.data[record.value - tape.base : at])
        if is_empty(self._kind(record), value):
            self._pass_empty(record, gathered)
        else:
            self._restore(record, value, gathered)
        self._scanning = None
        tape.at = at
        return None

    def _restore(self, record: Record, value: bytes, gathered: Gathered) -> None:
        kind = self._kind(record)
        if not readable(kind, self._target_version):
            kind, value = recoded(record, kind, value, self._target_version)
        assert self._target is not None
        gathered.select(self._target)
        gathered.add(self._style.restore(record, kind, value, self._now), 1)

    def _pass_empty(self, record: Record, gathered: Gathered) -> None:
        """A collection of no elements is no key: servers pass it over."""
        self.facts.note_empty(record.key)
        gathered.left_out += 1
        if self._clear:
            assert self._target is not None
            gathered.select(self._target)
            gathered.add(command(b"DEL", record.key), 0)
            gathered.commands += 1

    def _begin_big(self, record: Record, gathered: Gathered) -> Big:
        self._settle()
        assert self._target is not None
        kind, expires_ms = self._kind(record), self._style.expiry(record)
        big = Big(record.key, kind.type, self._target, expires_ms, self._place)
        if not gathered.anything:  # else the stretch is given out first, and the next walk comes here again
            self._big = big
        return big

    def _kind(self, record: Record) -> Kind:
        kind = kind_in(self._version, record.number)
        if kind is None:
            refuse_kind(self._version, record)
        return kind

    def _is_selected(self, record: Record) -> bool:
        return self._target is not None and (self._keep is None or self._keep(self._database, record.key))

    # What is left out

    def _pass_by(self, passing: Passing, at: int, gathered: Gathered) -> None:
        """Let go of a large value as it comes; the place stays before its record until it is over."""
        tape = self._tape
        end = passing.run(tape, at)
        if passing.skip.done:
            tape.at = end
            self._count(passing, gathered)
            return
        start = tape.at
        self._settle()
        tape.at = end - start
        self._passing = passing
        raise Short(1)

    def _go_on_passing(self, passing: Passing, gathered: Gathered) -> None:
        tape = self._tape
        tape.at = passing.run(tape, tape.at)
        if not passing.skip.done:
            raise Short(1)
        self._passing = None
        self._count(passing, gathered)

    def _count(self, passing: Passing, gathered: Gathered) -> None:
        if passing.record is None:
            self.facts.notes.append(passing.note)
        elif passing.expired:
            gathered.expired += 1
        else:
            gathered.left_out += 1

    # Everything that is not a key

    def _opcode(self, code: int) -> Functions | End | None:
        tape = self._tape
        start = tape.at
        tape.at += 1
        try:
            if code == _FUNCTIONS:
                return self._functions()
            if code == _END:
                return self._end()
            if code == SELECT:
                self._enter(tape.count())
                return None
            passing = hint(tape, code, tape.base + start, self._version, self.facts)
        except (Short, NeedsOperator):
            tape.at = start
            raise
        if passing:
            at, tape.at = tape.at, start
            self._pass_by(passing, at, Gathered(None))
        return None

    def _enter(self, database: int) -> None:
        self._target = database if self._databases is None else self._databases(database)
        self._database = database

    def _functions(self) -> Functions:
        code = self._tape.string()
        self._settle()
        return Functions(code, self._place)

    def _end(self) -> End:
        """Compare the checksum, which covers everything before itself; 0: the source does not make them."""
        tape = self._tape
        found = _U64.unpack(tape.raw(8))[0] if self._version >= 5 else 0
        crc = tape.crc_before(tape.at - 8) if found else 0
        if found != crc:
            tape.bad(f"the checksum is {found:016x}, but that of the bytes read is {crc:016x}")
        self._settle()
        self._ended = True
        return End(self._place, bool(found))

    # The edges

    def _look_at_clock(self) -> None:
        """Keys that expire at ``_cutoff`` or before are left out."""
        self._now = self._now_ms()
        if self._before_ms is not None:
            self._cutoff = self._before_ms - 1
        else:
            self._cutoff = -MOST_MS - 1 if self._style.hold_ms else self._now

    def _learn(self, magic: str) -> None:
        """From the file's first bytes, what its numbers mean; the tables are for the compiled loop."""
        self._version = version_of(magic.encode("latin-1")) if magic else 0
        self._place = replace(self._place, magic=magic)
        self._footers, self._layouts = tables(self._version, self._target_version, FIRST_OPCODE)

    def _settle(self) -> None:
        """Let go of what was read; from here another walker could go on, unless something is going past."""
        tape = self._tape
        tape.drop()
        if self._passing is None:
            self._place = replace(self._place, offset=tape.base, database=self._database, crc=tape.crc)

    def _missing(self, short: Short, gathered: Gathered) -> Needs:
        if self._tape.closed and not gathered.anything:
            raise cut_off(self._tape) from None
        return Needs(short.missing)

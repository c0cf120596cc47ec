"""Turns an RDB file into RESTORE commands without looking into the values, going on where it stopped.

Bytes go in with ``feed``, results come out of ``walk``: a stretch of ready commands, a value too large for one
command, a function library, the end, or the wish for more bytes. Every result has the place from which another
walker could go on. Whatever is wrong with the file is said before anything behind the wrong byte is given out.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from struct import Struct

from sterna.core.errors import BadData, NeedsOperator, Unsupported
from sterna.engines.redis.wire.kinds import MODULE_2, Kind, is_valkey, kind_in, readable
from sterna.engines.redis.wire.native import native
from sterna.engines.redis.wire.outcome import Big, End, Facts, Functions, Gathered, Needs, Restored
from sterna.engines.redis.wire.place import Place, version_of
from sterna.engines.redis.wire.recode import recode
from sterna.engines.redis.wire.record import (
    BEFORE_KEYS,
    FIRST_OPCODE,
    MOST_MS,
    NotBeforeKeys,
    Record,
    Style,
    read_record,
)
from sterna.engines.redis.wire.refusing import damaged, module_name, refuse_kind, refuse_module, refuse_opcode
from sterna.engines.redis.wire.skipping import Skip
from sterna.engines.redis.wire.tape import Short, Tape, shown
from sterna.engines.redis.wire.values import Piece, rebuild

__all__ = ["Big", "End", "Facts", "Functions", "Needs", "Piece", "Place", "Restored", "Walker"]

_U64 = Struct("<Q")
_SELECT, _RESIZE, _AUX, _MODULE_AUX, _FUNCTIONS = 254, 251, 250, 247, 245
_SLOT_INFO, _SLOT_IMPORT, _END = 244, 243, 255
_ENOUGH = Needs(0)


@dataclass(frozen=True, slots=True)
class _Scanning:
    """A key whose value was not seen to its end yet. ``reached`` counts from the beginning of the file."""

    skip: Skip
    record: Record
    reached: int


@dataclass(frozen=True, slots=True)
class _Passing:
    """Something that is left out while it goes past, and what is to be counted when it is over."""

    skip: Skip
    record: Record | None
    expired: bool = False
    note: str = ""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


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
        now_ms: Callable[[], int] = _wall_ms,
        replace: bool = True,
        absolute: bool = True,
        hints: bool = True,
        skip_expired_before_ms: int | None = None,
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
        self._now = self._cutoff = 0
        self._enter(self._place.database)
        self._learn(self._place.magic)
        self._scanning: _Scanning | None = None
        self._passing: _Passing | None = None
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
        if self._big is None or self._scanning is None:
            raise RuntimeError("pieces() without a Big")
        return self._pieces(self._big, self._scanning.record, skip)

    def _pieces(self, big: Big, record: Record, skip: int) -> Iterator[Piece | None]:
        tape, target = self._tape, self._target_version
        tape.at = record.value - tape.base
        expires_ms, delete = big.expires_ms, self._style.replace
        for piece in rebuild(
            tape, self._kind(record), big.key, target=target, expires_ms=expires_ms, delete=delete
        ):
            tape.drop()
            if piece is None:
                if tape.closed:
                    raise self._cut_off()
                yield None
            elif piece.number >= skip:
                yield piece
        self._scanning = self._big = None
        self._settle()

    def read(self, adding: Callable[[Tape, Kind], Iterator[None]]) -> Iterator[None]:
        """Instead of ``pieces``: ``adding`` reads the value of the Big that ``walk`` just returned.

        It gives None where more bytes are to be fed first, and lets go of what it has read. Raises BadData,
        Unsupported.
        """
        if self._big is None or self._scanning is None:
            raise RuntimeError("read() without a Big")
        tape, record = self._tape, self._scanning.record
        tape.at = record.value - tape.base
        for _ in adding(tape, self._kind(record)):
            tape.drop()
            if tape.closed:
                raise self._cut_off()
            yield
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
            if error.opcode == _SLOT_IMPORT:
                refuse_opcode(self._version, error.opcode, error.offset)
            raise
        kind = self._kind(record)
        selected = self._is_selected(record)
        if not selected or self._is_expired(record):
            self._pass_by(_Passing(Skip(kind.layout), record, expired=selected), at, gathered)
            return None
        if record.number == MODULE_2:
            refuse_module(record, Tape(tape.data[at : at + 9]).length())
        scanning = _Scanning(Skip(kind.layout), record, tape.base + at)
        return self._go_on_scanning(scanning, gathered)

    def _go_on_scanning(self, scanning: _Scanning, gathered: Gathered) -> Big | None:
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
        self._restore(record, bytes(tape.data[record.value - tape.base : at]), gathered)
        self._scanning = None
        tape.at = at
        return None

    def _restore(self, record: Record, value: bytes, gathered: Gathered) -> None:
        kind = self._kind(record)
        if not readable(kind, self._target_version):
            kind, value = self._recoded(record, kind, value)
        assert self._target is not None
        gathered.select(self._target)
        gathered.add(self._style.restore(record, kind, value, self._now), 1)

    def _recoded(self, record: Record, kind: Kind, value: bytes) -> tuple[Kind, bytes]:
        try:
            return recode(kind, value, self._target_version)
        except (BadData, Unsupported) as error:
            raise type(error)(f"RDB offset {record.value}: key {shown(record.key)}: {error.message}") from error

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

    def _is_expired(self, record: Record) -> bool:
        return record.expires_ms is not None and record.expires_ms <= self._cutoff

    # What is left out

    def _pass_by(self, passing: _Passing, at: int, gathered: Gathered) -> None:
        """Let go of a large value as it comes; the place stays before its record until it is over."""
        tape = self._tape
        end = self._passed(passing, at)
        if passing.skip.done:
            tape.at = end
            self._count(passing, gathered)
            return
        start = tape.at
        self._settle()
        tape.at = end - start
        self._passing = passing
        raise Short(1)

    def _go_on_passing(self, passing: _Passing, gathered: Gathered) -> None:
        tape = self._tape
        tape.at = self._passed(passing, tape.at)
        if not passing.skip.done:
            raise Short(1)
        self._passing = None
        self._count(passing, gathered)

    def _passed(self, passing: _Passing, at: int) -> int:
        try:
            return passing.skip.run(self._tape.data, at)
        except ValueError as error:
            if passing.record:
                raise damaged(passing.record, error) from error
            raise BadData(f"RDB offset {self._tape.base + at}: {error}") from error

    def _count(self, passing: _Passing, gathered: Gathered) -> None:
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
            passing = self._hint(code, tape.base + start)
        except (Short, NeedsOperator):
            tape.at = start
            raise
        if passing:
            at, tape.at = tape.at, start
            self._pass_by(passing, at, Gathered(None))
        return None

    def _hint(self, code: int, offset: int) -> _Passing | None:
        """Something about the file or the keys that follow; what is returned goes on for long and is left out."""
        tape = self._tape
        if code == _SELECT:
            self._enter(tape.count())
        elif code == _AUX:
            name, value = tape.string(), tape.string()
            self.facts.aux[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        elif code == _RESIZE:
            keys, _ = tape.length(), tape.length()
            self.facts.keys += keys
        elif code == _SLOT_INFO:
            _ = tape.length(), tape.length(), tape.length()
        elif code == _MODULE_AUX:
            module = repr(module_name(tape.length()))
            return _Passing(
                Skip(b"llm"), None, note=f"What the module {module} keeps beside its keys is not moved"
            )
        elif code == _SLOT_IMPORT and is_valkey(self._version):
            return _Passing(Skip(b"s(ll)"), None, note="The source was importing slots")
        else:
            refuse_opcode(self._version, code, offset)
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
        known = [kind_in(self._version, number) for number in range(FIRST_OPCODE)] if magic else []
        self._layouts = tuple(kind.layout if kind else b"" for kind in known)
        self._footers = bytes(self._footer(kind) for kind in known).ljust(256, b"\0")

    def _footer(self, kind: Kind | None) -> int:
        """The version in the payload's footer; 0: a value of this kind is for Python."""
        direct = kind and kind.number != MODULE_2 and readable(kind, self._target_version)
        return kind.since if kind and direct else 0

    def _settle(self) -> None:
        """Let go of what was read; from here another walker could go on, unless something is going past."""
        tape = self._tape
        tape.drop()
        if self._passing is None:
            self._place = replace(self._place, offset=tape.base, database=self._database, crc=tape.crc)

    def _missing(self, short: Short, gathered: Gathered) -> Needs:
        if self._tape.closed and not gathered.anything:
            raise self._cut_off() from None
        return Needs(short.missing)

    def _cut_off(self) -> BadData:
        return BadData(f"The RDB file is truncated at offset {self._tape.base + len(self._tape.data)}")

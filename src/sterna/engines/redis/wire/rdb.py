"""Turns an RDB file into RESTORE commands without looking into the values, going on where it stopped.

Bytes go in with ``feed``, results come out of ``walk``: a stretch of ready commands, a value too large for one
command, a function library, the end, or the wish for more bytes. Every result has the place from which another
walker could go on. Whatever is wrong with the file is said before anything behind the wrong byte is given out.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from struct import Struct
from typing import NoReturn

from sterna.core.errors import BadData, NeedsOperator, Unsupported
from sterna.engines.redis.wire.command import command
from sterna.engines.redis.wire.crc64 import crc64
from sterna.engines.redis.wire.kinds import Kind, is_valkey, kind_in, readable, refusal
from sterna.engines.redis.wire.native import native
from sterna.engines.redis.wire.place import Place, version_of
from sterna.engines.redis.wire.recode import recode
from sterna.engines.redis.wire.skipping import Skip
from sterna.engines.redis.wire.tape import Short, Tape, shown
from sterna.engines.redis.wire.values import Piece, rebuild

MOST_TTL = (1 << 63) - 1
MODULE = 7
_I32, _I64, _U16, _U64 = Struct("<i"), Struct("<q"), Struct("<H"), Struct("<Q")
_FIRST_OPCODE = 242
_EXPIRES_MS, _EXPIRES_S, _IDLE, _FREQUENCY = 252, 253, 248, 249
_BEFORE_KEYS = (_EXPIRES_MS, _EXPIRES_S, _IDLE, _FREQUENCY)
_FUNCTIONS, _END = 245, 255
_MODULE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


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
    """Keys that the selection does not want."""
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
    """The target's database."""
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
    """The code of a function library, for FUNCTION LOAD REPLACE."""

    code: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class End:
    """The file is over. ``checked``: it had a checksum, and that is right. The bytes behind it:
    ``Walker.rest``.
    """

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


@dataclass(frozen=True, slots=True)
class _Record:
    """A key's record up to its value; ``value`` counts from the beginning of the file."""

    number: int
    key: bytes
    value: int
    expires_ms: int | None
    idle: int | None
    frequency: int | None


@dataclass(frozen=True, slots=True)
class _Passing:
    """A key that is left out while its value goes past: because it expired, or because nobody wants it."""

    skip: Skip
    record: _Record
    expired: bool


@dataclass(slots=True)
class _Output:
    """What is given out together."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    commands: int = 0
    keys: int = 0
    expired: int = 0
    left_out: int = 0
    selected: int | None = None

    @property
    def anything(self) -> bool:
        return bool(self.keys or self.expired or self.left_out)

    def add(self, data: bytes, keys: int) -> None:
        self.parts.append(data)
        self.size += len(data)
        self.commands += keys
        self.keys += keys

    def select(self, database: int) -> None:
        if self.selected != database:
            self.add(command(b"SELECT", b"%d" % database), 0)
            self.commands += 1
            self.selected = database


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Walker:
    """Goes through one RDB file for one target.

    ``target_version``: the target's RDB version, which says what its RESTORE can read (9: Redis 5 to 6.2, 10:
    7.0, 11: 7.2 and Valkey 7.2 to 8.1, 12: Redis 7.4 to 8.4, 13: 8.6, 14: 8.8, 80: Valkey 9). ``limit``: a
    value of more bytes than this in the file comes as Big. ``databases``: source database to target database,
    or None to leave it out. ``keep``: source database and key to whether the key is wanted. ``hold_ms`` is
    added to every expiry that is below it, so that the target lets nothing expire meanwhile; with 0, keys whose
    time is over at ``now_ms`` are left out, and with ``skip_expired_before_ms`` those of before that moment.
    ``replace``: write over a key that is there. ``absolute``: give expiries as points in time (Redis 5 and
    later). ``hints``: pass on idle time and frequency (Redis 5 and later). ``place``: where the bytes that will
    be fed begin.
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
        self._hold_ms = hold_ms
        self._now_ms = now_ms
        self._replace = replace
        self._absolute = absolute
        self._hints = hints
        self._before_ms = skip_expired_before_ms
        self._version = version_of(self._place.magic.encode()) if self._place.magic else 0
        self._database = self._place.database
        self._target = self._mapped(self._database)
        self._scan: tuple[Skip, _Record, int] | None = None
        self._passing: _Passing | None = None
        self._big: Big | None = None
        self._now = 0
        self._native_tables()
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
        for a file that is damaged or cut off, Unsupported for what cannot be moved.
        """
        if self._big or self._ended:
            raise RuntimeError("walk() after a Big without its pieces, or after the End")
        out = _Output(selected=selected)
        self._now = self._now_ms()
        result: Big | Needs | Functions | End | None = None
        try:
            while result is None and out.size < most_bytes:
                result = self._step(out, most_bytes)
        except Short as short:
            result = self._missing(short, out)
        except NeedsOperator:
            if not out.anything:
                raise
        if not isinstance(result, End | Functions):
            self._settle()
        if out.anything:
            return self._restored(out)
        assert result is not None
        return result

    def pieces(self, skip: int = 0) -> Iterator[Piece | None]:
        """The commands of the Big that ``walk`` just returned, in pieces; None where more bytes must be fed first.

        The first piece deletes the key (if ``replace``), the last sets its expiry. The same value makes the same
        pieces every time, so ``skip`` of them can be left out after an interruption. Raises BadData, Unsupported.
        """
        if self._big is None or self._scan is None:
            raise RuntimeError("pieces() without a Big")
        return self._pieces(self._big, self._scan[1], skip)

    def _pieces(self, big: Big, record: _Record, skip: int) -> Generator[Piece | None, None, None]:
        tape = self._tape
        tape.at = record.value - tape.base
        kind = self._kind(record.number)
        assert kind is not None
        commands = rebuild(
            tape, kind, big.key, target=self._target_version, expires_ms=big.expires_ms, delete=self._replace
        )
        for piece in commands:
            tape.drop()
            if piece is None:
                if tape.closed:
                    raise self._cut_off()
                yield None
            elif piece.number >= skip:
                yield piece
        self._scan = self._big = None
        self._settle()

    # One record

    def _step(self, out: _Output, most: int) -> Big | Needs | Functions | End | None:
        tape = self._tape
        if self._passing:
            self._go_on_passing(self._passing, out)
            return None
        if self._scan:
            return self._go_on_scanning(out)
        if not self._version:
            self._read_magic()
        if self._run_native(out, most):
            return None
        if tape.at >= len(tape.data):
            raise Short(1)
        code = tape.data[tape.at]
        if code in _BEFORE_KEYS or code < _FIRST_OPCODE:
            return self._key(out)
        if code in (_FUNCTIONS, _END) and out.anything:
            return Needs(0)  # they are results of their own, after what was gathered
        return self._opcode(code)

    def _run_native(self, out: _Output, most: int) -> bool:
        """Let the compiled loop take as many records as it can. False: the next one is for Python."""
        if native is None:
            return False
        tape = self._tape
        choice = b"" if self._target is None or out.selected == self._target else self._choice()
        data, at, keys, expired, left, goes_on = native.restore(
            tape.data,
            tape.at,
            most - out.size - len(choice),
            self._limit,
            self._footers,
            self._layouts,
            self._target is not None,
            self._cutoff(),
            self._hold_ms,
            self._flags(),
            self._now,
            self._database,
            self._keep,
        )
        tape.at = at
        out.expired += expired
        out.left_out += left
        if keys:
            if choice:
                out.select(self._target or 0)
            out.add(data, keys)
        return bool(goes_on)

    def _choice(self) -> bytes:
        return command(b"SELECT", b"%d" % (self._target or 0))

    def _flags(self) -> int:
        return self._replace | self._absolute << 1 | self._hints << 2

    def _key(self, out: _Output) -> Big | None:
        """A key's record whose bytes may not all be there."""
        tape = self._tape
        record, at = self._record()
        kind = self._kind(record.number)
        if kind is None:
            self._refuse(record)
        skip = Skip(kind.layout)
        selected = self._is_selected(record)
        if not selected or self._is_expired(record):
            self._pass_by(_Passing(skip, record, selected), at, out)
            return None
        if record.number == MODULE:
            self._refuse_module(record, at)
        self._scan = skip, record, tape.base + at
        return self._go_on_scanning(out)

    def _pass_by(self, passing: _Passing, at: int, out: _Output) -> None:
        """Leave a key out. A large value is let go of as it comes, and the place stays before the key till it
        is over.
        """
        tape = self._tape
        end = self._passed(passing, at)
        if passing.skip.done:
            tape.at = end
            self._count(passing, out)
            return
        start = tape.at
        self._settle()
        tape.at = end - start
        self._passing = passing
        raise Short(1)

    def _go_on_passing(self, passing: _Passing, out: _Output) -> None:
        tape = self._tape
        tape.at = self._passed(passing, tape.at)
        if not passing.skip.done:
            raise Short(1)
        self._passing = None
        self._count(passing, out)

    def _passed(self, passing: _Passing, at: int) -> int:
        try:
            return passing.skip.run(self._tape.data, at)
        except ValueError as error:
            raise self._damaged(passing.record, error) from error

    def _count(self, passing: _Passing, out: _Output) -> None:
        if passing.expired:
            out.expired += 1
        else:
            out.left_out += 1

    def _damaged(self, record: _Record, error: ValueError) -> BadData:
        return BadData(f"RDB offset {record.value}: value of key {shown(record.key)}: {error}")

    def _go_on_scanning(self, out: _Output) -> Big | None:
        tape = self._tape
        assert self._scan
        skip, record, cursor = self._scan
        if not skip.done:
            try:
                at = skip.run(tape.data, cursor - tape.base)
            except ValueError as error:
                self._scan = None
                raise self._damaged(record, error) from error
            cursor = tape.base + at
            self._scan = skip, record, cursor
        if cursor - record.value > self._limit:
            return self._begin_big(record, out)
        if not skip.done:
            raise Short(1)
        self._emit(record, cursor, out)
        self._scan = None
        tape.at = cursor - tape.base
        return None

    def _begin_big(self, record: _Record, out: _Output) -> Big | None:
        kind = self._kind(record.number)
        assert kind is not None
        self._settle()
        big = Big(record.key, kind.type, self._target or 0, self._expiry(record), self._place)
        if not out.anything:
            self._big = big
        return big

    def _record(self) -> tuple[_Record, int]:
        """Read up to the value, without moving on; the second is where the value begins in the buffer."""
        tape = self._tape
        start = tape.at
        expires: int | None = None
        idle: int | None = None
        frequency: int | None = None
        try:
            while True:
                code = tape.raw(1)[0]
                if code == _EXPIRES_MS:
                    expires = _I64.unpack(tape.raw(8))[0]
                elif code == _EXPIRES_S:
                    expires = _I32.unpack(tape.raw(4))[0] * 1000
                elif code == _IDLE:
                    idle, frequency = min(tape.length(), MOST_TTL), None
                elif code == _FREQUENCY:
                    idle, frequency = None, tape.raw(1)[0]
                elif code < _FIRST_OPCODE:
                    key = tape.string()
                    record = _Record(code, key, tape.offset, expires, idle, frequency)
                    return record, tape.at
                else:
                    tape.at -= 1
                    tape.bad(f"an expiry without a key: {code} follows")
        finally:
            tape.at = start

    def _emit(self, record: _Record, end: int, out: _Output) -> None:
        tape = self._tape
        kind = self._kind(record.number)
        assert kind is not None
        value = bytes(tape.data[record.value - tape.base : end - tape.base])
        if not readable(kind, self._target_version):
            kind, value = self._recoded(record, kind, value)
        out.select(self._target or 0)
        body = b"%c%b%b" % (kind.number, value, _U16.pack(kind.since))
        payload = body + _U64.pack(crc64(body))
        out.add(command(b"RESTORE", record.key, b"%d" % self._ttl(record), payload, *self._options(record)), 1)

    def _recoded(self, record: _Record, kind: Kind, value: bytes) -> tuple[Kind, bytes]:
        try:
            return recode(kind, value, self._target_version)
        except (BadData, Unsupported) as error:
            raise type(error)(f"Key {shown(record.key)} at RDB offset {record.value}: {error.message}") from error

    def _options(self, record: _Record) -> list[bytes]:
        words = [b"REPLACE"] if self._replace else []
        if record.expires_ms is not None and self._absolute:
            words.append(b"ABSTTL")
        if self._hints and record.idle is not None:
            words += [b"IDLETIME", b"%d" % record.idle]
        if self._hints and record.frequency is not None:
            words += [b"FREQ", b"%d" % record.frequency]
        return words

    def _expiry(self, record: _Record) -> int:
        """When the key expires on the target; 0: never."""
        if record.expires_ms is None:
            return 0
        held = self._hold_ms if 0 < record.expires_ms < self._hold_ms else 0
        return max(1, min(record.expires_ms + held, MOST_TTL))

    def _ttl(self, record: _Record) -> int:
        expiry = self._expiry(record)
        return expiry if self._absolute or not expiry else max(1, expiry - self._now)

    def _cutoff(self) -> int:
        """Keys that expire at this moment or before are left out."""
        if self._before_ms is not None:
            return self._before_ms - 1
        return self._now if not self._hold_ms else -MOST_TTL - 1

    def _is_expired(self, record: _Record) -> bool:
        return record.expires_ms is not None and record.expires_ms <= self._cutoff()

    def _is_selected(self, record: _Record) -> bool:
        return self._target is not None and (self._keep is None or self._keep(self._database, record.key))

    # Everything that is not a key

    def _opcode(self, code: int) -> Functions | End | None:
        tape = self._tape
        start = tape.at
        tape.at += 1
        try:
            return self._read_opcode(code, start)
        except (Short, NeedsOperator):
            tape.at = start
            raise

    def _read_opcode(self, code: int, start: int) -> Functions | End | None:
        tape = self._tape
        if code == 254:
            self._enter(tape.count())
        elif code == 250:
            name, value = tape.string(), tape.string()
            self.facts.aux[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        elif code == 251:
            keys, _ = tape.length(), tape.length()
            self.facts.keys += keys
        elif code == 244:
            _ = tape.length(), tape.length(), tape.length()
        elif code == 247:
            self._pass_over(b"lllm", f"Settings of the module {self._module_name()} are not moved")
        elif code == 243 and is_valkey(self._version):
            self._pass_over(b"s(ll)", "A slot was being imported")
        elif code == _FUNCTIONS:
            return self._functions()
        elif code == _END:
            return self._end()
        else:
            self._refuse_opcode(code, tape.base + start)
        return None

    def _enter(self, database: int) -> None:
        target = self._mapped(database)
        self._database, self._target = database, target

    def _mapped(self, database: int) -> int | None:
        return database if self._databases is None else self._databases(database)

    def _pass_over(self, layout: bytes, note: str) -> None:
        tape = self._tape
        skip = Skip(layout)
        try:
            at = skip.run(tape.data, tape.at)
        except ValueError as error:
            tape.bad(str(error))
        if not skip.done:
            raise Short(1)
        tape.at = at
        self.facts.notes.append(note)

    def _functions(self) -> Functions:
        code = self._tape.string()
        self._settle()
        return Functions(code, self._place)

    def _end(self) -> End:
        """Compare the checksum, which covers everything before itself; 0: the source does not make them."""
        tape = self._tape
        found = _U64.unpack(tape.raw(8))[0] if self._version >= 5 else 0
        with memoryview(tape.data) as view:
            crc = crc64(view[: tape.at - 8], tape.crc) if found else 0
        if found != crc:
            tape.bad(f"the checksum is {found:016x}, but that of the bytes read is {crc:016x}")
        self._ended = True
        self._settle()
        return End(self._place, bool(found))

    # Refusing

    def _kind(self, number: int) -> Kind | None:
        return kind_in(self._version, number)

    def _refuse(self, record: _Record) -> NoReturn:
        what = refusal(self._version, record.number)
        if not what:
            raise BadData(
                f"RDB offset {record.value}: key {shown(record.key)}: no value has the type {record.number}"
            )
        raise Unsupported(f"RDB offset {record.value}: key {shown(record.key)} is {what}")

    def _refuse_module(self, record: _Record, at: int) -> NoReturn:
        tape, before = self._tape, self._tape.at
        tape.at = at
        try:
            name = module_name(tape.length())
        finally:
            tape.at = before
        raise Unsupported(
            f"RDB offset {record.value}: key {shown(record.key)} is a value of the module {name!r}",
            hint="Leave the key out, or move it with a tool of the module.",
        )

    def _refuse_opcode(self, code: int, offset: int) -> NoReturn:
        what = {
            246: "functions of a release candidate of Redis 7.0",
            243: "metadata that a module attached to a key",
            242: "hash templates (Redis 8.10)" if not is_valkey(self._version) else "commands inside the file",
        }.get(code)
        if what is None:
            raise BadData(f"RDB offset {offset}: no record begins with {code}")
        raise Unsupported(f"RDB offset {offset}: the file holds {what}")

    def _module_name(self) -> str:
        tape, before = self._tape, self._tape.at
        try:
            return module_name(tape.length())
        finally:
            tape.at = before

    # The edges

    def _read_magic(self) -> None:
        magic = self._tape.raw(9)
        self._version = version_of(magic)
        self._native_tables()
        self._place = replace(self._place, magic=magic.decode())

    def _settle(self) -> None:
        """Let go of what was read; from here another walker could go on, unless a value is being passed over."""
        tape = self._tape
        tape.drop()
        if self._passing is None:
            self._place = replace(self._place, offset=tape.base, database=self._database, crc=tape.crc)

    def _missing(self, short: Short, out: _Output) -> Needs:
        if self._tape.closed and not out.anything:
            raise self._cut_off() from None
        return Needs(short.missing)

    def _cut_off(self) -> BadData:
        return BadData(f"The RDB file is truncated at offset {self._tape.base + len(self._tape.data)}")

    def _restored(self, out: _Output) -> Restored:
        data = b"".join(out.parts)
        return Restored(data, out.commands, out.keys, out.expired, out.left_out, self._place, out.selected)

    def _native_tables(self) -> None:
        """For each number the layout and the footer's version; 0 where the compiled loop leaves the value to
        Python.
        """
        known = [self._kind(number) for number in range(_FIRST_OPCODE)] if self._version else []
        direct = [kind and kind.number != MODULE and readable(kind, self._target_version) for kind in known]
        footers = [kind.since if kind and taken else 0 for kind, taken in zip(known, direct, strict=True)]
        self._footers = bytes(footers).ljust(256, b"\0")
        self._layouts = tuple(kind.layout if kind else b"" for kind in known)


def module_name(id: int) -> str:
    """The nine letters of a module type in its 64-bit number; the lower ten bits are its version."""
    return "".join(_MODULE_LETTERS[id >> 10 + 6 * place & 63] for place in reversed(range(9)))

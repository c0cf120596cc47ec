"""A key's record in an RDB file, up to its value, and the RESTORE that comes of it."""

from dataclasses import dataclass
from struct import Struct

from sterna.core.errors import BadData
from sterna.engines.redis.wire.command import command
from sterna.engines.redis.wire.crc64 import crc64
from sterna.engines.redis.wire.expiry import UNHELD_FROM
from sterna.engines.redis.wire.kinds import Kind
from sterna.engines.redis.wire.tape import Tape

MOST_MS = (1 << 63) - 1
FIRST_OPCODE = 242
"""Numbers from here on are no types of value."""
EXPIRES_MS, EXPIRES_S, IDLE, FREQUENCY = 252, 253, 248, 249
BEFORE_KEYS = (EXPIRES_MS, EXPIRES_S, IDLE, FREQUENCY)

_I32, _I64, _U16, _U64 = Struct("<i"), Struct("<q"), Struct("<H"), Struct("<Q")


@dataclass(frozen=True, slots=True)
class Record:
    """What stands before a key's value."""

    number: int
    """The number of the value's kind."""
    key: bytes
    value: int
    """Where the value begins, from the beginning of the file."""
    expires_ms: int | None
    idle: int | None
    """Seconds."""
    frequency: int | None


@dataclass(frozen=True, slots=True)
class Style:
    """How keys are restored; the fields are those of ``Walker``."""

    hold_ms: int
    replace: bool
    absolute: bool
    hints: bool

    def expiry(self, record: Record) -> int:
        """When the key expires on the target; 0: never."""
        if record.expires_ms is None:
            return 0
        held = self.hold_ms if 0 < record.expires_ms < min(self.hold_ms, UNHELD_FROM) else 0
        return max(1, min(record.expires_ms + held, MOST_MS))

    def restore(self, record: Record, kind: Kind, value: bytes, now_ms: int) -> bytes:
        """The command. The payload is as DUMP makes it: type, value, RDB version, checksum."""
        body = b"%c%b%b" % (kind.number, value, _U16.pack(kind.since))
        payload = body + _U64.pack(crc64(body))
        return command(b"RESTORE", record.key, b"%d" % self._ttl(record, now_ms), payload, *self._options(record))

    def _ttl(self, record: Record, now_ms: int) -> int:
        expiry = self.expiry(record)
        return expiry if self.absolute or not expiry else max(1, expiry - now_ms)

    def _options(self, record: Record) -> list[bytes]:
        words = [b"REPLACE"] if self.replace else []
        if record.expires_ms is not None and self.absolute:
            words.append(b"ABSTTL")
        if self.hints and record.idle is not None:
            words += [b"IDLETIME", b"%d" % record.idle]
        if self.hints and record.frequency is not None:
            words += [b"FREQ", b"%d" % record.frequency]
        return words

    @property
    def flags(self) -> int:
        """The same for the compiled loop."""
        return self.replace | self.absolute << 1 | self.hints << 2


class NotBeforeKeys(BadData):
    """Something stands between an expiry and its key."""

    code = "STERNA.2012"

    def __init__(self, code: int, offset: int) -> None:
        self.opcode = code
        self.offset = offset
        super().__init__(f"RDB offset {offset}: {code} stands between an expiry and its key")


def read_record(tape: Tape) -> tuple[Record, int]:
    """The record at the tape's place, and where in the buffer its value begins. The tape stays where it is.

    Raises Short, BadData, Unsupported.
    """
    start = tape.at
    expires: int | None = None
    idle: int | None = None
    frequency: int | None = None
    try:
        while True:
            code = tape.raw(1)[0]
            if code == EXPIRES_MS:
                expires = _I64.unpack(tape.raw(8))[0]
            elif code == EXPIRES_S:
                expires = _I32.unpack(tape.raw(4))[0] * 1000
            elif code == IDLE:
                idle, frequency = min(tape.length(), MOST_MS), None
            elif code == FREQUENCY:
                idle, frequency = None, tape.raw(1)[0]
            elif code < FIRST_OPCODE:
                key = tape.string()
                return Record(code, key, tape.offset, expires, idle, frequency), tape.at
            else:
                raise NotBeforeKeys(code, tape.offset - 1)
    finally:
        tape.at = start

"""What a walk meets besides whole values: facts about the file, values seen in part, and what is passed over."""

import time
from dataclasses import dataclass

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire.kinds import Kind, is_valkey
from sterna.engines.redis.wire.outcome import Facts
from sterna.engines.redis.wire.recode import recode
from sterna.engines.redis.wire.record import Record
from sterna.engines.redis.wire.refusing import damaged, module_name, refuse_opcode
from sterna.engines.redis.wire.skipping import Skip
from sterna.engines.redis.wire.tape import Tape, shown

SELECT, SLOT_IMPORT = 254, 243
_RESIZE, _AUX, _MODULE_AUX, _SLOT_INFO = 251, 250, 247, 244


@dataclass(frozen=True, slots=True)
class Scanning:
    """A key whose value was not seen to its end yet. ``reached`` counts from the beginning of the file."""

    skip: Skip
    record: Record
    reached: int


@dataclass(frozen=True, slots=True)
class Passing:
    """Something that is left out while it goes past, and what is to be counted when it is over."""

    skip: Skip
    record: Record | None
    expired: bool = False
    note: str = ""

    def run(self, tape: Tape, at: int) -> int:
        """How far the bytes reach from ``at`` on. Raises BadData."""
        try:
            return self.skip.run(tape.data, at)
        except ValueError as error:
            if self.record:
                raise damaged(self.record, error) from error
            raise BadData(f"RDB offset {tape.base + at}: {error}") from error


def hint(tape: Tape, code: int, offset: int, version: int, facts: Facts) -> Passing | None:
    """Note what a record says about the file or the keys that follow; what is returned goes on and is left out.

    Raises Short, and BadData or Unsupported for a code that cannot be passed over.
    """
    if code == _AUX:
        name, value = tape.string(), tape.string()
        facts.aux[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    elif code == _RESIZE:
        keys, _ = tape.length(), tape.length()
        facts.keys += keys
    elif code == _SLOT_INFO:
        _ = tape.length(), tape.length(), tape.length()
    elif code == _MODULE_AUX:
        module = repr(module_name(tape.length()))
        return Passing(Skip(b"llm"), None, note=f"What the module {module} keeps beside its keys is not moved")
    elif code == SLOT_IMPORT and is_valkey(version):
        return Passing(Skip(b"s(ll)"), None, note="The source was importing slots")
    else:
        refuse_opcode(version, code, offset)
    return None


def recoded(record: Record, kind: Kind, value: bytes, target: int) -> tuple[Kind, bytes]:
    """The value in a form that a target of that RDB version reads. Raises BadData, Unsupported, with the key."""
    try:
        return recode(kind, value, target)
    except (BadData, Unsupported) as error:
        raise type(error)(f"RDB offset {record.value}: key {shown(record.key)}: {error.message}") from error


def wall_ms() -> int:
    """Now, epoch milliseconds."""
    return time.time_ns() // 1_000_000

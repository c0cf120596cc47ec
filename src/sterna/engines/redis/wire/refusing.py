"""Says no to what cannot be moved, by name."""

from typing import NoReturn

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire.kinds import is_valkey, refusal
from sterna.engines.redis.wire.record import Record
from sterna.engines.redis.wire.tape import shown

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_OPCODES = {246: "functions of a release candidate of Redis 7.0"}
_OPCODES_REDIS = {243: "metadata that a module attached to a key", 242: "hash templates (Redis 8.10)"}
_OPCODES_VALKEY = {242: "commands between its records (Valkey 9.2)"}


def refuse_kind(version: int, record: Record) -> NoReturn:
    """Of a record whose number is no kind in files of this version. Raises Unsupported, or BadData."""
    where = f"RDB offset {record.value}: key {shown(record.key)}"
    what = refusal(version, record.number)
    if what:
        raise Unsupported(f"{where} is {what}")
    raise BadData(f"{where}: no value has the type {record.number}")


def refuse_module(record: Record, id: int) -> NoReturn:
    raise Unsupported(
        f"RDB offset {record.value}: key {shown(record.key)} is a value of the module {module_name(id)!r}",
        hint="Leave the key out, or move it with a tool of the module.",
    )


def refuse_opcode(version: int, code: int, offset: int) -> NoReturn:
    what = (_OPCODES | (_OPCODES_VALKEY if is_valkey(version) else _OPCODES_REDIS)).get(code)
    if what:
        raise Unsupported(f"RDB offset {offset}: the file holds {what}")
    raise BadData(f"RDB offset {offset}: no record begins with {code}")


def damaged(record: Record, error: ValueError) -> BadData:
    return BadData(f"RDB offset {record.value}: value of key {shown(record.key)}: {error}")


def module_name(id: int) -> str:
    """The nine letters of a module type in its 64-bit number; the lowest ten bits are a version."""
    return "".join(_LETTERS[id >> 10 + 6 * place & 63] for place in reversed(range(9)))

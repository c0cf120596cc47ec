"""Values into the text of PostgreSQL's COPY, exactly as PostgreSQL prints them (its documentation of COPY).

What PostgreSQL cannot hold is never changed silently: the seventh digit of a second is rounded and counted, U+0000
and lone surrogates are refused or, if so told, replaced and counted.
"""

import re
from binascii import hexlify
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from threading import Lock
from typing import Literal, cast

from sterna.engines.sqlserver.wire import types
from sterna.engines.sqlserver.wire.floats import double_text, real_text
from sterna.engines.sqlserver.wire.longs import Long
from sterna.engines.sqlserver.wire.moments import Instant, Time, Timestamp, clock, day, microseconds
from sterna.engines.sqlserver.wire.records import Physical
from sterna.engines.sqlserver.wire.variant import Variant

NULL = "\\N"
Unstorable = Literal["refuse", "replace"]
"""What becomes of characters that PostgreSQL's text cannot hold."""


@dataclass
class Losses:
    """What had to be changed, counted over all pages so far."""

    digits: int = 0
    """Times that had a seventh digit of a second, which is rounded away."""
    characters: int = 0
    """U+0000, lone surrogates and bytes that a code page does not define: they became U+FFFD."""

    def add(self, digits: int, characters: int) -> None:
        """More of them; several threads may."""
        with _ADDING:
            self.digits += digits
            self.characters += characters


_ADDING = Lock()

Write = Callable[[object], str]

_SPECIAL = re.compile("[\\\\\b\f\n\r\t\v\0\ud800-\udfff]")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def writer(column: Physical, losses: Losses, unstorable: Unstorable = "refuse") -> Write:
    """A function from a value, as ``types.decoder`` gives it and not None, to its text.

    It raises ValueError for text that PostgreSQL cannot hold, if such is refused.
    """
    kind = column.xtype
    if kind in (types.TIME, types.DATETIME2, types.DATETIMEOFFSET):
        return _timed(losses)
    if kind in (types.CHAR, types.NCHAR):
        return _padded(column.length // (2 if kind == types.NCHAR else 1), _escaper(losses, unstorable))
    if kind in _PLAIN:
        return _PLAIN[kind]
    escape = _escaper(losses, unstorable)
    if kind == types.VARIANT:
        return lambda value: escape(variant_text(cast(Variant, value)))
    if kind == types.CLR and column.utype not in types.READABLE_CLR:
        return _binary
    return lambda value: escape(cast(str, value))


def long_text(value: Long, losses: Losses, unstorable: Unstorable = "refuse") -> Callable[[], Iterator[bytes]]:
    """A long value's text, piece by piece, as often as it is asked for; ``losses`` counts what the first one lost.

    The pieces raise ValueError as ``writer`` does.
    """
    counted = False

    def binary() -> Iterator[bytes]:
        yield b"\\\\x"
        for piece in value:
            yield hexlify(cast(bytes, piece))

    def text() -> Iterator[bytes]:
        nonlocal counted
        lost = Losses()
        escape = _escaper(lost, unstorable)
        for piece in value:
            yield escape(cast(str, piece)).encode()
        if not counted:
            counted = True
            losses.add(0, lost.characters)

    return binary if value.binary else text


def _escaper(losses: Losses, unstorable: Unstorable) -> Callable[[str], str]:
    def escape(text: str) -> str:
        if not _SPECIAL.search(text):
            return text
        found = len(_UNSTORABLE.findall(text))
        if found and unstorable == "refuse":
            raise ValueError(
                "the text holds U+0000, half of a surrogate pair or undefined bytes: PostgreSQL cannot store it"
            )
        if found:
            losses.characters += found
            text = _UNSTORABLE.sub("\ufffd", text)
        for plain, written in _ESCAPES.items():  # the backslash is the first: the others bring new ones
            text = text.replace(plain, written)
        return text

    return escape


def _padded(length: int, escape: Callable[[str], str]) -> Write:
    return lambda value: escape(cast(str, value).ljust(length))


def _binary(value: object) -> str:
    return f"\\\\x{cast(bytes, value).hex()}"


def _decimal(value: object) -> str:
    return f"{cast(Decimal, value):f}"


def _truth(value: object) -> str:
    return "t" if value else "f"


def _date(value: object) -> str:
    return cast(date, value).isoformat()


def _timestamp(value: object) -> str:
    return str(value)


def _timed(losses: Losses) -> Write:
    def write(value: object) -> str:
        ticks = cast(Time | Timestamp | Instant, value).ticks
        if ticks % 10:
            losses.digits += 1
            ticks = microseconds(ticks) * 10
        if isinstance(value, Time):
            return clock(ticks)
        zone = "+00" if isinstance(value, Instant) else ""
        return f"{day(cast(Timestamp | Instant, value).days)} {clock(ticks)}{zone}"

    return write


def variant_text(value: Variant) -> str:
    """A variant's value as SQL Server would show it, with all its digits: 1 and 0 for bits, 0x… for bytes."""
    kind, plain = value.column.xtype, value.value
    if kind == types.BIT:
        return "1" if plain else "0"
    if isinstance(plain, bytes):
        return f"0x{plain.hex().upper()}"
    if kind in (types.REAL, types.FLOAT) or isinstance(plain, Decimal):
        return _PLAIN[kind](plain)
    return str(plain)


_PLAIN: dict[int, Write] = {
    types.TINYINT: str,
    types.SMALLINT: str,
    types.INT: str,
    types.BIGINT: str,
    types.BIT: _truth,
    types.REAL: lambda value: real_text(cast(float, value)),
    types.FLOAT: lambda value: double_text(cast(float, value)),
    types.MONEY: _decimal,
    types.SMALLMONEY: _decimal,
    types.DECIMAL: _decimal,
    types.NUMERIC: _decimal,
    types.DATE: _date,
    types.DATETIME: _timestamp,
    types.SMALLDATETIME: _timestamp,
    types.UUID_TYPE: str,
    types.BINARY: _binary,
    types.VARBINARY: _binary,
    types.IMAGE: _binary,
    types.ROWVERSION: _binary,
}

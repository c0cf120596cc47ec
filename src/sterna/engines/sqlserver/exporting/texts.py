"""A value as text, in a form that every reader of files knows: ISO 8601 for times, ``0x`` and digits for bytes."""

from binascii import hexlify
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import cast

from sterna.core.errors import BadData
from sterna.core.schema import Column, Kind
from sterna.engines.sqlserver.wire.copytext import variant_text
from sterna.engines.sqlserver.wire.floats import double_text, real_text
from sterna.engines.sqlserver.wire.longs import Long
from sterna.engines.sqlserver.wire.moments import Instant, Timestamp
from sterna.engines.sqlserver.wire.variant import Variant

ToText = Callable[[object], str]


def text_of(column: Column) -> ToText:
    """A function from a value of this column, not None, to its text."""
    if column.type.kind is Kind.FLOAT and column.type.bits == 32:
        return lambda value: real_text(cast(float, value))
    return _TEXTS.get(column.type.kind, _any)


def moment_text(value: object) -> str:
    """``2024-02-29T23:59:59.1234567``, with a zone ``+01:00`` behind it: all digits, and the zone as stored."""
    return str(cast(Timestamp | Instant, value)).replace(" ", "T", 1).replace(" ", "", 1)


def binary_text(value: object) -> str:
    """``0x01FF``."""
    return f"0x{cast(bytes, value).hex().upper()}"


def hex_of(value: Long) -> Iterator[bytes]:
    """The same of a long value, piece by piece; text as UTF-16, with what halves of surrogate pairs it has."""
    yield b"0x"
    for piece in value:
        data = piece if isinstance(piece, bytes) else piece.encode("utf-16-le", "surrogatepass")
        yield hexlify(data).upper()


def _any(value: object) -> str:
    return binary_text(value) if isinstance(value, bytes) else str(value)


_TEXTS: dict[Kind, ToText] = {
    Kind.BOOLEAN: lambda value: "1" if value else "0",
    Kind.DECIMAL: lambda value: f"{cast(Decimal, value):f}",
    Kind.FLOAT: lambda value: double_text(cast(float, value)),
    Kind.DATE: lambda value: cast(date, value).isoformat(),
    Kind.TIMESTAMP: moment_text,
    Kind.TIMESTAMP_ZONED: moment_text,
    Kind.VARIANT: lambda value: variant_text(cast(Variant, value)),
}


class Unicode:
    """Looks after text that no UTF-8 can hold: half of a surrogate pair is refused, or replaced and counted."""

    def __init__(self, replaces: bool = False) -> None:
        self._replaces = replaces
        self.replaced = 0

    def once(self) -> Callable[[], "Unicode"]:
        """For a value that is read several times: one that counts the first time, then others that do not."""
        counts = iter((self,))
        return lambda: next(counts, Unicode(self._replaces))

    def clean(self, text: str, column: str) -> str:
        """The text as UTF-8 can hold it. Raises BadData, naming the column."""
        halves = sum("\ud800" <= letter <= "\udfff" for letter in text)
        if halves and not self._replaces:
            raise BadData(
                f"column {column} holds half of a surrogate pair, which UTF-8 cannot hold",
                hint="--replace-unstorable writes U+FFFD instead; --format sql keeps it.",
            )
        self.replaced += halves
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)


def encoded(text: str, column: str, unicode: Unicode) -> bytes:
    """The text in UTF-8. Raises BadData, naming the column."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return unicode.clean(text, column).encode()

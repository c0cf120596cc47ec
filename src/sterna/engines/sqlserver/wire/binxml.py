"""xml columns: stored in the binary form that [MS-BINXML] describes, or as UTF-16 text.

The binary form is a header (DF FF, a version, code page 1200), then tokens: names are given once and called by
number, qualified names are triples of such numbers, and values carry their type.
"""

import struct
from base64 import b64encode
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from sterna.core.errors import Unsupported
from sterna.engines.sqlserver.wire import collations
from sterna.engines.sqlserver.wire.moments import DAY, DAY_1900, clock, day

_SIGNATURE = b"\xdf\xff"
_DECLARATION, _ENCODING, _DOCTYPE, _SYSTEM, _PUBLIC, _SUBSET = 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF9
_ELEMENT, _END, _ATTRIBUTE, _END_ATTRIBUTES, _INSTRUCTION, _COMMENT = 0xF8, 0xF7, 0xF6, 0xF5, 0xF4, 0xF3
_CDATA, _END_CDATA, _NAME, _QUALIFIED, _TEXT, _NEST, _END_NEST = 0xF2, 0xF1, 0xF0, 0xEF, 0xED, 0xEC, 0xEB
_EXTENSION, _FLUSH = 0xEA, 0xE9
_DEEPEST_NEST = 32
_IN_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_IN_ATTRIBUTE = _IN_TEXT | str.maketrans({'"': "&quot;", "\n": "&#xA;", "\t": "&#x9;"})


def xml_text(raw: bytes) -> str:
    """The text of an XML value, without a declaration.

    Raises ValueError or struct.error for bytes that are none, Unsupported for a value inside whose form is not
    known.
    """
    if raw[:2] == _SIGNATURE:
        return _Reader(raw).document()
    return raw.removeprefix(b"\xff\xfe").decode("utf-16-le")


class _Qualified(NamedTuple):
    uri: str
    prefix: str
    local: str

    def __str__(self) -> str:
        return f"{self.prefix}:{self.local}" if self.prefix else self.local


class _Names:
    """The names that a document has given so far. Number 0 is no name at all."""

    def __init__(self) -> None:
        self.words = [""]
        self.qualified: list[_Qualified] = [_Qualified("", "", "")]


Scope = dict[str, str]
"""The namespace that each prefix stands for."""


class _Reader:
    """Walks the tokens once and writes the text as it goes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        self._out: list[str] = []
        self._names = _Names()
        self._outer: list[_Names] = []
        self._open: list[tuple[str, Scope]] = []

    def document(self) -> str:
        self._header()
        while self._at < len(self._raw):
            self._item(self._token())
        if self._open or self._outer:
            raise ValueError("the XML ends inside an element")
        return "".join(self._out)

    def _item(self, token: int) -> None:
        special = _ITEMS.get(token)
        if special:
            special(self)
        else:
            self._out.append(self._value(token).translate(_IN_TEXT))

    def _header(self) -> None:
        if self._take(2) != _SIGNATURE or self._take(1) not in (b"\1", b"\2") or self._take(2) != b"\xb0\x04":
            raise ValueError("the header of binary XML is not right")

    def _take(self, size: int) -> bytes:
        piece = self._raw[self._at : self._at + size]
        if len(piece) != size:
            raise ValueError("the XML is cut off")
        self._at += size
        return piece

    def _number(self) -> int:
        """Seven bits in each byte, the lowest first; the eighth says that more follow."""
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self._take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of the XML is too long")

    def _string(self) -> str:
        return self._take(2 * self._number()).decode("utf-16-le")

    def _token(self) -> int:
        """The next token that is not about names: those are taken in on the way."""
        while True:
            (token,) = self._take(1)
            if token == _NAME:
                self._names.words.append(self._string())
            elif token == _QUALIFIED:
                uri, prefix, local = self._word(), self._word(), self._word()
                self._names.qualified.append(_Qualified(uri, prefix, local))
            elif token == _EXTENSION:
                self._take(self._number())
            elif token == _FLUSH:
                self._names = _Names()
            else:
                return token

    def _peek(self) -> int:
        """The next token, without going past it; -1 at the end."""
        if self._at >= len(self._raw):
            return -1
        token = self._token()
        self._at -= 1
        return token

    def _word(self) -> str:
        return self._names.words[self._number()]

    def _qualified(self) -> _Qualified:
        return self._names.qualified[self._number()]

    def _element(self) -> None:
        name = self._qualified()
        scope = dict(self._open[-1][1]) if self._open else {"": "", "xml": "http://www.w3.org/XML/1998/namespace"}
        attributes = self._attributes()
        declared = {_declares(one): value for one, value in attributes if _declares(one) is not None}
        scope |= {prefix: uri for prefix, uri in declared.items() if prefix is not None}
        words = [f" {one}" + f'="{value.translate(_IN_ATTRIBUTE)}"' for one, value in attributes]
        for used in (name, *(one for one, _ in attributes if _declares(one) is None and one.prefix)):
            if scope.get(used.prefix) != used.uri:
                scope[used.prefix] = used.uri
                words.append(f" {_declaration(used.prefix)}" + f'="{used.uri.translate(_IN_ATTRIBUTE)}"')
        self._out.append(f"<{name}{''.join(words)}")
        self._start_ends(str(name), scope)

    def _start_ends(self, name: str, scope: Scope) -> None:
        if self._peek() == _END:
            self._token()
            self._out.append("/>")
        else:
            self._out.append(">")
            self._open.append((name, scope))

    def _attributes(self) -> list[tuple[_Qualified, str]]:
        found: list[tuple[_Qualified, str]] = []
        while self._peek() == _ATTRIBUTE:
            self._token()
            name, text = self._qualified(), ""
            while self._peek() not in (_ATTRIBUTE, _END_ATTRIBUTES):
                text += self._value(self._token())
            found.append((name, text))
        if found and self._token() != _END_ATTRIBUTES:
            raise ValueError("the attributes of an element do not end")
        return found

    def _end(self) -> None:
        if not self._open:
            raise ValueError("an element ends that did not begin")
        self._out.append(f"</{self._open.pop()[0]}>")

    def _instruction(self) -> None:
        name, text = self._word(), self._string()
        self._out.append(f"<?{name} {text}?>" if text else f"<?{name}?>")

    def _comment(self) -> None:
        self._out.append(f"<!--{self._string()}-->")

    def _cdata(self) -> None:
        text = self._string()
        while self._peek() == _CDATA:
            self._token()
            text += self._string()
        if self._token() != _END_CDATA:
            raise ValueError("a CDATA section does not end")
        self._out.append("<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>")

    def _declaration(self) -> None:
        self._string()
        if self._peek() == _ENCODING:
            self._token()
            self._string()
        self._take(1)

    def _doctype(self) -> None:
        text = f"<!DOCTYPE {self._string()}"
        system = self._part(_SYSTEM)
        public = self._part(_PUBLIC)
        subset = self._part(_SUBSET)
        if public is not None:
            text += f' PUBLIC "{public}" "{system or ""}"'
        elif system is not None:
            text += f' SYSTEM "{system}"'
        self._out.append(text + (f" [{subset}]>" if subset else ">"))

    def _part(self, token: int) -> str | None:
        if self._peek() != token:
            return None
        self._token()
        return self._string()

    def _markup(self) -> None:
        self._out.append(self._string())

    def _nest(self) -> None:
        if len(self._outer) >= _DEEPEST_NEST:
            raise ValueError("documents inside the XML are nested too deep")
        self._outer.append(self._names)
        self._names = _Names()
        self._header()

    def _end_nest(self) -> None:
        if not self._outer:
            raise ValueError("a document inside the XML ends that did not begin")
        self._names = self._outer.pop()

    def _value(self, token: int) -> str:
        if token in _FIXED:
            size, text = _FIXED[token]
            return text(self._take(size))
        if token in (0x0E, 0x11, 0x18):
            return self._string()
        if token in (0x0D, 0x10, 0x16):
            return _narrow(self._take(self._number()))
        if token in (0x0C, 0x0F, 0x17, 0x1B, 0x85):
            return b64encode(self._take(self._number())).decode()
        if token == 0x84:
            return self._take(self._number()).hex().upper()
        if token in (0x0A, 0x0B, 0x87):
            return _decimal(self._take(self._number()), trim=token == 0x87)
        if token in _TIMES:
            return self._time(token)
        if token == 0x8C:
            return str(self._qualified())
        if token in (0x81, 0x82, 0x83):
            raise Unsupported("A date of typed XML in the form of SQL Server 2005.")
        raise ValueError(f"a token {token:#x} where a value should be")

    def _time(self, token: int) -> str:
        scale = self._raw[self._at]
        if scale > 7:
            raise ValueError("a time with more than 7 digits of a second")
        self._take(1)
        ticks = int.from_bytes(self._take(3 if scale <= 2 else 4 if scale <= 4 else 5), "little") * 10 ** (
            7 - scale
        )
        days = int.from_bytes(self._take(3), "little")
        offset = struct.unpack("<h", self._take(2))[0] if token <= 0x7C else None
        return _TIMES[token](days, ticks, offset)


def _declares(name: _Qualified) -> str | None:
    """The prefix that an attribute declares; None: it is an ordinary one."""
    if name.prefix == "xmlns":
        return name.local
    return "" if not name.prefix and name.local == "xmlns" else None


def _declaration(prefix: str) -> str:
    return f"xmlns:{prefix}" if prefix else "xmlns"


def _narrow(data: bytes) -> str:
    """Four bytes of code page before the text."""
    (page,) = struct.unpack_from("<I", data)
    return collations.decoder(page)(data[4:])


def _decimal(data: bytes, *, trim: bool) -> str:
    """Precision, scale, sign (1: positive), and the digits as one whole number."""
    scale, sign = data[1], data[2]
    if scale > 38 or len(data) > 19:
        raise ValueError("a decimal number with too many digits")
    digits = str(int.from_bytes(data[3:], "little")).zfill(scale + 1)
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    if trim and scale:
        text = text.rstrip("0").rstrip(".")
    return text if sign or not any(data[3:]) else f"-{text}"


def _money(form: str) -> Callable[[bytes], str]:
    def text(raw: bytes) -> str:
        (value,) = struct.unpack(form, raw)
        return f"{'-' if value < 0 else ''}{abs(value) // 10000}.{abs(value) % 10000:04}"

    return text


def _number_text(form: str) -> Callable[[bytes], str]:
    return lambda raw: str(struct.unpack(form, raw)[0])


def _double(form: str, digits: int) -> Callable[[bytes], str]:
    def text(raw: bytes) -> str:
        (value,) = struct.unpack(form, raw)
        if value != value:
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "INF" if value > 0 else "-INF"
        near = next((t for d in range(6, digits) if struct.pack(form, float(t := f"{value:.{d}g}")) == raw), "")
        return (near or f"{value:.{digits}g}").replace("e", "E")

    return text


def _datetime(raw: bytes) -> str:
    days, ticks = struct.unpack("<iI", raw)
    if ticks >= 25_920_000:
        raise ValueError("a time beyond the day")
    return f"{day(days + DAY_1900)}T{clock((ticks * 10 + 1) // 3 * 10_000)}"


def _smalldatetime(raw: bytes) -> str:
    days, minutes = struct.unpack("<HH", raw)
    return f"{day(days + DAY_1900)}T{clock(minutes * 600_000_000 % DAY)}"


def _zone(offset: int | None) -> str:
    if offset is None:
        return ""
    minutes = abs(offset)
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" if offset else "Z"


def _local(days: int, ticks: int, offset: int | None) -> tuple[str, str]:
    """Date and time as a clock in that zone shows them: they are stored in UTC."""
    days, ticks = divmod(days * DAY + ticks + (offset or 0) * 600_000_000, DAY)
    return day(days), clock(ticks)


def _date_and_time(days: int, ticks: int, offset: int | None) -> str:
    return "T".join(_local(days, ticks, offset)) + _zone(offset)


def _only_date(days: int, ticks: int, offset: int | None) -> str:
    return _local(days, ticks, offset)[0] + _zone(offset)


def _only_time(days: int, ticks: int, offset: int | None) -> str:
    return _local(days, ticks, offset)[1] + _zone(offset)


_TIMES: dict[int, Callable[[int, int, int | None], str]] = {
    0x7A: _only_time,
    0x7B: _date_and_time,
    0x7C: _only_date,
    0x7D: _only_time,
    0x7E: _date_and_time,
}
_FIXED: dict[int, tuple[int, Callable[[bytes], str]]] = {
    0x01: (2, _number_text("<h")),
    0x02: (4, _number_text("<i")),
    0x03: (4, _double("<f", 9)),
    0x04: (8, _double("<d", 17)),
    0x05: (8, _money("<q")),
    0x06: (1, _number_text("<B")),
    0x07: (1, _number_text("<B")),
    0x08: (8, _number_text("<q")),
    0x09: (16, lambda raw: str(UUID(bytes_le=raw)).upper()),
    0x12: (8, _datetime),
    0x13: (4, _smalldatetime),
    0x14: (4, _money("<i")),
    0x7F: (3, lambda raw: day(int.from_bytes(raw, "little"))),
    0x86: (1, lambda raw: "true" if raw[0] else "false"),
    0x88: (1, _number_text("<b")),
    0x89: (2, _number_text("<H")),
    0x8A: (4, _number_text("<I")),
    0x8B: (8, _number_text("<Q")),
}
_ITEMS: dict[int, Callable[[_Reader], None]] = {
    _ELEMENT: _Reader._element,
    _END: _Reader._end,
    _INSTRUCTION: _Reader._instruction,
    _COMMENT: _Reader._comment,
    _CDATA: _Reader._cdata,
    _DECLARATION: _Reader._declaration,
    _DOCTYPE: _Reader._doctype,
    _TEXT: _Reader._markup,
    _NEST: _Reader._nest,
    _END_NEST: _Reader._end_nest,
}

"""xml columns: stored in the binary form that [MS-BINXML] describes, or as UTF-16 text.

The binary form is a header (DF FF, a version, code page 1200), then tokens: names are given once and called by
number, qualified names are triples of such numbers, and values carry their type.
"""

import struct
from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from sterna.core.errors import Unsupported
from sterna.engines.sqlserver.wire.xmlvalues import FIXED, TIMES, decimal, narrow

_SIGNATURE = b"\xdf\xff"
_DECLARATION, _ENCODING, _DOCTYPE, _SYSTEM, _PUBLIC, _SUBSET = 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF9
_ELEMENT, _END, _ATTRIBUTE, _END_ATTRIBUTES, _INSTRUCTION, _COMMENT = 0xF8, 0xF7, 0xF6, 0xF5, 0xF4, 0xF3
_CDATA, _END_CDATA, _NAME, _QUALIFIED, _TEXT, _NEST, _END_NEST = 0xF2, 0xF1, 0xF0, 0xEF, 0xED, 0xEC, 0xEB
_EXTENSION, _FLUSH = 0xEA, 0xE9
_WIDE = (0x0E, 0x11, 0x18)
"""Texts in UTF-16."""
_DEEPEST_NEST = 32
_TOGETHER = 512
"""Pieces of text that are given together."""
_PART = 1 << 17
"""Bytes of a long text that are decoded together."""
_IN_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_IN_ATTRIBUTE = _IN_TEXT | str.maketrans({'"': "&quot;", "\n": "&#xA;", "\t": "&#x9;"})


def xml_text(raw: bytes) -> str:
    """The text of an XML value, without a declaration.

    Raises ValueError or struct.error for bytes that are none, Unsupported for a value inside whose form is not
    known.
    """
    return "".join(xml_pieces(iter((raw,))))


def xml_pieces(pieces: Iterator[bytes]) -> Iterator[str]:
    """The same of a value that comes in pieces, none of them shorter than its first two bytes."""
    first = next(pieces, b"")
    rest = chain((first,), pieces)
    if first[:2] == _SIGNATURE:
        yield from _Reader(rest).document()
        return
    decode = getincrementaldecoder("utf-16-le")().decode
    yield decode(first.removeprefix(b"\xff\xfe"))
    for piece in pieces:
        yield decode(piece)
    yield decode(b"", final=True)


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

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._raw = b""
        """What is at hand of them."""
        self._at = 0
        self._out: list[str] = []
        self._names = _Names()
        self._outer: list[_Names] = []
        self._open: list[tuple[str, Scope]] = []

    def document(self) -> Iterator[str]:
        """The text, piece by piece."""
        self._header()
        while self._fill(1):
            token = self._token()
            if token in _WIDE:
                yield from self._written()
                yield from self._wide()
                continue
            self._item(token)
            if len(self._out) >= _TOGETHER:
                yield from self._written()
        if self._open or self._outer:
            raise ValueError("the XML ends inside an element")
        yield from self._written()

    def _written(self) -> Iterator[str]:
        yield "".join(self._out)
        self._out.clear()

    def _wide(self) -> Iterator[str]:
        """A text of any length."""
        left = 2 * self._number()
        decode = getincrementaldecoder("utf-16-le")().decode
        while left:
            data = self._take(min(left, _PART))
            left -= len(data)
            yield decode(data, final=not left).translate(_IN_TEXT)

    def _fill(self, size: int) -> bool:
        """Whether so many bytes are at hand, or can be had."""
        if len(self._raw) - self._at >= size:
            return True
        held = [self._raw[self._at :]]
        count = len(held[0])
        while count < size and (piece := next(self._pieces, None)) is not None:
            held.append(piece)
            count += len(piece)
        self._raw, self._at = b"".join(held), 0
        return count >= size

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
        if len(self._raw) - self._at < size and not self._fill(size):
            raise ValueError("the XML is cut off")
        self._at += size
        return self._raw[self._at - size : self._at]

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
        if not self._fill(1):
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
        if token in FIXED:
            size, text = FIXED[token]
            return text(self._take(size))
        if token in _WIDE:
            return self._string()
        if token in (0x0D, 0x10, 0x16):
            return narrow(self._take(self._number()))
        if token in (0x0C, 0x0F, 0x17, 0x1B, 0x85):
            return b64encode(self._take(self._number())).decode()
        if token == 0x84:
            return self._take(self._number()).hex().upper()
        if token in (0x0A, 0x0B, 0x87):
            return decimal(self._take(self._number()), trim=token == 0x87)
        if token in TIMES:
            return self._time(token)
        if token == 0x8C:
            return str(self._qualified())
        if token in (0x81, 0x82, 0x83):
            raise Unsupported("A date of typed XML in the form of SQL Server 2005.")
        raise ValueError(f"a token {token:#x} where a value should be")

    def _time(self, token: int) -> str:
        (scale,) = self._take(1)
        if scale > 7:
            raise ValueError("a time with more than 7 digits of a second")
        ticks = int.from_bytes(self._take(3 if scale <= 2 else 4 if scale <= 4 else 5), "little") * 10 ** (
            7 - scale
        )
        days = int.from_bytes(self._take(3), "little")
        offset = struct.unpack("<h", self._take(2))[0] if token <= 0x7C else None
        return TIMES[token](days, ticks, offset)


def _declares(name: _Qualified) -> str | None:
    """The prefix that an attribute declares; None: it is an ordinary one."""
    if name.prefix == "xmlns":
        return name.local
    return "" if not name.prefix and name.local == "xmlns" else None


def _declaration(prefix: str) -> str:
    return f"xmlns:{prefix}" if prefix else "xmlns"


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

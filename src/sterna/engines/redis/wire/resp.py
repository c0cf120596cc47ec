"""Commands as a master sends them to its replicas: finding where each begins and ends, and writing new ones.

A command is a RESP array of bulk strings, ``*2\\r\\n$4\\r\\nPING\\r\\n…`` (https://redis.io/docs/latest/develop/reference/protocol-spec/).
A command that has arrived in part is remembered, so that no byte of it is looked at twice.
"""

from array import array

from sterna.core.errors import BadData, Unsupported

MOST_BULK = 1 << 30
"""Bytes of the longest argument that is taken."""
MOST_ARGUMENTS = (1 << 31) - 1
"""What a server itself takes at most."""

_STAR, _DOLLAR, _CR, _LF, _ZERO, _NINE = b"*$\r\n09"
_LONGEST_NUMBER = 10
INCOMPLETE = -1


def command(*words: bytes | int) -> bytes:
    """One command as bytes to be sent."""
    return b"*%d\r\n%b" % (len(words), b"".join(map(bulk, words)))


def bulk(word: bytes | int) -> bytes:
    """One word of a command."""
    text = b"%d" % word if isinstance(word, int) else word
    return b"$%d\r\n%b\r\n" % (len(text), text)


def bad(what: str, offset: int) -> BadData:
    """The error for bytes that are no command. ``offset``: in the file, or from where the stream was entered."""
    return BadData(f"The stream of commands is not readable at byte {offset}: {what}")


class Framer:
    """Finds one command after another in a buffer that grows at its end.

    After ``next`` has returned an end, ``spans`` holds where the arguments are: start, end, start, end …
    (none for a bare line end, which a master sends to keep the link alive).
    """

    def __init__(self) -> None:
        self.spans = _no_spans()
        self._at = 0
        self._left = 0

    def moved(self, by: int) -> None:
        """The first ``by`` bytes of the buffer were taken away."""
        self._at -= by
        if by:
            self.spans = array("q", (place - by for place in self.spans)) if self._left else _no_spans()

    @property
    def expected(self) -> int:
        """How many words the command that has arrived in part says it has; 0: none has."""
        return self._left + len(self.spans) // 2 if self._left else 0

    def awaited(self, buffer: bytearray) -> tuple[int, int, int]:
        """Of the word that has arrived in part: where its head is, where its bytes begin, and how many it has.

        A length below 0: that is not known yet, or there is no such word.
        """
        begin, length = _length(buffer, self._at, 0) if self._left else (INCOMPLETE, 0)
        return self._at, begin, length if begin >= 0 else INCOMPLETE

    def cut(self, words: int, size: int) -> None:
        """All words that were seen but the first ones have been taken out of the buffer, ``size`` bytes."""
        del self.spans[2 * words :]
        self._at -= size

    def restart(self) -> None:
        """Look at the command at which ``next`` will be asked to start from its beginning."""
        self._left = 0

    def next(self, buffer: bytearray, start: int, base: int) -> int:
        """Where the command that starts at ``start`` ends, or INCOMPLETE: call again when more has come.

        ``base`` is the stream offset of the buffer's first byte. Raises BadData, Unsupported.
        """
        if self._left:
            at, spans = self._at, self.spans
        else:
            spans = self.spans = _no_spans()
            if start >= len(buffer):
                return INCOMPLETE
            if buffer[start] != _STAR:
                return _line_end(buffer, start, base)
            at, self._left = _number(buffer, start + 1, base, MOST_ARGUMENTS)
            if at < 0 or not self._left:
                return at
        return self._arguments(buffer, at, base, spans)

    def _arguments(self, buffer: bytearray, at: int, base: int, spans: "array[int]") -> int:
        size, left = len(buffer), self._left
        while left:
            if at + 4 < size and buffer[at] == _DOLLAR and buffer[at + 2] == _CR and buffer[at + 3] == _LF:
                begin, length = at + 4, buffer[at + 1] - _ZERO
                if not 0 <= length <= 9:
                    raise bad("a length is no number", base + at)
            else:
                begin, length = _length(buffer, at, base)
            end = begin + length
            if begin < 0 or end + 2 > size:
                break
            if buffer[end] != _CR or buffer[end + 1] != _LF:
                raise bad("an argument is not as long as it says", base + end)
            spans.append(begin)
            spans.append(end)
            at = end + 2
            left -= 1
        self._at, self._left = at, left
        return INCOMPLETE if left else at


def _no_spans() -> "array[int]":
    """A command may have a million words: as a list of numbers their places would take eighty bytes each."""
    return array("q")


def _line_end(buffer: bytearray, at: int, base: int) -> int:
    if buffer[at] == _LF:
        return at + 1
    if buffer[at] != _CR:
        raise bad(f"expected a command, found {bytes(buffer[at : at + 16])!r}", base + at)
    if at + 1 == len(buffer):
        return INCOMPLETE
    if buffer[at + 1] != _LF:
        raise bad("expected the end of a line", base + at)
    return at + 2


def _length(buffer: bytearray, at: int, base: int) -> tuple[int, int]:
    if at >= len(buffer):
        return INCOMPLETE, 0
    if buffer[at] != _DOLLAR:
        raise bad(f"expected an argument, found {bytes(buffer[at : at + 16])!r}", base + at)
    begin, length = _number(buffer, at + 1, base, MOST_ARGUMENTS)
    if length > MOST_BULK:
        raise Unsupported(
            f"An argument of {length} bytes at byte {base + at} of the stream is longer than {MOST_BULK}"
        )
    return begin, length


def _number(buffer: bytearray, at: int, base: int, most: int) -> tuple[int, int]:
    """The number that starts at ``at`` and where its line ends; an end of INCOMPLETE while that is not there."""
    end = buffer.find(b"\r\n", at, at + _LONGEST_NUMBER + 2)
    text = buffer[at:end] if end >= 0 else buffer[at : at + _LONGEST_NUMBER + 1]
    digits = text if end >= 0 else text.removesuffix(b"\r")
    if ((digits or end >= 0) and not digits.isdigit()) or (len(digits) > 1 and digits[0] == _ZERO):
        raise bad("a length is no number", base + at)  # servers close the link on zeros in front
    if end < 0:
        if len(digits) > _LONGEST_NUMBER:
            raise bad("a length is too long", base + at)
        return INCOMPLETE, 0
    if (number := int(digits)) > most:
        raise bad(f"a length of {number}", base + at)
    return end + 2, number

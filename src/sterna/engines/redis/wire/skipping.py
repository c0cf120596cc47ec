"""Finds where a value ends without looking into it, going on where it stopped when more bytes come.

A layout is a row of letters: ``s`` a string, ``l`` a length, ``d`` a number as text, ``8`` eight bytes, ``6``
sixteen, ``4`` twenty-four, ``(`` … ``)`` a count and that many of what stands between, ``m`` what a module
wrote, ``a`` the head of an array, closed by ``)`` too, and ``e`` an element of one.
"""

from sterna.engines.redis.wire.native import native
from sterna.engines.redis.wire.tape import MOST_LENGTH, Short, compressed_head, read_length

_FIXED = {ord("8"): 8, ord("6"): 16, ord("4"): 24}
_INTEGER_SIZES = (1, 2, 4)


class Skip:
    """One value on its way past. ``done`` once its end was seen; ``owed`` bytes at least are still to come."""

    __slots__ = ("_layout", "_loops", "_pc", "done", "owed")

    def __init__(self, layout: bytes) -> None:
        self._layout = layout
        self._loops: list[list[int]] = []
        self.owed = 0
        self._pc = 0
        self.done = False

    def run(self, data: bytearray, at: int) -> int:
        """Go on from ``at`` as far as the bytes reach; return how far that was. Raises ValueError for bad bytes.

        What was passed need not be kept. After a ValueError nothing more is to be done with this object.
        """
        end = len(data)
        if native:  # it stops where anything is missing or wrong, and below it is found out which
            self._pc, self.owed, self._loops, at = native.skip(
                self._layout, self._pc, self.owed, self._loops, data, at
            )
        while True:
            step = min(self.owed, end - at)
            self.owed -= step
            at += step
            if self.owed:
                return at
            if self._pc == len(self._layout):
                self.done = True
                return at
            try:
                at = self._step(self._layout[self._pc], data, at)
            except Short:
                return at

    def _step(self, letter: int, data: bytearray, at: int) -> int:
        """One letter: where it ends, apart from the bytes owed. Raises Short and changes nothing."""
        if letter == 0x73:  # s
            at = self._string(data, at)
        elif letter in _FIXED:
            self.owed = _FIXED[letter]
        elif letter == 0x6C:  # l
            at = _plain(data, at)[1]
        elif letter == 0x28:  # (
            count, at = _plain(data, at)
            return self._open(count, at)
        elif letter == 0x29:  # )
            return self._close(at)
        elif letter == 0x64:  # d
            if at >= len(data):
                raise Short(1)
            self.owed = data[at] if data[at] < 253 else 0
            at += 1
        elif letter == 0x6D:  # m
            return self._module(data, at)
        elif letter == 0x61:  # a
            return self._array(data, at)
        else:  # e
            at = self._element(data, at)
        self._pc += 1
        return at

    def _string(self, data: bytearray, at: int) -> int:
        size, at, special = read_length(data, at)
        if not special:
            if size > MOST_LENGTH:
                raise ValueError(f"a string of {size} bytes is not believable")
            self.owed = size
        elif size < 3:
            self.owed = _INTEGER_SIZES[size]
        elif size == 3:
            self.owed, _, at = compressed_head(data, at)
        else:
            raise ValueError(f"no string has the encoding {size}")
        return at

    def _open(self, count: int, at: int) -> int:
        if count > MOST_LENGTH:
            raise ValueError(f"{count} elements are not believable")
        if count:
            self._pc += 1
            self._loops.append([self._pc, count])
            return at
        depth = 1
        while depth:
            self._pc += 1
            letter = self._layout[self._pc]
            depth += (letter in b"(a") - (letter == 0x29)
        self._pc += 1
        return at

    def _close(self, at: int) -> int:
        loop = self._loops[-1]
        loop[1] -= 1
        if loop[1]:
            self._pc = loop[0]
        else:
            self._loops.pop()
            self._pc += 1
        return at

    def _module(self, data: bytearray, at: int) -> int:
        code, at = _plain(data, at)
        if code == 0:
            self._pc += 1
        elif code in (1, 2):
            at = _plain(data, at)[1]
        elif code in (3, 4):
            self.owed = 4 * (code - 2)
        elif code == 5:
            at = self._string(data, at)
        else:
            raise ValueError(f"modules write no item of kind {code}")
        return at

    def _array(self, data: bytearray, at: int) -> int:
        count, at = _plain(data, at)
        flag, at = _plain(data, at)
        if flag > 1:
            raise ValueError(f"an array's flag is 0 or 1, not {flag}")
        if flag:
            at = _plain(data, at)[1]
        return self._open(count, at)

    def _element(self, data: bytearray, at: int) -> int:
        tag, at = _plain(data, at)
        if tag in (0, 3):
            return self._string(data, at)
        if tag not in (1, 2):
            raise ValueError(f"an array has no element of kind {tag}")
        self.owed = 8
        return at


def _plain(data: bytearray, at: int) -> tuple[int, int]:
    value, at, special = read_length(data, at)
    if special:
        raise ValueError("a length was expected, not a special encoding")
    return value, at

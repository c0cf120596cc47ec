"""What is about to be sent: commands kept as places in the buffer they came in, and new ones as bytes."""

from collections.abc import Sequence
from typing import overload

from sterna.engines.redis.wire.expiry import Edit
from sterna.engines.redis.wire.resp import command

Part = bytes | tuple[int, int]


class Words(Sequence[bytes]):
    """The words of a command, copied out of the buffer only where somebody looks at them."""

    def __init__(self, buffer: bytearray, spans: Sequence[int], start: int) -> None:
        self._buffer = buffer
        self.start = start
        """Where in the buffer the command begins."""
        self._spans = spans

    def __len__(self) -> int:
        return len(self._spans) // 2

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return bytes(self._buffer[self._spans[2 * place] : self._spans[2 * place + 1]])

    def place(self, word: int) -> int:
        """Where in the buffer a word begins, its length included; for ``len(self)``, where the command ends."""
        return self._spans[2 * word - 1] + 2 if word else self._buffer.rindex(b"$", 0, self._spans[0])


class Draft:
    """Commands in the order in which they will be sent, with what there is to say about them.

    Places are stream offsets, so that they stay right when the buffer is cut at its front.
    """

    def __init__(self, selected: int = -1) -> None:
        self.parts: list[Part] = []
        self.count = 0
        self.dropped = 0
        self.flushes = 0
        self.notes: list[str] = []
        self.swaps: list[tuple[int, int]] = []
        self.began_with = selected
        """The database that must be selected before the first part; -1: the parts see to it."""
        self.selected = selected
        self._start = self._end = -1

    def raw(self, start: int, end: int) -> None:
        """The stream's own bytes, which may be part of a command."""
        if start == end:
            return
        if self._end == start:
            self._end = end
        else:
            self._close()
            self._start, self._end = start, end

    def text(self, data: bytes) -> None:
        """New bytes, which may be part of a command."""
        if data:
            self._close()
            self.parts.append(data)

    def select(self, database: int) -> None:
        """What follows goes into this database of the target."""
        if database != self.selected:
            self.text(command(b"SELECT", database))
            self.count += 1
            self.selected = database

    def add(self, parts: Sequence[Part], count: int, dropped: int, selected: int) -> None:
        """What the compiled loop drafted follows."""
        self._close()
        self.parts += parts
        self.count += count
        self.dropped += dropped
        self.selected = selected

    def extend(self, inner: "Draft") -> None:
        """What was drafted apart follows."""
        self._close()
        inner._close()
        self.parts += inner.parts
        self.count += inner.count
        self.dropped += inner.dropped
        self.flushes += inner.flushes
        self.notes += inner.notes
        self.swaps += inner.swaps
        self.selected = inner.selected

    def stand_alone(self) -> None:
        """Nothing comes before it any more: it must select its first database itself."""
        if self.began_with < 0:
            return
        self._close()
        if self.parts:
            self.parts.insert(0, command(b"SELECT", self.began_with))
            self.count += 1
        else:
            self.selected = -1
        self.began_with = -1

    def data(self, buffer: bytearray, base: int) -> bytes:
        """Everything, joined. ``base`` is the stream offset of the buffer's first byte."""
        self._close()
        with memoryview(buffer) as view:
            pieces = [
                part if isinstance(part, bytes) else view[part[0] - base : part[1] - base] for part in self.parts
            ]
            try:
                return b"".join(pieces)
            finally:
                for piece in pieces:
                    if isinstance(piece, memoryview):
                        piece.release()

    def _close(self) -> None:
        if self._end >= 0:
            self.parts.append((self._start, self._end))
            self._start = self._end = -1


def edited(words: Sequence[bytes], edits: Sequence[Edit]) -> list[bytes | int]:
    """The words of a command after some of them were replaced; ``edits`` in order."""
    done: list[bytes | int] = []
    place = 0
    for first, last, new in edits:
        done += words[place:first]
        done += new
        place = last
    return [*done, *words[place:]]

"""Commands of which some words are on disk, since they are too long to be held."""

from collections.abc import Callable, Iterator, Sequence

from sterna.core.change import Pieces


class Spilled(Pieces):
    """Commands to be sent as they are, piece by piece. Reading a piece may take the disk's time."""

    __slots__ = ("_whole", "short")

    def __init__(self, short: bytes, whole: Callable[[bytes], Sequence[bytes | Callable[[], Iterator[bytes]]]]):
        """``short``: the same commands with a mark in place of each long word. ``whole`` puts those back."""
        super().__init__(whole(short))
        self.short = short
        self._whole = whole

    def of(self, short: bytes) -> "Spilled":
        """Some of the commands, or others that were made of them."""
        return Spilled(short, self._whole)


def short(data: bytes | Pieces) -> bytes:
    """Commands as far as they fit into memory: for counting, routing and messages."""
    return data.short if isinstance(data, Spilled) else b"".join(data) if isinstance(data, Pieces) else data

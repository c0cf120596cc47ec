"""Counts the answers to a pipeline and picks out the errors, without building an object for each of the rest.

Speaks RESP2, which is what a connection uses that never sent ``HELLO 3``.
"""

from dataclasses import dataclass
from typing import Protocol

import hiredis

from sterna.core.errors import BadData
from sterna.engines.redis.wire.native import compiled

_native = compiled("_stream")


@dataclass(frozen=True, slots=True)
class ReplyError:
    """An answer that is an error."""

    index: int
    """Which answer of the pipeline, from 0."""
    within: int
    """Which element of it, as in the answer to an EXEC; -1: the answer itself is the error."""
    text: str


class ReplyCounter(Protocol):
    """Takes the bytes of answers as they come."""

    complete: int
    """How many answers have come whole."""
    failed: int
    """How many errors were among them, elements of arrays included."""
    errors: list[ReplyError]
    """The first of these."""
    nulls: list[int]
    """The first answers that were a null array, as the answer to an EXEC that was called off."""

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises BadData if they are no answers."""
        ...


def reply_counter(most: int = 8) -> ReplyCounter:
    """Begin counting. Of errors and nulls, the first ``most`` are kept."""
    return _CompiledCounter(most) if _native else _PythonCounter(most)


class _Counter:
    def __init__(self, most: int) -> None:
        self._most = most
        self.complete = 0
        self.failed = 0
        self.errors: list[ReplyError] = []
        self.nulls: list[int] = []

    def _failure(self, index: int, within: int, text: str) -> None:
        self.failed += 1
        if len(self.errors) < self._most:
            self.errors.append(ReplyError(index, within, text))

    def _null(self, index: int) -> None:
        if len(self.nulls) < self._most:
            self.nulls.append(index)


class _PythonCounter(_Counter):
    """By hiredis, one answer at a time."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._reader = hiredis.Reader(notEnoughData=Ellipsis)

    def feed(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not Ellipsis:
                self._count(reply)
        except hiredis.ProtocolError as error:
            raise BadData(f"The target sent something that is no answer: {error}") from error

    def _count(self, reply: object) -> None:
        if isinstance(reply, hiredis.ReplyError):
            self._failure(self.complete, -1, str(reply))
        elif isinstance(reply, list):
            for within, element in enumerate(reply):
                if isinstance(element, hiredis.ReplyError):
                    self._failure(self.complete, within, str(element))
        self.complete += 1

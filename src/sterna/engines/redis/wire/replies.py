"""Counts the answers to a pipeline and picks out the errors, without building an object for each of the rest.

Speaks RESP2, which is what a connection uses that never sent ``HELLO 3``.
"""

from dataclasses import dataclass
from types import ModuleType
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
    """The first answers that were null, as the answer to an EXEC that was called off."""

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises BadData if they are no answers."""
        ...


def reply_counter(most: int = 8) -> ReplyCounter:
    """Begin counting. Of errors and nulls, the first ``most`` are kept."""
    return _CompiledCounter(most, _native) if _native else _PythonCounter(most)


class _Counter:
    def __init__(self, most: int) -> None:
        self._most = most
        self.complete = 0
        self.failed = 0
        self.errors: list[ReplyError] = []
        self.nulls: list[int] = []


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
        if reply is None and len(self.nulls) < self._most:
            self.nulls.append(self.complete)
        if isinstance(reply, hiredis.ReplyError):
            self._failure(-1, reply)
        elif isinstance(reply, list):
            for within, element in enumerate(reply):
                if isinstance(element, hiredis.ReplyError):
                    self._failure(within, element)
        self.complete += 1

    def _failure(self, within: int, error: hiredis.ReplyError) -> None:
        self.failed += 1
        if len(self.errors) < self._most:
            self.errors.append(ReplyError(self.complete, within, str(error)))


class _CompiledCounter(_Counter):
    """By the compiled loop, which goes on in the middle of an answer."""

    def __init__(self, most: int, compiled: ModuleType) -> None:
        super().__init__(most)
        self._compiled = compiled
        self._rest = b""
        self._left: tuple[int, ...] = ()
        self._within = self._skip = 0

    def feed(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        room = self._most - len(self.errors), self._most - len(self.nulls)
        try:
            used, self._left, self.complete, self._within, self._skip, failed, errors, nulls = (
                self._compiled.count(data, self._left, self.complete, self._within, self._skip, *room)
            )
        except ValueError as error:
            raise BadData(f"The target sent something that is no answer: {error}") from error
        self._rest = data[used:]
        self.failed += failed
        self.errors += [ReplyError(index, within, text.decode(errors="replace")) for index, within, text in errors]
        self.nulls += [index for index, _, _ in nulls]

"""Reads a value that is too large for one command, from a tape that is fed meanwhile."""

from collections.abc import Callable, Iterator

from sterna.core.errors import BadData
from sterna.engines.redis.wire.kinds import Kind
from sterna.engines.redis.wire.record import Record
from sterna.engines.redis.wire.tape import Tape
from sterna.engines.redis.wire.values import Piece, rebuild


def rebuilt(
    tape: Tape, record: Record, kind: Kind, target: int, expires_ms: int, *, delete: bool, skip: int
) -> Iterator[Piece | None]:
    """Its commands, but for the first ``skip`` pieces; None: feed more bytes first."""
    tape.at = record.value - tape.base
    for piece in rebuild(tape, kind, record.key, target=target, expires_ms=expires_ms, delete=delete):
        tape.drop()
        if piece is None:
            if tape.closed:
                raise cut_off(tape)
            yield None
        elif piece.number >= skip:
            yield piece


def read_large(
    tape: Tape, record: Record, kind: Kind, adding: Callable[[Tape, Kind], Iterator[None]]
) -> Iterator[None]:
    """The same, read by ``adding``, which lets go of what it has read."""
    tape.at = record.value - tape.base
    for _ in adding(tape, kind):
        tape.drop()
        if tape.closed:
            raise cut_off(tape)
        yield


def cut_off(tape: Tape) -> BadData:
    """The file ends where something is missing."""
    return BadData(f"The RDB file is truncated at offset {tape.base + len(tape.data)}")

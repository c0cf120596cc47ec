"""Writes to a Redis or Valkey target: every batch and its position in one MULTI/EXEC, fenced by epoch.

The connection always holds a WATCH on the checkpoint key, set and checked right after the last EXEC. Whoever else
takes the target over changes that key, so the next EXEC of ours does nothing: there is no moment in which two runs
can both write.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import hiredis

from sterna.core.change import Batch, Chunk, Command, Format, Part, Pieces, Position
from sterna.core.errors import ApplyFailed, BadData, Fenced, NeedsOperator, Trouble, Unreachable, Unsupported
from sterna.core.event import Level
from sterna.core.ports import Room, Teller
from sterna.engines.redis.checkpoint import Checkpoint
from sterna.engines.redis.connection import Argument, Connection, Reply, ReplyError, pack, trouble
from sterna.engines.redis.names import RESP, checkpoint_key, printable
from sterna.engines.redis.preparing import Preparing
from sterna.engines.redis.spilled import short
from sterna.engines.redis.wire.replies import ReplyError as CommandError

_MULTI = pack("MULTI")
_EXEC = pack("EXEC")
_SELECT_0 = pack("SELECT", 0)
GONE = "The job's checkpoint on the target is gone: the target was emptied, or another run has ended the job"
FAILED = "failed"
"""The lane where a command that failed is noted: what it brings is missing until a new copy begins."""
MOST_NOTED = 500
QUIET_SAVE_S = 1.0
"""How often a position without changes is saved on the target."""


class RedisSink:
    """Meets ``core.ports.Sink``. One task at a time."""

    formats: Sequence[Format] = (RESP,)

    def __init__(self, connection: Connection, room: Room, preparing: Preparing, tell: Teller) -> None:
        self._connection = connection
        self._room = room
        self._preparing = preparing
        self._tell = tell
        self._key = checkpoint_key(room.job_id)
        self._state = Checkpoint(epoch=room.epoch)
        self._saved_at = 0.0
        self._broken: Trouble | None = None
        self._watch = pack("WATCH", self._key) + pack("GET", self._key)

    async def claim(self) -> None:
        """Take over the target for this epoch."""
        while True:
            _, found = await self._pipeline([("WATCH", self._key), ("GET", self._key)])
            old = Checkpoint.decode(found, self._key) if found is not None else Checkpoint(epoch=0)
            if old.epoch > self._room.epoch:
                raise Fenced(f"Run {old.epoch} of this job has the target; this is run {self._room.epoch}")
            mine = replace(old, epoch=self._room.epoch)
            words = [
                ("MULTI",),
                ("SET", self._key, mine.encode()),
                ("EXEC",),
                ("WATCH", self._key),
                ("GET", self._key),
            ]
            *_, done, _, now = await self._pipeline(words)
            if done is not None and now == mine.encode():
                self._state = mine
                self._tell_failed()
                return

    async def position(self, lane: str) -> Position | None:
        return self._state.lanes.get(lane)

    async def prepare(self) -> None:
        """Make ready for a copy from the beginning: look for conflicts once, and forget where the last one was."""
        old = self._state
        was_empty = old.was_empty if old.copies else await self._looked()
        await self._transact(
            b"", 0, Checkpoint(old.epoch, {}, old.copies + 1, was_empty, old.shared, self._preparing.what)
        )

    async def _looked(self) -> bool:
        """Whether the target is empty. One that may not be written to does not keep our key either."""
        try:
            return await self._preparing.look()
        except NeedsOperator as error:
            self._broken = error
            await self._pipeline([("MULTI",), ("DEL", self._key), ("EXEC",)])
            raise

    async def load(self, part: Part, chunk: Chunk) -> None:
        assert isinstance(chunk.data, bytes | Pieces), "only commands were offered"
        self._refuse_failed()
        await self._apply(chunk.data, chunk.count, self._state.at(f"copy:{part.id}", chunk.position))

    async def _apply(self, data: bytes | Pieces, count: int, state: Checkpoint) -> None:
        """``_transact``; that a command failed outlives this run."""
        try:
            await self._transact(data, count, state)
        except (ApplyFailed, BadData) as error:
            await self._note_failed(error)
            raise

    def _tell_failed(self) -> None:
        """A job that follows may go on behind a command that failed, but not without a word."""
        said = self._state.lanes.get(FAILED)
        if said and self._preparing.forgives:
            self._tell(
                Level.WARN,
                "redis.missing",
                f"An earlier run failed, and what it could not write is missing: {said}. Compare, and repair what "
                "differs, before you cut over",
            )

    def _refuse_failed(self) -> None:
        """What a command of a file that failed should have brought is missing: no later run passes over that."""
        said = self._state.lanes.get(FAILED)
        if said and not self._preparing.forgives:
            raise BadData(
                f"An earlier run failed, and what it could not write is missing: {said}",
                hint="Begin anew: a new task, or --restart. For a target that can read it, or with another file.",
            )

    async def _note_failed(self, error: Trouble) -> None:
        """The position is beyond the command; so is this, until a new copy begins."""
        state = self._state.at(FAILED, Position(error.message[:MOST_NOTED]))
        await self._pipeline([("MULTI",), ("SELECT", 0), ("SET", self._key, state.encode()), ("EXEC",)])

    async def write(self, batch: Batch) -> None:
        data, count = b"", 0
        for change in batch.changes:
            assert isinstance(change, Command), "only commands were offered"
            data, count = data + change.data if data else change.data, count + change.count
        now = time.monotonic()
        moved = batch.position != self._state.lanes.get("follow")
        if data or (moved and now - self._saved_at >= QUIET_SAVE_S):
            self._saved_at = now
            await self._apply(data, count, self._state.at("follow", batch.position))

    async def verify(self) -> None:
        """A connection that breaks, or another checkpoint, tells of a target that lost what it had."""
        if self._broken:
            raise self._broken
        try:
            (found,) = await self._pipeline([("GET", self._key)])
        except Unreachable as error:
            self._broken = error
            raise
        if found not in (self._state.encode(), replace(self._state, shared=True).encode()):
            self._broken = Fenced() if found is not None else Fenced(GONE)
            raise self._broken

    async def copied(self, anchor: Position) -> None:
        """Take away what an earlier copy left and this one does not have; then changes follow."""
        self._refuse_failed()
        if self._state.copies > 1:
            await self._preparing.sweep(self._state.all_ours, self._transact_commands)
        await self._transact(b"", 0, self._state.at("follow", anchor))

    async def finish(self) -> None:
        """Give all keys their true expiry, and take the checkpoint away."""
        await self._preparing.release(self._transact_commands)
        while True:
            _, found = await self._pipeline([("WATCH", self._key), ("GET", self._key)])
            if found is None:
                return
            if Checkpoint.decode(found, self._key).epoch != self._room.epoch:
                raise Fenced
            *_, done = await self._pipeline([("MULTI",), ("DEL", self._key), ("EXEC",)])
            if done is not None:
                return

    async def rows(self) -> int:
        return await self._preparing.rows()

    async def _transact_commands(self, database: int, commands: Sequence[Sequence[Argument]]) -> None:
        """Run commands in one database, if this run still has the target."""
        data = pack("SELECT", database) + b"".join(pack(*words) for words in commands)
        await self._transact(data, len(commands) + 1, self._state)

    async def _transact(self, data: bytes | Pieces, count: int, state: Checkpoint) -> None:
        """Send commands and the new checkpoint; returns once the target has carried out all of it or none."""
        if self._broken:
            raise self._broken
        while not await self._carried_out(data, count, replace(state, shared=self._state.shared)):
            self._state = replace(self._state, shared=True)

    async def _carried_out(self, data: bytes | Pieces, count: int, state: Checkpoint) -> bool:
        """One try. False: nothing was done, since another job has just said that it shares the target."""
        saved = state.encode()
        ending = _SELECT_0 + pack("SET", self._key, saved) + _EXEC + self._watch
        try:
            if isinstance(data, Pieces):
                await self._connection.send_pieces([_MULTI], data, [ending])
            else:
                await self._connection.send_all(_MULTI, data, ending)
            answers, last = await self._connection.count_replies(count + 6, len(saved) + 64)
        except Unreachable as error:
            self._broken = error  # whether it was carried out is unknown: only a new connection can tell
            raise
        except NeedsOperator as error:
            self._broken = error  # a piece could not be read, and half a transaction is on its way
            raise
        executed = count + 3
        for wrong in answers.errors:
            if wrong.within < 0:
                raise self._refusal(wrong.text, short(data), wrong.index - 1 if wrong.index < executed else -1)
        if executed in answers.nulls:
            if last.endswith(_bulk(replace(self._state, shared=True).encode())) and not self._state.shared:
                return False
            raise self._fenced(last)
        found = [each for each in (state, replace(state, shared=True)) if last.endswith(_bulk(each.encode()))]
        if not found:
            raise self._fenced(last)
        self._state = found[0]
        if answers.errors:
            raise self._failure(answers.errors[0], answers.failed, short(data))
        return True

    def _fenced(self, last: bytes) -> Trouble:
        """Somebody else has changed the checkpoint, or taken it away."""
        self._broken = Fenced(GONE) if last.endswith(b"$-1\r\n") else Fenced()
        return self._broken

    def _refusal(self, text: str, data: bytes, index: int) -> Trouble:
        """An error before EXEC: the target has carried out nothing."""
        what, where = _described(data, index), self._connection.where
        self._broken = trouble(ReplyError(text), f"{where}, {what}") or Unsupported(
            f"{where} refuses {what}: {text}",
            hint="The target does not know what the source sends: use a target of the same version.",
        )
        return self._broken

    def _failure(self, error: CommandError, failed: int, data: bytes) -> Trouble:
        """An error within EXEC: everything else was carried out, and the position is beyond it."""
        more = f" and {failed - 1} more" if failed > 1 else ""
        what = f"{self._connection.where}: {_described(data, error.within)}: {error.text}{more}"
        if "Bad data format" in error.text or "DUMP payload" in error.text:
            self._broken = BadData(
                what,
                hint="The target cannot read this value: use one of a newer version; or the value is damaged.",
            )
        else:
            self._broken = ApplyFailed(what)
        return self._broken

    async def _pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        replies = await self._connection.pipeline(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise trouble(reply, self._connection.where) or ApplyFailed(f"{self._connection.where}: {reply}")
        return replies


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _described(data: bytes, index: int) -> str:
    """The name and the key of one of the commands, for a message: never a value."""
    if index < 0:
        return "the transaction"
    parser = hiredis.Reader()
    parser.feed(data)
    words: Reply = False
    for _ in range(index + 1):
        words = parser.gets()
        if words is False:
            return "the checkpoint"
    name = words[0].decode("latin-1").upper()
    return f"{name} {printable(words[1])}" if len(words) > 1 and name not in ("EVAL", "AUTH") else name

"""Keeps the raw replication stream on disk between the one who receives it and the one who applies it.

A folder of segment files, each named by the stream offset it begins at, each a row of frames (``frames``). After a
crash the stream goes on from the last frame that is whole; a source sends the rest again.
"""

import asyncio
import json
import os
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from sterna.core.errors import BadData, DiskFull, Retryable
from sterna.engines.redis.disk import FULL, on_disk
from sterna.engines.redis.frames import HEAD_BYTES, MOST_FRAME, Frame, framed, read_frame, sound_end

_IDENTITY = "identity.json"
_SUFFIX = ".spool"
_MARK_BYTES = 1 << 16
SEGMENT_BYTES = 64 << 20
MOST_NAMES = 100
"""Former names of the history that are remembered: each failover of the source adds one."""


class SpoolFull(Retryable):
    """The spool has no room left until the target has caught up."""

    code = "STERNA.1010"


@dataclass
class _Segment:
    """One file of the spool, holding the stream from ``start`` to before ``end``."""

    path: Path
    start: int
    end: int
    size: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list, repr=False)
    """Some of its frames, about one in 64 KiB: stream offset, place in the file."""

    def mark(self, offset: int, place: int) -> None:
        if not self.marks or place >= self.marks[-1][1] + _MARK_BYTES:
            self.marks.append((offset, place))


class Spool:
    """An append-only stretch of a replication stream, from ``start`` to before ``end``.

    One process owns it, with one writer and one reader in the same event loop.
    """

    def __init__(self, folder: Path, *, limit_bytes: int, segment_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        # Room is given back by whole segments: with few of them, a tight limit would be reached too early.
        self._segment_bytes = min(segment_bytes, max(1, limit_bytes // 8)) if limit_bytes else segment_bytes
        self._segments: list[_Segment] = []
        self._replid = ""
        self._earlier: list[tuple[str, int]] = []
        """Names that the history had before, and up to which offset each is right."""
        self._start = self._end = self._synced = self._forgotten = 0
        self._writing: int | None = None
        self._reading: tuple[Path, int] | None = None
        self._frame: Frame | None = None
        self._changed = asyncio.Event()
        self._awaited = False
        """Whether the reader has read everything and needs more before it can have any of it forgotten."""

    @classmethod
    def open(cls, folder: Path, *, limit_bytes: int = 0, segment_bytes: int = SEGMENT_BYTES) -> "Spool":
        """Open what is in a folder, or begin in an empty one.

        ``limit_bytes``: what its files may take together; 0: as much as the disk has. It is passed only where the
        reader waits for more, having read everything: a single command may be larger. What the last crash tore is
        cut off. Raises BadData, naming file and byte, where something that was safely on the disk is damaged; what
        lies in segments before the last is checked when it is read.
        """
        spool = cls(folder, limit_bytes=limit_bytes, segment_bytes=segment_bytes)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        spool._recover()
        return spool

    @property
    def replid(self) -> str:
        """The history that the stream belongs to; empty before the first ``reset``."""
        return self._replid

    @property
    def start(self) -> int:
        """The oldest stream offset that can be read."""
        return self._start

    @property
    def end(self) -> int:
        """The stream offset at which the next ``append`` goes on."""
        return self._end

    def holds(self, offset: int, replid: str) -> bool:
        """Whether the stream can be read from this offset of this history on, by its name now or one it had."""
        names = [(self._replid, self._end), *self._earlier]
        return self._start <= offset <= self._end and any(
            replid and name == replid and offset <= upto for name, upto in names
        )

    @property
    def size(self) -> int:
        """Bytes that the files take."""
        return sum(segment.size for segment in self._segments)

    # Writing

    def reset(self, offset: int, replid: str) -> None:
        """Empty it for a new beginning at an offset of a history."""
        self._empty()
        self._start = self._end = self._synced = self._forgotten = offset
        self._earlier = []
        self._identify(replid)
        self.wake()

    def rename(self, replid: str) -> None:
        """The history goes by a new name from here on; the stream goes on."""
        self._earlier = [*self._earlier, (self._replid, self._end)][-MOST_NAMES:]
        self._identify(replid)

    def append(self, offset: int, data: bytes, at_ms: int) -> None:
        """Keep the next bytes of the stream, which arrived at ``at_ms`` (ms since 1970).

        Raises SpoolFull where limit or disk leave no room: nothing of ``data`` is kept then, and it may be tried
        again. Raises ValueError if ``offset`` is not ``end``.
        """
        if offset != self._end:
            raise ValueError(f"the spool ends at {self._end}, not at {offset}")
        if not data:
            return
        try:
            self._make_room(len(data) + -(-len(data) // MOST_FRAME) * HEAD_BYTES)
            segment = self._segment()
            self._write(segment, framed(offset, data, at_ms, self._synced))
        except OSError as error:
            if error.errno in FULL:
                raise SpoolFull(f"The disk that holds the spool is full: {error.strerror}") from error
            raise
        except DiskFull as error:
            raise SpoolFull(error.message) from error
        self._note(segment, len(data))
        self._awaited = False
        self.wake()

    def sync(self) -> None:
        """Returns once everything appended is on the disk, not only with the operating system."""
        if self._synced < self._end and self._writing is not None:
            os.fsync(self._writing)
            self._synced = self._end

    def forget(self, upto: int) -> None:
        """Nobody will read before this offset any more: whole segments before it are deleted."""
        self._forgotten = max(self._forgotten, upto)
        while len(self._segments) > 1 and self._segments[0].end <= upto:
            self._delete(self._segments.pop(0))
            self._start = self._segments[0].start
        if self._segments and self._segments[0].end <= upto and self._segments[0].size >= self._segment_bytes:
            self._begin_anew()

    # Reading

    def read(self, offset: int, most_bytes: int) -> tuple[bytes, int] | None:
        """Some of the stream from an offset on and when it arrived (ms since 1970); None: nothing is there yet.

        Never more than ``most_bytes``, and only bytes that arrived together. Raises ValueError for an offset
        outside ``start`` to ``end``, BadData if the disk gives back something else than was written.
        """
        if not self._start <= offset <= self._end:
            raise ValueError(f"the spool holds {self._start} to {self._end}, not {offset}")
        if offset == self._end:
            return None
        frame = self._frame
        if not frame or not frame.offset <= offset < frame.end:
            frame = self._frame = self._find(offset)
        skipped = offset - frame.offset
        return frame.data[skipped : skipped + most_bytes], frame.at_ms

    async def wait(self, offset: int) -> None:
        """Returns once there is something to read at an offset, or after ``wake``."""
        if self._end <= offset:
            self._awaited = True
            self._changed.clear()
            await self._changed.wait()

    def wake(self) -> None:
        """Let those who ``wait`` look again."""
        self._changed.set()

    # The end

    def close(self) -> None:
        """Close the files, which stay."""
        self.sync()
        self._close()

    def remove(self) -> None:
        """Delete everything. Twice is once."""
        self._empty()
        (self._folder / _IDENTITY).unlink(missing_ok=True)
        self._start = self._end = self._synced = self._forgotten = 0
        self._replid, self._earlier = "", []
        self.wake()

    # Inside: writing

    def _make_room(self, needed: int) -> None:
        if not self._limit or self.size + needed <= self._limit:
            return
        if self._awaited:
            return  # the rest of a command that is larger than the limit must come, or nothing ever goes on
        if self._forgotten < self._end:
            raise SpoolFull(f"The spool holds {self.size} bytes and may hold {self._limit}")
        if self._segments:
            self._begin_anew()

    def _segment(self) -> _Segment:
        """The segment to write to; a new one if the last is full."""
        if not self._segments or self._segments[-1].size >= self._segment_bytes:
            self._begin_segment()
        elif self._writing is None:
            self._writing = os.open(self._segments[-1].path, os.O_WRONLY | os.O_APPEND)
        return self._segments[-1]

    def _begin_segment(self) -> None:
        # A segment that another follows is whole: only the last one can be torn.
        self.sync()
        path = self._folder / f"{self._end:020d}{_SUFFIX}"
        writing = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        self._close_writing()
        self._writing = writing
        self._segments.append(_Segment(path, self._end, self._end))
        _sync_folder(self._folder)

    def _write(self, segment: _Segment, data: bytes) -> None:
        """All of it or nothing: what was written in part is taken back."""
        assert self._writing is not None, "opened by _segment"
        done = 0
        try:
            while done < len(data):
                done += os.write(self._writing, memoryview(data)[done:])
        except BaseException:
            os.ftruncate(self._writing, segment.size)
            raise

    def _note(self, segment: _Segment, length: int) -> None:
        """The segment has grown by this much of the stream."""
        end = self._end + length
        for offset in range(self._end, end, MOST_FRAME):
            segment.mark(offset, segment.size)
            segment.size += HEAD_BYTES + min(MOST_FRAME, end - offset)
        segment.end = self._end = end

    def _begin_anew(self) -> None:
        """Everything is forgotten: give back the room."""
        self._empty()
        self._start = self._synced = self._end
        self._identify(self._replid)

    def _empty(self) -> None:
        self._close()
        for path in sorted(self._folder.glob("*" + _SUFFIX)):
            path.unlink()
        self._segments = []

    def _delete(self, segment: _Segment) -> None:
        if self._reading and self._reading[0] == segment.path:
            self._close_reading()
        segment.path.unlink()

    # Inside: reading

    def _find(self, offset: int) -> Frame:
        """The frame that holds an offset."""
        index = bisect_right(self._segments, offset, key=lambda segment: segment.start) - 1
        segment = self._segments[index]
        handle = self._handle(segment.path)
        place = self._nearest(segment, offset)
        while (frame := read_frame(handle, segment.path, place)).end <= offset:
            place += HEAD_BYTES + len(frame.data)
            segment.mark(frame.end, place)
        if not frame.offset <= offset:
            raise BadData(f"{segment.path} is damaged at byte {place}: it holds {frame.offset}, not {offset}")
        return frame

    def _nearest(self, segment: _Segment, offset: int) -> int:
        """Where the last known frame begins that is not behind an offset."""
        last = self._frame
        if last and last.end == offset and last.end > segment.start:
            return last.place + HEAD_BYTES + len(last.data)
        index = bisect_right(segment.marks, offset, key=lambda mark: mark[0]) - 1
        return segment.marks[index][1] if index >= 0 else 0

    def _handle(self, path: Path) -> int:
        if self._reading is None or self._reading[0] != path:
            self._close_reading()
            self._reading = path, os.open(path, os.O_RDONLY)
        return self._reading[1]

    # Inside: opening and closing

    def _identify(self, replid: str) -> None:
        """Remember what the stream is, by a file that is replaced whole."""
        path = self._folder / _IDENTITY
        with on_disk("The name of the stream cannot be kept"):
            partial = path.with_suffix(".partial")
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                facts = {"replid": replid, "start": self._start, "earlier": self._earlier}
                os.write(handle, json.dumps(facts).encode())
                os.fsync(handle)
            finally:
                os.close(handle)
            partial.replace(path)
            _sync_folder(self._folder)
        self._replid = replid

    def _recover(self) -> None:
        path = self._folder / _IDENTITY
        segments = sorted(self._folder.glob("*" + _SUFFIX))
        if not path.exists():
            self._empty()
            return
        try:
            known = json.loads(path.read_bytes())
            self._replid, self._start = str(known["replid"]), int(known["start"])
            self._earlier = [(str(name), int(upto)) for name, upto in known.get("earlier", [])]
        except (ValueError, KeyError, TypeError) as error:
            raise BadData(f"{path} is damaged at byte 0") from error
        starts = [int(segment.stem) for segment in segments]
        self._start = self._end = starts[0] if starts else self._start
        for segment, start, end in zip_longest(segments, starts, starts[1:]):
            self._adopt(segment, start, end)
        self._forgotten = self._start
        self._synced = self._segments[-1].start if self._segments else self._end

    def _adopt(self, path: Path, start: int, end: int | None) -> None:
        """Take in a segment that was found. ``end`` None: it is the last, which a crash may have torn."""
        size = path.stat().st_size
        if end is None:
            size, end = sound_end(path, start)
            os.truncate(path, size)
        self._segments.append(_Segment(path, start, end, size))
        self._end = end

    def _close(self) -> None:
        self._close_writing()
        self._close_reading()
        self._frame = None

    def _close_writing(self) -> None:
        handle, self._writing = self._writing, None
        if handle is not None:
            os.close(handle)

    def _close_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading:
            os.close(reading[1])


def _sync_folder(folder: Path) -> None:
    """Make the names of files in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

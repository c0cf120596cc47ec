"""Puts the extents of a backup set in order: which place in which file holds which extent of the database.

Pages come in frames of one extent, the database's files one after the other. The frames of a file are the
extents that its allocation maps name, ascending. Striped sets deal the frames out to several files, each
ascending; files of the database that were read side by side are mixed, each ascending. Regions behind the first
hold extents that were read again: they say themselves where they belong, and replace what came before.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.allocation import INTERVAL, expected, interval_begins
from sterna.engines.sqlserver.wire.faults import damaged
from sterna.engines.sqlserver.wire.frames import Frames, claims, file_begun, is_filler
from sterna.engines.sqlserver.wire.page import EXTENT_SIZE
from sterna.engines.sqlserver.wire.places import Places
from sterna.engines.sqlserver.wire.sets import BackupSet

_Head = tuple[Frames, bytes, set[tuple[int, int]]]
_GROWTH = 64 * INTERVAL
"""Extents by which a file may grow while it is backed up: 256 GB."""


@dataclass
class Woven:
    """The places of all extents."""

    stripes: tuple[BackupSet, ...]
    files: dict[int, Places] = field(default_factory=dict)
    """For each file of the database, by extent number: its place, or ABSENT."""
    short: dict[int, int] = field(default_factory=dict)
    """Pages of the frames that have fewer than eight, by place."""
    fillers: int = 0
    """Frames that only fill up."""

    def take(self, frames: Frames, file_id: int, number: int) -> None:
        """The next of these frames is this extent."""
        place = frames.place(frames.next)
        self.files.setdefault(file_id, Places())[number] = place
        if frames.next in frames.short:
            self.short[place] = frames.short[frames.next]
        frames.next += 1


def weave(stripes: Sequence[BackupSet]) -> Woven:
    """The extents of one backup set, from its shares in all files. Raises BadData, Unsupported."""
    ordered = _checked(stripes)
    woven = Woven(ordered)
    if ordered[0].record.kind == "log":  # the extents of bulk operations, which say themselves where they belong
        _by_themselves(woven, 0)
        return woven
    if len(ordered) > 1 or not _by_count(woven, Frames(0, ordered[0])):
        woven = Woven(ordered)
        _Mixed(woven).sort()
    _by_themselves(woven, 1)
    return woven


def _checked(stripes: Sequence[BackupSet]) -> tuple[BackupSet, ...]:
    """The shares by their place in the media set; all of them, each whole."""
    if not stripes:
        raise BadData("There is no backup set")
    ordered = tuple(sorted(stripes, key=lambda each: each.media.family_sequence))
    first = ordered[0]
    for each in ordered:
        if not each.complete:
            raise BadData(f"Backup set {each.position} of {each.file} is incomplete: the file ends before it does")
        if each.guid != first.guid or each.media.media_set != first.media.media_set:
            raise BadData(f"{each.file} and {first.file} do not hold the same backup set")
    found = [each.media.family_sequence for each in ordered]
    missing = sorted(set(range(1, first.media.family_count + 1)) - set(found))
    if missing or len(found) != first.media.family_count:
        told = (
            f"file {missing[0]} of {first.media.family_count} is missing" if missing else "a file is there twice"
        )
        raise BadData(f"The backup of {first.record.database} is striped, and {told} (beside {first.file})")
    return ordered


def _by_count(woven: Woven, frames: Frames) -> bool:
    """The frames lie in one file: their order alone says which is which. False: the count is not as the maps say.

    Reads the extents with the maps and nothing else.
    """
    while frames.left:
        woven.fillers += frames.skip_fillers()
        if not frames.left:
            break
        file_id = file_begun(frames.read(frames.next, pages_.HEAD))
        if file_id is None or file_id in woven.files:
            return False
        interval = 0
        while frames.left and interval_begins(frames.read(frames.next, pages_.HEAD), file_id, interval):
            numbers = expected(frames, frames.next, file_id, interval)
            if len(numbers) > frames.left:
                return False
            for number in numbers:
                woven.take(frames, file_id, number)
            interval += 1
    return True


@dataclass
class _Cursor:
    """How far one of the database's files has come."""

    numbers: list[int]
    """Its extents in this interval, ascending."""
    next: int = 0
    interval: int = 0

    @property
    def number(self) -> int | None:
        """The extent that comes next; None: the interval is through."""
        return self.numbers[self.next] if self.next < len(self.numbers) else None


class _Mixed:
    """Frames of several stripes or files, or with others among them: each is recognised by the pages in it."""

    def __init__(self, woven: Woven) -> None:
        self._woven = woven
        self._stripes = [Frames(number, each) for number, each in enumerate(woven.stripes)]
        self._cursors: dict[int, _Cursor] = {}
        self._expected = {each.file_id for each in woven.stripes[0].files if each.kind != 2}
        self._heads: dict[int, _Head] = {}
        self._current = 0
        """The file that the last frame was of."""

    def sort(self) -> None:
        """Take all frames. Raises BadData if they are not those that the maps name."""
        while heads := self._next_frames():
            if not (self._named(heads) or self._unnamed(heads) or self._begun(heads)):
                frames = heads[0][0]
                raise damaged(
                    frames.share.file,
                    frames.offset(frames.next),
                    "other extents lie here than the allocation maps say",
                )
        for file_id, cursor in self._cursors.items():
            if cursor.number is not None:
                name = self._woven.stripes[0].file
                raise BadData(
                    f"{name}: extent {cursor.number} of file {file_id} is not in the backup, "
                    "though its allocation maps say so"
                )

    def _next_frames(self) -> list[_Head]:
        """The next frame of each stripe, and the extents that its pages name."""
        for frames in self._stripes:
            if frames.stripe in self._heads:
                continue
            self._woven.fillers += frames.skip_fillers()
            if frames.left:
                data = frames.read(frames.next)
                self._heads[frames.stripe] = (frames, data, set(claims(data)))
        return list(self._heads.values())

    def _named(self, heads: list[_Head]) -> bool:
        """Take a frame whose pages name the extent that comes next in its file."""
        order = sorted(self._cursors, key=lambda file_id: (file_id != self._current, file_id))
        for file_id in order:
            number = self._cursors[file_id].number
            if number is None:
                continue
            naming = [each for each in heads if (file_id, number) in each[2]]
            if naming:
                chosen = next((each for each in naming if not self._names_later(each[2])), naming[0])
                self._take(chosen[0], file_id)
                return True
        return False

    def _unnamed(self, heads: list[_Head]) -> bool:
        """Take a frame of unused pages, which name nothing that is to come: it belongs to the file at hand."""
        open_ = [file_id for file_id, cursor in self._cursors.items() if cursor.number is not None]
        file_id = self._current if self._current in open_ else open_[0] if len(open_) == 1 else None
        if file_id is None:
            return False
        for frames, data, named in heads:
            if file_begun(data) is None and not self._names_later(named) and not self._interval(data):
                self._take(frames, file_id)
                return True
        return False

    def _begun(self, heads: list[_Head]) -> bool:
        """Take a frame with which a file, or an interval of one, begins."""
        for frames, data, _ in heads:
            file_id = file_begun(data)
            if file_id is not None and file_id not in self._cursors:
                self._cursors[file_id] = _Cursor(expected(frames, frames.next, file_id, 0))
            else:
                file_id = self._interval(data)
                if file_id is None or self._cursors[file_id].number is not None:
                    continue
                interval = self._cursors[file_id].interval + 1
                numbers = expected(frames, frames.next, file_id, interval)
                self._cursors[file_id] = _Cursor(numbers, 0, interval)
            self._take(frames, file_id)
            return True
        return False

    def _interval(self, data: bytes) -> int | None:
        """The file whose next interval begins with a frame."""
        file_id, _ = pages_.own_id(data)
        cursor = self._cursors.get(file_id)
        return file_id if cursor and interval_begins(data, file_id, cursor.interval + 1) else None

    def _names_later(self, named: set[tuple[int, int]]) -> bool:
        """Whether pages name an extent that is still to come in its file."""
        for file_id, number in named:
            cursor = self._cursors.get(file_id)
            if cursor is None and file_id in self._expected:
                return True
            if cursor and cursor.number is not None and number > cursor.number and _holds(cursor, number):
                return True
        return False

    def _take(self, frames: Frames, file_id: int) -> None:
        cursor = self._cursors[file_id]
        assert cursor.number is not None
        self._woven.take(frames, file_id, cursor.number)
        del self._heads[frames.stripe]
        cursor.next += 1
        self._current = file_id


def _holds(cursor: _Cursor, number: int) -> bool:
    place = bisect_left(cursor.numbers, number, cursor.next)
    return place < len(cursor.numbers) and cursor.numbers[place] == number


def _by_themselves(woven: Woven, first: int) -> None:
    """Extents of the regions from this one on: their pages say where they belong."""
    for region in range(first, max(len(each.regions) for each in woven.stripes)):
        for number, share in enumerate(woven.stripes):
            frames = Frames(number, share, region)
            while frames.left:
                _put(woven, frames)


def _put(woven: Woven, frames: Frames) -> None:
    frame = frames.read(frames.next)
    sizes = {each.file_id: each.size for each in frames.share.files if each.kind != 2}
    named = Counter(each for each in claims(frame) if each[0] in sizes)
    if named:
        (file_id, number), _ = named.most_common(1)[0]
        known = len(woven.files.get(file_id, ()))
        if number * EXTENT_SIZE > sizes[file_id] or number >= known + _GROWTH:
            raise damaged(
                frames.share.file, frames.offset(frames.next), f"extent {number} lies behind its file's end"
            )
        woven.take(frames, file_id, number)
    elif is_filler(frame) or not any(frame):
        woven.fillers += 1
        frames.next += 1
    else:
        raise damaged(frames.share.file, frames.offset(frames.next), "nothing says which extent this is")

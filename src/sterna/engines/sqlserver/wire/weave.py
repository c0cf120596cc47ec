"""Puts the extents of a backup set in order: which place in which file holds which extent of the database.

Pages come in frames of one extent, first the database's files one after the other. The frames of a file are the
extents that its allocation maps name, ascending; the maps themselves lie in the first extent of each 4 GB. Striped
sets deal the frames out to several files, each ascending. Regions behind the first hold extents that were read
again: they say themselves where they belong, and replace what came before.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.faults import damaged
from sterna.engines.sqlserver.wire.media import BackupSet, Region
from sterna.engines.sqlserver.wire.mtf import Window
from sterna.engines.sqlserver.wire.page import EXTENT, EXTENT_SIZE, SIZE

ABSENT = -1
PLACE_BITS = 48
"""A place is a number: the stripe above these bits, the byte in its file below."""
INTERVAL = 63_904
"""Extents that one allocation map covers: 4 GB."""
_PFS_EVERY = 1011
"""Extents between pages that tell of free space."""
_BITMAP = 194
_BITMAP_SIZE = INTERVAL // 8
_WINDOW = 1 << 20
_WITHOUT_PAGES = frozenset(("log",))


@dataclass
class Woven:
    """The places of all extents."""

    stripes: tuple[BackupSet, ...]
    files: dict[int, "array[int]"] = field(default_factory=dict)
    """For each file of the database, by extent number: its place, or ABSENT."""
    short: dict[int, int] = field(default_factory=dict)
    """Pages of the frames that have fewer than eight, by place."""
    fillers: int = 0
    """Frames that only fill up."""

    def put(self, file_id: int, number: int, place: int) -> None:
        places = self.files.setdefault(file_id, array("q"))
        if number >= len(places):
            places.extend(array("q", [ABSENT]) * (number + 1 - len(places)))
        places[number] = place


def weave(stripes: Sequence[BackupSet]) -> Woven:
    """The extents of one backup set, from its shares in all files. Raises BadData, Unsupported."""
    ordered = _checked(stripes)
    woven = Woven(ordered)
    frames = [_Frames(number, each) for number, each in enumerate(ordered)]
    if not (len(frames) == 1 and _by_count(woven, frames[0])):
        woven = Woven(ordered)
        _by_headers(woven, [_Frames(number, each) for number, each in enumerate(ordered)])
    _later_regions(woven)
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


class _Frames:
    """The frames of a region of one share, one after the other."""

    def __init__(self, stripe: int, share: BackupSet, region: int = 0) -> None:
        self.stripe = stripe
        self.share = share
        self.window = Window(share.source, _WINDOW)
        self._offsets = array("q")
        self.short: dict[int, int] = {}
        self.next = 0
        if region < len(share.regions):
            self._lay_out(share.regions[region])

    def _lay_out(self, region: Region) -> None:
        for piece in region.pieces:
            if piece.length % SIZE:
                raise damaged(self.share.file, piece.start + piece.length, "the page data end within a page")
            self._offsets.extend(range(piece.start, piece.start + piece.length, EXTENT_SIZE))
            if piece.length % EXTENT_SIZE:
                self.short[len(self._offsets) - 1] = piece.length % EXTENT_SIZE // SIZE

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def left(self) -> int:
        return len(self._offsets) - self.next

    def offset(self, number: int) -> int:
        return self._offsets[number]

    def place(self, number: int) -> int:
        return self.stripe << PLACE_BITS | self._offsets[number]

    def read(self, number: int, length: int = EXTENT_SIZE) -> bytes:
        """The start of a frame. Raises BadData if the file ends within it."""
        length = min(length, self.short.get(number, EXTENT) * SIZE)
        data = self.window.read(self._offsets[number], length)
        if len(data) < length:
            raise damaged(self.share.file, self._offsets[number], "the file ends in the middle of an extent")
        return data

    def skip_fillers(self) -> int:
        """Step over frames that only fill up; gives how many."""
        before = self.next
        while self.left and _is_filler(self.read(self.next, pages_.HEAD)):
            self.next += 1
        return self.next - before

    def take(self, woven: Woven, file_id: int, number: int) -> None:
        """The next frame is this extent."""
        place = self.place(self.next)
        woven.put(file_id, number, place)
        if self.next in self.short:
            woven.short[place] = self.short[self.next]
        self.next += 1


def _is_filler(frame: bytes) -> bool:
    return frame[0] == 1 and frame[1] == pages_.FILLER


def _by_count(woven: Woven, frames: _Frames) -> bool:
    """One file holds all frames: their order alone says which is which. False: the count is not as the maps say.

    Reads the extents with the maps and nothing else.
    """
    while frames.left:
        woven.fillers += frames.skip_fillers()
        if not frames.left:
            break
        file_id = _file_begins(frames)
        if file_id is None or file_id in woven.files:
            return False
        interval = 0
        while frames.left and _interval_begins(frames, file_id, interval):
            numbers = _expected(frames, frames.next, file_id, interval)
            if len(numbers) > frames.left:
                return False
            for number in numbers:
                frames.take(woven, file_id, number)
            interval += 1
    return True


def _file_begins(frames: _Frames) -> int | None:
    """The id of the database's file that begins with the next frame; None: none does."""
    head = frames.read(frames.next, pages_.HEAD)
    file_id, page_id = pages_.own_id(head)
    return file_id if head[1] == pages_.FILE_HEADER and page_id == 0 and file_id else None


def _interval_begins(frames: _Frames, file_id: int, interval: int) -> bool:
    """Whether the next frame holds the maps of this interval; those of the first lie behind the file's header."""
    if interval == 0:
        return True
    head = frames.read(frames.next, pages_.HEAD)
    return head[1] == pages_.GAM and pages_.own_id(head) == (file_id, interval * INTERVAL * EXTENT)


def _expected(frames: _Frames, frame: int, file_id: int, interval: int) -> list[int]:
    """The extents of an interval that the set holds, ascending, by the maps in its first frame."""
    extent = frames.read(frame)
    base = interval * INTERVAL
    first = 2 if interval == 0 else 0
    place = frames.offset(frame)
    if "differential" in frames.share.record.kind:
        bits = _bitmap(frames, extent, 6, pages_.DIFF_MAP, file_id, base, place)
        chosen = int.from_bytes(bits, "little")
    else:
        gam = _bitmap(frames, extent, first, pages_.GAM, file_id, base, place)
        sgam = _bitmap(frames, extent, first + 1, pages_.SGAM, file_id, base, place)
        everything = (1 << INTERVAL) - 1
        chosen = int.from_bytes(gam, "little") ^ everything | int.from_bytes(sgam, "little")
        for pfs in _space_maps(frames.share, file_id, base):
            chosen |= 1 << pfs - base
    return [base + number for number in _ones((chosen | 1).to_bytes(_BITMAP_SIZE, "little"))]


def _bitmap(frames: _Frames, extent: bytes, index: int, kind: int, file_id: int, base: int, place: int) -> bytes:
    page_id = base * EXTENT + index
    name = f"{file_id}:{page_id}"
    page = extent[index * SIZE : (index + 1) * SIZE]
    if len(page) < SIZE:
        raise damaged(frames.share.file, place, "an allocation map is missing", name)
    if page[4] & pages_.ENCRYPTED:
        raise Unsupported(
            f"The pages of {frames.share.record.database} in {frames.share.file} are encrypted (TDE)",
            hint="Turn encryption of the database off (SET ENCRYPTION OFF), wait for it, then back it up.",
        )
    if page[1] != kind or pages_.own_id(page) != (file_id, page_id):
        raise damaged(frames.share.file, place + index * SIZE, "an allocation map is not where it should be", name)
    return pages_.untorn(page)[_BITMAP : _BITMAP + _BITMAP_SIZE]


def _space_maps(share: BackupSet, file_id: int, base: int) -> Iterator[int]:
    """The extents of an interval in which a page tells of free space."""
    size = next((each.size for each in share.files if each.file_id == file_id), 0)
    end = min(base + INTERVAL, size // EXTENT_SIZE)
    yield from range(-(-base // _PFS_EVERY) * _PFS_EVERY, end, _PFS_EVERY)


_ONES = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))


def _ones(bits: bytes) -> Iterator[int]:
    for place, byte in enumerate(bits):
        if byte:
            for bit in _ONES[byte]:
                yield place * 8 + bit


def _by_headers(woven: Woven, stripes: list[_Frames]) -> None:
    """The frames of several files, or with others among them: each is recognised by the pages in it."""
    while True:
        woven.fillers += sum(each.skip_fillers() for each in stripes)
        if not any(each.left for each in stripes):
            return
        starting = [(found, each) for each in stripes if each.left and (found := _file_begins(each)) is not None]
        if not starting:
            left = next(each for each in stripes if each.left)
            raise damaged(left.share.file, left.offset(left.next), "more extents lie here than the maps say")
        file_id, holder = min(starting, key=lambda each: each[0])
        if file_id in woven.files:
            raise damaged(holder.share.file, holder.offset(holder.next), f"file {file_id} begins a second time")
        _one_file(woven, stripes, holder, file_id)


def _one_file(woven: Woven, stripes: list[_Frames], holder: _Frames, file_id: int) -> None:
    """All frames of one of the database's files; its first is the next one of ``holder``."""
    interval = 0
    while True:
        numbers = _expected(holder, holder.next, file_id, interval)
        expected = set(numbers[1:])
        holder.take(woven, file_id, numbers[0])
        for number in numbers[1:]:
            expected.discard(number)
            _choose(woven, stripes, file_id, number, expected).take(woven, file_id, number)
        interval += 1
        woven.fillers += sum(each.skip_fillers() for each in stripes)
        found = next((each for each in stripes if each.left and _interval_begins(each, file_id, interval)), None)
        if found is None:
            return
        holder = found


def _choose(woven: Woven, stripes: list[_Frames], file_id: int, number: int, later: set[int]) -> _Frames:
    """The stripe whose next frame is this extent."""
    woven.fillers += sum(each.skip_fillers() for each in stripes)
    heads = [(each, _owners(each, file_id)) for each in stripes if each.left]
    naming = [each for each, owners in heads if number in owners]
    if len(naming) == 1:
        return naming[0]
    fitting = [each for each, owners in heads if not later & owners or number in owners]
    unclaimed = [each for each, owners in heads if not later & owners]
    if unclaimed or fitting:
        return (unclaimed or fitting)[0]
    name = stripes[0].share.file
    raise BadData(
        f"{name}: extent {number} of file {file_id} is not in the backup, though its allocation maps say so"
    )


def _owners(frames: _Frames, file_id: int) -> set[int]:
    """The extents that the pages of the next frame name."""
    return {number for owner, number in _claims(frames.read(frames.next)) if owner == file_id}


def _claims(frame: bytes) -> Iterator[tuple[int, int]]:
    """The file and extent that each page of a frame names, if it may lie at its place in the frame."""
    for within in range(len(frame) // SIZE):
        file_id, page_id = pages_.own_id(frame, within * SIZE)
        if file_id and page_id % EXTENT == within:
            yield file_id, page_id // EXTENT


def _later_regions(woven: Woven) -> None:
    """Extents that were read again."""
    for region in range(1, max(len(each.regions) for each in woven.stripes)):
        for number, share in enumerate(woven.stripes):
            frames = _Frames(number, share, region)
            while frames.left:
                _put_again(woven, frames)


def _put_again(woven: Woven, frames: _Frames) -> None:
    frame = frames.read(frames.next)
    claims = Counter(each for each in _claims(frame) if each[0] in woven.files)
    if claims:
        (file_id, number), _ = claims.most_common(1)[0]
        if number * EXTENT_SIZE > max((each.size for each in frames.share.files), default=0):
            raise damaged(
                frames.share.file, frames.offset(frames.next), f"extent {number} lies behind its file's end"
            )
        frames.take(woven, file_id, number)
    elif _is_filler(frame) or not any(frame):
        woven.fillers += 1
        frames.next += 1
    else:
        raise damaged(frames.share.file, frames.offset(frames.next), "nothing says which extent this is")

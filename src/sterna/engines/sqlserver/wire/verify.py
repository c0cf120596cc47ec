"""Checks whole backup files: every header, record, checksum and page, and that extents are where the maps say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire import sums
from sterna.engines.sqlserver.wire.container import RecordBlob
from sterna.engines.sqlserver.wire.faults import Damaged, Fault
from sterna.engines.sqlserver.wire.inspecting import has_encrypted_pages, join, missing_stripes
from sterna.engines.sqlserver.wire.media import MediaFile
from sterna.engines.sqlserver.wire.mtf import LEAD, WITH_CHECKSUM, Block, Source, Stream, Window, walk
from sterna.engines.sqlserver.wire.owners import Owners
from sterna.engines.sqlserver.wire.page import EXTENT, EXTENT_SIZE, SIZE
from sterna.engines.sqlserver.wire.sets import BackupSet, LogStream
from sterna.engines.sqlserver.wire.weave import weave

_CHUNK = 16 * EXTENT_SIZE
_LOG_HEAD = 28
_FIRST_SECTOR = 0x10


@dataclass
class Counts:
    """What was checked, and what could not be."""

    pages: int = 0
    records: int = 0
    """Of the compressed container."""
    blocks: int = 0
    """Of the tape format."""
    not_checked: list[str] = field(default_factory=list)


def verify(
    medias: Sequence[MediaFile], counts: Counts | None = None, only: Sequence[BackupSet] | None = None
) -> Iterator[Fault]:
    """Reads the files whole and gives each fault as it is found. All stripes of a set belong together: to lack
    one is a fault, as no server restores the rest.

    ``only``: the sets that matter; what lies around them is stepped over. Bounded in memory. What no checksum
    guards, or what cannot be read, is told in ``counts``.
    """
    counts = counts if counts is not None else Counts()
    faults: list[Fault] = []
    owners = {id(media): Owners() for media in medias}
    spans = {id(media): _spans(media, only) for media in medias}
    for shares in join(medias):
        if only is None or any(each is share for share in only for each in shares):
            _fit_together(shares, medias, owners, faults, counts)
    yield from faults
    for media in medias:
        if spans[id(media)]:
            yield from _File(media, owners[id(media)], counts, spans[id(media)]).check()


_Span = tuple[int, float]
"""From a byte up to another, which is not in it."""


def _spans(media: MediaFile, only: Sequence[BackupSet] | None) -> list[_Span]:
    """Where in a file the sets lie that matter, and the media header with them."""
    if only is None:
        return [(0, inf)]
    starts = [each.at for each in media.sets]
    ends = [*starts[1:], inf]
    taken = [
        (start, end)
        for start, end, share in zip(starts, ends, media.sets, strict=True)
        if any(share is one for one in only)
    ]
    return [(0, starts[0]), *taken] if taken else []


def _fit_together(
    shares: Sequence[BackupSet],
    medias: Sequence[MediaFile],
    owners: dict[int, "Owners"],
    faults: list[Fault],
    counts: Counts,
) -> None:
    """Whether the extents of a set are those that its allocation maps name; and which extent lies where."""
    first = shares[0]
    name = f"set {first.position} of {first.file}"
    missing = missing_stripes(shares)
    if missing:
        count = first.media.family_count
        told = f"{name} is striped over {count} files, and {_numbered(missing, count)} not among those given"
        faults.append(Fault(first.file, first.at, told))
    if not all(each.complete for each in shares):
        return  # told of when the file is gone through
    if not any(each.regions for each in shares):
        return
    if missing:
        counts.not_checked.append(f"the order of the pages of {name}: not all of its stripes are here")
        return
    if has_encrypted_pages(first):
        counts.not_checked.append(f"the order of the pages of {name}: they are encrypted (TDE)")
        return
    try:
        woven = weave(shares)
    except Unsupported as error:
        counts.not_checked.append(f"the order of the pages of {name}: {error.message}")
    except Damaged as error:
        faults.append(error.fault)
    except BadData as error:
        faults.append(Fault(first.file, first.at, error.message))
    else:
        by_source = {id(media.source): owners[id(media)] for media in medias}
        for number, share in enumerate(woven.stripes):
            by_source[id(share.source)].learn(woven, number)


def _numbered(missing: Sequence[int], count: int) -> str:
    """``file 2 of 3 is``, or of several the first ten."""
    if len(missing) == 1:
        return f"file {missing[0]} of {count} is"
    named = ", ".join(str(each) for each in missing[:10])
    return f"files {named}{f' and {len(missing) - 10} more' if len(missing) > 10 else ''} of {count} are"


class _File:
    """One file on its way."""

    def __init__(self, media: MediaFile, owners: Owners, counts: Counts, spans: Sequence[_Span]) -> None:
        self._source = media.source
        self._spans = spans
        self._sets = [each for each in media.sets if self._matters(each.at)]
        self._owners = owners
        self._counts = counts
        self._faults: list[Fault] = []
        self._swept = 0
        self._unguarded = 0
        self._torn_only = 0
        self._unsummed = 0
        self._encrypted = {
            region.pieces[0].start
            for share in self._sets
            if has_encrypted_pages(share)
            for region in share.regions
            if region.pieces
        }
        self._is_encrypted = False

    def check(self) -> Iterator[Fault]:
        """All faults of the file."""
        told: set[Fault] = set()
        for fault in self._all():
            if fault not in told:  # a record that headers lie in is met twice
                told.add(fault)
                yield fault

    def _all(self) -> Iterator[Fault]:
        blocks: list[Block] = []
        last = self._spans[-1][1]
        try:
            for block in walk(self._source, self._faults.append):
                if block.at >= last:
                    break
                if not self._matters(block.at):
                    self._swept = block.end
                    self._faults.clear()
                    continue
                self._counts.blocks += 1
                yield from self._block(block)
                blocks = [*blocks[-1:], block]
            if last == inf:
                yield from self._end(blocks)
        except Damaged as error:
            yield error.fault
        for share in self._sets:
            if share.disagreements:
                told = ", ".join(share.disagreements)
                yield Fault(
                    self._source.name, share.at, f"the set tells two things, at its beginning and end, of: {told}"
                )
            for stream in share.logs:
                yield from self._log(stream)
        if last == inf:
            yield from self._sweep(self._source.size)
        if isinstance(self._source, RecordBlob):
            self._counts.records += self._source.records
        self._tell()

    def _matters(self, place: int) -> bool:
        return any(start <= place < end for start, end in self._spans)

    def _block(self, block: Block) -> Iterator[Fault]:
        yield from self._reported()
        for number, stream in enumerate(block.streams):
            if stream.kind in ("MQDA", "MQTL") and stream.length > LEAD:
                following = block.streams[number + 1] if number + 1 < len(block.streams) else None
                yield from self._sweep(stream.start)
                yield from self._data(stream, following)
                self._swept = stream.end
        if block.whole:
            yield from self._sweep(block.end)

    def _reported(self) -> Iterator[Fault]:
        """Faults that were found in headers meanwhile."""
        faults, self._faults[:] = list(self._faults), []
        yield from faults

    def _end(self, last: Sequence[Block]) -> Iterator[Fault]:
        """A sound file ends with the end of a set and a file mark."""
        yield from self._reported()
        is_cut = isinstance(self._source, RecordBlob) and self._source.is_cut
        if [each.kind for each in last] != ["ESET", "SFMB"] or not last[-1].whole or is_cut:
            yield Fault(self._source.name, self._source.size, "the file ends before its last backup set does")
        elif last[-1].end < self._source.size:
            left = self._source.size - last[-1].end
            self._counts.not_checked.append(f"{left} bytes of zeros at the end of {self._source.name}")

    def _sweep(self, end: int) -> Iterator[Fault]:
        """Unpack what lies between the data of a compressed file, for its checksums."""
        if isinstance(self._source, RecordBlob):
            for _, _, fault in _chunks(self._source, self._swept, min(end, self._source.size)):
                if fault:
                    yield fault
        self._swept = max(self._swept, end)

    def _data(self, stream: Stream, following: Stream | None) -> Iterator[Fault]:
        """The data of a stream: its pages, and the sum over all of it if there is one."""
        start, end = stream.start + LEAD, min(stream.end, self._source.size)
        is_pages = stream.kind == "MQDA"
        self._is_encrypted = start in self._encrypted
        total, is_whole = 0, stream.end <= self._source.size
        for offset, data, fault in _chunks(self._source, start, end):
            if fault:
                yield fault
                is_whole = False
                continue
            if stream.attributes & WITH_CHECKSUM and is_whole:
                total = sums.of_sectors(data, total)
            if is_pages:
                yield from self._pages(offset, data)
        if stream.attributes & WITH_CHECKSUM and is_whole:
            yield from self._sum(stream, following, total)

    def _sum(self, stream: Stream, following: Stream | None, total: int) -> Iterator[Fault]:
        if following is None or following.kind != "CSUM" or following.length != 4:
            yield Fault(self._source.name, stream.end, f"the checksum of stream {stream.kind} is missing")
        elif int.from_bytes(self._source.read_at(following.start, 4), "little") != total:
            yield Fault(self._source.name, stream.at, f"the checksum of stream {stream.kind} is wrong")

    def _log(self, stream: LogStream) -> Iterator[Fault]:
        """The log blocks of a virtual log file: one behind the other without a gap, each with its sum."""
        size = stream.last - stream.first
        if not 0 <= size <= stream.length or size % sums.SECTOR:
            self._counts.not_checked.append(
                f"{stream.length} bytes of log in {self._source.name}: part of a larger piece"
            )
            return
        log = Window(self._source)
        at = 0
        try:
            while at < size:
                head = log.read(stream.start + at, _LOG_HEAD)
                length = int.from_bytes(head[6:8], "little")
                place = int.from_bytes(head[12:16], "little"), int.from_bytes(head[16:20], "little")
                wanted = stream.vlf_sequence, (stream.first - stream.vlf_start + at) // sums.SECTOR
                if (
                    place != wanted
                    or not head[0] & _FIRST_SECTOR
                    or not 0 < length <= size - at
                    or length % sums.SECTOR
                ):
                    yield Fault(self._source.name, stream.start + at, "no log block lies where the log goes on")
                    return
                yield from self._log_block(stream.start + at, log.read(stream.start + at, length))
                at += length
        except Damaged as error:
            yield error.fault

    def _log_block(self, offset: int, block: bytes) -> Iterator[Fault]:
        """A log block: its sum lies at byte 24 and was taken without it, as 346 blocks of real backups show."""
        own = block[24:28]
        if not any(own):
            self._unsummed += len(block)
        elif sums.of_sectors(block[:24] + bytes(4) + block[28:]) != int.from_bytes(own, "little"):
            yield Fault(self._source.name, offset, "the checksum of the log block is wrong")

    def _pages(self, offset: int, data: bytes) -> Iterator[Fault]:
        """Every page of some extents."""
        for base in range(0, len(data), EXTENT_SIZE):
            owner = self._owners.at(offset + base)
            extent = data[base : base + EXTENT_SIZE]
            if owner:
                yield from self._place(offset + base, extent, owner)
            for within in range(len(extent) // SIZE):
                page = extent[within * SIZE : (within + 1) * SIZE]
                yield from self._page(offset + base + within * SIZE, page, owner, within)

    def _place(self, offset: int, extent: bytes, owner: tuple[int, int]) -> Iterator[Fault]:
        """Whether an extent that holds pages of a later one holds some of its own too."""
        file_id, number = owner
        named = {
            page_id // EXTENT
            for within in range(len(extent) // SIZE)
            for found, page_id in [pages_.own_id(extent, within * SIZE)]
            if found == file_id and page_id % EXTENT == within
        }
        later = (each for each in named if each > number)
        if number not in named and any(self._owners.expects(offset, file_id, each) for each in later):
            name = f"{file_id}:{number * EXTENT}"
            yield Fault(self._source.name, offset, "other pages lie here than the allocation maps say", name)

    def _page(self, offset: int, page: bytes, owner: tuple[int, int] | None, within: int) -> Iterator[Fault]:
        """A page that was formatted: its checksum or torn bits."""
        own = pages_.own_id(page)
        if own == (0, 0):
            return
        self._counts.pages += 1
        if self._is_encrypted:
            return
        if not page[5] & (pages_.CHECKSUM | pages_.TORN_BITS) >> 8:
            self._unguarded += 1
            return
        self._torn_only += not page[5] & pages_.CHECKSUM >> 8
        if not pages_.checksum_ok(page):
            file_id, page_id = (owner[0], owner[1] * EXTENT + within) if owner else own
            yield Fault(self._source.name, offset, pages_.check_failed(page), f"{file_id}:{page_id}")

    def _tell(self) -> None:
        name, notes = self._source.name, self._counts.not_checked
        if self._encrypted:
            notes.append(f"the pages in {name}: they are encrypted (TDE)")
        if self._unguarded:
            notes.append(f"{self._unguarded} pages in {name} that carry neither checksum nor torn bits")
        if self._torn_only:
            notes.append(
                f"{self._torn_only} pages in {name} beyond their torn bits: these tell of torn writes, and of few "
                "changed bytes"
            )
        if self._unsummed:
            notes.append(f"{self._unsummed} bytes of log in {name} that carry no checksum")


def _chunks(source: Source, start: int, end: int) -> Iterator[tuple[int, bytes, Fault | None]]:
    """The bytes between, in pieces; where some cannot be read, the fault in their place."""
    piece = _CHUNK
    until = start
    while start < end:
        if start >= until:
            piece = _CHUNK
        length = min(piece, end - start)
        try:
            data = source.read_at(start, length)
        except Damaged as error:
            if length > EXTENT_SIZE:
                piece, until = EXTENT_SIZE, start + length  # what is sound around the fault is checked as well
                continue
            yield start, b"", error.fault
            start += length
            continue
        if not data:
            return
        yield start, data, None
        start += len(data)

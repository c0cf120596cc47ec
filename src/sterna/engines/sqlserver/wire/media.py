"""One file of a backup: what medium it is, which backup sets it holds, and where their pages and log lie."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sterna.core.errors import Unsupported
from sterna.core.files import Blob
from sterna.engines.sqlserver.wire.container import RecordBlob
from sterna.engines.sqlserver.wire.faults import Damaged, damaged
from sterna.engines.sqlserver.wire.headers import (
    Configuration,
    configuration,
    date,
    disagreements,
    guid,
)
from sterna.engines.sqlserver.wire.mtf import LEAD, Block, Source, Stream, walk
from sterna.engines.sqlserver.wire.sets import BackupSet, LogStream, Media, Piece, Region

CONTAINER = b"MSSQLBAK"
OLDEST = 9
"""Major version of SQL Server 2005: files of older ones have other structures."""
_LARGEST_CONFIGURATION = 64 << 20
_LARGEST_TOGETHER = 256 << 20
_MOST_SETS = 65_535
_MOST_REGIONS = 10_000
_MOST_LOGS = 1_000_000
_MASKED_PASSWORD = 5
_PACKED = {
    b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar", b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip
"""What files are that people pack backups into, by how they begin."""
_KNOWN_STREAMS = frozenset(("RAID", "MQCI", "APAD", "MQDA", "MQTL", "CSUM", "OTCP", "TSMP", "SPAD"))


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file of a backup, opened."""

    source: Source
    """Its bytes in the tape format, unpacked if the file is compressed."""
    media: Media
    sets: tuple[BackupSet, ...]
    is_cut: bool = False
    """Whether it ends within a set of which it does not tell anything yet."""

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def compressed(self) -> bool:
        return self.media.compressed


def open_media(blob: Blob) -> MediaFile:
    """Reads the headers of a backup file; of its pages nothing, but a compressed file is gone through once.

    Raises Unsupported, saying why, for what cannot be read: encrypted backups, SQL Server before 2005, files that
    are something else. Raises BadData, naming the place, for damaged ones.
    """
    return _open(blob, None)


def open_partly(blob: Blob) -> tuple[MediaFile, str]:
    """The same of a file that is damaged behind its media header: the sets up to there, and what is wrong."""
    wrong: list[Damaged] = []
    media = _open(blob, wrong)
    return media, wrong[0].message if wrong else ""


def is_container(blob: Blob) -> bool:
    """Whether a file says that it is a compressed or encrypted backup."""
    return blob.read_at(0, 8) == CONTAINER


def _open(blob: Blob, wrong: list[Damaged] | None) -> MediaFile:
    start = blob.read_at(0, 16)
    if start[:8] == CONTAINER:
        container = RecordBlob(blob)
        return _read(container, container.version, wrong)
    if start[:4] == b"TAPE":
        return _read(blob, None, wrong)
    if start[:2] == b"\x01\x0f":
        raise Unsupported(
            f"{blob.name} is a data file of SQL Server, not a backup",
            hint="Make a backup of the database: BACKUP DATABASE.",
        )
    if not start:
        raise damaged(blob.name, 0, "the file is empty")
    packed = next((kind for sign, kind in _PACKED.items() if start.startswith(sign)), "")
    if packed:
        raise Unsupported(
            f"{blob.name} is packed as {packed}, not a backup itself",
            hint="Unpack it, and name the backup that was in it.",
        )
    raise Unsupported(
        f"{blob.name} is no native backup of SQL Server",
        hint="It begins with neither TAPE nor MSSQLBAK: a script, or a backup of another program. "
        "Name a file that BACKUP DATABASE or BACKUP LOG wrote.",
    )


def _read(source: Source, version: int | None, wrong: list[Damaged] | None) -> MediaFile:
    """``wrong``: takes what is wrong behind the media header; without it, that is raised."""
    blocks = walk(source)
    first = next(blocks, None)
    if first is None or not first.whole or first.kind != "TAPE":
        raise damaged(source.name, 0, "the file ends before its media header does")
    reading = _Reading(source, _media(source, first, version))
    try:
        for block in blocks:
            reading.add(block)
        reading.keep()
    except Damaged as error:
        if wrong is None:
            raise
        wrong.append(error)
        reading.leave()
    return MediaFile(source, reading.media, tuple(reading.sets), reading.is_cut)


class _Reading:
    """A file of which not all blocks were met yet."""

    def __init__(self, source: Source, media: Media) -> None:
        self.media = media
        self.sets: list[BackupSet] = []
        self._source = source
        self._draft: _Draft | None = None
        self._configured = 0
        self._lost = False

    @property
    def is_cut(self) -> bool:
        """Whether the file ends within a set of which nothing is known."""
        ended = isinstance(self._source, RecordBlob) and self._source.is_cut
        return self._lost or (ended and bool(self.sets) and self.sets[-1].complete)

    def add(self, block: Block) -> None:
        """The next block of the file."""
        if block.kind == "SSET":
            self.keep()
            self._draft = _Draft(self._source, self.media, block)
        elif not block.whole and (block.head[:4] == b"SSET" or (self._draft and self._draft.ended)):
            self.keep()  # whatever followed is cut off with the mark behind the set
            self._lost = True
        elif self._draft is not None:
            self._draft.add(block)
        elif block.kind == "SFMB" and block.whole:
            self.media = replace(self.media, device_block=block.end - block.at)

    def keep(self) -> None:
        """The set at hand has no more blocks."""
        if self._draft is None:
            return
        found = self._draft.finished()
        self._configured += self._draft.configured
        if len(self.sets) == _MOST_SETS or self._configured > _LARGEST_TOGETHER:
            raise damaged(self._source.name, self._draft.at, "the file holds more backup sets than can be")
        if found:
            self.sets.append(found)
        self._lost = found is None
        self._draft = None

    def leave(self) -> None:
        """What follows cannot be read: keep what is known of the set at hand."""
        found = self._draft.finished() if self._draft else None
        if found and found.at not in {each.at for each in self.sets}:
            self.sets.append(found)


def _media(source: Source, block: Block, version: int | None) -> Media:
    raid = block.stream("RAID")
    data = source.read_at(raid.start, min(raid.length, 32)) if raid else b""
    if len(data) < 26:
        raise damaged(source.name, block.at, "the media header names no media set")
    count, _, sequence = struct.unpack_from("<HHH", data, 20)
    if not 1 <= sequence <= max(count, 1):
        raise damaged(source.name, block.at, f"the media header says that this is file {sequence} of {count}")
    return Media(
        name=block.text(68),
        description=block.text(72),
        media_set=guid(data, 0),
        family_count=max(count, 1),
        family_sequence=sequence,
        media_sequence=block.u16(60),
        software=block.text(80),
        device_block=block.u16(64) * 512,
        password=block.u16(62) == _MASKED_PASSWORD,
        date=date(block.head[88:93]) if len(block.head) >= 93 else None,
        container_version=version,
    )


class _Draft:
    """A backup set of which not all blocks were met yet."""

    def __init__(self, source: Source, media: Media, start: Block) -> None:
        self._source = source
        self._media = media
        self._start = start
        self._machine = ""
        self._configuration: Configuration | None = None
        self._is_final = False
        self._disagreements: tuple[str, ...] = ()
        self._regions: list[Region] = []
        self._logs: list[LogStream] = []
        self._unknown: set[str] = set()
        self.ended = False
        """Whether its last block was met."""
        self.configured = 0
        """Bytes of its configuration, all times that it was met."""

    @property
    def at(self) -> int:
        return self._start.at

    def add(self, block: Block) -> None:
        """The next block of the set."""
        self._unknown.update(each.kind for each in block.streams if each.kind not in _KNOWN_STREAMS)
        match block.kind:
            case "VOLB":
                self._machine = block.text(64)
            case "MSCI" | "MSLS":
                self._configure(block)
            case "MSDA":
                self._regions.append(Region(tuple(self._pieces(block, "MQDA"))))
            case "MSTL":
                self._logs.extend(self._log(block))
            case "ESET":
                self.ended = block.whole
        if len(self._regions) > _MOST_REGIONS or len(self._logs) > _MOST_LOGS:
            raise damaged(self._source.name, block.at, "the set has more parts than any backup")

    def finished(self) -> BackupSet | None:
        """The set; None: the file ends before it says anything."""
        if self._configuration is None or len(self._start.head) < 116:
            return None
        start = self._start
        if self._configuration.set.major < OLDEST:
            raise Unsupported(
                f"{self._source.name} was written by SQL Server {self._configuration.set.version}, before 2005",
                hint="Restore it with a SQL Server of 2005 to 2012 and back it up from there.",
            )
        return BackupSet(
            source=self._source,
            media=self._media,
            position=start.u16(62),
            name=start.text(64),
            description=start.text(68),
            user=start.text(76),
            machine=self._machine,
            guid=guid(start.head, 100),
            configuration=self._configuration,
            regions=tuple(self._regions),
            logs=tuple(self._logs),
            unknown_streams=tuple(sorted(self._unknown)),
            complete=self._is_final and self.ended,
            at=start.at,
            disagreements=self._disagreements,
        )

    def _configure(self, block: Block) -> None:
        """The configuration at the set's start, later replaced by the final one."""
        stream = block.stream("MQCI")
        if stream is None:
            if not block.whole:
                return
            raise damaged(self._source.name, block.at, "the set has no configuration")
        if stream.length > _LARGEST_CONFIGURATION:
            raise damaged(
                self._source.name, stream.at, f"the configuration says that it has {stream.length} bytes"
            )
        self.configured += stream.length
        data = self._source.read_at(stream.start, stream.length)
        if len(data) == stream.length:
            found = configuration(data, self._source.name, stream.start)
            if self._configuration:
                self._disagreements = disagreements(self._configuration, found)
            self._configuration = found
            self._is_final = block.kind == "MSLS"

    def _pieces(self, block: Block, kind: str) -> Iterator[Piece]:
        for stream in block.streams:
            if stream.kind == kind and stream.length > LEAD:
                yield self._piece(stream)

    def _piece(self, stream: Stream) -> Piece:
        end = min(stream.end, self._source.size)
        return Piece(stream.start + LEAD, max(end - stream.start - LEAD, 0))

    def _log(self, block: Block) -> Iterator[LogStream]:
        pieces = list(self._pieces(block, "MQTL"))
        if not pieces:
            return
        place = block.u16(0x52)
        header = block.head[place : place + 0x18]
        if len(block.head) < 0x54 or len(header) < 0x18:
            raise damaged(self._source.name, block.at, "a log block describes no virtual log file")
        sequence, size, start, file_id, parity = struct.unpack_from("<IQQHB", header)
        first, last = struct.unpack_from("<QQ", block.head, 0x3C)
        for piece in pieces:
            yield LogStream(piece.start, piece.length, sequence, size, start, first, last, file_id, parity)

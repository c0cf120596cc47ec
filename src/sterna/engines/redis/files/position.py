"""How far the files of a plan were read."""

from dataclasses import dataclass, replace

from sterna.core.change import Position
from sterna.core.errors import BadData, StartAgain
from sterna.engines.redis.wire.place import Place

END = "end"
_BEGINNING = Place()


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Between two records of an RDB file, or two commands of an AOF."""

    alone: bool
    """The target held nothing where the data goes when the first file was begun."""
    item: int = 0
    """Which data set; those before it are done."""
    entry: int = 0
    """Which file of it."""
    place: Place | None = _BEGINNING
    """In an RDB part; None: in commands, or behind everything."""
    pieces: int = 0
    """How many pieces of the large value at ``place`` are done."""
    offset: int = 0
    """In commands: bytes of the file, unpacked, before the next one."""
    database: int = 0
    """In commands: the one that is selected there."""

    def text(self, mark: str) -> Position:
        """``mark``: which files."""
        where = f"{self.place}#{self.pieces}" if self.place else f"@{self.offset}:{self.database}"
        return Position(f"{mark}/{'alone' if self.alone else 'shared'}/{self.item}.{self.entry}/{where}")

    def in_rdb(self, place: Place, pieces: int = 0) -> "FilePosition":
        return replace(self, place=place, pieces=pieces)

    def in_log(self, offset: int, database: int) -> "FilePosition":
        return replace(self, place=None, pieces=0, offset=offset, database=database)


def end(mark: str) -> Position:
    """Behind everything."""
    return Position(f"{mark}/{END}")


def parse(text: str, mark: str) -> FilePosition:
    """Read what ``text`` wrote. Raises StartAgain where the files are others now, BadData for anything else."""
    if not text.startswith(mark + "/"):
        raise StartAgain(
            "The files are not those that the copy was begun with: one was added, taken away or replaced"
        )
    try:
        _, company, number, where = text.split("/", 3)
        item, entry = number.split(".")
        base = FilePosition(company == "alone", int(item), int(entry))
        if where.startswith("@"):
            offset, database = where[1:].split(":")
            return base.in_log(int(offset), int(database))
        place, _, pieces = where.partition("#")
        return base.in_rdb(Place.parse(place), int(pieces))
    except ValueError as error:
        raise BadData(f"Not a position in a Redis file: {text[:100]!r}") from error

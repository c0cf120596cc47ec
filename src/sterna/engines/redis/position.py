"""Where we are in a source's replication stream."""

from dataclasses import dataclass

from sterna.core.change import Position
from sterna.core.errors import BadData


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """``offset`` bytes of the history ``replid`` are done; ``database`` was selected then (-1: none yet)."""

    replid: str
    offset: int
    database: int = -1

    def __str__(self) -> str:
        return f"{self.replid}:{self.offset}:{self.database}"

    def text(self) -> Position:
        return Position(str(self))

    @classmethod
    def parse(cls, text: str) -> "StreamPosition":
        try:
            replid, offset, database = text.split(":")
            return cls(replid, int(offset), int(database))
        except ValueError as error:
            raise BadData(f"Not a position in a Redis replication stream: {text!r}") from error

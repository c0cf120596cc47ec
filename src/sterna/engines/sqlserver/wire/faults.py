"""What is wrong with a backup, and where: said in one way by every module that reads bytes."""

from dataclasses import dataclass

from sterna.core.errors import BadData, Unsupported


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a file."""

    file: str
    offset: int
    """Byte in the file; for what lies inside the records of a compressed one, in what it unpacks to."""
    message: str
    page: str = ""
    """``file:page``, where it is one page that is wrong."""

    def __str__(self) -> str:
        page = f", page {self.page}" if self.page else ""
        return f"{self.file}, byte {self.offset}{page}: {self.message}"


class Damaged(BadData):
    """Bytes that are not what the format allows, and where they lie."""

    code = "STERNA.2013"

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def damaged(file: str, offset: int, message: str, page: str = "") -> Damaged:
    """The error for bytes that are not what the format allows, naming file and place."""
    return Damaged(Fault(file, offset, message, page))


class Sealed(Unsupported):
    """A container of which no record can be read without a key."""

    code = "STERNA.2014"

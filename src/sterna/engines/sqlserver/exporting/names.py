"""What files are called: names that every file system takes, that lead nowhere else, and that differ."""

import hashlib
import unicodedata
from collections.abc import Sequence

LONGEST = 180
"""Bytes of a name without its ending; file systems take 255."""
_FORBIDDEN = set('<>:"/\\|?*%')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
"""Windows takes these for devices, whatever follows after a dot."""


def file_names(tables: Sequence[Sequence[str]]) -> dict[tuple[str, ...], str]:
    """A name, without its ending, for each path of schema and table: always the same for the same tables.

    Where two would be equal to a file system that takes small and capital letters for the same, the later ones get
    a number.
    """
    names: dict[tuple[str, ...], str] = {}
    taken: set[str] = set()
    for path in tables:
        wanted = safe(".".join(path))
        name, number = wanted, 1
        while _folded(name) in taken:
            number += 1
            name = f"{wanted}~{number}"
        taken.add(_folded(name))
        names[tuple(path)] = name
    return names


def safe(name: str) -> str:
    """The name as a file's: odd characters as ``%`` and two hexadecimal digits for each of their bytes."""
    text = "".join(_escaped(letter) if _is_odd(letter) else letter for letter in name)
    if text[:1] in (".", " ", "~", "-"):
        text = _escaped(text[0]) + text[1:]
    if text[-1:] in (".", " "):
        text = text[:-1] + _escaped(text[-1])
    if text.partition(".")[0].rstrip().lower() in _DEVICES:
        text = f"_{text}"
    return _cut(text or "_")


def _is_odd(letter: str) -> bool:
    return letter in _FORBIDDEN or (letter != " " and not letter.isprintable())


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def _cut(text: str) -> str:
    """A name that is too long ends in a digest of the whole."""
    data = text.encode()
    if len(data) <= LONGEST:
        return text
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{data[: LONGEST - 13].decode(errors='ignore')}~{digest}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()

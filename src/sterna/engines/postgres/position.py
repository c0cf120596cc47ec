"""How far the log of each database was read: an LSN for each, together one position.

An LSN (log sequence number) is a byte's place in the server's write-ahead log; all databases share that log,
but each has a slot of its own and so a place of its own.
"""

import json
import re
from collections.abc import Mapping

from sterna.core.change import Position
from sterna.core.errors import BadData

Positions = Mapping[str, int]
"""The name of a source database: the end of the last transaction that was read from it."""

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})\Z")


def lsn(shown: str) -> int:
    """``16/B374D848`` as a number. Raises BadData."""
    match = _LSN.match(shown)
    if not match:
        raise BadData(f"{shown[:40]!r} is not a place in the write-ahead log")
    return (int(match[1], 16) << 32) | int(match[2], 16)


def lsn_text(number: int) -> str:
    """The way PostgreSQL writes it: ``16/B374D848``."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


def parse(position: Position) -> dict[str, int]:
    """What ``text`` made. Raises BadData."""
    try:
        found = json.loads(position)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(place, str) for place in found.values()):
        raise BadData("A position of another engine, or a broken one")
    return {database: lsn(place) for database, place in found.items()}


def text(positions: Positions) -> Position:
    """One position for all databases; the same for the same places."""
    places = {database: lsn_text(place) for database, place in positions.items()}
    return Position(json.dumps(places, sort_keys=True, ensure_ascii=False))


def latest(*positions: Positions) -> dict[str, int]:
    """The later place of each database."""
    merged: dict[str, int] = {}
    for each in positions:
        for database, place in each.items():
            merged[database] = max(place, merged.get(database, 0))
    return merged

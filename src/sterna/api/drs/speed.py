"""Limits of speed by the hour, from a client's windows to the plan's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sterna.api.errors import Told
from sterna.core.plan import MINUTES, Window

MEGABYTE = 1024 * 1024
MOST_WINDOWS = 10
FASTEST = 9999
"""MB/s."""

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_HOUR = 60


@dataclass(frozen=True, slots=True)
class Limit:
    """A window as it is said: ``hh:mm`` and MB/s."""

    begin: str
    end: str
    speed: str
    is_utc: bool = False


def windows_of(limits: Sequence[Limit], now_ms: int) -> tuple[Window, ...]:
    """The windows of a plan. Raises Told.

    A begin counts as the full hour, an end has to be the last minute of one. An end just before
    the begin, 16:00 to 15:59, makes the whole day.
    """
    if len(limits) > MOST_WINDOWS:
        raise Told("DRS.M00202", "speed_limit")
    windows = tuple(_window(limit, _ahead(now_ms) if limit.is_utc else 0) for limit in limits)
    minutes = [minute for window in windows for minute in range(0, MINUTES, _HOUR) if window.holds(minute)]
    if len(set(minutes)) != len(minutes):
        raise Told("DRS.M00305.overlap")
    return windows


def _window(limit: Limit, shift: int) -> Window:
    if limit.begin == limit.end:
        raise Told("DRS.M00306")
    begin, end = _minute(limit.begin, "begin") // _HOUR * _HOUR, _minute(limit.end, "end")
    if end % _HOUR != _HOUR - 1:
        raise Told("DRS.M00202", "end")
    return Window((begin + shift) % MINUTES, (end + shift) % MINUTES, _speed(limit.speed) * MEGABYTE)


def _minute(text: str, field: str) -> int:
    if not _CLOCK.fullmatch(text):
        raise Told("DRS.M00202", field)
    hours, minutes = text.split(":")
    return int(hours) * _HOUR + int(minutes)


def _speed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= FASTEST):
        raise Told("DRS.M00202", "speed")
    return int(text)


def _ahead(now_ms: int) -> int:
    """How many minutes the service's clock is ahead of UTC, to the full hour."""
    offset = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone().utcoffset()
    return round(offset.total_seconds() / 3600) * _HOUR if offset else 0

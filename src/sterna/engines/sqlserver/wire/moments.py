"""Dates and times of SQL Server, exact to its 100 nanoseconds, which Python's own types cannot hold."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

DAY = 864_000_000_000
"""Ticks of 100 ns in a day."""
DAYS = 3_652_059
"""From 0001-01-01 to 9999-12-31, both counted."""
DAY_1900 = 693_595
"""1900-01-01, in days from 0001-01-01."""
_EPOCH = datetime(1, 1, 1)


class Time(NamedTuple):
    """A time of day, in ticks of 100 ns."""

    ticks: int

    def __str__(self) -> str:
        return clock(self.ticks)


class Timestamp(NamedTuple):
    """A moment without a zone: days from 0001-01-01, and ticks of 100 ns."""

    days: int
    ticks: int

    def __str__(self) -> str:
        return f"{day(self.days)} {clock(self.ticks)}"

    def rounded(self) -> datetime:
        """To whole microseconds, never into another day."""
        return _EPOCH + timedelta(days=self.days, microseconds=microseconds(self.ticks))


class Instant(NamedTuple):
    """A moment in UTC, with the distance in minutes of the zone it was written in."""

    days: int
    ticks: int
    offset: int

    def __str__(self) -> str:
        """In the zone it was written in."""
        days, ticks = divmod(self.days * DAY + self.ticks + self.offset * 600_000_000, DAY)
        sign, minutes = "-" if self.offset < 0 else "+", abs(self.offset)
        return f"{day(days)} {clock(ticks)} {sign}{minutes // 60:02}:{minutes % 60:02}"

    def rounded(self) -> datetime:
        """In UTC, to whole microseconds, never into another day."""
        return Timestamp(self.days, self.ticks).rounded().replace(tzinfo=UTC)


def day(days: int) -> str:
    """``YYYY-MM-DD`` of days from 0001-01-01. Raises ValueError beyond the year 9999."""
    return date.fromordinal(days + 1).isoformat()


def clock(ticks: int) -> str:
    """``HH:MM:SS`` and what there is of a fraction, without zeros at its end."""
    seconds, part = divmod(ticks, 10_000_000)
    whole = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{whole}.{part:07}".rstrip("0") if part else whole


def microseconds(ticks: int) -> int:
    """Rounded, but never up into the next day: 23:59:59.9999999 as the end of a period stays in its day."""
    return min((ticks + 5) // 10, DAY // 10 - 1)

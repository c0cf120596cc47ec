"""When a job's two sides are to be compared again and again: days of the week, a window of the day, how often.

All times are in UTC, as the API has them: no day has a missing or a doubled hour.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sterna.core.comparison import Depth
from sterna.core.errors import Invalid
from sterna.core.job import Job

KEY = "compare_policy"
"""Where a job's policy is kept: in ``Job.extra``, so that it can be seen without another look into the store."""

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
WEEK = 7
MOST_HOURS = 24
GRACE = 60 * SECOND
"""A time of a window that is shorter than this is not missed because nobody looked just then."""


@dataclass(frozen=True, slots=True)
class ComparePolicy:
    """What is compared, and when. Raises Invalid for what makes no sense, like an empty window."""

    depths: tuple[Depth, ...]
    """One comparison each, one after the other."""
    days: tuple[int, ...]
    """On which a window begins: 1 is Monday, 7 is Sunday."""
    begin_s: int
    """Seconds after midnight. The first comparison of a window."""
    end_s: int
    """From here on none begins. Not after ``begin_s``: the window goes on past midnight."""
    every_h: int = 0
    """Hours between two times of a window; 0: there is one alone."""
    cover: bool | None = None
    """Whether comparisons that are still at work give way; otherwise this time is left out. None: not said."""
    since_ms: int = 0
    """When it was set, epoch milliseconds: no time before counts."""

    def __post_init__(self) -> None:
        _once("depths", self.depths)
        _once("days", self.days)
        if not all(1 <= day <= WEEK for day in self.days):
            raise Invalid("days", "A day is a number from 1 to 7")
        if not (0 <= self.begin_s < DAY // SECOND and 0 <= self.end_s < DAY // SECOND):
            raise Invalid("begin", "A time is a second of the day")
        if self.begin_s == self.end_s:
            raise Invalid("end", "The window is empty")
        if not 0 <= self.every_h <= MOST_HOURS:
            raise Invalid("every", f"At most {MOST_HOURS} hours")

    def last(self, now_ms: int) -> int | None:
        """The latest time that has come and whose window is still open, epoch milliseconds."""
        day = now_ms // DAY
        for each in (day, day - 1):
            come = [time for time in self._times(each) if self.since_ms <= time <= now_ms]
            if come and self.open(come[-1], now_ms):
                return come[-1]
        return None

    def next(self, now_ms: int) -> int:
        """The first time after this moment, epoch milliseconds."""
        day = now_ms // DAY
        times = (time for each in range(day - 1, day + WEEK + 1) for time in self._times(each))
        return next(time for time in times if time > now_ms)

    def open(self, time_ms: int, now_ms: int) -> bool:
        """Whether the window that this time is in has not ended yet."""
        past_begin_s = time_ms % DAY // SECOND - self.begin_s
        begin_ms = time_ms - past_begin_s % (DAY // SECOND) * SECOND
        return now_ms < max(begin_ms + self._length, time_ms + GRACE)

    @property
    def _length(self) -> int:
        """Of the window, in milliseconds."""
        return (self.end_s - self.begin_s) * SECOND % DAY

    def _times(self, day: int) -> Iterator[int]:
        """Of the window that begins on this day, which is counted since the epoch; that was a Thursday."""
        if (day + 3) % WEEK + 1 in self.days:
            begin = day * DAY + self.begin_s * SECOND
            yield from range(begin, begin + self._length, self.every_h * HOUR or DAY)


def _once(field: str, values: tuple[object, ...]) -> None:
    if not values or len(set(values)) != len(values):
        raise Invalid(field, "At least one, and each once")


def policy_of(job: Job) -> ComparePolicy | None:
    """The job's; None: it has none."""
    body: Any = job.extra.get(KEY)
    if not body:
        return None
    return ComparePolicy(
        tuple(Depth(depth) for depth in body["depths"]),
        tuple(body["days"]),
        body["begin_s"],
        body["end_s"],
        body["every_h"],
        body["cover"],
        body["since_ms"],
    )


def body_of(policy: ComparePolicy) -> Mapping[str, object]:
    """As it is kept."""
    return {
        "depths": list(policy.depths),
        "days": list(policy.days),
        "begin_s": policy.begin_s,
        "end_s": policy.end_s,
        "every_h": policy.every_h,
        "cover": policy.cover,
        "since_ms": policy.since_ms,
    }


def moment(ms: int) -> str:
    """For people: ``2023-06-12 08:00:00 UTC``."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"

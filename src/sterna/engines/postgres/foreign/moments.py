"""Dates and times that are written into expressions as text."""

import re
from datetime import date, datetime, timedelta

from sterna.engines.postgres.foreign.tsql import Untranslatable

_TIME = r"(?:[ T]+(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?))?"
_ISO = re.compile(rf"(?P<y>\d{{4}})(?P<sep>[-/.]?)(?P<m>\d{{2}})(?P=sep)(?P<d>\d{{2}}){_TIME}Z?\Z", re.ASCII)
_OTHER = re.compile(rf"(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<y>\d{{4}}){_TIME}\Z", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?\Z", re.ASCII)
_MONTH_FIRST, _DAY_FIRST = (101, 110), (103, 104, 105)
_ZERO = datetime(1900, 1, 1)


def moment(text: str, style: int = 0) -> str:
    """``2020-02-29 12:00:00`` for what T-SQL understands as that. Raises Untranslatable.

    ``style``: the number of a CONVERT. A date whose day and month depend on a session's language is refused.
    """
    text = text.strip()
    if not text:
        return "1900-01-01"
    if match := _ISO.match(text):
        parts = int(match["y"]), int(match["m"]), int(match["d"])
    elif match := _OTHER.match(text):
        parts = int(match["y"]), *_month_and_day(int(match["a"]), int(match["b"]), style, text)
    elif _CLOCK.match(text):
        return f"1900-01-01 {text}"
    else:
        raise Untranslatable(f"the date {text[:30]!r} is not understood")
    try:
        day = date(*parts).isoformat()
    except ValueError:
        raise Untranslatable(f"{text[:30]!r} is no date") from None
    return f"{day} {match['time']}" if match["time"] else day


def _month_and_day(first: int, second: int, style: int, text: str) -> tuple[int, int]:
    if style in _MONTH_FIRST or (style not in _DAY_FIRST and second > 12):
        return first, second
    if style in _DAY_FIRST or first > 12 or first == second:
        return second, first
    raise Untranslatable(f"whether {text!r} begins with the day or the month depends on the language")


def of_days(number: str) -> str:
    """A number where a date is wanted: so many days after 1900-01-01."""
    try:
        found = _ZERO + timedelta(days=float(number))
    except (OverflowError, ValueError):
        raise Untranslatable(f"{number} is no date") from None
    return found.isoformat(" ", "seconds") if found.time() != _ZERO.time() else found.date().isoformat()

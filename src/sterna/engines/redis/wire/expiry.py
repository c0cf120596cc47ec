"""Expiries in commands: made absolute, and held back so that no key runs out on the target by itself.

A key that ran out on the target before the source's own word about it came would lose a later ``PERSIST`` or
``EXPIRE``. So every expiry of a key is written as its true time plus a hold; the source's ``DEL`` removes the key,
and the hold is taken off at the end. Adding the same to both sides keeps the meaning of ``GT`` and ``LT``.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

UNHELD_FROM = 1 << 52
"""Expiries from here on (ms since 1970) mean "never" to those who wrote them; they are not held."""
MOST_HOLD = 1 << 54
"""The longest hold that the compiled loop takes."""
_LARGEST = 1 << 63
_INTEGER = re.compile(rb"-?[0-9]{1,18}").fullmatch

Words = Sequence[bytes]


class Clock(NamedTuple):
    """What relative expiries count from, and what is added to those of keys (both ms)."""

    read_at_ms: int
    hold_ms: int


class Edit(NamedTuple):
    """Words ``first`` to before ``last`` are replaced."""

    first: int
    last: int
    words: tuple[bytes | int, ...]


class Unit(NamedTuple):
    """How an expiry is written."""

    ms: int
    relative: bool


UNITS = {
    b"EX": Unit(1000, True),
    b"PX": Unit(1, True),
    b"EXAT": Unit(1000, False),
    b"PXAT": Unit(1, False),
}
SKIPPED = {b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"}
"""Options of SET with a value of their own, which might look like another option."""

GONE: list[Edit] = []
"""The expiry is in the past: the key is deleted."""


def number(word: bytes) -> int | None:
    """An integer as servers read it; None if it is none, or too large to be a time."""
    return int(word) if _INTEGER(word) else None


def absolute(value: int, unit: Unit, clock: Clock) -> int | None:
    """The expiry to be written, in ms since 1970; None if the command may stay as it is."""
    moment = value * unit.ms + (clock.read_at_ms if unit.relative else 0)
    held = moment + clock.hold_ms if moment < UNHELD_FROM else moment
    if moment <= 0 or held >= _LARGEST or (held == moment and not unit.relative):
        return None
    return held


def _expire(words: Words, clock: Clock, unit: Unit) -> list[Edit] | None:
    """``EXPIRE key 10 [NX]`` and the like."""
    value = number(words[2]) if len(words) > 2 else None
    if value is None:
        return None
    if value <= 0:
        return GONE
    held = absolute(value, unit, clock)
    return None if held is None else [Edit(0, 1, (b"PEXPIREAT",)), Edit(2, 3, (held,))]


def _setex(words: Words, clock: Clock, unit: Unit) -> list[Edit] | None:
    """``SETEX key 10 value``."""
    value = number(words[2]) if len(words) == 4 else None
    held = absolute(value, unit, clock) if value and value > 0 else None
    return None if held is None else [Edit(0, 1, (b"SET",)), Edit(2, 3, ()), Edit(4, 4, (b"PXAT", held))]


def _options(words: Words, clock: Clock, start: int, end: int) -> list[Edit] | None:
    """``… EX 10 …`` among the words from ``start`` to before ``end``."""
    found: list[Edit] | None = None
    place = start
    while place < end:
        option = words[place].upper()
        if unit := UNITS.get(option):
            value = number(words[place + 1]) if place + 1 < end else None
            if found is not None or value is None or value <= 0:
                return None
            held = absolute(value, unit, clock)
            found = [] if held is None else [Edit(place, place + 2, (b"PXAT", held))]
        place += 2 if unit or option in SKIPPED else 1
    return found or None


def _restore(words: Words, clock: Clock) -> list[Edit] | None:
    """``RESTORE key 1000 payload [REPLACE] [ABSTTL] [IDLETIME n] [FREQ n]``."""
    value = number(words[2]) if len(words) > 3 else None
    if not value or value < 0:
        return None
    relative = b"ABSTTL" not in {words[place].upper() for place in range(4, len(words))}
    held = absolute(value, Unit(1, relative), clock)
    if held is None:
        return None
    end = len(words)
    return [Edit(2, 3, (held,)), *([Edit(end, end, (b"ABSTTL",))] if relative else [])]


def _msetex(words: Words, clock: Clock) -> list[Edit] | None:
    """``MSETEX 2 a 1 b 2 EX 10``."""
    count = number(words[1]) if len(words) > 1 else None
    return None if not count or count < 0 else _options(words, clock, 2 + 2 * count, len(words))


def _fields(words: Words, clock: Clock) -> list[Edit] | None:
    """``HSETEX key EX 10 FIELDS 1 f v``: made absolute, never held."""
    places = (place for place in range(2, len(words)) if words[place].upper() == b"FIELDS")
    return _options(words, clock._replace(hold_ms=0), 2, next(places, len(words)))


def _hexpire(words: Words, clock: Clock, unit: Unit) -> list[Edit] | None:
    """``HEXPIRE key 10 FIELDS 1 f``: made absolute, never held."""
    value = number(words[2]) if len(words) > 2 else None
    moment = absolute(value, unit, Clock(clock.read_at_ms, 0)) if value is not None else None
    return None if moment is None else [Edit(0, 1, (b"HPEXPIREAT",)), Edit(2, 3, (moment,))]


Holder = Callable[[Words, Clock], list[Edit] | None]

HOLDERS: dict[bytes, Holder] = {
    b"EXPIRE": lambda words, clock: _expire(words, clock, UNITS[b"EX"]),
    b"PEXPIRE": lambda words, clock: _expire(words, clock, UNITS[b"PX"]),
    b"EXPIREAT": lambda words, clock: _expire(words, clock, UNITS[b"EXAT"]),
    b"PEXPIREAT": lambda words, clock: _expire(words, clock, UNITS[b"PXAT"]),
    b"SETEX": lambda words, clock: _setex(words, clock, UNITS[b"EX"]),
    b"PSETEX": lambda words, clock: _setex(words, clock, UNITS[b"PX"]),
    b"SET": lambda words, clock: _options(words, clock, 3, len(words)),
    b"GETEX": lambda words, clock: _options(words, clock, 2, len(words)),
    b"RESTORE": _restore,
    b"RESTORE-ASKING": _restore,
    b"MSETEX": _msetex,
    b"HSETEX": _fields,
    b"HGETEX": _fields,
    b"HEXPIRE": lambda words, clock: _hexpire(words, clock, UNITS[b"EX"]),
    b"HPEXPIRE": lambda words, clock: _hexpire(words, clock, UNITS[b"PX"]),
}
"""By name in capitals: what of a command changes. None: nothing; GONE: the key goes instead."""

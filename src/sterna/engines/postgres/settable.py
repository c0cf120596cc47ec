"""Whether a text is a value of a setting, by the rules of PostgreSQL's documentation, 19.1.1."""

import re
from collections.abc import Sequence

LONGEST = 1000
_NUMBER = re.compile(r"([+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?) *([A-Za-z]{0,3})")
_TRUTHS = frozenset({"on", "off", "true", "false", "yes", "no", "1", "0"})
_BYTES = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}


def fits(value: str, kind: str, unit: str, least: str, most: str, words: Sequence[str]) -> bool:
    """``least`` and ``most`` are in ``unit``, e.g. ``8kB``; a value may bring a unit of its own, as ``4 MB``."""
    if not value.isprintable() or len(value) > LONGEST:
        return False
    match kind:
        case "bool":
            return value.lower() in _TRUTHS
        case "enum":
            return value.lower() in {word.lower() for word in words}
        case "integer" | "real":
            number = _in(unit, value)
            return number is not None and float(least) <= number <= float(most)
        case _:
            return True


def _in(unit: str, value: str) -> float | None:
    """A number in a setting's unit; None: it is none."""
    match = _NUMBER.fullmatch(value.strip())
    if match is None:
        return None
    number, own = float(match[1]), match[2]
    if not own:
        return number
    count = re.match("[0-9]*", unit)
    size = count[0] if count else ""
    for scale in (_BYTES, _SECONDS):
        if own in scale and unit[len(size) :] in scale:
            return number * scale[own] / (scale[unit[len(size) :]] * int(size or 1))
    return None


def names_of(value: str) -> Sequence[str]:
    """The names of a list as PostgreSQL writes it: ``"$user", public``. What is not in quotes is folded."""
    names, rest = [], value.strip()
    while rest:
        if rest.startswith('"'):
            end = _closing(rest)
            names.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :].partition(",")[2].strip()
        else:
            name, _, rest = rest.partition(",")
            names.append(name.strip().lower())
            rest = rest.strip()
    return names


def _closing(text: str) -> int:
    """Where a name in quotes ends; without an end, at the end of the text."""
    at = 1
    while (at := text.find('"', at)) >= 0:
        if text[at : at + 2] != '""':
            return at
        at += 2
    return len(text)

"""The patterns of T-SQL's LIKE: with sets in brackets they become regular expressions."""

import re

from sterna.engines.postgres.foreign.tsql import Untranslatable
from sterna.engines.postgres.names import literal

_SPECIAL = re.compile(r"([\\.*+?^$(){}\[\]|])")


def like(value: str, pattern: str, escape: str, *, negated: bool) -> str:
    """SQL for ``value LIKE pattern``."""
    if "[" in pattern:
        return f"({value} {'!~' if negated else '~'} {literal('^' + _expression(pattern, escape) + '$')})"
    sign = escape or ("" if "\\" in pattern else None)
    ending = "" if sign is None else f" ESCAPE {literal(sign)}"
    return f"({value} {'NOT LIKE' if negated else 'LIKE'} {literal(pattern)}{ending})"


def _expression(pattern: str, escape: str) -> str:
    """As an advanced regular expression of PostgreSQL, whose ``.`` takes line breaks too."""
    found, at = [], 0
    while at < len(pattern):
        letter = pattern[at]
        if escape and letter == escape and at + 1 < len(pattern):
            at += 1
            found.append(_SPECIAL.sub(r"\\\1", pattern[at]))
        elif letter == "%":
            found.append(".*")
        elif letter == "_":
            found.append(".")
        elif letter == "[":
            one, at = _set(pattern, at, escape)
            found.append(one)
        else:
            found.append(_SPECIAL.sub(r"\\\1", letter))
        at += 1
    return "".join(found)


def _set(pattern: str, at: int, escape: str) -> tuple[str, int]:
    """The set that begins there, and where its last bracket is."""
    end = pattern.find("]", at + 1)
    inside = pattern[at + 1 : end] if end > 0 else ""
    negated = inside.startswith("^")
    members = inside[negated:]
    if not members or (escape and escape in members) or "[:" in members:
        raise Untranslatable("a LIKE has a set that is not understood")
    shown = "".join(f"\\{letter}" if letter in "\\[^" else letter for letter in members)
    if any(first > last for first, last in re.findall(r"(\w)-(\w)", members)):
        raise Untranslatable("a LIKE has a range that is empty")
    return f"[{'^' if negated else ''}{shown}]", end

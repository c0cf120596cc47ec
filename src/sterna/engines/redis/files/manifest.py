"""The manifest of a multi-part AOF (Redis 7 and later, Valkey): which files there are, and in which order.

A line is ``file <name> seq <number> type <b|i|h>``: base, incremental, history (https://github.com/redis/redis,
aof.c). A name that holds blanks or other odd letters stands in quotes.
"""

import re
import shlex
from dataclasses import dataclass

from sterna.core.errors import BadData

MOST_BYTES = 1 << 20
PART = re.compile(r"(?P<stem>.+)\.(?P<seq>\d+)\.(?P<kind>base\.rdb|base\.aof|incr\.aof)")
"""The name of a part: ``appendonly.aof.1.base.rdb``."""
SUFFIX = ".manifest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts that are to be read, in order."""

    base: str
    """Empty: there is none."""
    increments: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        return (*((self.base,) if self.base else ()), *self.increments)


def parse(data: bytes, name: str) -> Manifest:
    """Read one. Raises BadData for what Redis itself would not take."""
    base, increments, last = "", [], 0
    try:
        lines = data.decode("utf-8", "surrogateescape").splitlines()
    except UnicodeError as error:
        raise BadData(f"{name} is no manifest of an AOF: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        part, seq, kind = _line(line, f"{name}, line {number}")
        if kind == "b":
            if base:
                raise BadData(f"{name}, line {number}: a second base file")
            base = part
        elif kind == "i":
            if seq <= last:
                raise BadData(f"{name}, line {number}: the incremental files are not in order")
            last = seq
            increments.append(part)
    if not base and not increments:
        raise BadData(f"{name} is no manifest of an AOF, or names no file")
    return Manifest(base, tuple(increments))


def _line(line: str, where: str) -> tuple[str, int, str]:
    try:
        words = shlex.split(line, posix=True)
    except ValueError as error:
        raise BadData(f"{where}: {error}") from error
    facts = dict(zip(words[::2], words[1::2], strict=False))
    part, seq, kind = facts.get("file", ""), facts.get("seq", ""), facts.get("type", "")
    if (
        len(words) % 2
        or not part
        or not (seq.isascii() and seq.isdigit())
        or len(seq) > 18
        or kind not in {"b", "i", "h"}
    ):
        raise BadData(f"{where} names no file")
    if not kind:
        raise BadData(f"{where} names no type")
    if "/" in part or "\\" in part or part in (".", ".."):
        raise BadData(f"{where}: a part must lie beside its manifest, and be named without a folder")
    return part, int(seq), kind

"""Words and numbers that several modules of the Redis engine share."""

from sterna.core.change import Format
from sterna.engines.redis.wire.expiry import UNHELD_FROM

RESP = Format("redis-resp")
"""Chunks of commands in the server's protocol, ready to be sent."""

CHECKPOINT_PREFIX = b"sterna:checkpoint:"
"""Keys of Sterna's own on the target, in database 0: one for each running job, taken away at its end."""

REPAIR_PREFIX = b"sterna:repair:"
"""Keys of Sterna's own on the target while a large value is mended."""

HOLD_MS = 3 << 52
"""Added to every expiry on the target while a job follows, in ms (about 428 000 years).

A key must not run out on the target by the target's own clock before the source's DEL arrives: a PERSIST or
EXPIRE still on its way would be lost. Expiries from ``UNHELD_FROM`` on are left as they are; those that people
write for "never" (all bits of a double's integer or of 64 bits set, a row of nines) are not among the sums.
"""


def checkpoint_key(job_id: str) -> bytes:
    """Where the target remembers how far a job is."""
    return CHECKPOINT_PREFIX + job_id.encode()


def released(expiry_ms: int) -> int:
    """The true expiry of one that may be held."""
    return expiry_ms - HOLD_MS if HOLD_MS <= expiry_ms < HOLD_MS + UNHELD_FROM else expiry_ms


def printable(key: bytes, most: int = 80) -> str:
    """A key for people: text where it is text, escapes where it is not, not longer than ``most`` bytes."""
    text = key[:most].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown + ("…" if len(key) > most else "")


def own(key: bytes) -> bool:
    """Whether a key is Sterna's own, and no part of anybody's data."""
    return key.startswith((CHECKPOINT_PREFIX, REPAIR_PREFIX))

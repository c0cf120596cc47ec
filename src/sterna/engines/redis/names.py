"""Words and numbers that several modules of the Redis engine share."""

CHECKPOINT_PREFIX = b"sterna:checkpoint:"
"""Keys of Sterna's own on the target, in database 0: one for each running job, taken away at its end."""

REPAIR_PREFIX = b"sterna:repair:"
"""Keys of Sterna's own on the target while a large value is mended."""

HOLD_MS = 1 << 52
"""Added to every expiry on the target while a job follows, in ms (about 142 000 years).

A key must not run out on the target by the target's own clock before the source's DEL arrives: a PERSIST or
EXPIRE still on its way would be lost. No real expiry is as large, and the sum is exact in a double (Lua).
"""


def checkpoint_key(job_id: str) -> bytes:
    """Where the target remembers how far a job is."""
    return CHECKPOINT_PREFIX + job_id.encode()


def released(expiry_ms: int) -> int:
    """The true expiry of one that may be held."""
    return expiry_ms - HOLD_MS if expiry_ms >= HOLD_MS else expiry_ms


def own(key: bytes) -> bool:
    """Whether a key is Sterna's own, and no part of anybody's data."""
    return key.startswith((CHECKPOINT_PREFIX, REPAIR_PREFIX))

"""Moments as DRS writes them."""

from datetime import UTC, datetime

LATEST_MS = 253402300799000
"""The last second of the year 9999."""


def iso(ms: int) -> str:
    """Epoch milliseconds as ``2022-11-07T16:15:18Z``."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def iso_or_none(ms: int | None) -> str | None:
    """The same; None for a moment that has not come."""
    return iso(ms) if ms else None


def moment_ms(text: str) -> int:
    """A moment in epoch milliseconds or as ISO 8601 with a zone; 0 for nothing. Raises ValueError."""
    text = text.strip()
    if not text:
        return 0
    if text.isascii() and text.isdigit():
        return _possible(int(text[:20]))
    moment = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    return _possible(round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))


def _possible(ms: int) -> int:
    if not 0 <= ms <= LATEST_MS:
        raise ValueError("no moment of this era")
    return ms

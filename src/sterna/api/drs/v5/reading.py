"""Moments as v5 reads them: milliseconds or ISO 8601."""

from datetime import UTC, datetime

from sterna.api.drs.times import LATEST_MS, iso


def moment_ms(text: str) -> int:
    """Epoch milliseconds; 0 for nothing. A moment without a zone is in UTC. Raises ValueError."""
    text = text.strip()
    if not text:
        return 0
    if text.isascii() and text.isdigit():
        return _possible(int(text[:20]))
    moment = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    try:
        return _possible(round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))
    except OverflowError as error:
        raise ValueError("no moment of this era") from error


def _possible(ms: int) -> int:
    if not 0 <= ms <= LATEST_MS:
        raise ValueError("no moment of this era")
    return ms


def iso_or_none(ms: int) -> str | None:
    """The other way round; None for a moment that has not come."""
    return iso(ms) if ms else None

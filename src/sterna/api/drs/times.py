"""Moments as DRS writes them: each operation has its own of these forms."""

from datetime import UTC, datetime

LATEST_MS = 253402300799_000
"""The end of the year 9999."""


def ms_text(ms: int) -> str:
    """Epoch milliseconds as text: ``1608519469412``."""
    return str(ms)


def local_text(ms: int) -> str:
    """The service's local time: ``2020-12-21 10:57:49``."""
    return f"{datetime.fromtimestamp(ms / 1000):%Y-%m-%d %H:%M:%S}"


def iso(ms: int) -> str:
    """UTC to the second: ``2022-11-07T16:15:18Z``."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def zoned_text(ms: int) -> str:
    """The service's local time with its zone: ``2018/02/23 16:22:06 GMT+08:00``."""
    moment = datetime.fromtimestamp(ms / 1000).astimezone()
    zone = f"{moment:%z}"
    return f"{moment:%Y/%m/%d %H:%M:%S} GMT{zone[:3]}:{zone[3:5]}"


def ms_of(text: str) -> int:
    """Epoch milliseconds that a client wrote as digits; 0 for none. Raises ValueError."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) > LATEST_MS:
        raise ValueError("not milliseconds")
    return int(text)

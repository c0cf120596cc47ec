"""Floating-point numbers as PostgreSQL (from 12 on) prints them: the fewest digits that read back the same.

Where a shorter number falls exactly between two doubles, Python takes it and PostgreSQL does not; this can only
happen from 2 to the power of 53 on (24 for ``real``).
"""

import math
import struct

_REAL = struct.Struct("<f")
_TOO_MUCH = 3.4028235677973366e38
"""Rounds to no number of four bytes."""


def double_text(value: float) -> str:
    """``0.1``, ``1e+20``, ``1e-05``, ``NaN``, ``Infinity``."""
    if not math.isfinite(value):
        return _infinite(value)
    size = abs(value)
    digits, exponent = _parts(repr(size))
    if size >= 2.0**53 and not _inside(digits, exponent, size, int(math.ulp(size)), math.frexp(size)[0] == 0.5):
        digits, exponent = _longer(size, len(digits), int(math.ulp(size)))
    return _spelled(value, digits, exponent, 15)


def real_text(value: float) -> str:
    """The same for a number of four bytes. ``value``: that number, or the double that is written like it."""
    if not math.isfinite(value):
        return _infinite(value)
    (exact,) = _REAL.unpack(_REAL.pack(value))
    size = abs(exact)
    digits, exponent = _parts(repr(abs(shortest_real(exact))))
    if size >= 2.0**24:
        gap = 1 << math.frexp(size)[1] - 24
        if not _inside(digits, exponent, size, gap, math.frexp(size)[0] == 0.5):
            digits, exponent = _longer(size, len(digits), gap)
    return _spelled(value, digits, exponent, 6)


def shortest_real(value: float) -> float:
    """The double that is written with the fewest digits that read back as the same number of four bytes."""
    raw = _REAL.pack(value)
    for digits in range(1 if abs(value) < 1.2e-38 else 6, 9):
        for near in _rounded(value, digits):
            if abs(near) < _TOO_MUCH and _REAL.pack(near) == raw:
                return near
    return float(f"{value:.8e}")


def _rounded(value: float, digits: int) -> list[float]:
    """The nearest number of so many digits; for a power of two, whose neighbour below is nearer, the next too."""
    near = f"{value:.{digits - 1}e}"
    if abs(math.frexp(value)[0]) != 0.5:
        return [float(near)]
    mantissa, _, power = near.partition("e")
    larger = int(mantissa.replace(".", "")) + (1 if value > 0 else -1)
    return [float(near), float(f"{larger}e{int(power) - digits + 1}")]


def _infinite(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _parts(text: str) -> tuple[str, int]:
    """Digits without zeros around them, and the exponent of the first."""
    mantissa, _, power = text.partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    exponent = int(power or 0) + len(digits) - len(part) - 1
    return digits.rstrip("0") or "0", exponent if digits else 0


def _inside(digits: str, exponent: int, size: float, gap: int, lowest: bool) -> bool:
    """Whether a number lies nearer to ``size`` than the middle between it and its neighbour. ``gap``: the distance
    of the neighbour above; that below is half as far from a power of two (``lowest``).
    """
    shift = max(len(digits) - 1 - exponent, 0)
    unit = int(10**shift)
    number = int(digits) * int(10 ** (exponent - len(digits) + 1 + shift))
    distance = number - int(size) * unit
    return (-4 * distance if distance < 0 and lowest else 2 * abs(distance)) < gap * unit


def _longer(size: float, count: int, gap: int) -> tuple[str, int]:
    lowest = math.frexp(size)[0] == 0.5
    for places in range(count, 17):
        digits, exponent = _parts(f"{size:.{places}e}")
        above = str(int(digits.ljust(places + 1, "0")) + 1)
        for one in (digits, above) if lowest else (digits,):
            if _inside(one, exponent, size, gap, lowest):
                return one.rstrip("0"), exponent
    return digits, exponent


def _spelled(value: float, digits: str, exponent: int, plain: int) -> str:
    """Without an exponent below ``plain`` digits before the point, and down to 0.0001."""
    sign = "-" if math.copysign(1, value) < 0 else ""
    if not -4 <= exponent < plain:
        point = "." if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}{digits[1:]}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, part = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"

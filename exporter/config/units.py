"""Durations, sizes, percentages and numbers in the notation of the configuration.

Parsers raise `ValueError` with the expected format; the message never quotes the input.
The text that a writer returns is parsed to the same value.
"""

from __future__ import annotations

import re
from decimal import Decimal

MILLISECONDS = {
    "y": 31_536_000_000,  # Prometheus counts a year as 365 days
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
"""Prometheus' units of time, in the order in which a duration lists them."""

BYTES = {
    "GiB": 1024**3,
    "MiB": 1024**2,
    "KiB": 1024,
    "GB": 1000**3,
    "MB": 1000**2,
    "kB": 1000,
    "B": 1,
}

# The number of digits is bounded: int() rejects texts of thousands of digits.
_DURATION = re.compile("".join(f"(?:([0-9]{{1,12}}){unit})?" for unit in MILLISECONDS))
_SIZE = re.compile(rf"([0-9]{{1,15}})({'|'.join(BYTES)})?")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,14}")


def duration_seconds(text: str) -> float:
    """Parse `90s`, `5m`, `1h30m`, or a bare `0`, as Prometheus does."""
    if text == "0":
        return 0.0
    if _DECIMAL.fullmatch(text):
        message = "the duration has no unit; expected a value such as 90s, 5m or 1h30m"
        raise ValueError(message)
    match = _DURATION.fullmatch(text)
    if not text or not match:
        message = "expected a duration such as 90s, 5m or 1h30m (units y w d h m s ms)"
        raise ValueError(message)
    amounts = zip(match.groups("0"), MILLISECONDS.values(), strict=True)
    return sum(int(amount) * unit for amount, unit in amounts) / 1000


def duration_text(seconds: float) -> str:
    """Return a duration in days and smaller units, rounded to 1 ms: `1h30m`."""
    rest = round(seconds * 1000)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        amount, rest = divmod(rest, MILLISECONDS[unit])
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


def size_bytes(text: str) -> int:
    """Parse `4MiB`, `100kB`, or a bare number of bytes."""
    match = _SIZE.fullmatch(text)
    if not match:
        message = "expected a size such as 4MiB, 500KiB, 100kB or a number of bytes"
        raise ValueError(message)
    return int(match[1]) * BYTES[match[2] or "B"]


def size_text(size: int) -> str:
    """Return the size in the largest binary unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return str(size)


def fraction(text: str) -> float:
    """Parse a percentage: `20%` is 0.2."""
    if not text.endswith("%") or not _DECIMAL.fullmatch(text[:-1]):
        message = "expected a percentage such as 20%"
        raise ValueError(message)
    return float(Decimal(text[:-1]) / 100)


def percentage_text(share: float) -> str:
    """Return 0.2 as `20%`."""
    # From the shortest decimal of the float: 0.29 is 29%, not 28.999999999999996%.
    return f"{(Decimal(repr(share)) * 100).normalize():f}%"


def number(text: str) -> float:
    """Parse a plain decimal number: no sign, exponent, underscore or other base."""
    if not _DECIMAL.fullmatch(text):
        message = "expected a plain number such as 120 or 0.5"
        raise ValueError(message)
    return float(text)


def number_text(amount: float) -> str:
    """Return a plain decimal number, without a fraction where there is none."""
    return (
        f"{amount:.0f}" if float(amount).is_integer() else f"{Decimal(repr(amount)):f}"
    )


def whole_number(text: str) -> int:
    """Parse a whole number without leading zeros, which YAML reads as octal."""
    if not _WHOLE.fullmatch(text):
        message = "expected a whole number such as 4"
        raise ValueError(message)
    return int(text)

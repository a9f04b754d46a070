"""Durations as Go's time.ParseDuration reads them, which exporter-toolkit uses."""

from __future__ import annotations

import re
from fractions import Fraction

_NANOSECONDS = {
    "ns": 1,
    "us": 1000,
    "\u00b5s": 1000,  # the micro sign
    "\u03bcs": 1000,  # the Greek letter
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})({'|'.join(_NANOSECONDS)})(?=[0-9.]|$)")
_DURATION = re.compile(rf"[-+]?(?:{_NUMBER}(?:{'|'.join(_NANOSECONDS)}))+")
_LONGEST_TEXT = 100
_LONGEST_NANOSECONDS = 2**63 - 1


def seconds(text: str) -> float:
    """Parse `1h30m`, `1.5s`, `100ms` or a bare `0`.

    ValueError: it is not a duration, or negative, which in Go would mean no limit.
    """
    if text in {"0", "+0", "-0"}:
        return 0.0
    if re.fullmatch(_NUMBER, text):
        message = "the duration has no unit; expected a value such as 1s, 1m30s or 0.5s"
        raise ValueError(message)
    if len(text) > _LONGEST_TEXT or not _DURATION.fullmatch(text):
        message = (
            "expected a duration such as 1s, 1m30s or 500ms (units h m s ms us ns)"
        )
        raise ValueError(message)
    nanoseconds = sum(
        int(Fraction(number if number[0] != "." else f"0{number}") * _NANOSECONDS[unit])
        for number, unit in _PART.findall(text)
    )
    if text.startswith("-") and nanoseconds:
        raise ValueError("the duration is negative; expected 0 or more")
    if nanoseconds > _LONGEST_NANOSECONDS:
        raise ValueError("the duration is too long; expected at most 2562047h")
    return nanoseconds / 1e9

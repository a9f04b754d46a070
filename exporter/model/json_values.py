"""Checks of untrusted JSON values, which return the value or raise `ValueError`.

`bool` is not a number here.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

EXACT = 2**53
"""Integers up to this are exact as a double."""


def text(value: object) -> str:
    """Return a string."""
    if isinstance(value, str):
        return value
    raise _unexpected("a string", value)


def boolean(value: object) -> bool:
    """Return a boolean."""
    if isinstance(value, bool):
        return value
    raise _unexpected("a boolean", value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether the value is a number that a finite double can represent."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def number(value: object) -> int | float:
    """Return a finite number."""
    if is_number(value):
        return value
    raise _unexpected("a finite number", value)


def instant(value: object) -> float:
    """Return seconds since the epoch."""
    return float(number(value))


def count(value: object, *, least: int = 0, most: int = EXACT) -> int:
    """Return an integer from `least` to `most`."""
    if type(value) is int and least <= value <= most:
        return value
    raise _unexpected(f"an integer from {least} to {most}", value)


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object."""
    if isinstance(value, dict):
        return value
    raise _unexpected("an object", value)


def items(value: object) -> list[Any]:
    """Return a JSON array."""
    if isinstance(value, list):
        return value
    raise _unexpected("an array", value)


def _unexpected(expected: str, value: object) -> ValueError:
    return ValueError(f"expected {expected}, found {type(value).__name__}")

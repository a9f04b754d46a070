"""Durations as people read them."""

from __future__ import annotations

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def duration(seconds: float) -> str:
    """Return a duration in its largest unit, rounded down: `3 min`; never negative."""
    whole = max(0, round(seconds))
    for length, unit in _UNITS:
        # At least two of a unit: "1 h" would hide up to an hour.
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"

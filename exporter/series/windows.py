"""Sums over trailing windows of days, such as the last 7 and the last 28.

A sum covers the days that have the field. It does not depend on the order of the days,
and a sum beyond the range of a double is left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from math import fsum, isfinite
from typing import TypeVar

from exporter.model.json_values import EXACT
from exporter.model.snapshot import Stats

Key = TypeVar("Key", bound=Hashable)

NOT_ADDITIVE = "unique_recipients"
"""This field has no sum: a person with messages on two days counts on both."""


def trailing_sums(
    past: Sequence[tuple[int, Mapping[Key, Stats]]], windows: Iterable[int]
) -> list[tuple[int, dict[Key, Stats]]]:
    """Return (window, sums) for each window that has any; both arguments ascend.

    `past` holds (age in days, stats), yesterday being 1. No stats in the sums are
    empty.
    """
    columns: dict[Key, dict[str, list[int | float]]] = {}
    sums = []
    done = 0
    for window in windows:
        while done < len(past) and past[done][0] <= window:
            _append(past[done][1], columns)
            done += 1
        if totals := _totals(columns):
            sums.append((window, totals))
    return sums


def _append(
    day: Mapping[Key, Stats], columns: dict[Key, dict[str, list[int | float]]]
) -> None:
    for key, stats in day.items():
        values = columns.setdefault(key, {})
        for name, value in stats.items():
            if name in values:
                values[name].append(value)
            else:
                values[name] = [value]


def _totals(
    columns: Mapping[Key, Mapping[str, Sequence[int | float]]],
) -> dict[Key, Stats]:
    totals: dict[Key, Stats] = {}
    for key, fields in columns.items():
        sums = {name: exact_sum(values) for name, values in fields.items()}
        sums.pop(NOT_ADDITIVE, None)
        if stats := {name: added for name, added in sums.items() if added is not None}:
            totals[key] = stats
    return totals


def sums_by_day(
    values: Mapping[date, int | float], dates: Sequence[date], window: int
) -> Iterator[tuple[date, int | float]]:
    """Yield each date with the sum over the window that ends with it.

    `dates` are consecutive; windows that begin before the first are left out, and so
    are those without a value or beyond the range of a double.
    """
    for end in range(window, len(dates) + 1):
        found = [values[day] for day in dates[end - window : end] if day in values]
        if found and (added := exact_sum(found)) is not None:
            yield dates[end - 1], added


def exact_sum(values: Sequence[int | float]) -> int | float | None:
    """Return the sum, independent of the order; None beyond a double's range."""
    try:
        added = sum(values)
        if not isinstance(added, int):  # the exact sum, rounded once
            # `fsum` rounds large integers before it adds them.
            integers = (one for one in values if isinstance(one, int))
            is_large = any(abs(one) > EXACT for one in integers)
            added = float(sum(map(Fraction, values))) if is_large else fsum(values)
        return added if isfinite(added) else None
    except OverflowError:
        return None

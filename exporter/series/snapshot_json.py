"""Snapshots as JSON documents and back, for keeping them over a restart.

Documents are not trusted: any JSON value gives a snapshot that renders, or ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import date
from typing import Any, TypeVar

from exporter.model.labels import clean
from exporter.model.snapshot import (
    NO_FIGURES,
    Day,
    Figures,
    RecentDays,
    Snapshot,
    Stats,
    Variation,
)
from exporter.series import recent_days
from exporter.series.revisions import revision

T = TypeVar("T")

_SINCE_VERSION_2 = ("is_quiet", "is_active", "first_complete")
"""Keys that documents in a state file of version 1 lack, all of them."""

_EXACT = 2**53  # a double holds every integer up to here


def dump(snapshot: Snapshot) -> dict[str, object]:
    """Return a snapshot as a JSON document; `revision` is computed again by `parse`."""
    numbers = {variation: n for n, variation in enumerate(snapshot.variations)}

    def figures(one: Figures) -> dict[str, object]:
        stats = [
            [numbers[variation], dict(stats)] for variation, stats in one.variations
        ]
        return {"variations": stats, "overall": dict(one.overall)}

    def day(one: Day | None) -> dict[str, object] | None:
        if one is None:
            return None
        return {
            "date": one.date.isoformat(),
            "starts_at": one.starts_at,
            "figures": figures(one.figures),
        }

    return {
        "variations": [
            [one.channel, one.label, one.id, one.is_control]
            for one in snapshot.variations
        ],
        "latest": day(snapshot.latest),
        "last_complete": day(snapshot.last_complete),
        "trailing": [[window, figures(sums)] for window, sums in snapshot.trailing],
        "dropped_series": snapshot.dropped_series,
        "ignored_values": snapshot.ignored_values,
        "skipped_rows": snapshot.skipped_rows,
        "history": snapshot.history and recent_days.dump(snapshot.history),
        "is_quiet": snapshot.is_quiet,
        "is_active": snapshot.is_active,
        "first_complete": _dump_first_complete(snapshot.first_complete),
    }


def parse(document: object) -> Snapshot:
    """Return the snapshot of a document; ValueError: not one that `dump` made."""
    try:
        return _snapshot(_mapping(document))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        message = "not a snapshot as this version writes it"
        raise ValueError(message) from error


def _snapshot(document: Mapping[str, Any]) -> Snapshot:
    variations = tuple(_variation(*about) for about in document["variations"])
    _check_unique((one.channel, one.label) for one in variations)

    def figures(one: Mapping[str, Any]) -> Figures:
        _check_unique(number for number, _ in one["variations"])
        return Figures(
            variations=tuple(
                (variations[_count(number)], _stats(stats))
                for number, stats in one["variations"]
            ),
            overall=_stats(one["overall"]),
        )

    def day(one: Mapping[str, Any] | None) -> Day | None:
        if one is None:
            return None
        return Day(
            date.fromisoformat(_text(one["date"])),
            float(_number(one["starts_at"])),
            figures(one["figures"]),
        )

    _check_unique(window for window, _ in document["trailing"])
    last_complete = day(document["last_complete"])
    is_of_version_1 = not any(name in document for name in _SINCE_VERSION_2)
    first_complete = (
        _without_figures(last_complete)
        if is_of_version_1
        else _first_complete(document["first_complete"])
    )
    return Snapshot(
        variations=variations,
        latest=day(document["latest"]),
        last_complete=last_complete,
        trailing=tuple(
            (_within(window, 1, 98), figures(sums))
            for window, sums in document["trailing"]
        ),
        dropped_series=_count(document["dropped_series"]),
        ignored_values=_count(document["ignored_values"]),
        skipped_rows=_count(document["skipped_rows"]),
        is_quiet=not is_of_version_1 and _of(bool, document["is_quiet"]),
        is_active=not is_of_version_1 and _of(bool, document["is_active"]),
        first_complete=first_complete,
        revision=revision(first_complete, last_complete),
        history=_history(document.get("history")),
    )


def _history(document: object) -> RecentDays | None:
    if document is None:
        return None
    fields = _mapping(document)
    return recent_days.parse(
        last=date.fromisoformat(_text(fields["last"])),
        sent=[None if one is None else float(_number(one)) for one in fields["sent"]],
        levels=[_count(level) for level in fields["levels"]],
    )


def _without_figures(day: Day | None) -> Day | None:
    """Return a first reading of the day that gives no number a revision."""
    return day and Day(day.date, day.starts_at, NO_FIGURES)


def _dump_first_complete(first: Day | None) -> dict[str, object] | None:
    """Dump it with its own variations: they may have been renamed since."""
    if first is None:
        return None
    return {
        "date": first.date.isoformat(),
        "starts_at": first.starts_at,
        "variations": [
            [one.channel, one.label, one.id, one.is_control, dict(stats)]
            for one, stats in first.figures.variations
        ],
        "overall": dict(first.figures.overall),
    }


def _first_complete(document: Mapping[str, Any] | None) -> Day | None:
    if document is None:
        return None
    return Day(
        date.fromisoformat(_text(document["date"])),
        float(_number(document["starts_at"])),
        Figures(
            variations=tuple(
                (_variation(*about), _stats(stats))
                for *about, stats in document["variations"]
            ),
            overall=_stats(document["overall"]),
        ),
    )


def _variation(
    channel: object, label: object, id_: object, is_control: object
) -> Variation:
    return Variation(_label(channel), _label(label), _clean(id_), _of(bool, is_control))


def _of(kind: Callable[..., T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError
    return value  # type: ignore[return-value]  # its type was just compared


def _text(value: object) -> str:
    return _of(str, value)


def _clean(value: object) -> str:
    text = _text(value)
    if text != clean(text):
        raise TypeError  # it would break the scrape
    return text


def _label(value: object) -> str:
    return _clean(value) or _of(str, None)


def _check_unique(keys: Iterable[Hashable]) -> None:
    listed = tuple(keys)
    if len(set(listed)) < len(listed):
        raise TypeError  # a series would be exposed twice


def _mapping(value: object) -> Mapping[str, Any]:
    return _of(dict, value)


def _count(value: object) -> int:
    return _within(value, 0, _EXACT)


def _within(value: object, least: int, most: int) -> int:
    number = _of(int, value)
    if not least <= number <= most:
        raise TypeError  # it would break the scrape
    return number


def _number(value: object) -> int | float:
    if type(value) in {int, float} and math.isfinite(value):  # type: ignore[arg-type]
        return value  # type: ignore[return-value]  # its type was just compared
    raise TypeError


def _stats(value: object) -> Stats:
    return {_label(name): _number(number) for name, number in _mapping(value).items()}

"""Snapshots as JSON documents and back, for keeping them over a restart.

Documents are not trusted: any JSON value gives a snapshot that renders, or ValueError.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from datetime import date
from typing import Any

from exporter.model.json_values import boolean, count, instant, mapping, number, text
from exporter.model.labels import clean
from exporter.model.snapshot import (
    NO_FIGURES,
    Day,
    Figures,
    Snapshot,
    Stats,
    Variation,
)
from exporter.series import recent_days
from exporter.series.revisions import revision

_SINCE_VERSION_2 = ("is_quiet", "is_active", "first_complete")
"""Keys that documents in a state file of version 1 lack, all of them."""


def dump(snapshot: Snapshot) -> dict[str, object]:
    """Return a snapshot as a JSON document; `revision` is computed again by `parse`."""
    numbers = {variation: n for n, variation in enumerate(snapshot.variations)}

    def figures(one: Figures) -> dict[str, object]:
        stats = [
            [numbers[variation], dict(stats)] for variation, stats in one.variations
        ]
        return {"variations": stats, "overall": dict(one.overall)}

    def day(one: Day | None) -> dict[str, object] | None:
        return one and {**_dump_date(one), "figures": figures(one.figures)}

    return {
        "variations": [list(one) for one in snapshot.variations],
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


def _dump_date(day: Day) -> dict[str, object]:
    return {"date": day.date.isoformat(), "starts_at": day.starts_at}


def _dump_first_complete(first: Day | None) -> dict[str, object] | None:
    """Dump it with its own variations: they may have been renamed since."""
    return first and {
        **_dump_date(first),
        "variations": [[*one, dict(stats)] for one, stats in first.figures.variations],
        "overall": dict(first.figures.overall),
    }


def parse(document: object) -> Snapshot:
    """Return the snapshot of a document; ValueError: not one that `dump` made."""
    try:
        return _snapshot(mapping(document))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        message = "not a snapshot as this version writes it"
        raise ValueError(message) from error


def _snapshot(document: Mapping[str, Any]) -> Snapshot:
    variations = tuple(_variation(*about) for about in document["variations"])
    _check_unique((one.channel, one.label) for one in variations)

    def figures(one: Mapping[str, Any]) -> Figures:
        _check_unique(n for n, _ in one["variations"])
        return Figures(
            variations=tuple(
                (variations[count(n)], _stats(stats)) for n, stats in one["variations"]
            ),
            overall=_stats(one["overall"]),
        )

    def day(one: Mapping[str, Any] | None) -> Day | None:
        return None if one is None else _day(one, figures(one["figures"]))

    _check_unique(window for window, _ in document["trailing"])
    history = document.get("history")
    last_complete = day(document["last_complete"])
    is_of_version_1 = not any(name in document for name in _SINCE_VERSION_2)
    if is_of_version_1:
        # A first reading that gives no number a revision.
        first_complete = last_complete and last_complete._replace(figures=NO_FIGURES)
    else:
        first_complete = _first_complete(document["first_complete"])
    return Snapshot(
        variations=variations,
        latest=day(document["latest"]),
        last_complete=last_complete,
        trailing=tuple(
            (count(window, least=1, most=98), figures(sums))
            for window, sums in document["trailing"]
        ),
        dropped_series=count(document["dropped_series"]),
        ignored_values=count(document["ignored_values"]),
        skipped_rows=count(document["skipped_rows"]),
        is_quiet=not is_of_version_1 and boolean(document["is_quiet"]),
        is_active=not is_of_version_1 and boolean(document["is_active"]),
        first_complete=first_complete,
        revision=revision(first_complete, last_complete),
        history=None if history is None else recent_days.parse(mapping(history)),
    )


def _day(document: Mapping[str, Any], figures: Figures) -> Day:
    starts_at = instant(document["starts_at"])
    return Day(date.fromisoformat(text(document["date"])), starts_at, figures)


def _first_complete(document: Mapping[str, Any] | None) -> Day | None:
    if document is None:
        return None
    variations = tuple(
        (_variation(*about), _stats(stats)) for *about, stats in document["variations"]
    )
    return _day(document, Figures(variations, _stats(document["overall"])))


def _variation(
    channel: object, label: object, id_: object, is_control: object
) -> Variation:
    return Variation(
        _label(channel), _label(label), _clean(id_), is_control=boolean(is_control)
    )


def _clean(value: object) -> str:
    found = text(value)
    if found != clean(found):
        raise ValueError  # it would break the scrape
    return found


def _label(value: object) -> str:
    if not value:
        raise ValueError  # to Prometheus an empty label is a missing one
    return _clean(value)


def _check_unique(keys: Iterable[Hashable]) -> None:
    listed = tuple(keys)
    if len(set(listed)) < len(listed):
        raise ValueError  # a series would be exposed twice


def _stats(value: object) -> Stats:
    return {_label(name): number(amount) for name, amount in mapping(value).items()}

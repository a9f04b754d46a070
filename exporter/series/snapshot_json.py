"""Snapshots as JSON documents and back, for keeping them over a restart.

Documents are not trusted: any JSON value gives a snapshot that renders, or ValueError.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from datetime import date
from typing import Any

from exporter.model.json_values import (
    boolean,
    count,
    instant,
    items,
    mapping,
    number,
    text,
)
from exporter.model.labels import clean
from exporter.model.snapshot import (
    CHANNEL,
    NO_FIGURES,
    OVERALL,
    STEP,
    STEP_CHANNEL,
    VARIANT,
    VARIATION,
    WHOLE,
    Day,
    Figures,
    MonthToDate,
    Part,
    Sample,
    Snapshot,
    Stats,
)
from exporter.series import recent_days
from exporter.series.revisions import revision

_LABELLED = {
    OVERALL: (False, False),
    VARIATION: (True, True),
    CHANNEL: (True, False),
    VARIANT: (False, True),
    STEP: (False, True),
    STEP_CHANNEL: (True, True),
}
"""Group → whether its parts have a channel, and whether they have a name."""

_SINCE_VERSION_2 = ("is_quiet", "is_active", "first_complete")
"""Keys that documents in a state file of version 1 lack, all of them."""


def dump(snapshot: Snapshot) -> dict[str, object]:
    """Return a snapshot as a JSON document; `revision` is computed again by `parse`."""
    numbers = {part: n for n, part in enumerate(snapshot.parts)}

    def figures(one: Figures) -> list[object]:
        return [[numbers[part], dict(stats)] for part, stats in one]

    def day(one: Day | None) -> dict[str, object] | None:
        return one and {**_dump_date(one), "figures": figures(one.figures)}

    return {
        "parts": [list(one) for one in snapshot.parts],
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
        **({"month_to_date": month} if (month := snapshot.month_to_date) else {}),
        **({"samples": snapshot.samples} if snapshot.samples else {}),
    }


def _dump_date(day: Day) -> dict[str, object]:
    return {"date": day.date.isoformat(), "starts_at": day.starts_at}


def _dump_first_complete(first: Day | None) -> dict[str, object] | None:
    """Dump it with its own parts: they may have been renamed since."""
    return first and {
        **_dump_date(first),
        "parts": [[*part, dict(stats)] for part, stats in first.figures],
    }


def parse(document: object) -> Snapshot:
    """Return the snapshot of a document; ValueError: not one that `dump` made."""
    try:
        return _snapshot(mapping(document))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        message = "not a snapshot as this version writes it"
        raise ValueError(message) from error


def _snapshot(document: Mapping[str, Any]) -> Snapshot:
    if "variations" in document:
        document = _of_campaigns(document)
    parts = tuple(_part(*about) for about in document["parts"])
    _check_unique(part[:3] for part in parts)

    def figures(rows: Iterable[tuple[object, object]]) -> Figures:
        found = tuple((parts[count(n)], _stats(stats)) for n, stats in rows)
        _check_unique(part for part, _ in found)
        return found

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
        parts=parts,
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
        month_to_date=_month_to_date(document.get("month_to_date")),
        samples=_samples(document.get("samples", [])),
    )


def _month_to_date(document: object) -> MonthToDate | None:
    if document is None:
        return None
    ends_at, rows = items(document)
    messages = tuple((_label(channel), number(sent)) for channel, sent in items(rows))
    _check_unique(channel for channel, _ in messages)
    return MonthToDate(instant(ends_at), messages)


def _samples(rows: object) -> tuple[Sample, ...]:
    found = tuple(
        Sample(
            text(family),
            tuple((text(name), _label(value)) for name, value in items(labels)),
            number(value),
        )
        for family, labels, value in items(rows)
    )
    _check_unique(one[:2] for one in found)
    return found


def _day(document: Mapping[str, Any], figures: Figures) -> Day:
    starts_at = instant(document["starts_at"])
    return Day(date.fromisoformat(text(document["date"])), starts_at, figures)


def _first_complete(document: Mapping[str, Any] | None) -> Day | None:
    if document is None:
        return None
    figures = tuple(
        (_part(*about), _stats(stats)) for *about, stats in document["parts"]
    )
    return _day(document, figures)


def _of_campaigns(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document of versions 1 and 2, which knew campaigns alone."""
    variations = document["variations"]

    def figures(one: Mapping[str, Any]) -> list[object]:
        overall = [[len(variations), one["overall"]]] if one["overall"] else []
        return [*overall, *one["variations"]]

    def day(one: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        return one and {**one, "figures": figures(one["figures"])}

    first = document.get("first_complete")
    if first is not None:
        parts = [[VARIATION, *about] for about in first["variations"]]
        overall = [[*WHOLE, first["overall"]]] if first["overall"] else []
        first = {**first, "parts": [*overall, *parts]}
    return {
        **document,
        "parts": [*([VARIATION, *about] for about in variations), [*WHOLE]],
        "latest": day(document["latest"]),
        "last_complete": day(document["last_complete"]),
        "trailing": [[window, figures(sums)] for window, sums in document["trailing"]],
        **({} if first is None else {"first_complete": first}),
    }


def _part(
    group: object, channel: object, name: object, id_: object, is_control: object
) -> Part:
    if group not in _LABELLED:
        raise ValueError  # no family has it
    has_channel, has_name = _LABELLED[text(group)]
    return Part(
        text(group),
        _label(channel) if has_channel else _empty(channel),
        _label(name) if has_name else _empty(name),
        _clean(id_),
        is_control=boolean(is_control),
    )


def _empty(value: object) -> str:
    if value != "":
        raise ValueError  # two parts would have one series
    return ""


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

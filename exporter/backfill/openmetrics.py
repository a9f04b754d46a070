"""A campaign's history as OpenMetrics lines with timestamps.

Families and labels are those of a scrape. The lines of a series are adjacent and
ascending in time, as OpenMetrics and promtool require.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

from exporter.metrics.families import Family, ObjectFamilies
from exporter.metrics.object_metrics import (
    ObjectLabels,
    escape,
    info_labels,
    number_text,
    part_labels,
)
from exporter.model.labels import clean
from exporter.model.snapshot import Day, ObjectHistory, Stats

END = "# EOF\n"

LineEndings = Callable[[date], Sequence[str]]
"""The endings of a day's lines: a blank, the timestamp, a newline."""

_Values = Iterator[tuple[Day, int | float]]


def families_of(families: ObjectFamilies) -> tuple[Family, ...]:
    """Return the families of a history, in the order of the file.

    Each holds the samples of all objects of the kind.
    """
    groups = families.groups.values()
    infos = (one.info.family for one in groups if one.info)
    return (
        *(one.last_complete_day for one in groups),
        families.last_complete_day_timestamp,
        *dict.fromkeys(infos),
        families.info,
    )


def header(family: Family) -> str:
    """Return a family's HELP and TYPE lines."""
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n"


def render(
    family: Family,
    subject: ObjectLabels,
    history: ObjectHistory,
    *,
    scrape_labels: Mapping[str, str],
    line_endings: LineEndings,
) -> Iterator[str]:
    """Yield an object's lines of one family: all days of a series, then the next.

    `scrape_labels` are those that Prometheus adds; empty ones are ignored. A label of
    the object with the same name gets the prefix `exported_`, as in Prometheus.
    """
    added = {name: text for name, text in scrape_labels.items() if text}
    start = "".join(
        _label(name, text)
        for name, text in (
            *added.items(),
            ("workspace", subject.workspace),
            (subject.kind, subject.name),
        )
    )
    for own, values in _series(family, subject, history, added=added):
        head = f"{family.name}{{{start}{own}".removesuffix(",")
        for day, value in values:
            if endings := line_endings(day.date):
                line = f"{head}}} {number_text(value)}"
                yield line + line.join(endings)


def _series(
    family: Family,
    subject: ObjectLabels,
    history: ObjectHistory,
    *,
    added: Mapping[str, str],
) -> Iterator[tuple[str, _Values]]:
    """Yield (own labels, values by day) of each series."""
    days = history.days
    families = subject.families
    if family is families.info:
        labels = _without_conflicts(subject.labels, added=added)
        own = "".join(_label(name, text) for name, text in labels.items())
        yield _label(f"{subject.kind}_id", subject.id) + own, ((d, 1) for d in days)
        return
    if family is families.last_complete_day_timestamp:
        yield "", ((day, day.starts_at) for day in days)
        return
    by_day = [(day, dict(day.figures)) for day in days]
    infos: dict[str, set[date]] = {}
    for part in history.parts:
        group = families.groups[part.group]
        stats = [(day, stats[part]) for day, stats in by_day if part in stats]
        if family is group.last_complete_day:
            own = part_labels(group.labels, part).lstrip(",")
            yield from _stats(f"{own}," if own else "", stats)
        elif group.info and family is group.info.family:
            own = info_labels(group.info, part).lstrip(",") + ","
            infos.setdefault(own, set()).update(day.date for day, _ in stats)
    for own, shown in infos.items():
        yield own, ((day, 1) for day in days if day.date in shown)


def _without_conflicts(
    own: Mapping[str, str], *, added: Mapping[str, str]
) -> dict[str, str]:
    """Return `own` with the prefix `exported_` where `added` has the same name.

    Prometheus repeats the prefix while the name is taken, short names first
    (`resolveConflictingExposedLabels` in its scrape/scrape.go).
    """
    kept = {name: text for name, text in own.items() if name not in added}
    for name in sorted(own.keys() & added.keys(), key=lambda name: (len(name), name)):
        free = f"exported_{name}"
        while free in kept or free in added:
            free = f"exported_{free}"
        kept[free] = own[name]
    return kept


def _stats(
    labels: str, days: Sequence[tuple[Day, Stats]]
) -> Iterator[tuple[str, _Values]]:
    for field in dict.fromkeys(name for _, stats in days for name in stats):
        values = ((day, stats[field]) for day, stats in days if field in stats)
        yield labels + _label("metric", field), values


def _label(name: str, text: str) -> str:
    return f'{name}="{escape(clean(text))}",'

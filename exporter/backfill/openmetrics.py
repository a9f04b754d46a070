"""The history of an object as OpenMetrics lines with timestamps.

Families and labels are those of a scrape. The lines of a series are adjacent and
ascending in time, as OpenMetrics and promtool require.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import chain

from exporter.metrics.family import Family, GroupFamilies, ObjectFamilies
from exporter.metrics.object_metrics import (
    ObjectLabels,
    escape,
    info_labels,
    number_text,
    part_labels,
)
from exporter.metrics.series_families import WITH_HISTORY
from exporter.model.labels import clean
from exporter.model.snapshot import (
    ObjectHistory,
    Part,
    SampleHistory,
    Span,
    Stats,
)
from exporter.series.windows import NOT_ADDITIVE, sums_by_day

END = "# EOF\n"

LineEndings = Callable[[date], Sequence[str]]
"""The endings of a day's lines: a blank, the timestamp, a newline."""

SpanEndings = Callable[[Span], Sequence[str]]
"""The same of any time."""

_Values = Iterable[tuple[date, int | float]]


def families_of(families: ObjectFamilies) -> tuple[Family, ...]:
    """Return the families of a history, in the order of the file.

    Each holds the samples of all objects of the kind.
    """
    groups = families.groups.values()
    infos = (one.info.family for one in groups if one.info)
    found = (
        *chain.from_iterable((one.last_complete_day, one.trailing) for one in groups),
        families.last_complete_day_timestamp,
        *dict.fromkeys(infos),
        families.info,
        *(one for one in families.samples if one in WITH_HISTORY),
    )
    return tuple(one for one in found if one is not None)


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
    start = _labels(
        *added.items(),
        ("workspace", subject.workspace),
        (subject.families.label, subject.name),
    )
    for own, values in _series(family, subject, history, added=added):
        head = f"{family.name}{{{start}{own}"
        yield from _lines(head, ((line_endings(day), value) for day, value in values))


def render_samples(
    family: Family,
    subject: ObjectLabels,
    history: SampleHistory,
    *,
    scrape_labels: Mapping[str, str],
    line_endings: SpanEndings,
) -> Iterator[str]:
    """Yield the lines of a series of the workspace, as `render` does."""
    start = _labels(
        *((name, text) for name, text in scrape_labels.items() if text),
        ("workspace", subject.workspace),
        *subject.labels.items(),
    )
    for one in history.samples:
        if one.family == family.name:
            head = f"{family.name}{{{start}{_labels(*one.labels)}"
            yield from _lines(
                head, ((line_endings(span), value) for span, value in one.values)
            )


def _lines(
    head: str, values: Iterable[tuple[Sequence[str], int | float]]
) -> Iterator[str]:
    """Yield the lines of a series, which begin with `head` and a comma."""
    head = head.removesuffix(",")
    for endings, value in values:
        if endings:
            line = f"{head}}} {number_text(value)}"
            yield line + line.join(endings)


def families_with_samples(
    families: ObjectFamilies, history: ObjectHistory | SampleHistory
) -> frozenset[Family]:
    """Return the families of a history that may have samples of an object."""
    if isinstance(history, SampleHistory):
        names = {one.family for one in history.samples}
        return frozenset(one for one in families.samples if one.name in names)
    groups = {part.group for part in history.parts}
    unused = [one for name, one in families.groups.items() if name not in groups]
    used_infos = {families.groups[name].info for name in groups}
    return frozenset(families_of(families)) - {
        *chain.from_iterable((one.last_complete_day, one.trailing) for one in unused),
        *(one.info.family for one in unused if one.info and one.info not in used_infos),
    }


def _series(
    family: Family,
    subject: ObjectLabels,
    history: ObjectHistory,
    *,
    added: Mapping[str, str],
) -> Iterator[tuple[str, _Values]]:
    """Yield (own labels, values by day) of each series."""
    families = subject.families
    if family is families.info:
        labels = _without_conflicts(subject.labels, added=added)
        own = "".join(_label(name, text) for name, text in labels.items())
        shown = ((day, 1) for day in _shown_days(history))
        yield _label(f"{subject.kind}_id", subject.id) + own, shown
        return
    if family is families.last_complete_day_timestamp:
        yield "", ((day.date, day.starts_at) for day in history.days)
        return
    yield from _part_series(family, families, history)


def _part_series(
    family: Family, families: ObjectFamilies, history: ObjectHistory
) -> Iterator[tuple[str, _Values]]:
    """Yield the series of a family of parts."""
    infos: dict[str, set[date]] = {}
    for part, stats in _parts(history):
        group = families.groups[part.group]
        if family is group.last_complete_day:
            for field, values in _fields(stats):
                yield _own(group, part, field), values.items()
        elif family is group.trailing:
            for field, window, sums in _sums(stats, history):
                label = _label("window", f"{window}d")
                yield _own(group, part, field) + label, sums
        elif group.info and family is group.info.family:
            shown_on = infos.setdefault(info_labels(group.info, part)[1:] + ",", set())
            shown_on.update(day for day, _ in stats)
            for _, _, sums in _sums(stats, history):
                shown_on.update(day for day, _ in sums)
    for own, shown_on in infos.items():
        yield own, ((day, 1) for day in sorted(shown_on))


def _shown_days(history: ObjectHistory) -> list[date]:
    """Return the days with a row or with a sum, oldest first."""
    rows = {day.date: 1 for day in history.days}
    sums = (sums_by_day(rows, history.dates, window) for window in history.windows)
    return sorted({*rows, *(day for days in sums for day, _ in days)})


def _parts(
    history: ObjectHistory,
) -> Iterator[tuple[Part, list[tuple[date, Stats]]]]:
    """Yield each part with its stats by day, oldest first."""
    days = [(day.date, dict(day.figures)) for day in history.days]
    for part in history.parts:
        yield part, [(day, stats[part]) for day, stats in days if part in stats]


def _own(group: GroupFamilies, part: Part, field: str) -> str:
    labels = part_labels(group.labels, part).lstrip(",")
    return (f"{labels}," if labels else "") + _label("metric", field)


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


def _fields(
    days: Sequence[tuple[date, Stats]],
) -> Iterator[tuple[str, Mapping[date, int | float]]]:
    """Yield each field with its values by day, oldest first."""
    for field in dict.fromkeys(name for _, stats in days for name in stats):
        yield field, {day: stats[field] for day, stats in days if field in stats}


def _sums(
    days: Sequence[tuple[date, Stats]], history: ObjectHistory
) -> Iterator[tuple[str, int, _Values]]:
    """Yield each field and window with its sums by the last day, oldest first."""
    for field, values in _fields(days):
        if field != NOT_ADDITIVE:
            for window in history.windows:
                yield field, window, sums_by_day(values, history.dates, window)


def _labels(*labels: tuple[str, str]) -> str:
    return "".join(_label(name, text) for name, text in labels)


def _label(name: str, text: str) -> str:
    return f'{name}="{escape(clean(text))}",'

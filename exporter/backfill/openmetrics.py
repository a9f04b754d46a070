"""A campaign's history as lines of OpenMetrics, each sample with its timestamp.

Families and labels are those of `exposition`. The lines of a series stand together and
go forward in time, as OpenMetrics asks and promtool needs. It knows nothing of files,
nor how a history was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

from exporter.metrics.campaign_metrics import (
    INFO,
    LAST_COMPLETE_DAY,
    LAST_COMPLETE_DAY_TIMESTAMP,
    OVERALL_LAST_COMPLETE_DAY,
    VARIATION_INFO,
    Family,
    ObjectLabels,
    escape,
    number_text,
)
from exporter.model.labels import clean
from exporter.model.snapshot import CampaignHistory, Day, Stats, Variation

FAMILIES = (
    LAST_COMPLETE_DAY,
    OVERALL_LAST_COMPLETE_DAY,
    LAST_COMPLETE_DAY_TIMESTAMP,
    VARIATION_INFO,
    INFO,
)
"""Each is written whole, for all campaigns, before the next one begins."""

END = "# EOF\n"

Tails = Callable[[date], Sequence[str]]
"""What ends the lines of a day: a blank, the timestamp, a newline."""

_Values = Iterator[tuple[Day, int | float]]


def header(family: Family) -> str:
    """Return what stands before a family's samples."""
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n"


def tails(instants: Sequence[int]) -> tuple[str, ...]:
    """Return the ends of lines at these seconds since the epoch."""
    return tuple(f" {at}\n" for at in instants)


def render(
    family: Family,
    subject: ObjectLabels,
    history: CampaignHistory,
    *,
    labels: Mapping[str, str],
    tails: Tails,
) -> Iterator[str]:
    """Yield a campaign's lines of one family, day by day of one series by another.

    `labels` are those that a scrape would add, an empty one none; they win over the
    campaign's own, which then are called `exported_`, as Prometheus does.
    """
    added = {name: text for name, text in labels.items() if text}
    start = "".join(
        _label(name, text)
        for name, text in (
            *added.items(),
            ("workspace", subject.workspace),
            ("campaign", subject.campaign),
        )
    )
    for own, values in _series(family, subject, history, added=added):
        head = f"{family.name}{{{start}{own}".removesuffix(",")
        for day, value in values:
            if ends := tails(day.date):
                line = f"{head}}} {number_text(value)}"
                yield line + line.join(ends)


def _series(
    family: Family,
    subject: ObjectLabels,
    history: CampaignHistory,
    *,
    added: Mapping[str, str],
) -> Iterator[tuple[str, _Values]]:
    """Yield (own labels, values by day) of each series."""
    days = history.days
    if family is INFO:
        own = "".join(
            _label(name, text) for name, text in _beside(added, subject.labels).items()
        )
        yield _label("campaign_id", subject.campaign_id) + own, ((d, 1) for d in days)
    elif family is LAST_COMPLETE_DAY_TIMESTAMP:
        yield "", ((day, day.starts_at) for day in days)
    elif family is OVERALL_LAST_COMPLETE_DAY:
        yield from _stats("", [(day, day.figures.overall) for day in days])
    else:
        of_days = [(day, dict(day.figures.variations)) for day in days]
        for one in history.variations:
            stats = [(day, stats[one]) for day, stats in of_days if one in stats]
            if family is VARIATION_INFO:
                yield _about(one), ((day, 1) for day, _ in stats)
            else:
                yield from _stats(_named(one), stats)


def _beside(added: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return a campaign's own labels by names that no label of a scrape has.

    Prometheus repeats its prefix while the name is taken, short names first
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


def _named(one: Variation) -> str:
    return _label("channel", one.channel) + _label("variation", one.label)


def _about(one: Variation) -> str:
    control = "true" if one.is_control else "false"
    return _named(one) + f'variation_id="{escape(one.id)}",control="{control}",'


def _label(name: str, text: str) -> str:
    return f'{name}="{escape(clean(text))}",'

"""A campaign's history as OpenMetrics lines with timestamps.

Families and labels are those of a scrape. The lines of a series are adjacent and
ascending in time, as OpenMetrics and promtool require.
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
from exporter.model.snapshot import CampaignHistory, Day, Stats

FAMILIES = (
    LAST_COMPLETE_DAY,
    OVERALL_LAST_COMPLETE_DAY,
    LAST_COMPLETE_DAY_TIMESTAMP,
    VARIATION_INFO,
    INFO,
)
"""In the order of the file; each holds the samples of all campaigns."""

END = "# EOF\n"

LineEndings = Callable[[date], Sequence[str]]
"""The endings of a day's lines: a blank, the timestamp, a newline."""

_Values = Iterator[tuple[Day, int | float]]


def header(family: Family) -> str:
    """Return a family's HELP and TYPE lines."""
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n"


def render(
    family: Family,
    campaign: ObjectLabels,
    history: CampaignHistory,
    *,
    scrape_labels: Mapping[str, str],
    line_endings: LineEndings,
) -> Iterator[str]:
    """Yield a campaign's lines of one family: all days of a series, then the next.

    `scrape_labels` are those that Prometheus adds; empty ones are ignored. A label of
    the campaign with the same name gets the prefix `exported_`, as in Prometheus.
    """
    added = {name: text for name, text in scrape_labels.items() if text}
    start = "".join(
        _label(name, text)
        for name, text in (
            *added.items(),
            ("workspace", campaign.workspace),
            ("campaign", campaign.campaign),
        )
    )
    for own, values in _series(family, campaign, history, added=added):
        head = f"{family.name}{{{start}{own}".removesuffix(",")
        for day, value in values:
            if endings := line_endings(day.date):
                line = f"{head}}} {number_text(value)}"
                yield line + line.join(endings)


def _series(
    family: Family,
    campaign: ObjectLabels,
    history: CampaignHistory,
    *,
    added: Mapping[str, str],
) -> Iterator[tuple[str, _Values]]:
    """Yield (own labels, values by day) of each series."""
    days = history.days
    if family is INFO:
        labels = _without_conflicts(campaign.labels, added=added)
        own = "".join(_label(name, text) for name, text in labels.items())
        yield _label("campaign_id", campaign.campaign_id) + own, ((d, 1) for d in days)
    elif family is LAST_COMPLETE_DAY_TIMESTAMP:
        yield "", ((day, day.starts_at) for day in days)
    elif family is OVERALL_LAST_COMPLETE_DAY:
        yield from _stats("", [(day, day.figures.overall) for day in days])
    else:
        by_day = [(day, dict(day.figures.variations)) for day in days]
        for one in history.variations:
            stats = [(day, stats[one]) for day, stats in by_day if one in stats]
            own = _label("channel", one.channel) + _label("variation", one.label)
            if family is VARIATION_INFO:
                control = "true" if one.is_control else "false"
                own += f'variation_id="{escape(one.id)}",control="{control}",'
                yield own, ((day, 1) for day, _ in stats)
            else:
                yield from _stats(own, stats)


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

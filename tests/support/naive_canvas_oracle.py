"""The samples that a canvas should be exposed as, without code of the exporter.

Written as plainly as `naive_oracle`, whose rules on days, labels and numbers it shares.
"""

import datetime as dt
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.support import naive_oracle
from tests.support.naive_oracle import LabelPairs, Samples

HIDDEN = ("name", "messages", "variation_name", "variation_api_id")

Key = tuple[str, str, LabelPairs]
"""The family's prefix, the id of a variant or step, and the labels."""


def objects(value: object) -> dict[str, dict[str, Any]]:
    """Return the ids of a mapping with their fields; odd ones have none."""
    items = value.items() if isinstance(value, dict) else ()
    return {id_: one if isinstance(one, dict) else {} for id_, one in items}


def days_of(document: Any) -> list[Any]:
    """Return the list of days, wherever it is."""
    data = document["data"]
    stats = data.get("stats") if isinstance(data, dict) else data
    return stats or []


class Names:
    """The labels of the variants or of the steps of all days."""

    def __init__(self, rows: dict[dt.date, Any], field: str) -> None:
        self.field = field
        self.labels = naive_oracle.labels([self.pairs(row) for row in rows.values()])

    def pairs(self, row: dict[str, Any]) -> list[tuple[str, str]]:
        """Return the (id, name) of each; without a name the id is one."""
        return [
            (id_, naive_oracle.text(one.get("name")) or id_)
            for id_, one in objects(row.get(self.field)).items()
        ]

    def of(self, row: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        """Return (label, id, fields) of each in a row."""
        keys = naive_oracle.identities(self.pairs(row))
        found = objects(row.get(self.field)).items()
        return [
            (self.labels[key], id_, fields)
            for key, (id_, fields) in zip(keys, found, strict=True)
        ]


def total(values: list[Any]) -> Any:
    """Add up exactly; None beyond a double."""
    added = sum(map(Fraction, values), Fraction(0))
    if not naive_oracle.fits(added):
        return None
    is_whole = all(isinstance(value, int) for value in values)
    return int(added) if is_whole else float(added)


def added(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the fields of messages."""
    columns: dict[str, list[Any]] = {}
    for one in messages:
        for name, value in naive_oracle.stats(one, HIDDEN).items():
            columns.setdefault(name, []).append(value)
    totals = {name: total(values) for name, values in columns.items()}
    return {name: value for name, value in totals.items() if value is not None}


def read(
    row: dict[str, Any], variants: Names, steps: Names, *, has_steps: bool
) -> dict[Key, Any]:
    """Return every number of a day."""
    found: dict[Key, Any] = {}

    def add(prefix: str, id_: str, own: LabelPairs, stats: dict[str, Any]) -> None:
        for name, value in stats.items():
            key = (prefix, id_, (*own, ("metric", name)))
            assert key not in found
            found[key] = value

    whole = objects({"": row.get("total_stats")})[""]
    add("overall_", "", (), naive_oracle.stats(whole, HIDDEN))
    for label, id_, fields in variants.of(row):
        stats = naive_oracle.stats(fields, HIDDEN)
        add("variant_", id_, (("variant", label),), stats)
    by_channel: dict[str, list[dict[str, Any]]] = {}
    for label, id_, fields in steps.of(row):
        own = (("step", label),)
        if has_steps:
            add("step_overall_", id_, own, naive_oracle.stats(fields, HIDDEN))
        for channel, messages in naive_oracle.channels(fields).items():
            by_channel.setdefault(channel, []).extend(messages)
            if has_steps:
                about = (("channel", channel), *own)
                add("step_", id_, about, added(messages))
    for channel, messages in by_channel.items():
        add("", "", (("channel", channel),), added(messages))
    return found


def without_unused(
    days: dict[dt.date, dict[Key, Any]], rows: dict[dt.date, Any]
) -> dict[dt.date, dict[Key, Any]]:
    """Return the days without the fields that are 0 wherever they are in the rows."""
    used = naive_oracle.in_use(list(rows.values()))
    return {
        day: {
            key: value
            for key, value in values.items()
            if dict(key[2])["metric"] in used
        }
        for day, values in days.items()
    }


def sums(days: list[dict[Key, Any]]) -> dict[Key, Any]:
    """Add up days; what does not add up is left out."""
    columns: dict[Key, list[Any]] = {}
    for day in days:
        for key, value in day.items():
            columns.setdefault(key, []).append(value)
    totals = {
        key: total(values)
        for key, values in columns.items()
        if dict(key[2])["metric"] != "unique_recipients"
    }
    return {key: value for key, value in totals.items() if value is not None}


def expected(
    document: Any,
    *,
    today: dt.date,
    timezone: ZoneInfo,
    windows: tuple[int, ...],
    subject: dict[str, str],
    has_steps: bool,
    skip_unused: bool = False,
    contract: tuple[str, ...] = (),
) -> Samples:
    """Return every sample of a document."""
    rows = naive_oracle.usable_rows(days_of(document), today)
    variants, steps = Names(rows, "variant_stats"), Names(rows, "step_stats")
    days = {
        day: read(row, variants, steps, has_steps=has_steps)
        for day, row in rows.items()
    }
    if skip_unused:
        days = without_unused(days, rows)
    channels = {day: of_channels(values) for day, values in days.items()}
    samples = naive_oracle.month_to_date("canvas", channels, today, contract, subject)

    def add(family: str, own: LabelPairs, value: float) -> None:
        key = (f"braze_canvas_{family}", frozenset((*subject.items(), *own)))
        assert samples.setdefault(key, float(value)) == float(value)

    past = [day for day in days if day < today]
    shown: list[tuple[str, LabelPairs, dict[Key, Any]]] = []
    for ending, chosen in (("daily", list(days)), ("last_complete_day", past)):
        if chosen:
            shown.append((ending, (), days[chosen[0]]))
            start = naive_oracle.first_instant(chosen[0], timezone)
            add(f"{ending}_timestamp_seconds", (), start)
    for window in windows:
        summed = [days[day] for day in past if (today - day).days <= window]
        shown.append(("trailing", (("window", f"{window}d"),), sums(summed)))
    for ending, label, values in shown:
        for (prefix, id_, own), value in values.items():
            add(prefix + ending, own + label, value)
            for name in ("variant", "step"):
                if name in dict(own):
                    about = ((name, dict(own)[name]), (f"{name}_id", clean(id_)))
                    add(f"{name}_info", about, 1)
    return samples


def of_channels(day: dict[Key, Any]) -> dict[LabelPairs, Any]:
    """Return the numbers of the channels of a day by their labels."""
    return {own: value for (prefix, _, own), value in day.items() if not prefix}


def clean(id_: str) -> str:
    """Return an id as a label."""
    return naive_oracle.cleaned(id_)

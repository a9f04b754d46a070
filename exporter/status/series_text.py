"""The newest values of a series of the workspace, in words."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from exporter.metrics import series_families as families
from exporter.metrics.family import Family
from exporter.model.snapshot import Sample
from exporter.status import texts
from exporter.status.view_model import ObjectView, today_in

_HOUR = timedelta(hours=1)


def value(one: ObjectView, *, timezone: ZoneInfo, now: float) -> str:
    """Return the values of a series; empty: it has none. `now` is by the wall clock."""
    samples = one.snapshot.samples if one.snapshot else ()
    if not samples:
        return ""
    if one.kind.metric:
        return _days(samples, timezone, now)
    match one.kind.name:
        case "segment":
            return texts.plural(round(samples[0].value), "user")
        case "event":
            is_hourly = one.labels.labels["unit"] == "hour"
            return _event(samples, timezone, is_hourly=is_hourly)
        case "broadcasts":
            return _broadcasts(samples, now)
        case _:
            return _integrations(samples)


def _first(samples: tuple[Sample, ...], family: Family) -> float | None:
    return next((one.value for one in samples if one.family == family.name), None)


def _days(samples: tuple[Sample, ...], timezone: ZoneInfo, now: float) -> str:
    found = []
    for count, start in (
        (families.DAILY, families.DAILY_TIMESTAMP),
        (families.LAST_COMPLETE_DAY, families.LAST_COMPLETE_DAY_TIMESTAMP),
    ):
        number, at = _first(samples, count), _first(samples, start)
        if number is None or at is None:
            continue
        day = datetime.fromtimestamp(at, timezone).date()
        when = f"on {texts.day(day)}"
        if day == today_in(timezone, now=now):
            when = "today so far"
        found.append(f"{texts.count(number)} {when}")
    return ", ".join(dict.fromkeys(found))


def _event(samples: tuple[Sample, ...], timezone: ZoneInfo, *, is_hourly: bool) -> str:
    number = _first(samples, families.EVENT_COUNT)
    at = _first(samples, families.EVENT_TIMESTAMP)
    if number is None or at is None:
        return ""
    start = datetime.fromtimestamp(at, timezone)
    text = f"{texts.count(number)} on {texts.day(start.date())}"
    if not is_hourly:
        return text
    end = datetime.fromtimestamp(at + _HOUR.total_seconds(), timezone)
    return f"{text}, {start:%H:%M} to {end:%H:%M}"


def _broadcasts(samples: tuple[Sample, ...], now: float) -> str:
    text = f"{texts.count(len(samples))} planned"
    upcoming = [one for one in samples if one.value >= now]
    if not upcoming:
        return text
    first = min(upcoming, key=lambda one: one.value)
    name = dict(first.labels)["name"]
    return f"{text}, the next {texts.ahead(first.value, now=now)}: {name}"


def _integrations(samples: tuple[Sample, ...]) -> str:
    names = {dict(one.labels)["integration"] for one in samples}
    states = Counter(
        dict(one.labels)["status"]
        for one in samples
        if one.family == families.DATA_INGESTION_STATUS.name
    )
    counts = ", ".join(f"{number} {state}" for state, number in states.most_common())
    return f"{texts.plural(len(names), 'integration')}: {counts}"

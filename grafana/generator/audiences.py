"""Segments and custom events: which users can be reached, and what triggers."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.generator import (
    alerts,
    daily,
    palette,
    panels,
    promql,
    series_polls,
    tables,
)
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query
from grafana.generator.promql import OF_WORKSPACE, moved, newest, select, union
from grafana.generator.tables import Column, change

_LEAST_USERS, _LEAST_EVENTS = 1000, 20
"""As in the thresholds of the alerts."""
_FAILS, _BAD, _STRANGE, _LATE, _OK = range(5)
"""Codes, the worst first."""
_HOURS, _DAYS = 3 * 3600, 49 * 3600
"""The age of an hour and of a day from which on Braze is late."""

_OF_SEGMENT = ("workspace", "segment")
_SIZE_SELECTOR = select("braze_segment_size", OF_WORKSPACE)
_SIZE = f"max by ({', '.join(_OF_SEGMENT)}) ({_SIZE_SELECTOR})"
_NO_SEGMENTS = "No series.segments, or no figures"

_OF_EVENT = ("workspace", "event", "unit")
_EVENT = ", ".join(_OF_EVENT)
_TIME = "braze_event_timestamp_seconds"
_NEWEST = newest(
    select("braze_event_count", OF_WORKSPACE),
    day=select(_TIME, OF_WORKSPACE),
    of=_OF_EVENT,
)
_COUNT = f"max by ({_EVENT}) ({_NEWEST})"
_NO_EVENTS = "No series.events, or no figures"


def segments() -> Drawn:
    """Return the sizes of segments, those that need a look first."""
    week = moved(_SIZE, "offset 7d")
    state = union(
        series_polls.failing_of("(?s)segment (.+)", "segment"),
        f"{_BAD} * {alerts.firing_by('BrazeSegmentCollapsed', 'segment')}",
        f"{_BAD} + 0 * ({_SIZE} < 0.5 * ({week} >= {_LEAST_USERS}))",
        f"{_STRANGE} * {alerts.firing_by('BrazeSegmentSurge', 'segment')}",
        f"{_STRANGE} + 0 * (({_SIZE} >= {_LEAST_USERS}) > 2 * ({week} > 0))",
        f"{_OK} + 0 * {_SIZE}",
    )
    return tables.table_of(
        "Segments: which users can be reached",
        [
            Column(
                "State",
                state,
                mappings=panels.words(
                    (_FAILS, "poll fails", palette.VERMILLION),
                    (_BAD, "collapsed", palette.VERMILLION),
                    (_STRANGE, "surged", palette.ORANGE),
                    (_OK, "OK", palette.PLAIN),
                ),
                width=80,
            ),
            Column("Users", _SIZE),
            change("vs day", _SIZE, modifier="offset 1d"),
            change("vs week", _SIZE, modifier="offset 7d"),
        ],
        keys=("segment", "workspace"),
        sort="State",
        is_ascending=True,
        leading=1,
        nothing=_NO_SEGMENTS,
        description="Users in the segment, as Braze last estimated it, and the change "
        "from a day and from a week before, the same weekday, as Prometheus stored "
        "them. collapsed: the alert BrazeSegmentCollapsed fires, or it has less than "
        f"half of the users of a week before, {_LEAST_USERS} or more. surged: "
        "the alert BrazeSegmentSurge fires, or it has more than twice the users of a "
        f"week before, and {_LEAST_USERS} or more. poll fails: the table of polls has "
        "the reason; a segment without analytics tracking in Braze is one.",
    )


def events() -> Drawn:
    """Return the events of the newest hour or day, those that stopped first."""
    late, stopped, silent = _states()
    state = union(
        series_polls.failing_of("(?s)event (.+) (hour|day)", "event", "unit"),
        f"{_LATE} + 0 * ({late})",
        f"{_BAD} * {alerts.firing_by('BrazeEventStopped', 'event', 'unit')}",
        f"{_BAD} + 0 * ({stopped})",
        f"{_STRANGE} + 0 * ({silent})",
        f"{_OK} + 0 * {_COUNT}",
    )
    return tables.table_of(
        "Events: what triggers messages",
        [
            Column(
                "State",
                state,
                mappings=panels.words(
                    (_FAILS, "poll fails", palette.VERMILLION),
                    (_BAD, "stopped", palette.VERMILLION),
                    (_STRANGE, "none", palette.ORANGE),
                    (_LATE, "late", palette.ORANGE),
                    (_OK, "OK", palette.PLAIN),
                ),
                width=80,
            ),
            Column("Newest", _COUNT),
            Column("Usual", _usual()),
        ],
        keys=("event", "unit", "workspace"),
        sort="State",
        is_ascending=True,
        leading=1,
        nothing=_NO_EVENTS,
        description="Custom events of the newest complete hour or day, and those of "
        "the same hour or weekday one and two weeks before, their average, as "
        "Prometheus stored them. stopped: the alert BrazeEventStopped fires, or no "
        f"event came, after usually {_LEAST_EVENTS} or more. none: no event came, and "
        "past weeks are not known. late: Braze has no row of the last hours or days.",
    )


def _usual() -> str:
    """Return the average of one and two weeks before, or the one that is known."""
    weeks = (
        f'label_replace({moved(_COUNT, f"offset {days}d")}, "days", "{days}", "", "")'
        for days in (7, 14)
    )
    return f"avg by ({_EVENT}) ({union(*weeks)})"


def _states() -> tuple[str, str, str]:
    """Return events that are late, that stopped, and without any; not the late ones."""
    late = " or ".join(
        f"time() - max by ({_EVENT}) "
        f"({select(_TIME, (*OF_WORKSPACE, matcher))}) > {age}"
        for matcher, age in (('unit="hour"', _HOURS), ('unit="day"', _DAYS))
    )
    none = f"({_COUNT} == 0)"
    stopped = f"{none} and {_usual()} >= {_LEAST_EVENTS}"
    return late, stopped, f"{none} unless {_usual()}"


def stopped() -> Drawn:
    """Return the number of events that stopped, of how many."""
    late, stopped, silent = _states()
    firing = alerts.firing_by("BrazeEventStopped", "event", "unit")
    count = f"count({union(firing, stopped, silent)} unless ({late}))"
    return panels.stat(
        "Events stopped",
        [
            Query(f"{count} or 0 * count({_COUNT})", "stopped"),
            Query(f"count({_COUNT})", "events"),
        ],
        description="Custom events with none in the newest complete hour or day, "
        f"although there were {_LEAST_EVENTS} or more at the same time in the two "
        "weeks before, or nothing is known of these, or for which the alert "
        "BrazeEventStopped fires; of all in series.events of the configuration.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.VERMILLION)),
        overrides=[series_polls.uncoloured("events")],
        nothing="No events",
    )


def courses() -> Sequence[Drawn]:
    """Return the sizes of segments by day, and events by hour."""
    size = promql.by_day(_SIZE_SELECTOR)
    return (
        daily.graph_by_day(
            "Users in segments, by day",
            [
                Query(
                    f"max by ({', '.join(_OF_SEGMENT)}) ({size})",
                    "{{workspace}} / {{segment}}",
                )
            ],
            description="Users in each segment at noon of a day, as Braze estimated "
            f"it. {daily.POINT}",
            unit="short",
            nothing=_NO_SEGMENTS,
            is_rate=True,
        ).color_scheme(palette.shades()),
        panels.graph(
            "Events, two days",
            [Query(_COUNT, "{{workspace}} / {{event}} per {{unit}}")],
            description="Custom events of the hour or day that was the newest complete "
            "one at each time of the last two days.",
            unit="short",
            nothing=_NO_EVENTS,
            since="2d",
        ),
    )

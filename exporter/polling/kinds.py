"""What is polled: each kind of object with its endpoint, requests and parser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from exporter.braze import paths
from exporter.braze.session import (
    CAMPAIGN_ANALYTICS,
    DATA_INGESTION,
    PURCHASES,
    SHARED,
)
from exporter.metrics import families
from exporter.model.config import DiscoverRules, ObjectConfig, WorkspaceConfig
from exporter.series import (
    broadcasts,
    data_ingestion,
    event_counts,
    older_days,
    segment_sizes,
    workspace_totals,
)
from exporter.series.campaign_rows import CampaignRowParser, days_needed
from exporter.series.canvas_rows import CanvasRowParser, CanvasStepsRowParser
from exporter.series.parse import HistoryParser, SampleParser
from exporter.series.rows import RowParser, items_of

_CLOCK_TOLERANCE_SECONDS = 60.0
"""Braze refuses an `ending_at` in the future, even if only our clock is ahead."""

_MOST_UNITS = 100
"""Braze's limit of days, or hours, for all series but those of canvases."""

_PURCHASE_REQUESTS_PER_MINUTE = 4.0
"""240 an hour of Braze's 1,000, which other clients need for lists of events."""

_INGESTION_REQUESTS_PER_MINUTE = 10.0
"""Of Braze's 50."""

_SEGMENT_DAYS = 3
"""Braze may have no size of today yet."""

_EVENT_LENGTHS = {"hour": 48, "day": 7}
"""Braze may have no row of the newest ones yet."""

_BROADCAST_SECONDS = 30 * 86400.0
"""How far ahead planned sends are requested: a monthly one is always among them."""

Query = Mapping[str, str | int]


class History(NamedTuple):
    """How the past of an object is requested."""

    query: Callable[..., Query]
    """(object id, length=, ending_at=) → the query of so many days or hours.

    `ending_at` is an instant as in `utc_text`; None: the time of the request.
    """
    most: int = _MOST_UNITS
    """The most days or hours of one request."""
    end_delay_seconds: float | None = None
    """How long before now the newest ones are requested to end; None: they end now."""
    is_hourly: bool = False
    parser: HistoryParser | None = None
    """Of a series of the workspace; None: the kind has a row parser."""


class Kind(NamedTuple):
    """A kind of object that Braze has data series of.

    The defaults are those of series of the workspace, which are neither discovered nor
    idle.
    """

    name: str
    label: str
    """The name of the label with an object's name."""
    plural: str
    path: str
    bucket: str
    """The bucket of Braze that its requests count against."""
    objects: Callable[[WorkspaceConfig], tuple[ObjectConfig, ...]]
    """Those that are configured."""
    interval_seconds: Callable[[WorkspaceConfig], float]
    """The default interval of its objects."""
    ceiling: Callable[[WorkspaceConfig], float]
    """The most requests a minute in its bucket."""
    ceiling_option: str
    """The option that sets it; empty: there is none."""
    query: Callable[..., Query]
    """(object id, windows=, request=, now=) → the query of one request of a poll.

    `request` 0 has the newest days; `now` is by the wall clock.
    """
    days_per_request: Callable[[tuple[int, ...]], int] = lambda _: 0
    """0: the requests are not about days."""
    row_parser: Callable[[ObjectConfig], type[RowParser] | None] = lambda _: None
    sample_parser: Callable[[ObjectConfig], SampleParser | None] = lambda _: None
    """Exactly one of the two returns a parser."""
    discovered: Callable[[WorkspaceConfig], DiscoverRules | None] = lambda _: None
    """What discovery finds in addition; None: it does not look for the kind."""
    history: Callable[[ObjectConfig], History | None] = lambda _: None
    """None: Braze has no past of the object."""
    older_requests: Callable[[tuple[int, ...]], int] = lambda _: 0
    """How many requests beside the newest one the windows need."""
    quiet_days: int = 0
    """So many complete days without a count make an object idle."""
    can_be_quiet: Callable[[tuple[int, ...]], bool] = lambda _: False
    """Whether the requests for these windows show that an object is idle."""
    has_revisions: bool = False
    join_pages: Callable[[object, object], object] | None = None
    """(pages before, page) → the document of all pages so far; None: it has one."""
    metric: str = ""
    """Of daily counts of the workspace: the label metric."""
    has_sums: bool = True
    """Whether daily counts add up over days."""
    typical_samples: int = 0
    """Samples expected of a series, if it has no daily counts."""

    def title(self, one: ObjectConfig) -> str:
        """Return the label with an object's name, unique in its workspace and label."""
        if self.label == self.name:
            return one.name
        return " ".join((self.name, *one.labels.values()))

    def rows(self, one: ObjectConfig, document: object) -> Sequence[object]:
        """Return the days or hours of a document; `MalformedSeries`: it has none."""
        parser = self.row_parser(one)
        if parser is not None:
            return parser.days(document)
        return items_of(document, expected="a list of days or hours")

    @property
    def is_series(self) -> bool:
        """Whether its objects are series of the workspace."""
        return self.label == _SERIES


def utc_text(at: float) -> str:
    """Return an instant by the wall clock, as in 2026-09-01T12:00:00Z."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _units(query: Query, *, length: int, ending_at: str | None = None) -> Query:
    """Return a query of so many days or hours."""
    end = {} if ending_at is None else {"ending_at": ending_at}
    return {**query, "length": length, **end}


def _campaign_query(
    object_id: str, *, length: int, ending_at: str | None = None
) -> Query:
    return _units({"campaign_id": object_id}, length=length, ending_at=ending_at)


def _campaign_poll(
    object_id: str,
    *,
    windows: tuple[int, ...],
    request: int,  # noqa: ARG001 - one request has all days
    now: float,  # noqa: ARG001 - Braze ends the days with the present one
) -> Query:
    return _campaign_query(object_id, length=days_needed(windows))


def _canvas_query(object_id: str, *, length: int, ending_at: str) -> Query:
    return {
        "canvas_id": object_id,
        "length": length,
        "ending_at": ending_at,
        "include_variant_breakdown": "true",
        "include_step_breakdown": "true",
        "include_deleted_step_data": "true",
    }


def _canvas_poll(
    object_id: str,
    *,
    windows: tuple[int, ...],  # noqa: ARG001 - of any windows
    request: int,
    now: float,
) -> Query:
    end = now - _CLOCK_TOLERANCE_SECONDS - request * older_days.SURE_DAYS * 86400
    return _canvas_query(
        object_id, length=older_days.DAYS_PER_REQUEST, ending_at=utc_text(end)
    )


_SERIES = "series"


def _shared_rate(workspace: WorkspaceConfig) -> float:
    return workspace.shared_requests_per_minute


def _series_interval(workspace: WorkspaceConfig, *, kind: str) -> float:
    """Return the interval of a kind of series, which all of them have."""
    intervals = (one.interval_seconds for one in workspace.series_of(kind))
    return next(intervals, math.inf)


def _midnight(at: float) -> str:
    """Return the midnight (UTC) before an instant; Braze reads no time of a day."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT00:00:00Z}"


def _event_parser(one: ObjectConfig) -> SampleParser:
    is_hourly = one.labels["unit"] == "hour"
    return event_counts.parse_hours if is_hourly else event_counts.parse_days


def _event_query(
    object_id: str, *, length: int = 0, ending_at: str | None = None
) -> Query:
    """Return a query of so many hours or days; 0: those of a poll."""
    unit, _, name = object_id.partition("/")
    length = length or _EVENT_LENGTHS[unit]
    return _units({"event": name, "unit": unit}, length=length, ending_at=ending_at)


def _event_history(one: ObjectConfig) -> History:
    if one.labels["unit"] == "day":
        return History(_event_query, parser=event_counts.history_of_days)
    return History(
        _event_query,
        end_delay_seconds=_CLOCK_TOLERANCE_SECONDS,
        is_hourly=True,
        parser=event_counts.history_of_hours,
    )


def _segment_query(
    object_id: str, *, length: int = _SEGMENT_DAYS, ending_at: str | None = None
) -> Query:
    return _units({"segment_id": object_id}, length=length, ending_at=ending_at)


def _series_kind(name: str, path: str, **others: Any) -> Kind:
    """Return a kind of series in the shared bucket, unless `others` has another."""
    shared = {
        "bucket": SHARED,
        "ceiling": _shared_rate,
        "ceiling_option": "shared_requests_per_minute",
    }
    return Kind(
        name=name,
        label=_SERIES,
        plural=_SERIES,
        path=path,
        objects=lambda workspace: workspace.series_of(name),
        interval_seconds=partial(_series_interval, kind=name),
        **{**shared, **others},
    )


def _daily(
    metric: str, path: str, *, field: str = "", has_sums: bool = True, **others: Any
) -> Kind:
    """Return the kind of one daily count, whose field is the metric if not given."""
    about: Mapping[str, Any] = {
        "field": field or metric,
        "metric": metric,
        "has_sums": has_sums,
    }
    parser: SampleParser = partial(workspace_totals.parse, **about)
    history = History(
        lambda _, **units: _units({}, **units),
        parser=partial(workspace_totals.history, **about),
    )
    return _series_kind(
        metric,
        path,
        query=lambda _, windows, **__: {"length": days_needed(windows)},
        days_per_request=days_needed,
        sample_parser=lambda _: parser,
        history=lambda _: history,
        metric=metric,
        has_sums=has_sums,
        **others,
    )


CAMPAIGN = Kind(
    name=families.CAMPAIGN.kind,
    label=families.CAMPAIGN.label,
    plural="campaigns",
    path=paths.CAMPAIGN_DATA_SERIES,
    bucket=CAMPAIGN_ANALYTICS,
    objects=lambda workspace: workspace.campaigns,
    discovered=lambda workspace: workspace.discover and workspace.discover.campaigns,
    interval_seconds=lambda workspace: workspace.interval_seconds,
    ceiling=lambda workspace: workspace.requests_per_minute,
    ceiling_option="requests_per_minute",
    row_parser=lambda _: CampaignRowParser,
    query=_campaign_poll,
    history=lambda _: History(_campaign_query),
    older_requests=lambda _: 0,
    days_per_request=days_needed,
    quiet_days=CampaignRowParser.quiet_days,
    can_be_quiet=CampaignRowParser.can_be_quiet,
    has_revisions=True,
)
CANVAS = Kind(
    name=families.CANVAS.kind,
    label=families.CANVAS.label,
    plural="canvases",
    path=paths.CANVAS_DATA_SERIES,
    bucket=SHARED,
    objects=lambda workspace: workspace.canvases,
    discovered=lambda workspace: workspace.discover and workspace.discover.canvases,
    interval_seconds=lambda workspace: workspace.canvas_interval_seconds,
    ceiling=_shared_rate,
    ceiling_option="shared_requests_per_minute",
    row_parser=lambda one: CanvasStepsRowParser if one.has_steps else CanvasRowParser,
    query=_canvas_poll,
    history=lambda _: History(
        _canvas_query,
        most=older_days.DAYS_PER_REQUEST,
        end_delay_seconds=_CLOCK_TOLERANCE_SECONDS,
    ),
    older_requests=older_days.requests_needed,
    days_per_request=lambda _: older_days.DAYS_PER_REQUEST,
    quiet_days=CanvasRowParser.quiet_days,
    can_be_quiet=CanvasRowParser.can_be_quiet,
    has_revisions=False,
)
_OF_PURCHASES: Mapping[str, Any] = {
    "bucket": PURCHASES,
    "ceiling": lambda workspace: _PURCHASE_REQUESTS_PER_MINUTE / workspace.processes,
    "ceiling_option": "",
}
SERIES = (
    _daily("dau", paths.DAU),
    _daily("mau", paths.MAU, has_sums=False),
    _daily("new_users", paths.NEW_USERS),
    _daily("uninstalls", paths.UNINSTALLS),
    _daily("sessions", paths.SESSIONS),
    _daily(
        "purchase_revenue", paths.PURCHASE_REVENUE, field="revenue", **_OF_PURCHASES
    ),
    _daily(
        "purchases",
        paths.PURCHASE_QUANTITY,
        field="purchase_quantity",
        **_OF_PURCHASES,
    ),
    _series_kind(
        "segment",
        paths.SEGMENT_DATA_SERIES,
        query=lambda id_, **_: _segment_query(id_),
        sample_parser=lambda _: segment_sizes.parse,
        history=lambda _: History(_segment_query, parser=segment_sizes.history),
        days_per_request=lambda _: _SEGMENT_DAYS,
        typical_samples=1,
    ),
    _series_kind(
        "event",
        paths.EVENT_DATA_SERIES,
        query=lambda id_, **_: _event_query(id_),
        sample_parser=_event_parser,
        history=_event_history,
        days_per_request=lambda _: _EVENT_LENGTHS["day"],
        typical_samples=2,
    ),
    _series_kind(
        "broadcasts",
        paths.SCHEDULED_BROADCASTS,
        query=lambda _, now, **__: {"end_time": _midnight(now + _BROADCAST_SECONDS)},
        sample_parser=lambda _: broadcasts.parse,
        typical_samples=20,
    ),
    _series_kind(
        "data_ingestion",
        paths.INTEGRATION_LIST,
        query=lambda _, **__: {},
        sample_parser=lambda _: data_ingestion.parse,
        join_pages=data_ingestion.joined,
        bucket=DATA_INGESTION,
        ceiling=lambda one: _INGESTION_REQUESTS_PER_MINUTE / one.processes,
        ceiling_option="",
        typical_samples=10,
    ),
)
"""Series of the workspace beside its messages, each with its own permission."""

MESSAGING = (CAMPAIGN, CANVAS)
"""The kinds of objects that send messages."""

KINDS = (*MESSAGING, *SERIES)

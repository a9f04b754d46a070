"""What is polled: each kind of object with its endpoint, requests and parser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from exporter.braze import paths
from exporter.braze.session import CAMPAIGN_ANALYTICS, SHARED
from exporter.metrics import families
from exporter.model.config import DiscoverRules, ObjectConfig, WorkspaceConfig
from exporter.series import older_days
from exporter.series.campaign_rows import CampaignRowParser, days_needed
from exporter.series.canvas_rows import CanvasRowParser, CanvasStepsRowParser
from exporter.series.rows import RowParser

_CLOCK_TOLERANCE_SECONDS = 60.0
"""Braze refuses an `ending_at` in the future, even if only our clock is ahead."""

_CAMPAIGN_DAYS = 100
"""Braze's limit for campaigns."""

Query = Mapping[str, str | int]


class Kind(NamedTuple):
    """A kind of object that Braze has data series of."""

    name: str
    """Also the name of its label."""
    plural: str
    path: str
    bucket: str
    """The bucket of Braze that its requests count against."""
    objects: Callable[[WorkspaceConfig], tuple[ObjectConfig, ...]]
    """Those that are configured."""
    discovered: Callable[[WorkspaceConfig], DiscoverRules | None]
    """What discovery finds in addition; None: it does not look for the kind."""
    interval_seconds: Callable[[WorkspaceConfig], float]
    """The default interval of its objects."""
    ceiling: Callable[[WorkspaceConfig], float]
    """The most requests a minute in its bucket."""
    ceiling_option: str
    """The option that sets it."""
    row_parser: Callable[[ObjectConfig], type[RowParser]]
    query: Callable[..., Query]
    """(object id, windows=, request=, now=) → the query of one request of a poll.

    `request` 0 has the newest days; `now` is by the wall clock.
    """
    history_query: Callable[..., Query]
    """(object id, length=, ending_at=) → the query of so many days.

    `ending_at` is an instant as in `utc_text`; None: the time of the request.
    """
    most_days: int
    """The most days of one request."""
    end_delay_seconds: float | None
    """How long before now the newest days are requested to end; None: they end now."""
    older_requests: Callable[[tuple[int, ...]], int]
    """How many requests beside the newest one the windows need."""
    days_per_request: Callable[[tuple[int, ...]], int]
    quiet_days: int
    """So many complete days without a count make an object idle."""
    can_be_quiet: Callable[[tuple[int, ...]], bool]
    """Whether the requests for these windows show that an object is idle."""
    has_revisions: bool


def utc_text(at: float) -> str:
    """Return an instant by the wall clock, as in 2026-09-01T12:00:00Z."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _campaign_query(
    object_id: str, *, length: int, ending_at: str | None = None
) -> Query:
    query: dict[str, str | int] = {"campaign_id": object_id, "length": length}
    return query if ending_at is None else query | {"ending_at": ending_at}


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


CAMPAIGN = Kind(
    name=families.CAMPAIGN.kind,
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
    history_query=_campaign_query,
    most_days=_CAMPAIGN_DAYS,
    end_delay_seconds=None,
    older_requests=lambda _: 0,
    days_per_request=days_needed,
    quiet_days=CampaignRowParser.quiet_days,
    can_be_quiet=CampaignRowParser.can_be_quiet,
    has_revisions=True,
)
CANVAS = Kind(
    name=families.CANVAS.kind,
    plural="canvases",
    path=paths.CANVAS_DATA_SERIES,
    bucket=SHARED,
    objects=lambda workspace: workspace.canvases,
    discovered=lambda workspace: workspace.discover and workspace.discover.canvases,
    interval_seconds=lambda workspace: workspace.canvas_interval_seconds,
    ceiling=lambda workspace: workspace.shared_requests_per_minute,
    ceiling_option="shared_requests_per_minute",
    row_parser=lambda one: CanvasStepsRowParser if one.has_steps else CanvasRowParser,
    query=_canvas_poll,
    history_query=_canvas_query,
    most_days=older_days.DAYS_PER_REQUEST,
    end_delay_seconds=_CLOCK_TOLERANCE_SECONDS,
    older_requests=older_days.requests_needed,
    days_per_request=lambda _: older_days.DAYS_PER_REQUEST,
    quiet_days=CanvasRowParser.quiet_days,
    can_be_quiet=CanvasRowParser.can_be_quiet,
    has_revisions=False,
)
KINDS = (CAMPAIGN, CANVAS)

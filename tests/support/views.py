"""Views of campaigns and workspaces for the tests of the status page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from exporter.braze.rate_limit import Budget
from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery.view import DiscoveryView
from exporter.metrics import families
from exporter.metrics.object_metrics import ObjectLabels, PollStatus, RenderedObject
from exporter.metrics.store import Entry, ObjectKey
from exporter.model.config import Config, Selection
from exporter.model.errors import FailureReason
from exporter.model.snapshot import Snapshot
from exporter.polling.object_group import GroupKey, ObjectGroup
from exporter.polling.pause import Pause
from exporter.polling.plan import plan
from exporter.polling.request_queue import QueueState
from exporter.polling.sharding import Shard
from exporter.series.campaign_rows import CampaignRowParser
from exporter.series.parse import ParseOptions, parse
from exporter.status.page import StatusPage
from exporter.status.view_model import (
    CampaignView,
    NextPoll,
    WorkspaceView,
    campaign_view,
)

from tests.support.daemon_process import parsed

NOW = 1_750_593_600.0
TODAY = date(2025, 6, 22)
PARSE_OPTIONS = ParseOptions(
    row_parser=CampaignRowParser,
    today=TODAY,
    timezone=ZoneInfo("UTC"),
    windows=(7,),
    channels=Selection(),
    metrics=Selection(),
    series_limit=5000,
)


RATE_LIMIT = RateLimitView(
    "campaigns/data_series",
    limit=50_000,
    remaining=49_000,
    reset_at=NOW + 60,
    reserved=10_000,
    in_flight=0,
    shut_until=None,
)
DISCOVERY = DiscoveryView(
    campaigns=40,
    is_limited=False,
    listed_at=NOW - 300,
    failure=None,
    message="",
    next_at=None,
    rate_limit=None,
)


def row(age: int = 0, *, channel: str = "email", **stats: object) -> dict[str, object]:
    """Return one day of a data series, with one message."""
    day = (TODAY - timedelta(days=age)).isoformat()
    return {"time": day, "messages": {channel: [{"variation_name": "A", **stats}]}}


def snapshot(*rows: dict[str, object]) -> Snapshot:
    """Return the snapshot of these days."""
    return parse({"data": list(rows)}, PARSE_OPTIONS)


def campaign(
    name: str = "Spring",
    *,
    days: Snapshot | None = None,
    workspace: str = "shop",
    labels: dict[str, str] | None = None,
    failure: FailureReason | None = None,
    error: str = "",
    age: float | None = 10.0,
    next_poll: NextPoll | None = None,
    is_up: bool | None = True,
    is_paused: bool = False,
    is_overdue: bool = False,
    is_idle: bool = False,
) -> CampaignView:
    """Return a campaign whose last success was `age` seconds ago."""
    entry = Entry(
        ObjectLabels(workspace, "campaign", name, f"id-{name}", labels or {}),
        PollStatus(
            is_up=False if failure else is_up,
            failure=failure,
            interval_seconds=300.0,
            last_success_at=None if age is None else NOW - age,
            error=error,
            failed_at=NOW - 5 if failure and error else None,
        ),
        RenderedObject(families.CAMPAIGN, (), 7),
        days,
        RenderedObject(families.CAMPAIGN, (), 2) if days else None,
    )
    return campaign_view(
        entry,
        next_poll=next_poll or NextPoll(NOW + 30),
        is_paused=is_paused,
        is_overdue=is_overdue,
        is_idle=is_idle,
        today=TODAY,
    )


def workspace_view(
    *campaigns: CampaignView,
    pause: Pause | None = None,
    rate_limits: tuple[RateLimitView, ...] = (),
    discovery: DiscoveryView | None = None,
    **changes: object,
) -> WorkspaceView:
    """Return a workspace with these campaigns."""
    return WorkspaceView(
        plan=plan(workspace_config("shop", **changes))[0],
        pause=pause,
        rate_limits=rate_limits,
        states=Counter(one.state for one in campaigns),
        waiting=0,
        idle=0,
        discovery=discovery,
    )


def workspace_config(name: str = "shop", **changes: object) -> Config:
    """Return a configuration of one workspace with two campaigns."""
    workspace: dict[str, object] = {
        "name": name,
        "endpoint": "https://rest.iad-01.braze.com",
        "api_key_env": "BRAZE_API_KEY",
        "requests_per_minute": 60,
        "campaigns": [
            {"id": f"3bbc4555-8fa0-4c9b-a5c0-{number:012x}", "name": f"C {number}"}
            for number in range(2)
        ],
    }
    return parsed({"workspaces": [workspace | changes]}, key="secret-key")


def queue(
    *,
    pause: Pause | None = None,
    in_flight: str = "",
    waiting: str = "",
    earliest: float = 0.0,
) -> QueueState:
    """Return a request queue of campaigns whose ids are single letters."""
    return QueueState(
        pause=pause,
        endpoint="campaigns/data_series",
        budget=Budget(2.0, 0.0, 1),
        in_flight=frozenset(in_flight),
        positions={one: place for place, one in enumerate(waiting)},
        earliest=earliest,
    )


def status_page(
    *,
    entries: tuple[Entry, ...] = (),
    groups: Mapping[GroupKey, ObjectGroup] | None = None,
    planned: Callable[[], Mapping[ObjectKey, float]] = dict,
    shard: Shard | None = None,
) -> StatusPage:
    """Return the status page of an exporter without workspaces, or of these."""
    return StatusPage(
        entries=lambda: entries,
        groups=groups or {},
        discoveries=dict,
        shard=shard,
        planned=planned,
        now=lambda: NOW,
        wall_offset=lambda: 0.0,
        is_ready=lambda: True,
        version="1",
    )

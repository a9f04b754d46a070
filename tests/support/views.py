"""Views of campaigns and workspaces for the tests of the status page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from exporter.braze.rate_limit import Budget
from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery import kinds as discovery_kinds
from exporter.discovery.view import DiscoveryView
from exporter.metrics.families import BY_KIND
from exporter.metrics.object_metrics import ObjectLabels, PollStatus, RenderedObject
from exporter.metrics.store import Entry, ObjectKey
from exporter.model.config import Config, Selection
from exporter.model.errors import FailureReason
from exporter.model.snapshot import Sample, Snapshot
from exporter.polling.kinds import CAMPAIGN, CANVAS, SERIES, Kind
from exporter.polling.object_group import GroupKey, ObjectGroup
from exporter.polling.pause import Pause
from exporter.polling.plan import plan
from exporter.polling.request_queue import QueueState
from exporter.polling.sharding import Shard
from exporter.series.campaign_rows import CampaignRowParser
from exporter.series.canvas_rows import CanvasRowParser
from exporter.series.parse import ParseOptions, parse
from exporter.status.page import StatusPage
from exporter.status.view_model import (
    GroupView,
    NextPoll,
    ObjectView,
    WorkspaceView,
    object_view,
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


CANVASES = [{"id": "5f0c2b1e-8a37-4d0b-9d8e-2f5f5d1c7a10", "name": "Onboarding"}]
"""The canvases of a configuration."""

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
    kind=discovery_kinds.CAMPAIGN,
    found=40,
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


def canvas_snapshot(*days: dict[str, object]) -> Snapshot:
    """Return the snapshot of these days of one step of a canvas, newest first."""
    stats = [
        {
            "time": (TODAY - timedelta(days=age)).isoformat(),
            "step_stats": {"s-1": {"messages": {"email": [fields]}}},
        }
        for age, fields in enumerate(days)
    ]
    options = PARSE_OPTIONS._replace(row_parser=CanvasRowParser)
    return parse({"data": {"stats": stats}}, options)


def canvas(name: str = "Onboarding", **changes: Any) -> ObjectView:
    """Return a canvas, as `campaign` returns a campaign."""
    return campaign(name, kind=CANVAS, **changes)


def series(
    kind: str,
    *samples: tuple[str, Mapping[str, str], float],
    name: str = "",
    **changes: Any,
) -> ObjectView:
    """Return a series, as `campaign` returns a campaign; samples lack `braze_`."""
    found = Snapshot(
        samples=tuple(
            Sample(f"braze_{family}", tuple(labels.items()), value)
            for family, labels, value in samples
        )
    )
    of = next(one for one in SERIES if one.name == kind)
    days = found if samples else None
    return campaign(name or kind, kind=of, days=days, **changes)


def campaign(
    name: str = "Spring",
    *,
    kind: Kind = CAMPAIGN,
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
) -> ObjectView:
    """Return a campaign whose last success was `age` seconds ago."""
    entry = Entry(
        ObjectLabels(workspace, kind.name, name, f"id-{name}", labels or {}),
        PollStatus(
            is_up=False if failure else is_up,
            failure=failure,
            interval_seconds=300.0,
            last_success_at=None if age is None else NOW - age,
            error=error,
            failed_at=NOW - 5 if failure and error else None,
        ),
        RenderedObject(BY_KIND[kind.name], (), 7),
        days,
        RenderedObject(BY_KIND[kind.name], (), 2) if days else None,
    )
    return object_view(
        entry,
        kind=kind,
        next_poll=next_poll or NextPoll(NOW + 30),
        is_paused=is_paused,
        is_overdue=is_overdue,
        is_idle=is_idle,
        today=TODAY,
    )


def workspace_view(
    *objects: ObjectView,
    pause: Pause | None = None,
    canvas_pause: Pause | None = None,
    series_pauses: Mapping[str, Pause] = MappingProxyType({}),
    rate_limits: tuple[RateLimitView, ...] = (),
    discovery: DiscoveryView | None = None,
    **changes: object,
) -> WorkspaceView:
    """Return a workspace with these objects; `changes` are of its configuration."""
    plans = plan(workspace_config("shop", **changes))
    pauses = {"campaign": pause, "canvas": canvas_pause, **series_pauses}
    return WorkspaceView(
        config=plans[0].workspace,
        all_groups=tuple(
            GroupView(
                plan=each,
                pause=pauses.get(each.kind.name),
                states=Counter(one.state for one in objects if one.kind is each.kind),
                waiting=0,
                idle=0,
            )
            for each in plans
        ),
        rate_limits=rate_limits,
        discoveries=(discovery,) if discovery else (),
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
        unchanged=nullcontext,
        discoveries=dict,
        shard=shard,
        planned=planned,
        now=lambda: NOW,
        wall_offset=lambda: 0.0,
        is_ready=lambda: True,
        version="1",
    )

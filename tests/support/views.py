"""Campaigns and workspaces as they are seen, for tests of what is made of them."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from exporter.braze.rate_limit import Budget
from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus
from exporter.model.config import Config, Selection
from exporter.model.errors import FailureReason
from exporter.model.snapshot import Snapshot
from exporter.polling.plan import WorkspacePlan, plan
from exporter.series.parse import ParseOptions, parse
from exporter.status.view_model import (
    CampaignView,
    NextPoll,
    PauseView,
    QueueView,
    campaign_seen,
)

from tests.support.daemon_process import parsed

NOW = 1_750_593_600.0
TODAY = date(2025, 6, 22)
READING = ParseOptions(
    today=TODAY,
    timezone=ZoneInfo("UTC"),
    windows=(7,),
    channels=Selection(),
    metrics=Selection(),
    series_limit=5000,
)


def row(age: int = 0, *, channel: str = "email", **stats: object) -> dict[str, object]:
    """Return a day of Braze's answer with one message."""
    day = (TODAY - timedelta(days=age)).isoformat()
    return {"time": day, "messages": {channel: [{"variation_name": "A", **stats}]}}


def snapshot(*rows: dict[str, object]) -> Snapshot:
    """Return what is read of these days."""
    return parse({"data": list(rows)}, READING)


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
    is_idle: bool = False,
) -> CampaignView:
    """Return a campaign whose last good poll is `age` seconds ago."""
    return campaign_seen(
        ObjectLabels(workspace, name, f"id-{name}", labels or {}),
        PollStatus(
            is_up=False if failure else is_up,
            failure=failure,
            interval_seconds=300.0,
            last_success_at=None if age is None else NOW - age,
            error=error,
            failed_at=NOW - 5 if failure and error else None,
        ),
        days,
        next_poll=next_poll or NextPoll(NOW + 30),
        is_paused=is_paused,
        is_idle=is_idle,
        today=TODAY,
        series=7,
    )


def workspace_plan(name: str = "shop", **changes: object) -> WorkspacePlan:
    """Return the plan of a workspace."""
    return plan(configured(name, **changes))[0]


def configured(name: str = "shop", **changes: object) -> Config:
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


def line(
    *,
    pause: PauseView | None = None,
    in_flight: str = "",
    waiting: str = "",
    earliest: float = 0.0,
    budget: Budget | None = None,
) -> QueueView:
    """Return a line of campaigns with one letter each."""
    return QueueView(
        pause=pause,
        budget=budget or Budget(2.0, reserve=0.2, concurrency=4),
        in_flight=frozenset(in_flight),
        places={one: place for place, one in enumerate(waiting)},
        earliest=earliest,
    )

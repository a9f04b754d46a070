"""The paths of series of the workspace: from parameters to a response.

Shapes are those of Braze's documents; `app_id`, `segment_id` of events and `product`
are accepted and select nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from exporter.simulator import catalogue, periods
from exporter.simulator.canvas_fleet import Canvas
from exporter.simulator.faults import SimulatedResponse, document
from exporter.simulator.fleet import Campaign
from exporter.simulator.local_days import LocalDays
from exporter.simulator.objects import Objects, SimulatedObject, id_of
from exporter.simulator.parameters import ApiError, Parameters
from exporter.simulator.periods import Period
from exporter.simulator.routes import Route
from exporter.simulator.workspace_figures import (
    Reach,
    counted,
    event_count,
    segment_size,
)
from exporter.simulator.workspace_specs import Integration, Workspace

PAGE_SIZE = 10
_SYNC_SECONDS = 40


class WorkspaceRoutes:
    """The routes by path; thread-safe."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        seed: int,
        campaigns: Objects[Campaign],
        canvases: Objects[Canvas],
        days: LocalDays,
    ) -> None:
        self._seed = seed
        self._segments = {one.id: one for one in workspace.segments}
        self._events = {one.name: one for one in workspace.events}
        self._integrations = workspace.integrations
        self._campaigns = campaigns
        self._canvases = canvases
        self._days = days
        daily, hourly = self._daily, self._counted
        self.by_path: dict[str, Route] = {
            "/kpi/dau/data_series": partial(daily, "dau"),
            "/kpi/mau/data_series": partial(daily, "mau"),
            "/kpi/new_users/data_series": partial(daily, "new_users"),
            "/kpi/uninstalls/data_series": partial(daily, "uninstalls"),
            "/sessions/data_series": partial(hourly, "sessions"),
            "/purchases/revenue_series": partial(hourly, "revenue"),
            "/purchases/quantity_series": partial(hourly, "purchase_quantity"),
            "/segments/data_series": self._segment_series,
            "/events/data_series": self._event_series,
            "/messages/scheduled_broadcasts": self._broadcasts,
            "/cdi/integrations": self._integration_list,
        }

    def _daily(
        self, field: str, parameters: Parameters, now: float
    ) -> SimulatedResponse:
        reach = self._reach()
        return _series(
            {"time": one.time, field: counted(reach, field, one.day, one.end)}
            for one in periods.of_days(parameters, self._days, now)
        )

    def _counted(
        self, field: str, parameters: Parameters, now: float
    ) -> SimulatedResponse:
        """Return a series by day or by hour."""
        reach = self._reach()
        return _series(
            {
                "time": one.time,
                field: round(
                    counted(reach, field, one.day, one.end)
                    - counted(reach, field, one.day, one.begin),
                    2,
                ),
            }
            for one in self._periods(parameters, now)
        )

    def _reach(self) -> Reach:
        return Reach(self._seed, (*self._campaigns.all(), *self._canvases.all()))

    def _periods(self, parameters: Parameters, now: float) -> Iterator[Period]:
        unit = parameters.text("unit", default="day")
        if unit not in {"day", "hour"}:
            raise ApiError(400, "unit must be day or hour")
        of_unit = periods.of_hours if unit == "hour" else periods.of_days
        return of_unit(parameters, self._days, now)

    def _segment_series(self, parameters: Parameters, now: float) -> SimulatedResponse:
        segment = self._segments.get(parameters.text("segment_id"))
        if segment is None:
            raise ApiError(400, "Invalid Segment ID")
        if not segment.is_tracked:
            raise ApiError(400, "Analytics tracking is not enabled for this segment")
        return _series(
            {"time": one.time, "size": segment_size(segment, one.day)}
            for one in periods.of_days(parameters, self._days, now)
        )

    def _event_series(self, parameters: Parameters, now: float) -> SimulatedResponse:
        event = self._events.get(parameters.text("event"))
        if event is None:
            raise ApiError(400, "Invalid event")
        return _series(
            {
                "time": one.time,
                "count": event_count(event, one.day, one.end)
                - event_count(event, one.day, one.begin),
            }
            for one in self._periods(parameters, now)
        )

    def _broadcasts(self, parameters: Parameters, now: float) -> SimulatedResponse:
        """Return the next send of each scheduled campaign and canvas.

        Braze reads the date of `end_time` only, as its midnight in UTC.
        """
        end = parameters.instant("end_time", UTC)
        until = datetime.combine(end.date(), time(), UTC)
        listed = [
            entry
            for kind, objects in (
                ("Campaign", self._campaigns.all()),
                ("Canvas", self._canvases.all()),
            )
            for one in objects
            if (at := self._next_send(one, now)) is not None and at < until
            for entry in [self._broadcast(kind, one, at)]
        ]
        listed.sort(key=lambda entry: str(entry["next_send_time"]))
        return document(200, {"scheduled_broadcasts": listed})

    def _broadcast(
        self, kind: str, one: SimulatedObject, at: datetime
    ) -> dict[str, object]:
        return {
            "name": catalogue.shown_name(one),
            "id": one.id,
            "type": kind,
            "tags": [tag for tag in one.tags if tag is not None],
            "next_send_time": at.isoformat(),
            "schedule_type": self._days.zone.key,
        }

    def _next_send(self, one: SimulatedObject, now: float) -> datetime | None:
        """Return when a daily scheduled object sends next; None: it does not."""
        if one.send_hour is None or one.is_archived:
            return None
        local = datetime.fromtimestamp(now, self._days.zone)
        at = datetime.combine(local, time(one.send_hour), self._days.zone)
        if at.timestamp() <= now:
            at = datetime.combine(
                local + timedelta(days=1), time(one.send_hour), self._days.zone
            )
        return at if one.is_active_on(at.date()) else None

    def _integration_list(
        self, parameters: Parameters, now: float
    ) -> SimulatedResponse:
        first = _position(parameters)
        listed = self._integrations[first : first + PAGE_SIZE]
        links = []
        if first:
            links.append(_link(max(first - PAGE_SIZE, 0), "prev"))
        if first + PAGE_SIZE < len(self._integrations):
            links.append(_link(first + PAGE_SIZE, "next"))
        results = [self._integration(one, now) for one in listed]
        response = document(200, {"results": results, "message": "success"})
        return response.with_headers({"Link": ",".join(links)}) if links else response

    def _integration(self, one: Integration, now: float) -> dict[str, Any]:
        seconds = one.period_minutes * 60
        started_at = now // seconds * seconds
        synced_at = started_at + _SYNC_SECONDS
        is_failing = False
        if one.failing_since is not None:
            is_failing = self._days.day_of(started_at) >= one.failing_since
            if is_failing:
                start = datetime.combine(one.failing_since, time(), self._days.zone)
                synced_at = start.timestamp() - seconds + _SYNC_SECONDS
        return {
            "integration_id": one.id,
            "app_group_id": id_of(self._seed, "workspace"),
            "integration_name": one.name,
            "integration_type": "user_attributes",
            "integration_status": "active",
            "contact_emails": "data-team@example.com, on-call@example.com",
            "last_updated_at": _utc(min(synced_at, now)),
            "warehouse_type": one.warehouse,
            "last_job_start_time": _utc(started_at),
            "last_job_status": "error" if is_failing else "success",
            "next_scheduled_run": _utc(started_at + seconds),
        }


def _series(rows: Iterator[dict[str, Any]]) -> SimulatedResponse:
    return document(200, {"message": "success", "data": list(rows)})


def _position(parameters: Parameters) -> int:
    """Return the position of a page's first integration."""
    if "cursor" not in parameters:
        return 0
    cursor = parameters.text("cursor").encode()
    try:
        text = base64.b64decode(cursor, validate=True).decode()
    except ValueError:
        text = ""
    found = re.fullmatch(r"skip:(\d{1,6})", text, re.ASCII)
    if found is None:
        raise ApiError(400, "Invalid cursor")
    return int(found[1])


def _link(position: int, relation: str) -> str:
    cursor = base64.b64encode(f"skip:{position}".encode()).decode()
    return f'</cdi/integrations?cursor={cursor}>; rel="{relation}"'


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"

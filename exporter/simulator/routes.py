"""The paths of campaigns and canvases: from parameters to a response."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date
from typing import TypeVar

from exporter.simulator import catalogue, periods
from exporter.simulator.canvas_figures import CanvasView, canvas_row
from exporter.simulator.canvas_fleet import Canvas
from exporter.simulator.faults import SimulatedResponse, document
from exporter.simulator.figures import day_row
from exporter.simulator.fleet import Campaign
from exporter.simulator.local_days import LocalDays
from exporter.simulator.objects import Objects, SimulatedObject
from exporter.simulator.parameters import ApiError, Parameters
from exporter.simulator.series import RowRenderer, Source

_CANVAS_LENGTHS = range(1, 15)

Route = Callable[[Parameters, float], SimulatedResponse]
"""Returns the response at a time in seconds since the epoch. ApiError: it fails."""

_Object = TypeVar("_Object", bound=SimulatedObject)


class Routes:
    """The routes by path; thread-safe."""

    def __init__(
        self,
        *,
        campaigns: Objects[Campaign],
        canvases: Objects[Canvas],
        days: LocalDays,
        repeats_pages: bool,
    ) -> None:
        self._campaigns = campaigns
        self._canvases = canvases
        self._days = days
        self._repeats_pages = repeats_pages
        self._campaign_rows = RowRenderer(day_row)
        self._canvas_rows = RowRenderer(canvas_row)
        self.by_path: dict[str, Route] = {
            "/campaigns/data_series": self._campaign_series,
            "/campaigns/list": self._campaign_list,
            "/campaigns/details": self._campaign_details,
            "/canvas/data_series": self._canvas_series,
            "/canvas/list": self._canvas_list,
            "/canvas/details": self._canvas_details,
        }

    def _campaign_series(self, parameters: Parameters, now: float) -> SimulatedResponse:
        campaign = self._campaign(parameters)
        first_day, last_day = periods.days_until_now(parameters, self._days, now)
        rows = self._rows(self._campaign_rows, campaign, first_day, last_day, now)
        return _rendered(f'{{"message": "success", "data": [{rows}]}}')

    def _canvas_series(self, parameters: Parameters, now: float) -> SimulatedResponse:
        canvas = self._canvas(parameters)
        last_day = periods.last_day(parameters, self._days, latest=now)
        view = CanvasView(
            canvas,
            has_variants=parameters.is_true("include_variant_breakdown"),
            has_steps=parameters.is_true("include_step_breakdown"),
            has_deleted_steps=parameters.is_true("include_deleted_step_data"),
        )
        first_day = self._first_day(parameters, last_day)
        rows = self._rows(self._canvas_rows, view, first_day, last_day, now)
        name = json.dumps(catalogue.shown_name(canvas), ensure_ascii=False)
        data = f'{{"name": {name}, "stats": [{rows}]}}'
        return _rendered(f'{{"data": {data}, "message": "success"}}')

    def _campaign_list(self, parameters: Parameters, _now: float) -> SimulatedResponse:
        page = self._page(self._campaigns.all(), parameters)
        return document(200, {"message": "success", "campaigns": page})

    def _canvas_list(self, parameters: Parameters, _now: float) -> SimulatedResponse:
        page = self._page(self._canvases.all(), parameters)
        return document(200, {"message": "success", "canvases": page})

    def _campaign_details(
        self, parameters: Parameters, now: float
    ) -> SimulatedResponse:
        campaign, today = self._campaign(parameters), self._days.day_of(now)
        return document(200, catalogue.campaign_details(campaign, today=today))

    def _canvas_details(self, parameters: Parameters, now: float) -> SimulatedResponse:
        canvas, today = self._canvas(parameters), self._days.day_of(now)
        return document(200, catalogue.canvas_details(canvas, today=today))

    def _campaign(self, parameters: Parameters) -> Campaign:
        return _found(self._campaigns.get(parameters.text("campaign_id")), "Campaign")

    def _canvas(self, parameters: Parameters) -> Canvas:
        return _found(self._canvases.get(parameters.text("canvas_id")), "Canvas")

    def _page(
        self, objects: tuple[SimulatedObject, ...], parameters: Parameters
    ) -> list[dict[str, object]]:
        page = parameters.integer("page", default=0)
        if page < 0:
            raise ApiError(400, "page must not be negative")
        direction = parameters.text("sort_direction", default="asc")
        if direction not in {"asc", "desc"}:
            raise ApiError(400, "sort_direction must be asc or desc")
        edited_after = None
        if "last_edit.time[gt]" in parameters:
            edited_after = parameters.instant("last_edit.time[gt]", UTC)
        return catalogue.list_page(
            objects,
            page=0 if self._repeats_pages else page,
            is_newest_first=direction == "desc",
            include_archived=parameters.is_true("include_archived"),
            edited_after=edited_after,
        )

    def _first_day(self, parameters: Parameters, last_day: date) -> date:
        """Return the first day by `length`, or without it by `starting_at`."""
        if "length" in parameters or "starting_at" not in parameters:
            length = parameters.within("length", _CANVAS_LENGTHS)
            return periods.days_before(last_day, length - 1)
        start = parameters.instant("starting_at", self._days.zone)
        first_day = start.astimezone(self._days.zone).date()
        if (last_day - first_day).days + 1 not in _CANVAS_LENGTHS:
            longest = _CANVAS_LENGTHS[-1]
            message = f"starting_at must be 1 to {longest} days before ending_at"
            raise ApiError(400, message)
        return first_day

    def _rows(
        self,
        renderer: RowRenderer[Source],
        source: Source,
        first_day: date,
        last_day: date,
        now: float,
    ) -> str:
        return renderer.render(
            source,
            first_day=first_day,
            last_day=last_day,
            today=self._days.day_of(now),
            progress=self._days.progress(now),
        )


def _found(one: _Object | None, kind: str) -> _Object:
    if one is None:
        raise ApiError(400, f"Invalid {kind} ID")
    return one


def _rendered(text: str) -> SimulatedResponse:
    headers = {"Content-Type": "application/json"}
    return SimulatedResponse(200, text.encode(), headers)

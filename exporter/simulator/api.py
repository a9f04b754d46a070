"""The API: keys, permissions and rate limits of the paths.

Every response to a valid key has the rate-limit headers of its bucket.
"""

from __future__ import annotations

import hmac
from datetime import timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from exporter.simulator.canvas_fleet import Canvas, build_canvases
from exporter.simulator.faults import SimulatedResponse
from exporter.simulator.fleet import Campaign, build_fleet
from exporter.simulator.local_days import LocalDays
from exporter.simulator.objects import Objects
from exporter.simulator.parameters import ApiError, Parameters
from exporter.simulator.rate_limit import RateLimitWindow
from exporter.simulator.routes import Routes
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.workspace_routes import WorkspaceRoutes
from exporter.simulator.workspace_specs import build_workspace


class RateLimitBucket(StrEnum):
    """What is counted against one rate limit."""

    CAMPAIGNS = "campaigns"
    SHARED = "shared"
    PURCHASES = "purchases"
    INGESTION = "ingestion"


_BUCKETS = {
    "/campaigns/data_series": RateLimitBucket.CAMPAIGNS,
    "/purchases/revenue_series": RateLimitBucket.PURCHASES,
    "/purchases/quantity_series": RateLimitBucket.PURCHASES,
    "/cdi/integrations": RateLimitBucket.INGESTION,
}
_PERMISSIONS = {
    "/messages/scheduled_broadcasts": "messages.schedule_broadcasts",
    "/cdi/integrations": "cdi.integration_list",
}


def bucket_of(path: str) -> RateLimitBucket:
    """Return the bucket of a path; unknown ones draw on the shared one."""
    return _BUCKETS.get(path, RateLimitBucket.SHARED)


class Api:
    """Responds to the requests of one workspace; thread-safe."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._clock = settings.clock
        self._days = LocalDays(ZoneInfo(settings.timezone))
        self._keys = {settings.api_key: settings.permissions, **settings.other_keys}
        first_day = self._days.day_of(settings.clock())
        self._campaigns = Objects(
            build_fleet(
                seed=settings.seed,
                first_day=first_day,
                size=settings.campaigns,
                active_fraction=settings.active_fraction,
                has_incidents=settings.has_incidents,
            )
        )
        self._canvases = Objects(
            build_canvases(
                seed=settings.seed,
                first_day=first_day,
                size=settings.canvases,
                active_fraction=settings.active_fraction,
                has_incidents=settings.has_incidents,
            )
        )
        routes = Routes(
            campaigns=self._campaigns,
            canvases=self._canvases,
            days=self._days,
            repeats_pages=settings.repeats_pages,
        )
        self.workspace = build_workspace(
            seed=settings.seed,
            first_day=first_day,
            has_incidents=settings.has_incidents,
        )
        of_workspace = WorkspaceRoutes(
            self.workspace,
            seed=settings.seed,
            campaigns=self._campaigns,
            canvases=self._canvases,
            days=self._days,
        )
        self._routes = {**routes.by_path, **of_workspace.by_path}
        self._windows = {
            RateLimitBucket.CAMPAIGNS: RateLimitWindow(settings.data_series_limit),
            RateLimitBucket.SHARED: RateLimitWindow(settings.shared_limit),
            RateLimitBucket.PURCHASES: RateLimitWindow(settings.purchases_limit),
            RateLimitBucket.INGESTION: RateLimitWindow(settings.ingestion_limit),
        }

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, including drafts and archived ones."""
        return self._campaigns.all()

    @property
    def canvases(self) -> tuple[Canvas, ...]:
        """All canvases, including drafts, stopped and archived ones."""
        return self._canvases.all()

    def change(self, id_: str, **changes: Any) -> None:
        """Edit a campaign or canvas. KeyError: there is none with this id."""
        now = {"edited_at": self._clock()}
        self._kind_of(id_).change(id_, **(now | changes))

    def remove(self, id_: str) -> None:
        """Delete a campaign or canvas. KeyError: there is none with this id."""
        self._kind_of(id_).remove(id_)

    def delete_step(self, canvas_id: str, step_id: str) -> None:
        """Delete a step, which sends until midnight. KeyError: there is none."""
        canvas = self._canvases.get(canvas_id)
        if canvas is None:
            raise KeyError(canvas_id)
        tomorrow = self._days.day_of(self._clock()) + timedelta(days=1)
        variants = canvas.variants_without(step_id, since=tomorrow)
        self.change(canvas_id, variants=variants)

    def _kind_of(self, id_: str) -> Objects[Campaign] | Objects[Canvas]:
        return self._canvases if id_ in self._canvases else self._campaigns

    def permissions(self, authorization: str | None) -> frozenset[str] | None:
        """Return the permissions of the header's key; None: the key is invalid."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        for known, permissions in self._keys.items():
            if hmac.compare_digest(known.encode(), key.encode(errors="replace")):
                return permissions
        return None

    def respond(
        self, *, method: str, path: str, query: str, permissions: frozenset[str] | None
    ) -> SimulatedResponse:
        """Return the response; only requests with a valid key are rate-limited."""
        if permissions is None:
            return ApiError(401, "Invalid API key").response
        now = self._clock()
        route = self._routes.get(path)
        is_allowed, headers = self._windows[bucket_of(path)].spend(now)
        try:
            if not is_allowed:
                raise ApiError(429, "Rate limit exceeded")
            if route is None or method != "GET":
                raise ApiError(404, "Invalid URL")
            if _permission(path) not in permissions:
                raise ApiError(403, f"This API key lacks {_permission(path)}")
            response = route(Parameters(query), now)
        except ApiError as error:
            response = error.response
        return response.with_headers(headers)


def _permission(path: str) -> str:
    return _PERMISSIONS.get(path) or path.strip("/").replace("/", ".")

"""The API: keys, permissions, rate limits and the three paths.

Every response to a valid key has the rate-limit headers of its bucket.
"""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from math import ceil
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from exporter.simulator import catalogue
from exporter.simulator.faults import SimulatedResponse, document
from exporter.simulator.fleet import Campaign, build_fleet
from exporter.simulator.series import DataSeries
from exporter.simulator.settings import RateLimit, SimulatorSettings

_LENGTHS = range(1, 101)
_SHARED_LIMIT = RateLimit(250_000, 3600)


_Route = Callable[[dict[str, str], float], SimulatedResponse]


class _ApiError(Exception):
    """A response with a status other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = document(status, {"message": message, "errors": [message]})


class _Bucket:
    """The requests of the current rate-limit window."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._window = -1
        self._spent = 0

    def spend(self, now: float) -> tuple[bool, dict[str, str]]:
        """Count a request; return whether it is allowed, and the headers."""
        window = int(now // self._limit.seconds)
        with self._lock:
            if window != self._window:
                self._window, self._spent = window, 0
            is_allowed = self._spent < self._limit.requests
            self._spent += is_allowed
            remaining = self._limit.requests - self._spent
        return is_allowed, {
            "X-RateLimit-Limit": str(self._limit.requests),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(ceil((window + 1) * self._limit.seconds)),
        }


class Api:
    """Responds to the requests of one workspace; thread-safe."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._zone = ZoneInfo(settings.timezone)
        self._clock = settings.clock
        self._keys = {settings.api_key: settings.permissions, **settings.other_keys}
        self.campaigns = build_fleet(
            seed=settings.seed,
            first_day=self._local_day(settings.clock()),
            size=settings.campaigns,
            active_fraction=settings.active_fraction,
            has_incidents=settings.has_incidents,
        )
        self._by_id = {campaign.id: campaign for campaign in self.campaigns}
        self._repeats_pages = settings.repeats_pages
        self._series = DataSeries()
        shared = _Bucket(_SHARED_LIMIT)
        own = _Bucket(settings.data_series_limit)
        self._routes: dict[str, tuple[_Bucket, _Route]] = {
            "/campaigns/data_series": (own, self._data_series),
            "/campaigns/list": (shared, self._list),
            "/campaigns/details": (shared, self._details),
        }
        self._shared = shared

    def change(self, campaign_id: str, **changes: Any) -> None:
        """Edit a campaign."""
        now = {"edited_at": self._clock()}
        changed = replace(self._by_id[campaign_id], **(now | changes))
        self._put({**self._by_id, campaign_id: changed})

    def remove(self, campaign_id: str) -> None:
        """Delete a campaign."""
        by_id = dict(self._by_id)
        del by_id[campaign_id]
        self._put(by_id)

    def _put(self, by_id: dict[str, Campaign]) -> None:
        self._by_id, self.campaigns = by_id, tuple(by_id.values())

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
            return _ApiError(401, "Invalid API key").response
        now = self._clock()
        bucket, route = self._routes.get(path, (self._shared, None))
        is_allowed, headers = bucket.spend(now)
        try:
            if not is_allowed:
                raise _ApiError(429, "Rate limit exceeded")
            if route is None or method != "GET":
                raise _ApiError(404, "Invalid URL")
            if _permission(path) not in permissions:
                raise _ApiError(403, f"This API key lacks {_permission(path)}")
            response = route(_parameters(query), now)
        except _ApiError as error:
            response = error.response
        return response.with_headers(headers)

    def _data_series(self, parameters: dict[str, str], now: float) -> SimulatedResponse:
        campaign = self._campaign(parameters)
        length = _integer(parameters, "length", default=None)
        if length not in _LENGTHS:
            raise _ApiError(400, "length must be an integer from 1 to 100")
        today = self._local_day(now)
        try:
            body = self._series.render(
                campaign,
                last_day=self._last_day(parameters.get("ending_at"), today),
                length=length,
                today=today,
                progress=self._progress(today, now),
            )
        except (ValueError, OverflowError):
            raise _ApiError(400, "ending_at must be an ISO-8601 datetime") from None
        return SimulatedResponse(200, body, {"Content-Type": "application/json"})

    def _list(self, parameters: dict[str, str], _now: float) -> SimulatedResponse:
        page = _integer(parameters, "page", default=0)
        if page < 0:
            raise _ApiError(400, "page must not be negative")
        content = catalogue.list_page(
            self.campaigns,
            page=0 if self._repeats_pages else page,
            include_archived=parameters.get("include_archived") == "true",
        )
        return document(200, content)

    def _details(self, parameters: dict[str, str], now: float) -> SimulatedResponse:
        campaign = self._campaign(parameters)
        return document(200, catalogue.details(campaign, today=self._local_day(now)))

    def _campaign(self, parameters: dict[str, str]) -> Campaign:
        campaign = self._by_id.get(parameters.get("campaign_id", ""))
        if campaign is None:
            raise _ApiError(400, "Invalid Campaign ID")
        return campaign

    def _last_day(self, ending_at: str | None, today: date) -> date:
        """Return the last day of the series; a midnight belongs to the day before.

        Recorded responses to `ending_at=2022-12-15` end with the 14th. A time without
        an offset is in the local zone.
        """
        if ending_at is None:
            return today
        end = datetime.fromisoformat(ending_at)
        if end.tzinfo is None:
            end = end.replace(tzinfo=self._zone)
        return (end - timedelta(microseconds=1)).astimezone(self._zone).date()

    def _local_day(self, now: float) -> date:
        return datetime.fromtimestamp(now, self._zone).date()

    def _progress(self, today: date, now: float) -> float:
        """Return the elapsed part of the day, also for days of 23 and 25 hours."""
        start = self._midnight(today)
        return (now - start) / (self._midnight(today + timedelta(days=1)) - start)

    def _midnight(self, day: date) -> float:
        return datetime.combine(day, time(), self._zone).timestamp()


def _permission(path: str) -> str:
    return path.strip("/").replace("/", ".")


def _parameters(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query).items()}


def _integer(parameters: dict[str, str], name: str, *, default: int | None) -> int:
    text = parameters.get(name, "" if default is None else str(default))
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        raise _ApiError(400, f"{name} must be an integer")
    return int(text)

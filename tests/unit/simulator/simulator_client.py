"""An HTTP client, a clock and readers of rows for the simulator's tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPMessage
from typing import Any, NamedTuple
from urllib.parse import urlencode

from exporter.simulator import (
    DEFAULT_API_KEY,
    Campaign,
    Canvas,
    Simulator,
    SimulatorSettings,
)

NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
DATA_SERIES = "/campaigns/data_series"
LIST = "/campaigns/list"
DETAILS = "/campaigns/details"
CANVAS_SERIES = "/canvas/data_series"
CANVAS_LIST = "/canvas/list"
CANVAS_DETAILS = "/canvas/details"
SEGMENT_SERIES = "/segments/data_series"
EVENT_SERIES = "/events/data_series"
BROADCASTS = "/messages/scheduled_broadcasts"
INTEGRATIONS = "/cdi/integrations"
BREAKDOWNS = {
    "include_variant_breakdown": "true",
    "include_step_breakdown": "true",
    "include_deleted_step_data": "true",
}


class FixedClock:
    """A clock that shows the time it was set to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now.timestamp()


def simulator(clock: FixedClock | None = None, **settings: Any) -> Simulator:
    """Return a simulator that is not started."""
    return Simulator(SimulatorSettings(clock=clock or FixedClock(), **settings))


@contextmanager
def serving(clock: FixedClock | None = None, **settings: Any) -> Iterator[Client]:
    """Run a simulator inside the block, with a connection to it."""
    with simulator(clock, **settings) as braze, Client(braze) as client:
        yield client


class Reply(NamedTuple):
    """A response; `body` is not decompressed."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """One keep-alive connection to a simulator."""

    def __init__(self, braze: Simulator, *, timeout_seconds: float = 30.0) -> None:
        self.braze = braze
        address = braze.url.removeprefix("http://")
        self.connection = HTTPConnection(address, timeout=timeout_seconds)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def request(
        self,
        path: str,
        *,
        key: str | None = DEFAULT_API_KEY,
        method: str = "GET",
        body: str | None = None,
        accept_encoding: str = "identity",
        **parameters: Any,
    ) -> Reply:
        """Send a request and read the whole response."""
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        headers = {"Accept-Encoding": accept_encoding}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}".encode().decode("latin-1")
        self.connection.request(method, target, body=body, headers=headers)
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def series(self, campaign: Campaign, **parameters: Any) -> Reply:
        """Request a campaign's data series, by default of one day."""
        query = {"length": 1, **parameters}
        return self.request(DATA_SERIES, campaign_id=campaign.id, **query)

    def days(self, campaign: Campaign, **parameters: Any) -> Any:
        reply = self.series(campaign, **parameters)
        assert reply.status == 200, reply.body
        return reply.document["data"]

    def details(self, campaign: Campaign) -> Any:
        return self.request(DETAILS, campaign_id=campaign.id).document

    def listed(self, **parameters: Any) -> Any:
        return self.request(LIST, **parameters).document["campaigns"]

    def canvas_series(self, canvas: Canvas, **parameters: Any) -> Reply:
        """Request a canvas's data series, by default of one day and until now."""
        now = datetime.fromtimestamp(self.braze.settings.clock(), UTC).isoformat()
        query = {"length": 1, "ending_at": now, **parameters}
        given = {name: value for name, value in query.items() if value is not None}
        return self.request(CANVAS_SERIES, canvas_id=canvas.id, **given)

    def canvas_days(self, canvas: Canvas, **parameters: Any) -> Any:
        """Return a canvas's days, by default with all breakdowns."""
        reply = self.canvas_series(canvas, **{**BREAKDOWNS, **parameters})
        assert reply.status == 200, reply.body
        return reply.document["data"]["stats"]

    def canvas_details(self, canvas: Canvas) -> Any:
        return self.request(CANVAS_DETAILS, canvas_id=canvas.id).document

    def listed_canvases(self, **parameters: Any) -> Any:
        return self.request(CANVAS_LIST, **parameters).document["canvases"]

    def control(self, path: str, method: str = "GET", body: str | None = None) -> Reply:
        return self.request(path, method=method, key=None, body=body)


def entries(row: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for channel, listed in row["messages"].items():
        for entry in listed or []:
            yield channel, entry


def counters(row: Any) -> dict[tuple[str, str], float]:
    """Return every number of a row by message and field."""
    found = [(entry["variation_api_id"], entry) for _, entry in entries(row)]
    return {
        (message, field): value
        for message, fields in [("", row), *found]
        for field, value in fields.items()
        if isinstance(value, int | float)
    }


def numbers(row: Any, *path: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield every number of a document with the keys and positions that lead to it."""
    if isinstance(row, dict | list):
        items = row.items() if isinstance(row, dict) else enumerate(row)
        for key, value in items:
            yield from numbers(value, *path, str(key))
    elif isinstance(row, int | float):
        yield path, row


def sent_by_step(row: Any) -> dict[str, float]:
    """Return what each step with messages sent, by the step's id."""
    return {
        id_: sum(
            entry.get("sent", entry.get("impressions"))
            for channel in step["messages"].values()
            for entry in channel
        )
        for id_, step in row["step_stats"].items()
        if step.get("messages")
    }


def rate(row: Any, channel: str, field: str) -> float:
    """Return the field's share of what a channel sent, 0 if nothing was sent."""
    listed = row["messages"].get(channel) or []
    sent = sum(entry.get("sent") or 0 for entry in listed)
    counted = sum(entry.get(field) or 0 for entry in listed)
    return counted / sent if sent else 0.0


def total_sent(row: Any) -> float:
    return sum(
        entry.get("sent") or entry.get("impressions") or 0 for _, entry in entries(row)
    )

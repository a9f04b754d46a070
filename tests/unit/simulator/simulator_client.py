"""An HTTP client, a clock and readers of rows for the simulator's tests."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from exporter.simulator import DEFAULT_API_KEY, Campaign, Simulator

NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
DATA_SERIES = "/campaigns/data_series"
LIST = "/campaigns/list"
DETAILS = "/campaigns/details"


class FixedClock:
    """A clock that shows the time it was set to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return epoch seconds."""
        return self.now.timestamp()


class Reply(NamedTuple):
    """A response; `body` is not decompressed."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class HttpClient:
    """One keep-alive connection to a simulator."""

    def __init__(self, braze: Simulator, *, timeout_seconds: float = 30.0) -> None:
        address = urlsplit(braze.url)
        self.connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=timeout_seconds
        )

    def __enter__(self) -> HttpClient:
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
        headers: dict[str, str] | None = None,
        **parameters: Any,
    ) -> Reply:
        """Send a request and read the whole response."""
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        all_headers = dict(headers or {})
        if key is not None:
            all_headers["Authorization"] = f"Bearer {key}"
        self.connection.request(method, target, body=body, headers=all_headers)
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def series(self, campaign: Campaign, **parameters: Any) -> Reply:
        """Request a campaign's data series, by default of one day."""
        query = {"length": 1, **parameters}
        return self.request(DATA_SERIES, campaign_id=campaign.id, **query)

    def days(self, campaign: Campaign, **parameters: Any) -> Any:
        """Return the rows of a campaign, by default of one day."""
        reply = self.series(campaign, **parameters)
        assert reply.status == 200, reply.body
        return reply.document["data"]

    def details(self, campaign: Campaign) -> Any:
        """Return the details of a campaign."""
        return self.request(DETAILS, campaign_id=campaign.id).document


def entries(row: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each entry of a row with its channel."""
    for channel, listed in row["messages"].items():
        for entry in listed or []:
            yield channel, entry


def counters(row: Any) -> dict[tuple[str, str, str], float]:
    """Return every number of a row by channel, entry and field."""
    found = {("", "", name): value for name, value in row.items()}
    for channel, entry in entries(row):
        for name, value in entry.items():
            found[channel, entry["variation_api_id"], name] = value
    return {
        key: value for key, value in found.items() if isinstance(value, int | float)
    }


def rate(row: Any, channel: str, field: str) -> float:
    """Return the field's share of what a channel sent, 0 if nothing was sent."""
    listed = row["messages"].get(channel) or []
    sent = sum(entry.get("sent") or 0 for entry in listed)
    counted = sum(entry.get(field) or 0 for entry in listed)
    return counted / sent if sent else 0.0


def total_sent(row: Any) -> float:
    """Return the messages of all channels on a day."""
    return sum(
        entry.get("sent") or entry.get("impressions") or 0 for _, entry in entries(row)
    )

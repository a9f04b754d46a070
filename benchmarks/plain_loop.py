"""What a user would otherwise write: `requests.get(...).json()` and `Gauge.set()`.

It shows the same numbers as the exporter does of a valid document, and has no budget,
no broken answers, no campaign that leaves.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from prometheus_client import CollectorRegistry, Gauge

_CAMPAIGN = ["workspace", "campaign"]
_PART = [*_CAMPAIGN, "channel", "variation", "metric"]
_OVERALL = [*_CAMPAIGN, "metric"]
_WINDOW = ["window"]
_HIDDEN = {"time", "messages", "variation_name", "variation_api_id"}
_ADDS_NOT_UP = "unique_recipients"
_TIMEOUT_SECONDS = 30

Numbers = dict[tuple[str, ...], float]


class PlainLoop:
    """Polls campaigns one after the other into labelled gauges."""

    def __init__(
        self, endpoint: str, api_key: str, *, windows: tuple[int, ...]
    ) -> None:
        self._url = f"{endpoint}/campaigns/data_series"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._windows = windows
        self._registry = CollectorRegistry()
        self._gauges = {
            "daily": self._pair("daily"),
            "last": self._pair("last_complete_day"),
            "trailing": self._pair("trailing", _WINDOW),
        }
        self._at = {
            name: self._gauge(f"{name}_timestamp_seconds", _CAMPAIGN)
            for name in ("daily", "last_complete_day", "last_success")
        }
        self._up = self._gauge("up", _CAMPAIGN)
        self._info = self._gauge(
            "variation_info", [*_PART[:4], "variation_id", "control"]
        )

    def _pair(self, name: str, more: list[str] | None = None) -> tuple[Gauge, Gauge]:
        return (
            self._gauge(name, _PART + (more or [])),
            self._gauge(f"overall_{name}", _OVERALL + (more or [])),
        )

    def _gauge(self, name: str, labels: list[str]) -> Gauge:
        return Gauge(
            f"braze_campaign_{name}", "Polled.", labels, registry=self._registry
        )

    def poll(self, campaign_id: str, name: str) -> None:
        """Fetch one campaign and set its gauges."""
        answer = requests.get(
            self._url,
            params={"campaign_id": campaign_id, "length": "30"},
            headers=self._headers,
            timeout=_TIMEOUT_SECONDS,
        )
        answer.raise_for_status()
        rows = sorted(answer.json()["data"], key=lambda row: str(row["time"]))
        today = datetime.now(UTC).date()
        past = [row for row in rows if row["time"] < today.isoformat()]
        subject = ("production", name)
        self._set("daily", subject, _numbers(rows[-1]))
        self._set("last", subject, _numbers(past[-1]))
        for window in self._windows:
            begin = (today - timedelta(days=window)).isoformat()
            sums: Numbers = {}
            for row in past:
                if row["time"] >= begin:
                    for key, value in _numbers(row).items():
                        if key[-1] != _ADDS_NOT_UP:
                            sums[key] = sums.get(key, 0) + value
            self._set("trailing", subject, sums, f"{window}d")
        self._set_infos(subject, rows)

    def _set(
        self, family: str, subject: tuple[str, str], numbers: Numbers, *window: str
    ) -> None:
        parts, overall = self._gauges[family]
        for key, value in numbers.items():
            gauge = parts if len(key) > 1 else overall
            gauge.labels(*subject, *key, *window).set(value)

    def _set_infos(self, subject: tuple[str, str], rows: list[Any]) -> None:
        for row, name in ((rows[-1], "daily"), (rows[-2], "last_complete_day")):
            day = datetime.fromisoformat(row["time"]).replace(tzinfo=UTC)
            self._at[name].labels(*subject).set(day.timestamp())
        for channel, entries in rows[-1]["messages"].items():
            for entry in entries:
                labels = (entry["variation_name"], entry["variation_api_id"])
                self._info.labels(*subject, channel, *labels, "false").set(1)
        self._up.labels(*subject).set(1)
        self._at["last_success"].labels(*subject).set(datetime.now(UTC).timestamp())


def _numbers(row: dict[str, Any]) -> Numbers:
    """Return the numbers of a day under what sets them apart."""
    found: Numbers = {(key,): value for key, value in row.items() if key not in _HIDDEN}
    for channel, entries in row["messages"].items():
        for entry in entries:
            name = entry["variation_name"]
            for key, value in entry.items():
                if key not in _HIDDEN:
                    found[channel, name, key] = value
    return found

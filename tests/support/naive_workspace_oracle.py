"""The samples of series of the workspace, without code of the exporter.

Written as plainly as `naive_oracle`, whose rules on days, labels and numbers it shares.
"""

import datetime as dt
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.support import naive_oracle
from tests.support.naive_oracle import Samples

METRICS = {
    "dau": "dau",
    "mau": "mau",
    "new_users": "new_users",
    "uninstalls": "uninstalls",
    "sessions": "sessions",
    "revenue": "purchase_revenue",
    "purchase_quantity": "purchases",
}
"""Field → metric."""


class Reading:
    """The samples of one workspace at an instant."""

    def __init__(
        self,
        workspace: str,
        *,
        now: float,
        timezone: ZoneInfo,
        windows: tuple[int, ...],
    ) -> None:
        self.workspace = workspace
        self.now = now
        self.timezone = timezone
        self.today = dt.datetime.fromtimestamp(now, timezone).date()
        self.windows = windows
        self.samples: Samples = {}

    def add(self, family: str, value: float, **labels: str) -> None:
        key = (
            f"braze_{family}",
            frozenset({"workspace": self.workspace, **labels}.items()),
        )
        assert key not in self.samples
        self.samples[key] = float(value)

    def read_daily(self, document: Any) -> None:
        """Read a series of daily counts."""
        rows = naive_oracle.usable_rows(document["data"], self.today)
        [field] = {name for row in rows.values() for name in row} - {"time"}
        metric = METRICS[field]
        past = [day for day in rows if day < self.today]
        for ending, days in (("daily", list(rows)), ("last_complete_day", past)):
            day = days[0]
            start = naive_oracle.first_instant(day, self.timezone)
            self.add(f"workspace_{ending}", rows[day][field], metric=metric)
            name = f"workspace_{ending}_timestamp_seconds"
            self.add(name, start, metric=metric)
        for window in () if metric == "mau" else self.windows:
            values = [
                Fraction(rows[day][field])
                for day in past
                if (self.today - day).days <= window
            ]
            self.add(
                "workspace_trailing",
                float(sum(values)),
                metric=metric,
                window=f"{window}d",
            )

    def read_segment(self, document: Any, name: str) -> None:
        rows = naive_oracle.usable_rows(document["data"], self.today)
        self.add("segment_size", next(iter(rows.values()))["size"], segment=name)

    def read_event(self, document: Any, name: str, unit: str) -> None:
        """Read the newest hour or day that is over."""
        over = {}
        for row in document["data"]:
            if unit == "hour":
                start = dt.datetime.fromisoformat(row["time"]).timestamp()
                is_over = start + 3600 <= self.now
            else:
                day = dt.date.fromisoformat(row["time"])
                start = naive_oracle.first_instant(day, self.timezone)
                is_over = day < self.today
            if is_over:
                over[start] = row["count"]
        newest = max(over)
        self.add("event_count", over[newest], event=name, unit=unit)
        self.add("event_timestamp_seconds", newest, event=name, unit=unit)

    def read_broadcasts(self, document: Any) -> None:
        """Read the planned sends; in the tests each name occurs once in its kind."""
        for one in document["scheduled_broadcasts"]:
            at = dt.datetime.fromisoformat(one["next_send_time"]).timestamp()
            family = "broadcast_next_send_timestamp_seconds"
            self.add(family, at, kind=one["type"].lower(), name=one["name"])

    def read_integrations(self, documents: list[Any]) -> None:
        """Read all pages; equal names get the first 8 characters of the ids."""
        listed = [one for document in documents for one in document["results"]]
        names = [one["integration_name"] for one in listed]
        for one in listed:
            label = one["integration_name"]
            if names.count(label) > 1:
                label += f" ({one['integration_id'][:8]})"
            started = one["last_job_start_time"].replace("Z", "+00:00")
            at = dt.datetime.fromisoformat(started).timestamp()
            family = "data_ingestion_last_sync_timestamp_seconds"
            self.add(family, at, integration=label)
            self.add(
                "data_ingestion_status_info",
                1,
                integration=label,
                status=one["last_job_status"],
            )

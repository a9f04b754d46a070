"""Small snapshots in which every field has a value."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from exporter.model.config import Selection
from exporter.model.snapshot import Snapshot
from exporter.series.campaign_rows import CampaignRowParser
from exporter.series.canvas_rows import CanvasStepsRowParser
from exporter.series.parse import ParseOptions, parse

TODAY = date(2025, 6, 22)
OPTIONS = ParseOptions(
    row_parser=CampaignRowParser,
    today=TODAY,
    timezone=ZoneInfo("America/New_York"),
    windows=(1, 7),
    channels=Selection(),
    metrics=Selection(),
    series_limit=200,
    revisions=True,
    contract=("email",),
)


def example_snapshot() -> Snapshot:
    """Return the snapshot of three days with one variation."""
    entry = {"variation_name": "A", "variation_api_id": "v1", "sent": 5, "enrolled": 1}
    return parse(
        {
            "data": [
                {
                    "time": str(TODAY - timedelta(days=age)),
                    "messages": {"email": [entry]},
                    "revenue": 1.5,
                }
                for age in range(3)
            ]
        },
        OPTIONS,
    )


def example_canvas() -> Snapshot:
    """Return the snapshot of three days with one variant and one step."""
    step = {"name": "S", "revenue": 1.5, "messages": {"email": [{"sent": 5}]}}
    rows = [
        {
            "time": str(TODAY - timedelta(days=age)),
            "total_stats": {"entries": 9},
            "variant_stats": {"v1": {"name": "A", "entries": 9}},
            "step_stats": {"s1": step},
        }
        for age in range(3)
    ]
    options = OPTIONS._replace(row_parser=CanvasStepsRowParser, revisions=False)
    return parse({"data": {"stats": rows}}, options)

"""Golden files: what the documents in `tests/fixtures/series` are exposed as.

    python -m tests.golden     writes all of them; read the diff

Of each `NAME.json` there is a `NAME.prom` with revisions. `DEFAULT` has one more,
without: revisions are off by default.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from exporter.metrics.object_metrics import (
    ObjectLabels,
    RenderedObject,
    page,
    render_values,
)
from exporter.model.config import Selection
from exporter.series.campaign_rows import CampaignRowParser
from exporter.series.parse import ParseOptions, parse

from tests.paths import FIXTURES

SERIES = FIXTURES / "series"
DEFAULT = "multichannel"
OPTIONS = ParseOptions(
    row_parser=CampaignRowParser,
    today=date(2025, 6, 22),
    timezone=ZoneInfo("America/New_York"),
    windows=(7, 28),
    channels=Selection(),
    metrics=Selection(),
    series_limit=5000,
)
LABELS = ObjectLabels(
    workspace="production",
    kind="campaign",
    name="Welcome series",
    id="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",
    labels={"team": "crm"},
)


def documents() -> list[str]:
    """Return the names of the documents."""
    return sorted(path.stem for path in SERIES.glob("*.json"))


def document(name: str) -> Any:
    """Return a document."""
    return json.loads((SERIES / f"{name}.json").read_text("utf-8"))


def files() -> list[tuple[Path, str, bool]]:
    """Return each golden file, the name of its document, and if it has revisions."""
    default = (SERIES / f"{DEFAULT}.default.prom", DEFAULT, False)
    return [*((SERIES / f"{name}.prom", name, True) for name in documents()), default]


def render(name: str, *, revisions: bool) -> RenderedObject:
    """Return what a document is rendered as."""
    options = OPTIONS._replace(revisions=revisions)
    return render_values(LABELS, parse(document(name), options))


def main() -> None:
    """Write every golden file."""
    for path, name, revisions in files():
        path.write_bytes(b"".join(page([render(name, revisions=revisions)])))


if __name__ == "__main__":
    main()

"""Golden files: what the documents in `tests/fixtures` are exposed as.

    python -m tests.golden     writes all of them; read the diff

Of each `series/NAME.json` there is a `NAME.prom` with revisions. `DEFAULT` has one
more, without: revisions are off by default. Of each `canvases/NAME.json` there is a
`NAME.prom` with steps and a `NAME.default.prom` without.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from exporter.metrics.object_metrics import (
    ObjectLabels,
    RenderedObject,
    page,
    render_values,
)
from exporter.model.config import Selection
from exporter.series.campaign_rows import CampaignRowParser
from exporter.series.canvas_rows import CanvasRowParser, CanvasStepsRowParser
from exporter.series.incremental import parse_part
from exporter.series.older_days import NOTHING_OLDER
from exporter.series.parse import ParseOptions, parse

from tests.paths import FIXTURES
from tests.support.bodies import body_of

SERIES = FIXTURES / "series"
CANVASES = FIXTURES / "canvases"
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
CANVAS_LABELS = LABELS._replace(kind="canvas", name="Onboarding")


class GoldenFile(NamedTuple):
    """What one document is exposed as."""

    path: Path
    document: Path
    is_default: bool
    """Whether revisions and steps are off."""

    @property
    def is_of_canvas(self) -> bool:
        return self.document.parent == CANVASES

    def documents(self) -> list[Any]:
        """Return the responses; those of older days follow the newest one."""
        found = json.loads(self.document.read_text("utf-8"))
        return found if isinstance(found, list) else [found]

    def render(self) -> RenderedObject:
        """Return what the responses are rendered as."""
        if self.is_of_canvas:
            return self._render_canvas()
        options = OPTIONS._replace(revisions=not self.is_default)
        (document,) = self.documents()
        return render_values(LABELS, parse(document, options))

    def _render_canvas(self) -> RenderedObject:
        parser = CanvasRowParser if self.is_default else CanvasStepsRowParser
        options = OPTIONS._replace(row_parser=parser)
        older = NOTHING_OLDER
        for request, document in enumerate(self.documents()):
            found = parse_part(body_of(document), options, older=older, request=request)
            older = found.older
        return render_values(CANVAS_LABELS, found.snapshot)


def files() -> list[GoldenFile]:
    """Return all golden files."""
    found = []
    for document in sorted([*SERIES.glob("*.json"), *CANVASES.glob("*.json")]):
        found.append(GoldenFile(document.with_suffix(".prom"), document, False))
        if document.parent == CANVASES or document.stem == DEFAULT:
            path = document.with_suffix(".default.prom")
            found.append(GoldenFile(path, document, True))
    return found


def main() -> None:
    """Write every golden file."""
    for one in files():
        one.path.write_bytes(b"".join(page([one.render()])))


if __name__ == "__main__":
    main()

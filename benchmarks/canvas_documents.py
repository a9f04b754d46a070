"""The canvas that is measured, and its documents: figures of the simulator."""

from __future__ import annotations

import gzip
import json
import uuid
from datetime import date, timedelta
from functools import lru_cache

from exporter.simulator.canvas_figures import CanvasView, canvas_row
from exporter.simulator.canvas_fleet import Canvas, Step, Variant
from exporter.simulator.objects import NAMESPACE

from benchmarks.documents import CHANNELS, VERSIONS

STEPS = 200
DAYS = 14
"""Of one document, which is the most that Braze returns."""
_ARRIVALS = 60_000.0
_NOON = 0.5


def body(last_day: date, today: date, *, version: int = 0) -> bytes:
    """Return a document as JSON; with a later version more has happened today."""
    days = [last_day - timedelta(days=age) for age in range(DAYS - 1, -1, -1)]
    rows = [_row(day, today, version if day == today else 0) for day in days]
    stats = ", ".join(rows)
    return f'{{"message": "success", "data": {{"stats": [{stats}]}}}}'.encode()


@lru_cache(maxsize=3 * VERSIONS)
def compressed_body(last_day: date, today: date, *, version: int) -> bytes:
    """Return the same as gzip."""
    return gzip.compress(body(last_day, today, version=version), compresslevel=1)


@lru_cache(maxsize=4 * DAYS)
def _row(day: date, today: date, version: int) -> str:
    progress = _NOON + version / (4 * VERSIONS)
    view = CanvasView(
        _canvas(today), has_variants=True, has_steps=True, has_deleted_steps=True
    )
    row = canvas_row(view, day, today=today, progress=progress)
    return json.dumps(row, ensure_ascii=False)


@lru_cache(maxsize=1)
def _canvas(today: date) -> Canvas:
    steps = (
        Step(
            id=_id("step", number),
            name=f"Step {number + 1}",
            channels=CHANNELS,
            reach=1 - number / (2 * STEPS),
            lag_days=0,
            entries=1,
            deleted_on=None,
        )
        for number in range(STEPS)
    )
    return Canvas(
        id=canvas_id(0),
        name="Measured",
        volume=_ARRIVALS,
        created_on=today - timedelta(days=400),
        conversion_events=2,
        variants=(
            Variant(id=_id("variant", 0), name="A", share=0.9, steps=tuple(steps)),
            Variant(id=_id("variant", 1), name="Control", share=0.1, steps=()),
        ),
    )


def canvas_id(number: int) -> str:
    """Return the id of a canvas; it looks like Braze's."""
    return _id("canvas", number)


def _id(kind: str, number: int) -> str:
    return str(uuid.uuid5(NAMESPACE, f"measured {kind}/{number}"))

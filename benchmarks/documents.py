"""The campaigns that are measured, and their documents: figures of the simulator.

A document is as wide as its shape. Some campaigns share their numbers, so that
making documents does not become the benchmark; no two share labels.
"""

from __future__ import annotations

import gzip
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from exporter.simulator.figures import day_row
from exporter.simulator.fleet import Campaign, Message
from exporter.simulator.objects import NAMESPACE

CHANNELS = ("email", "ios_push", "android_push")
KINDS = 16
"""This many campaigns have distinct numbers; the others repeat them."""
VERSIONS = 8
"""So many versions of today follow each other where documents change."""
_VOLUME = 60_000.0
_NOON = 0.5


@dataclass(frozen=True, slots=True)
class Shape:
    """How wide a document is: that many variations of each of three channels."""

    variations: int
    days: int = 30

    def __str__(self) -> str:
        return f"{self.days} days × {len(CHANNELS)} channels × {self.variations}"


NARROW = Shape(variations=3)
USUAL = Shape(variations=4)
"""What is served of one such campaign are about a thousand series."""
WIDE = Shape(variations=40)


def campaign_id(number: int) -> str:
    """Return the id of a campaign; it looks like Braze's."""
    return str(uuid.uuid5(NAMESPACE, f"measured/{number}"))


def today() -> date:
    """Return today in UTC, which is the measured workspaces' time zone."""
    return datetime.now(UTC).date()


@lru_cache(maxsize=KINDS * VERSIONS)
def body(shape: Shape, last_day: date, *, kind: int = 0, version: int = 0) -> bytes:
    """Return a document as JSON; with a later version more has happened today."""
    past = _past_rows(shape, last_day, kind)
    progress = _NOON + version / (4 * VERSIONS)
    row = day_row(
        _campaign(shape, last_day, kind), last_day, today=last_day, progress=progress
    )
    text = json.dumps(row, ensure_ascii=False)
    return f'{{"message": "success", "data": [{past}, {text}]}}'.encode()


@lru_cache(maxsize=KINDS * VERSIONS)
def compressed_body(shape: Shape, last_day: date, *, kind: int, version: int) -> bytes:
    """Return the same as gzip."""
    return gzip.compress(
        body(shape, last_day, kind=kind, version=version), compresslevel=1
    )


@lru_cache(maxsize=KINDS)
def _past_rows(shape: Shape, last_day: date, kind: int) -> str:
    campaign = _campaign(shape, last_day, kind)
    days = (last_day - timedelta(days=age) for age in range(shape.days - 1, 0, -1))
    rows = (day_row(campaign, day, today=last_day, progress=1.0) for day in days)
    return ", ".join(json.dumps(row, ensure_ascii=False) for row in rows)


@lru_cache(maxsize=KINDS)
def _campaign(shape: Shape, last_day: date, kind: int) -> Campaign:
    share = 1 / shape.variations
    names = tuple(f"Variant {number + 1}" for number in range(shape.variations))
    return Campaign(
        id=campaign_id(kind),
        name=f"Measured {kind}",
        channels=CHANNELS,
        variants=(*names, None),  # always rows of a multivariate campaign
        messages=tuple(
            Message(
                id=str(uuid.uuid5(NAMESPACE, f"measured/{kind}/{channel}/{number}")),
                channel=channel,
                share=share,
                name=name,
            )
            for channel in CHANNELS
            for number, name in enumerate(names)
        ),
        volume=_VOLUME,
        created_on=last_day - timedelta(days=400),
        conversion_events=2,
    )

"""What one exporter tells the others of a campaign's last poll, as bytes and back.

What is read back was written by nobody knows whom: any bytes at all give a record or
ValueError, and never more than some megabytes. It knows neither Redis nor a store.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

from exporter.model.errors import FailureReason
from exporter.model.labels import clean
from exporter.model.snapshot import Snapshot
from exporter.series import snapshot_json

_VERSION = 1
_LONGEST_BYTES = 16 * 1024 * 1024
_LONGEST_INTERVAL_SECONDS = 366 * 86400.0
_FAULTS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Record:
    """How a campaign stands after a poll; instants are by the wall clock."""

    last_success_at: float | None
    failed_at: float | None
    """When the last poll failed, if it did."""
    failure: FailureReason | None
    error: str
    interval_seconds: float
    snapshot: Snapshot | None
    """None: there are no values, or they are stale."""


def write(record: Record) -> bytes:
    """Return a record as bytes."""
    document = {
        "version": _VERSION,
        "last_success_at": record.last_success_at,
        "failed_at": record.failed_at,
        "failure": record.failure,
        "error": record.error,
        "interval_seconds": record.interval_seconds,
        "snapshot": record.snapshot and snapshot_json.write(record.snapshot),
    }
    text = json.dumps(document, separators=(",", ":"))
    return zlib.compress(text.encode(), 1)


def read(content: bytes) -> Record:
    """Return the record that was written; ValueError: these bytes are none."""
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(content, _LONGEST_BYTES)
        if not inflate.eof:
            message = "it is too long, or cut"
            raise ValueError(message)
        return _read(json.loads(text))
    except (zlib.error, *_FAULTS) as error:
        message = "not a record as this version writes it"
        raise ValueError(message) from error


def _read(document: Any) -> Record:
    if document["version"] != _VERSION:
        message = "it is of another version"
        raise ValueError(message)
    failure = document["failure"]
    snapshot = document["snapshot"]
    interval = _instant(document["interval_seconds"])
    if not 0 < interval <= _LONGEST_INTERVAL_SECONDS:
        message = "no campaign is polled at such an interval"
        raise ValueError(message)
    return Record(
        last_success_at=_optional(document["last_success_at"]),
        failed_at=_optional(document["failed_at"]),
        failure=None if failure is None else FailureReason(failure),
        error=clean(document["error"]),
        interval_seconds=interval,
        snapshot=None if snapshot is None else snapshot_json.read(snapshot),
    )


def _optional(value: object) -> float | None:
    return None if value is None else _instant(value)


def _instant(value: object) -> float:
    if type(value) in (int, float) and math.isfinite(value):  # type: ignore[arg-type]  # it is a number
        return float(value)  # type: ignore[arg-type]  # it is a number
    message = "a number in it is none"
    raise ValueError(message)

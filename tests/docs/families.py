"""All metric families of the exporter with their labels, as they are exposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exporter.discovery.kinds import KINDS
from exporter.metrics import object_metrics
from exporter.metrics.families import BY_KIND
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.series_families import SERIES
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.model.snapshot import Sample, Snapshot
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.snapshots import example_canvas, example_snapshot

_CONFIGURED = {"configured": "l"}


def with_labels(families: Iterable[Metric]) -> dict[str, set[str]]:
    return {
        full_name(family): {
            name for sample in family.samples for name in sample.labels if name != "le"
        }
        for family in families
    }


def full_name(family: Metric) -> str:
    """Return the name of a family as queries use it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def exposed() -> dict[str, set[str]]:
    own = with_labels(self_metrics().registry.collect())
    return of_campaigns() | of_canvases() | of_series() | own


def of_campaigns() -> dict[str, set[str]]:
    return _of("campaign", example_snapshot())


def of_canvases() -> dict[str, set[str]]:
    return _of("canvas", example_canvas())


def of_series() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for families in SERIES:
        samples = tuple(
            Sample(one.name, tuple((name, "text") for name in one.labels), 1)
            for one in families.samples
        )
        own = dict.fromkeys(_OF_SERIES.get(families.kind, ()), "text")
        found |= _of(families.kind, Snapshot(samples=samples), own)
    return found


_OF_SERIES = {"segment": ("segment",), "event": ("event", "unit")}
"""The labels of samples that are configured."""


def _of(
    kind: str, snapshot: Snapshot, labels: Mapping[str, str] = _CONFIGURED
) -> dict[str, set[str]]:
    subject = object_metrics.ObjectLabels(
        workspace="w", kind=kind, name="c", id="i", labels=labels, edited_at=1
    )
    status = object_metrics.PollStatus(
        is_up=False,
        failure=FailureReason.TIMEOUT,
        interval_seconds=1,
        last_success_at=1,
    )
    blocks = (
        object_metrics.render_status(subject, status),
        object_metrics.render_values(subject, snapshot),
    )
    page = object_metrics.page(blocks)
    families = with_labels(text_string_to_metric_families(b"".join(page).decode()))
    assert set(families) == {family.name for family in BY_KIND[kind].all}
    if BY_KIND[kind].info:
        families[f"braze_{kind}_info"] -= {*_CONFIGURED}
    return families


def self_metrics() -> SelfMetrics:
    """Return the metrics of a process with a sample in every family."""
    metrics = SelfMetrics(
        version="1",
        served=lambda: [Served("w", 1, 1, 1, 1, 1, contract={"email": 1})],
    )
    for kind in ("campaign", "canvas", "dau"):
        metrics.expect("w", kind, "campaigns/data_series")
        metrics.planned("w", kind, requests_per_minute=1, interval_seconds=1, stretch=1)
    metrics.sharded(number=0, total=2)
    for listed in KINDS:
        metrics.expect_discovery("w", listed.name, listed.paths)
        metrics.discovery_succeeded("w", listed.name, now=1)
    metrics.allowed("w", "campaigns/data_series", RateLimitHeaders(1, 1, 1.0))
    return metrics

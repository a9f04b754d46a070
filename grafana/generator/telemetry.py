"""Metrics of the exporter's own operation, as PromQL.

Replicas are processes that each send requests to Braze. Their counters are added up, or
shown by `instance`; a process that two jobs scrape counts once.
"""

from __future__ import annotations

from collections.abc import Iterable

from grafana.generator.promql import JOBS, OF_JOB, OF_WORKSPACE, select, total

BUILD = select("braze_exporter_build_info", OF_JOB)
"""One sample for each scraped exporter."""
EACH = "Each process on its own: replicas are not merged."
COUNTER = "Counters restart at 0 with the process, not at midnight."
_NAMES = f"pod, container, endpoint, node, {JOBS}"


def of_exporters(vector: str) -> str:
    """Return the samples of exporters alone.

    Metrics such as `process_start_time_seconds` exist for processes of other jobs too.
    """
    return f"({vector} and on (job, instance) {BUILD})"


def targets() -> str:
    """Return 1 or 0 for each target that was an exporter within a week."""
    up = select("up", OF_JOB)
    return f"({up} and on (job, instance) last_over_time({BUILD}[7d]))"


def own(family: str, *matchers: str) -> str:
    """Return a metric of each process, by `instance` and its own labels."""
    selector = select(f"braze_exporter_{family}", (*OF_WORKSPACE, *matchers))
    return f"max without ({_NAMES}) ({selector})"


def process(family: str) -> str:
    """Return a metric of the runtime of each process."""
    return f"max by (instance) ({of_exporters(select(family, OF_JOB))})"


def by_endpoint(family: str) -> str:
    """Return a metric of each process by endpoint of Braze.

    If targets have a label `endpoint`, as with the Prometheus Operator, the metric's
    label becomes `exported_endpoint`, and is renamed first.
    """
    selector = select(f"braze_exporter_api_{family}", OF_WORKSPACE)
    ours = f'label_replace({selector}, "endpoint", "$1", "exported_endpoint", "(.+)")'
    return f"max by (instance, workspace, endpoint) ({ours})"


def rate(family: str, *by: str, matchers: Iterable[str] = ()) -> str:
    """Return a counter's increase per second, summed by labels, of each process."""
    selector = select(f"braze_exporter_{family}", (*OF_WORKSPACE, *matchers))
    labels = ", ".join(("instance", *by))
    scraped = total(f"rate({selector}[$__rate_interval])", "job", "instance", *by)
    return f"max by ({labels}) ({scraped})"


def per_minute(family: str, *by: str, matchers: Iterable[str] = ()) -> str:
    """Return a counter's increase per minute, summed by labels over all processes."""
    return f"60 * {total(rate(family, *by, matchers=matchers), *by)}"


def quantile(family: str, share: float, *by: str) -> str:
    """Return a quantile of a histogram by labels over all processes, never NaN."""
    buckets = total(rate(f"{family}_bucket", *by, "le"), *by, "le")
    value = f"histogram_quantile({share}, {buckets})"
    # Without observations the quantile is NaN.
    return f"({value}) >= 0"

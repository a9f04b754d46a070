"""Metrics of the exporter's own operation, as PromQL.

Replicas are processes that each send requests to Braze: their counters are never
merged, but shown by `instance`.
"""

from __future__ import annotations

from grafana.generator.promql import JOBS, OF_JOB, OF_WORKSPACE, select, total

EACH = (
    "Per process: two replicas each send requests to Braze, so their figures are not "
    "merged."
)
COUNTER = "Counters restart at 0 with the process, not at midnight."
_NAMES = f"pod, container, endpoint, node, {JOBS}"


def own(family: str, *matchers: str) -> str:
    """Return a metric of each process, by `instance` and its own labels."""
    selector = select(f"braze_exporter_{family}", (*OF_WORKSPACE, *matchers))
    return f"max without ({_NAMES}) ({selector})"


def process(family: str) -> str:
    """Return a metric of the runtime of each process."""
    return f"max without ({_NAMES}) ({select(family, OF_JOB)})"


def by_endpoint(family: str) -> str:
    """Return a metric of each process by endpoint of Braze.

    If targets have a label `endpoint`, as with the Prometheus Operator, the metric's
    label becomes `exported_endpoint`, and is renamed first.
    """
    selector = select(f"braze_exporter_api_{family}", OF_WORKSPACE)
    ours = f'label_replace({selector}, "endpoint", "$1", "exported_endpoint", "(.+)")'
    return f"max by (instance, workspace, endpoint) ({ours})"


def rate(family: str, *by: str) -> str:
    """Return a counter's increase per second, summed by labels, of each process.

    A process that two jobs scrape counts once.
    """
    selector = select(f"braze_exporter_{family}", OF_WORKSPACE)
    labels = ", ".join(("instance", *by))
    scraped = total(f"rate({selector}[$__rate_interval])", "job", "instance", *by)
    return f"max by ({labels}) ({scraped})"


def quantile(family: str, share: float) -> str:
    """Return a quantile of a histogram by process and workspace, never NaN."""
    buckets = rate(f"{family}_bucket", "workspace", "le")
    value = f"histogram_quantile({share}, {buckets})"
    # Without observations the quantile is NaN.
    return f"({value}) >= 0"

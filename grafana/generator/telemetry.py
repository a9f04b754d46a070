"""What each exporter says of itself, as PromQL.

Two exporters that poll the same campaigns are two processes that each ask Braze: their
counters are never folded, but shown by `instance`.
"""

from __future__ import annotations

from grafana.generator.promql import JOBS, OF_JOB, OF_WORKSPACE, select, total

EACH = (
    "Of each process by itself: two exporters that poll the same campaigns each ask "
    "Braze, so nothing is folded here."
)
COUNTER = "A counter that is 0 only when the process starts: midnight does not matter."
_NAMES = f"pod, container, endpoint, node, {JOBS}"


def own(family: str, *matchers: str) -> str:
    """Return what each process says of itself, whichever pod or port names it."""
    selector = select(f"braze_exporter_{family}", (*OF_WORKSPACE, *matchers))
    return f"max without ({_NAMES}) ({selector})"


def process(family: str) -> str:
    """Return what the runtime says of each process."""
    return f"max without ({_NAMES}) ({select(family, OF_JOB)})"


def asked(family: str) -> str:
    """Return what each process says of an endpoint of Braze.

    Where Prometheus puts an `endpoint` of its own on every target, as its operator
    does, ours is called `exported_endpoint`: it gets its name back first.
    """
    selector = select(f"braze_exporter_api_{family}", OF_WORKSPACE)
    ours = f'label_replace({selector}, "endpoint", "$1", "exported_endpoint", "(.+)")'
    return f"max by (instance, workspace, endpoint) ({ours})"


def rate(family: str, *by: str) -> str:
    """Return a counter's increase per second, summed by labels, of each process.

    Bound to each process by `instance`, so the endpoint's name does not matter.
    One that two jobs scrape counts once.
    """
    selector = select(f"braze_exporter_{family}", OF_WORKSPACE)
    labels = ", ".join(("instance", *by))
    scraped = total(f"rate({selector}[$__rate_interval])", "job", "instance", *by)
    return f"max by ({labels}) ({scraped})"


def quantile(family: str, share: float) -> str:
    """Return a quantile of a histogram by process and workspace, never NaN."""
    buckets = rate(f"{family}_bucket", "workspace", "le")
    value = f"histogram_quantile({share}, {buckets})"
    # Of no observations the quantile is NaN.
    return f"({value}) >= 0"

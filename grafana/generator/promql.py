"""PromQL as text: selectors, merged replicas, ratios of sums and their confidence.

Every selector contains the job, and replicas are merged before any sum, so that two
exporters of the same campaigns never double a sum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

JOB = 'job=~"$job"'
_WORKSPACE = 'workspace=~"$workspace"'
_CHANNEL = 'channel=~"$channel"'
# Names are free text. Between backticks only a backtick is special to PromQL, and the
# format `regex` escapes characters that are special to a regular expression. Between
# double quotes, quotes and backslashes in a name would break the query.
_CAMPAIGN = "campaign=~`${campaigns:regex}`"
_VARIATION = "variation=~`${variation:regex}`"
_CANVAS = "canvas=~`${canvas:regex}`"

OF_JOB = (JOB,)
OF_WORKSPACE = (JOB, _WORKSPACE)
OF_CHANNEL = (*OF_WORKSPACE, _CHANNEL)
OF_CAMPAIGN = (*OF_WORKSPACE, _CAMPAIGN)
OF_MESSAGE = (*OF_CHANNEL, _CAMPAIGN)
"""With All, and not with chosen campaigns, also those of canvases."""
OF_VARIATION = (*OF_MESSAGE, _VARIATION)
OF_CANVAS = (*OF_WORKSPACE, _CANVAS)
OF_CANVAS_CHANNEL = (*OF_CHANNEL, _CANVAS)

OF_ONE = ("${campaigns:regex}", "${campaign:regex}")
"""The choice of campaigns, and that of the dashboard of one campaign."""

_REPLICA = "instance, pod, container, endpoint, node"
JOBS = "job, namespace, service"
"""Other target labels that differ if several jobs scrape a target."""
OBJECT = ("workspace", "campaign", "canvas")
"""The labels of a campaign or canvas; a sample has one of the last two."""
_KINDS = {"campaign": "campaign", "canvas": "canvas", "series": "workspace/series"}
"""The kind of samples with a label: the path of a dashboard behind `braze-`.

Grafana ignores what follows the slash. The variable of a choice has the name of the
kind: without the slash a link to a series would choose another workspace.
"""
_NOW = "${__to:date:seconds}"
"""The end of Grafana's time range; that of a graph by day is the midnight before."""
_AT_LAST_POINT = f" and on () vector(time()) > {_NOW} - 86400"
_AT_POINT_BEFORE = f" and on () vector(time()) > {_NOW} - 172800 <= {_NOW} - 86400"
_Z = 1.96
"""Two-sided 95 %."""


def select(family: str, matchers: Iterable[str]) -> str:
    """Return a selector; the family may be a pattern, such as that of both kinds."""
    if re.fullmatch(r"[\w:]*", family):
        return f"{family}{{{', '.join(matchers)}}}"
    return select("", (f'__name__=~"{family}"', *matchers))


def fold(selector: str) -> str:
    """Return the maximum over replicas, whether of one job or of several."""
    return f"max without ({_REPLICA}, {JOBS}) ({selector})"


def added_up(selector: str) -> str:
    """Return the sum over shards of a figure, and the maximum over replicas."""
    shard = select("braze_exporter_shard_info", OF_JOB)
    part = f"{selector} * on (job, instance) group_left (shard) {shard}"
    whole = f"{selector} unless on (job, instance) {shard}"
    return f"sum without (shard) ({fold(union(part, whole))})"


def by_day(selector: str) -> str:
    """Return the samples twelve hours after a point, or the newest ones before that.

    Points of a graph with a step of a day are at midnight. Then Braze's day changes;
    half a day later the last complete day is the one that ended at the point. Without
    such samples the last point, of the midnight before now, has those of now.

    A selector reads all samples of four weeks; here there is one, and one of now. One
    sample an hour is enough.
    """
    return f"{stored(selector, offset='-12h')} or {at_last_point(now(selector))}"


def stored(selector: str, *, offset: str, at: str = "") -> str:
    """Return the newest samples of full hours in the twelve hours after a midnight.

    The midnight is twelve hours and the offset before a point. Its own sample is of the
    day before; in Prometheus 2 a range begins with it.
    """
    return f"last_over_time({selector}[11h59m:1h]{at} offset {offset})"


def now(selector: str) -> str:
    """Return the samples of now, at all points of a graph."""
    return f"{selector} @ {_NOW}"


def at_now(vector: str) -> str:
    """Return the expression with the samples of now, at all points of a graph."""
    return moved(vector, f"@ {_NOW}")


def recent(selector: str) -> str:
    """Return the newest samples of the last day, at all points of a graph."""
    return f"last_over_time({selector}[1d] @ {_NOW})"


def at_last_point(vector: str) -> str:
    """Return samples at the last point of a graph with a point for each day."""
    return f"{vector}{_AT_LAST_POINT}"


def at_point_before(vector: str) -> str:
    """Return samples at the last point but one of such a graph."""
    return f"{vector}{_AT_POINT_BEFORE}"


def named(vector: str, *by: str) -> str:
    """Return samples with the labels `kind` and `name` instead of those of the object.

    The kind is that of its dashboard: of samples without campaign, canvas and series,
    which are alerts and workspaces, `exporter`.
    """
    vector = f'label_replace({vector}, "kind", "exporter", "", "")'
    for label, kind in _KINDS.items():
        vector = f'label_replace({vector}, "kind", "{kind}", "{label}", "(?s).+")'
    vector = f'label_join({vector}, "name", "", "campaign", "canvas", "series")'
    return f"max by ({', '.join(('workspace', 'kind', 'name', *by))}) ({vector})"


def newest(vector: str, *, day: str, of: Iterable[str] = OBJECT) -> str:
    """Return the samples of exporters with the object's newest `day`, a timestamp.

    After midnight an exporter that cannot reach Braze still serves yesterday's row,
    whose sums are mostly larger than those of the new day.
    """
    on = ", ".join(of)
    same = f"max by ({on}) ({day}) == on ({on}) group_right () {day}"
    return f"({vector}) and on (instance, {on}) ({same})"


def least_of_jobs(selector: str, *by: str) -> str:
    """Return the maximum over replicas of a job, and of that the minimum over jobs."""
    return f"min by ({', '.join(by)}) (max without ({_REPLICA}) ({selector}))"


def total(vector: str, *by: str) -> str:
    """Return sums by labels, or one sum without labels."""
    return f"sum by ({', '.join(by)}) ({vector})" if by else f"sum({vector})"


NOTHING = "vector(0)"
"""A sum without labels of figures that are all absent."""


def ratio(numerator: str, denominator: str, *by: str, nothing: str = NOTHING) -> str:
    """Return a ratio of sums by labels; empty if the denominator is 0.

    Figures that are absent with `metrics.skip_unused` are 0. Without labels that is
    `nothing` where no numerator is found; with labels it would read the denominator
    twice, and the ratio is empty.
    """
    top = total(numerator, *by)
    if not by:
        top = f"({top} or {nothing})"
    return f"{top} / ({total(denominator, *by)} > 0)"


def union(*vectors: str) -> str:
    """Return all samples; of samples with the same labels the first."""
    return f"({' or '.join(f'({vector})' for vector in vectors)})"


def otherwise(vector: str, default: str, *, on: str = "") -> str:
    """Return samples, and those of a default without a match by the labels `on`."""
    return union(vector, f"({default}) unless on ({on}) ({vector})")


def largest(vector: str, *, count: int) -> str:
    """Return the largest series, chosen at the end of the graph."""
    return f"({vector}) and topk({count}, {moved(vector, '@ end()')})"


def moved(vector: str, modifier: str) -> str:
    """Return the expression at another time: every selector gets the modifier.

    Those at the end of the graph's time range keep theirs.
    """
    vector = vector.replace(_AT_LAST_POINT, "")
    ends = r"((?<!:seconds)\}(?:\[[\w:]+\])?)(?=[ )])(?! @)"
    return re.sub(ends, rf"\1 {modifier}", vector)


def change(value: str, *, before: str) -> str:
    """Return the relative change of a sum without labels, from each earlier value."""
    return f"({value}) / on () group_right () (({before}) > 0) - 1"


def wilson(successes: str, trials: str, *, sign: str) -> str:
    """Return the bound of the 95 % Wilson interval of a rate; `-` is the lower.

    Successes are clamped to the trials: the root of a negative number would be NaN.
    Without trials the result is empty.
    """
    n = f"({trials} > 0)"
    p = f"clamp_max(({successes}) / {n}, 1)"
    z2 = round(_Z**2, 4)
    root = f"sqrt({_variance(p)} / {n} + {z2 / 4} / {n} ^ 2)"
    return f"({p} + {z2 / 2} / {n} {sign} {_Z} * {root}) / (1 + {z2} / {n})"


def _variance(share: str) -> str:
    """Return p · (1 - p), with the long expression p only once."""
    return f"(0.25 - ({share} - 0.5) ^ 2)"


def z_score(
    successes: str, trials: str, *, control_successes: str, control_trials: str, on: str
) -> str:
    """Return the difference to the control group's rate in standard errors.

    Both have the same labels `on`. At the pooled rate both must expect five successes,
    the minimum for the normal approximation. Rates above 1 are excluded.
    """
    group = f"on ({on}) group_left ()"
    k, n = f"({successes})", f"({trials} > 0)"
    kc, nc = f"({control_successes})", f"({control_trials} > 0)"
    pooled = f"(({k} + {group} {kc}) / ({n} + {group} {nc}))"
    # Multiplied, compared and divided again, so that the long expression occurs once.
    pooled = f"((({pooled} * {n} >= 5) / {n} * {group} {nc} >= 5) / {group} {nc})"
    error = f"sqrt({_variance(pooled)} * (1 / {n} + {group} (1 / {nc})))"
    return f"(({k} / {n} <= 1) - {group} ({kc} / {nc} <= 1)) / ({error} > 0)"

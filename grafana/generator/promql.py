"""PromQL as text: selectors, folded replicas, ratios of sums and their confidence.

Every selector names the job, and every family is folded before anything is added up,
so that two exporters that poll the same campaigns never double a sum. What the numbers
mean is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

JOB = 'job=~"$job"'
_WORKSPACE = 'workspace=~"$workspace"'
_CHANNEL = 'channel=~"$channel"'
# Names are free text. Between backticks nothing but a backtick is special to PromQL,
# and `regex` escapes what is special to a regular expression: quotes and backslashes
# in a name break no query, which they would between double quotes.
_CAMPAIGN = "campaign=~`${campaign:regex}`"
_VARIATION = "variation=~`${variation:regex}`"

OF_JOB = (JOB,)
OF_WORKSPACE = (JOB, _WORKSPACE)
OF_CHANNEL = (*OF_WORKSPACE, _CHANNEL)
OF_CAMPAIGN = (*OF_WORKSPACE, _CAMPAIGN)
OF_MESSAGE = (*OF_CHANNEL, _CAMPAIGN)
OF_VARIATION = (*OF_MESSAGE, _VARIATION)

_REPLICA = "instance, pod, container, endpoint, node"
JOBS = "job, namespace, service"
"""What else a target brings along where it is scraped by more than one job."""
_Z = 1.96
"""Two-sided 95 %."""


def select(family: str, matchers: Iterable[str]) -> str:
    """Return a selector; matchers stand as given."""
    return f"{family}{{{', '.join(matchers)}}}"


def fold(selector: str) -> str:
    """Return the largest sample of what several exporters say of the same thing.

    Whether they do so under one job or under several does not matter.
    """
    return f"max without ({_REPLICA}, {JOBS}) ({selector})"


def added_up(selector: str) -> str:
    """Return a figure of which each shard has its own part, as all of them have it.

    Of several exporters that are the same shard, or none, the largest counts.
    """
    shard = select("braze_exporter_shard_info", OF_JOB)
    part = f"{selector} * on (job, instance) group_left (shard) {shard}"
    whole = f"{selector} unless on (job, instance) {shard}"
    return f"sum without (shard) ({fold(union(part, whole))})"


def newest(selector: str, *, day: str) -> str:
    """Return what those exporters say whose day, a timestamp, is the campaign's newest.

    One that does not reach Braze still shows yesterday's row after midnight, and most
    of its sums are larger than those of the new day.
    """
    latest = f"max by (workspace, campaign) ({day})"
    same = f"{latest} == on (workspace, campaign) group_right () {day}"
    return f"{selector} and on (instance, workspace, campaign) ({same})"


def least_of_jobs(selector: str, *by: str) -> str:
    """Return the largest sample of a job's exporters, and the smallest of the jobs."""
    return f"min by ({', '.join(by)}) (max without ({_REPLICA}) ({selector}))"


def total(vector: str, *by: str) -> str:
    """Return sums by labels; one sum without any."""
    return f"sum by ({', '.join(by)}) ({vector})" if by else f"sum({vector})"


def ratio(numerator: str, denominator: str, *by: str) -> str:
    """Return a ratio of sums by labels: nothing where the denominator is 0."""
    return f"{total(numerator, *by)} / ({total(denominator, *by)} > 0)"


def union(*vectors: str) -> str:
    """Return all samples; of those with the same labels the one that comes first."""
    return f"({' or '.join(f'({vector})' for vector in vectors)})"


def otherwise(vector: str, default: str, *, on: str = "") -> str:
    """Return samples, and those of a default where none has its labels in `on`."""
    return union(vector, f"({default}) unless on ({on}) ({vector})")


def largest(vector: str, *, count: int) -> str:
    """Return the largest samples: at a graph's last instant, for all of the graph."""
    return f"({vector}) and topk({count}, {moved(vector, '@ end()')})"


def moved(vector: str, modifier: str) -> str:
    """Return the same of another time: every selector gets the modifier."""
    return re.sub(r"\}(?=[ )])", f"}} {modifier}", vector)


def change(value: str, *, before: str) -> str:
    """Return by how much a value is above an earlier one, as a share of that."""
    return f"({value}) / (({before}) > 0) - 1"


def wilson(successes: str, trials: str, *, sign: str) -> str:
    """Return a bound of the 95 % Wilson interval of a rate; the sign tells which.

    Successes above the trials count as all of them, since the root of a negative number
    would be NaN. There is no bound where nothing was tried.
    """
    n = f"({trials} > 0)"
    p = f"clamp_max(({successes}) / {n}, 1)"
    z2 = round(_Z**2, 4)
    root = f"sqrt({_variance(p)} / {n} + {z2 / 4} / {n} ^ 2)"
    return f"({p} + {z2 / 2} / {n} {sign} {_Z} * {root}) / (1 + {z2} / {n})"


def _variance(share: str) -> str:
    """Return p · (1 - p), with the long expression of p only once in it."""
    return f"(0.25 - ({share} - 0.5) ^ 2)"


def z_score(
    successes: str, trials: str, *, control_successes: str, control_trials: str, on: str
) -> str:
    """Return how many standard errors a rate is above that of its control group.

    The two share the labels in `on`. At their pooled rate both must expect five
    successes, below which the normal approximation says nothing. No rate is above 1.
    """
    group = f"on ({on}) group_left ()"
    k, n = f"({successes})", f"({trials} > 0)"
    kc, nc = f"({control_successes})", f"({control_trials} > 0)"
    pooled = f"(({k} + {group} {kc}) / ({n} + {group} {nc}))"
    # Multiplied, compared and divided again: so it stands here once, for it is long.
    pooled = f"((({pooled} * {n} >= 5) / {n} * {group} {nc} >= 5) / {group} {nc})"
    error = f"sqrt({_variance(pooled)} * (1 / {n} + {group} (1 / {nc})))"
    return f"(({k} / {n} <= 1) - {group} ({kc} / {nc} <= 1)) / ({error} > 0)"

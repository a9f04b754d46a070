"""How close the email of campaigns and canvases is to the limits of providers."""

from __future__ import annotations

from grafana.generator import palette
from grafana.generator.figures import (
    BOUNCE,
    LAST,
    SPAM,
    TODAY,
    UNSUBSCRIBE,
    WEEK,
    Period,
    email,
)
from grafana.generator.promql import OBJECT, total, union

LEAST = 100
"""Messages of today from which on its rates are used."""
RATES = (
    (BOUNCE, palette.BOUNCE),
    (SPAM, palette.SPAM),
    (UNSUBSCRIBE, palette.UNSUBSCRIBE),
)
SHARE = palette.Limits(0.5, 1, decimals=0)
"""Of shares of an upper limit."""
_OBJECT = ", ".join(OBJECT)


def worst_share() -> str:
    """Return the newest rate that is worst, as a share of its upper limit, by object.

    Newest is today once enough was sent, else the last complete day, else 7 days.
    """
    limits = union(
        *(
            f'label_replace(vector({limits.critical:g}), "metric", "{rate.numerator}", '
            '"", "")'
            for rate, limits in RATES
        )
    )
    newest = union(
        _rates(TODAY, f">= {LEAST}"), *(_rates(each, "> 0") for each in (LAST, WEEK))
    )
    return f"max by ({_OBJECT}) ({newest} / on (metric) group_left () {limits})"


def _rates(period: Period, volume: str) -> str:
    """Return all rates by object and numerator, with the denominator as label `of`."""
    by = (*OBJECT, "metric")
    numerators = total(email(period, "bounces|reported_spam|unsubscribes"), *by)
    numerators = f'label_replace({numerators}, "of", "delivered", "", "")'
    numerators = f'label_replace({numerators}, "of", "sent", "metric", "bounces")'
    bases = f"{total(email(period, 'sent|delivered'), *by)} {volume}"
    bases = f'label_replace({bases}, "of", "$1", "metric", "(.+)")'
    return f"{numerators} / on ({_OBJECT}, of) group_left () {bases}"

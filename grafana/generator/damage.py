"""What harms the reputation of a sender, by day, each kind beside its limits."""

from __future__ import annotations

from grafana.generator import daily, figures, palette
from grafana.generator.figures import Period, stat
from grafana.generator.layout import Tile
from grafana.generator.panels import Query
from grafana.generator.promql import ratio, union

_OTHERS = "sms|rcs|whats_app|webhook"


def failures(period: Period, channel: str = _OTHERS) -> str:
    """Return failed messages; only SMS and RCS have two numbers of them."""
    return union(
        stat(period, "bounces|rejected|failed|errors", channel=channel),
        stat(period, "delivery_failed", channel="sms|rcs"),
    )


def by_day(period: Period, *, width: int, height: int = 7) -> list[Tile]:
    """Return graphs of failures, complaints and users that leave."""
    invalid = ratio(
        stat(period, "bounces", channel=figures.PUSH),
        stat(period, "sent", channel=figures.PUSH),
    )
    failed = ratio(failures(period), stat(period, "sent", channel=_OTHERS))
    left = ratio(
        stat(period, "opt_out", channel="sms|rcs"),
        stat(period, "delivered", channel="sms|rcs"),
    )
    graphs = (
        (
            "Bounced and failed, by day",
            [
                Query(figures.BOUNCE.over(period), "email: hard bounces"),
                Query(invalid, "push: invalid tokens"),
                Query(failed, "others: failed"),
            ],
            palette.BOUNCE,
            "Shares of `sent` on the last complete day: hard bounces of email, invalid "
            "tokens of push, rejected and failed SMS and RCS, failed WhatsApp "
            "messages, errors of webhooks. The lines at 3 % and 5 % are those of Braze "
            "for email.",
        ),
        (
            "Spam complaints, by day",
            [Query(figures.SPAM.over(period), "email: complaints")],
            palette.SPAM,
            f"{figures.SPAM.formula}, on the last complete day. A lower bound: Gmail "
            "reports none. The lines are at 0.08 % (Braze) and 0.3 % (Google and "
            "Yahoo).",
        ),
        (
            "Unsubscribed, by day",
            [
                Query(figures.UNSUBSCRIBE.over(period), "email: unsubscribes"),
                Query(left, "SMS, RCS: opt-outs"),
            ],
            palette.UNSUBSCRIBE,
            "`unsubscribes` of email and `opt_out` of SMS and RCS ÷ `delivered` on the "
            "last complete day. The lines at 0.5 % and 1 % are defaults of this "
            "project.",
        ),
    )
    return [
        Tile(
            daily.graph_by_day(
                title,
                queries,
                description=f"{text} {daily.POINT}",
                unit="percentunit",
                decimals=limits.decimals,
                thresholds=limits.steps(good=palette.NONE),
                is_rate=True,
                nothing="No such messages, or no figures",
                # The limits are seen, also far above the values.
                reach=limits.critical,
            ),
            width,
            height,
        )
        for title, queries, limits, text in graphs
    ]

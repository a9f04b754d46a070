"""Push, SMS, WhatsApp, in-app messages, content cards and webhooks."""

from __future__ import annotations

from grafana.generator import daily, health, links, messaging_channels, palette, tables
from grafana.generator.damage import failures
from grafana.generator.figures import (
    BY_DAY,
    IN_APP,
    LAST,
    PUSH,
    TODAY,
    WEEK,
    stat,
)
from grafana.generator.layout import TREND_ROWS, Drawn, Section, Tile
from grafana.generator.messaging_channels import (
    BY,
    DEAD,
    KEYS,
    REFUSED,
    SMS,
    STOP,
)
from grafana.generator.palette import FAILURE, INVALID_TOKENS, OPT_OUT, Limits
from grafana.generator.panels import Query
from grafana.generator.promql import ratio, total, union
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent

_CAN_FAIL = f"{PUSH}|{SMS}|whats_app|webhook"
_LEAST = 100
_FAILED = (
    "Failed, ÷ `sent`: `bounces` of push (invalid tokens), `rejected` and "
    "`delivery_failed` of SMS and RCS, `failed` of WhatsApp, `errors` of webhooks."
)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-messaging",
        title="Braze / Mobile and messaging",
        description="Push, SMS, WhatsApp, in-app messages, content cards and webhooks: "
        "failures, opt-outs and responses.",
        sections=(
            Section("All chosen messages: last complete day and 28 days", _headline()),
            Section("Where messages fail, and where users opt out", _failures()),
            *messaging_channels.sections(),
        ),
    )


def _headline() -> list[Tile]:
    return [
        Tile(health.exporter(links.to_exporter()), 4, TREND_ROWS),
        _rate(
            "Push bounces",
            stat(BY_DAY, "bounces", channel=PUSH),
            channel=PUSH,
            limits=INVALID_TOKENS,
            description=f"Sum of `bounces` ÷ sum of `sent`. {DEAD}",
            nothing="No push",
        ),
        _rate(
            "SMS failed",
            failures(BY_DAY, SMS),
            channel=SMS,
            limits=FAILURE,
            description="Sum of `rejected` and `delivery_failed` ÷ sum of `sent`, SMS "
            f"and RCS. {REFUSED}",
            nothing="No SMS",
        ),
        _rate(
            "SMS opt-outs",
            stat(BY_DAY, "opt_out", channel=SMS),
            of="delivered",
            channel=SMS,
            limits=OPT_OUT,
            description=f"Sum of `opt_out` ÷ sum of `delivered`, SMS and RCS. {STOP}",
            nothing="No SMS",
        ),
        _rate(
            "WhatsApp failed",
            stat(BY_DAY, "failed", channel="whats_app"),
            channel="whats_app",
            limits=FAILURE,
            description="Sum of `failed` ÷ sum of `sent`, WhatsApp.",
            nothing="No WhatsApp",
            width=4,
        ),
        _rate(
            "Webhook errors",
            stat(BY_DAY, "errors", channel="webhook"),
            channel="webhook",
            limits=FAILURE,
            description="Sum of `errors` ÷ sum of `sent`, which includes errors.",
            nothing="No webhooks",
            width=4,
        ),
        _rate(
            "In-app CTR",
            stat(BY_DAY, "clicks", channel=IN_APP),
            of="impressions",
            channel=IN_APP,
            limits=None,
            description="Click rate: sum of `clicks` ÷ sum of `impressions`. It has no "
            "limit.",
            nothing="No in-app",
        ),
    ]


def _rate(
    title: str,
    part: str,
    *,
    of: str = "sent",
    channel: str,
    limits: Limits | None,
    description: str,
    nothing: str,
    width: int = 3,
) -> Tile:
    """Return a rate of the last complete day, with a sparkline of the days."""
    panel = daily.number(
        title,
        ratio(part, stat(BY_DAY, of, channel=channel)),
        description=description,
        unit="percentunit",
        decimals=2,
        limits=limits,
        nothing=nothing,
    )
    return Tile(panel, width, TREND_ROWS)


def _failures() -> list[Tile]:
    opt_outs = ratio(
        stat(BY_DAY, "opt_out", channel=SMS),
        stat(BY_DAY, "delivered", channel=SMS),
        "channel",
    )
    failed = ratio(
        failures(BY_DAY, _CAN_FAIL), stat(BY_DAY, "sent", channel=_CAN_FAIL), "channel"
    )
    return [
        Tile(_worst(), 24, 11),
        *(
            Tile(
                daily.graph_by_day(
                    title,
                    [Query(rate, "{{channel}}")],
                    description=f"{text} On each complete day, the last one at the "
                    f"right. The dashed lines are defaults of this project: "
                    f"{100 * limits.warning:.0f} % and {100 * limits.critical:.0f} %. "
                    f"{daily.POINT}",
                    unit="percentunit",
                    decimals=2,
                    thresholds=limits.steps(good=palette.NONE),
                    is_rate=True,
                    nothing=nothing,
                ),
                12,
                8,
            )
            for title, rate, limits, text, nothing in (
                (
                    "Failed, by day and channel",
                    failed,
                    FAILURE,
                    _FAILED,
                    "No such messages, or no figures",
                ),
                (
                    "Opt-outs, by day and channel",
                    opt_outs,
                    OPT_OUT,
                    f"Sum of `opt_out` ÷ sum of `delivered`. {STOP}",
                    "No SMS or RCS, or no figures",
                ),
            )
        ),
    ]


def _worst() -> Drawn:
    """Return where most messages fail."""
    today = (
        f"{total(failures(TODAY, _CAN_FAIL), *BY)} / "
        f"({total(stat(TODAY, 'sent', channel=_CAN_FAIL), *BY)} >= {_LEAST})"
    )
    last, week = (
        ratio(failures(period, _CAN_FAIL), stat(period, "sent", channel=_CAN_FAIL), *BY)
        for period in (LAST, WEEK)
    )
    opt_out, opt_out_in_week = (
        ratio(
            stat(period, "opt_out", channel=SMS),
            stat(period, "delivered", channel=SMS),
            *BY,
        )
        for period in (LAST, WEEK)
    )
    return tables.table_of(
        "Failures and opt-outs by campaign, canvas and channel",
        [
            percent("Failed", union(today, last, week), FAILURE),
            percent("Failed, 7 d", week, FAILURE),
            percent("Opted out", union(opt_out, opt_out_in_week), OPT_OUT),
            percent("Opted out, 7 d", opt_out_in_week, OPT_OUT),
            Column("Sent, 7 d", total(stat(WEEK, "sent", channel=_CAN_FAIL), *BY)),
        ],
        keys=KEYS,
        sort="Failed",
        nothing="No such messages, or no figures",
        description=f"{_FAILED} The newest: of today so far once {_LEAST} were sent, "
        "else of the last complete day, else of the 7 days before today, which are "
        f"beside it, taken together. {DEAD} Opted out: `opt_out` ÷ `delivered` of SMS "
        "and RCS on the last complete day, else in the 7 days.",
    )

"""The dashboard of one campaign: its rates, its course, variations and channels."""

from __future__ import annotations

from grafana.generator import (
    campaign_variations,
    daily,
    damage,
    figures,
    health,
    links,
    object_state,
    palette,
    panels,
    promql,
    trial,
)
from grafana.generator.bars import groups
from grafana.generator.figures import Rate, converting, overall, stage, stat
from grafana.generator.freshness import DATE
from grafana.generator.layout import TREND_ROWS, Drawn, Section, Tile
from grafana.generator.palette import Limits
from grafana.generator.panels import Override, Query, property_
from grafana.generator.promql import fold, moved, ratio, select, total, union
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent, table_of

TODAY, LAST, DAYS = (
    period.of("campaign", scope=promql.OF_VARIATION)
    for period in (figures.TODAY, figures.LAST, figures.BY_DAY)
)
_BY_CHANNEL = ("workspace", "campaign", "channel")
_SPOKEN = "email|sms|whats_app|rcs"
_LEAST = 100
"""The least messages of a rate of today: that of a few is random."""
_NONE = "No figures"
_NAMES = (
    "Opened: email `unique_opens`, push `total_opens`, WhatsApp and RCS `read`, "
    "content cards `unique_impressions`, LINE `opens`. Clicked: email and content "
    "cards `unique_clicks`, push `body_clicks`, else `clicks`."
)
_REACHED = (
    "reached, which is `delivered` (email, SMS, WhatsApp, RCS), `sent` (push, content "
    "cards, LINE) or `impressions` (in-app)"
)
_WITHOUT_CONTROL = (
    "of multivariate campaigns over their variations without control groups, of "
    "others campaign-wide"
)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-campaign",
        title="Braze / Campaign",
        description="The rates, the course, the variations and the channels of a "
        "campaign: choose one above.",
        sections=(
            Section(
                "Last complete day, and each day before",
                [*_headline(), Tile(_channels(), 24, 4)],
            ),
            Section("Today and by day", _course()),
            Section("Variations", campaign_variations.tables()),
            Section("From sent to converted, and damage", _results()),
            Section(
                "How to read this, revenue per recipient, and the state of the data",
                [
                    Tile(trial.explanation(), 12, 10),
                    Tile(campaign_variations.revenue(), 12, 10),
                    Tile(object_state.table("campaign", promql.OF_CAMPAIGN), 24, 4),
                ],
                is_collapsed=True,
            ),
        ),
        hidden=("canvas",),
        is_of_one=True,
    )


def _opened() -> str:
    return ratio(stage(DAYS, figures.OPENED_OF_OPENABLE), stage(DAYS, figures.OPENABLE))


def _clicked() -> str:
    return ratio(stage(DAYS, figures.CLICKED), stage(DAYS, figures.CLICKABLE))


def _per_recipient(name: str) -> str:
    return ratio(converting(DAYS, name), overall(DAYS, "unique_recipients"))


def _headline() -> list[Tile]:
    sent = stat(DAYS, "sent", channel=_SPOKEN)
    return [
        Tile(health.exporter(links.to_exporter()), 4, TREND_ROWS),
        Tile(object_state.polls("campaign", promql.OF_CAMPAIGN), 4, TREND_ROWS),
        _rate(
            "Delivered",
            ratio(
                stage(DAYS, figures.DELIVERED),
                sent,
                nothing=figures.no_deliveries(DAYS, _SPOKEN),
            ),
            "Sum of `delivered` ÷ sum of `sent`, over the channels that report both: "
            "email, SMS, WhatsApp and RCS.",
            palette.DELIVERY,
        ),
        _rate(
            "Opened",
            _opened(),
            f"Opened ÷ {_REACHED}; in-app messages have no opens. {_NAMES}",
        ),
        _rate("Clicked", _clicked(), f"Clicked ÷ {_REACHED}. {_NAMES}"),
        _rate(
            "Converted",
            _per_recipient("conversions"),
            f"`conversions` (first conversion event), {_WITHOUT_CONTROL}, ÷ "
            "campaign-wide `unique_recipients`. A conversion counts on its own day. A "
            "chosen variation has no effect.",
        ),
        Tile(
            daily.number(
                "Revenue per 1,000",
                f"1000 * {_per_recipient('revenue')}",
                description=f"`revenue` in US dollars, {_WITHOUT_CONTROL}, per 1,000 "
                "of campaign-wide `unique_recipients`. A chosen variation has no "
                "effect.",
                unit="currencyUSD",
            ),
            4,
            TREND_ROWS,
        ),
    ]


def _rate(
    title: str, value: str, description: str, limits: Limits | None = None
) -> Tile:
    panel = daily.number(
        title,
        value,
        description=description,
        unit="percentunit",
        decimals=2,
        limits=limits,
    )
    return Tile(panel, 3, TREND_ROWS)


def _last_sent() -> str:
    """Return the last day with messages by channel, in milliseconds at noon."""

    def day(period: figures.Period) -> str:
        family = f"braze_campaign_{period.suffix}_timestamp_seconds"
        start = fold(select(family, promql.OF_CAMPAIGN))
        return (
            f"0 * ({total(stage(period, figures.VOLUME), *_BY_CHANNEL)} > 0) + "
            f"on (workspace, campaign) group_left () "
            f"max by (workspace, campaign) ({start})"
        )

    earlier = f"max_over_time(({day(LAST)})[28d:1d])"
    return f"1000 * (43200 + {union(day(TODAY), day(LAST), earlier)})"


def _channels() -> Drawn:
    by = _BY_CHANNEL
    info = fold(select("braze_campaign_info", promql.OF_CAMPAIGN))
    on_info = "* on (workspace, campaign) group_left (campaign_id)"
    sent = (
        f"{total(stage(LAST, figures.VOLUME), *by)} {on_info} "
        f"max by (workspace, campaign, campaign_id) ({info})"
    )

    def today(rate: Rate) -> str:
        base = total(figures.email(TODAY, rate.denominator), *by)
        return f"{rate.over(TODAY, *by)} and {base} >= {_LEAST}"

    return table_of(
        "Channels",
        [
            Column("Last sent", _last_sent(), DATE, width=100),
            Column("Sent", sent),
            percent("Bounce today", today(figures.BOUNCE), palette.BOUNCE),
            percent("Spam today", today(figures.SPAM), palette.SPAM),
        ],
        keys=("channel", "campaign_id", "workspace"),
        sort="Sent",
        nothing=_NONE,
        description="Last sent: the last day with messages that Prometheus stored, of "
        f"28. Sent on {LAST.days}: `sent`, in-app `impressions`. Bounces (÷ `sent`) "
        "and spam complaints (÷ `delivered`) of email today so far, once "
        f"{_LEAST} were sent.",
    )


def _course() -> list[Tile]:
    today = total(stage(TODAY, figures.VOLUME))
    dashes = property_("custom.lineStyle", {"fill": "dash", "dash": [6, 6]})
    return [
        Tile(
            panels.graph(
                "Today against yesterday and last week",
                [
                    Query(today, "today"),
                    Query(moved(today, "offset 1d"), "yesterday"),
                    Query(moved(today, "offset 7d"), "a week ago"),
                ],
                lines=[Override("/^(yesterday|a week ago)$/", [dashes])],
                since=panels.TODAY,
                description="Messages today so far, since midnight in your browser: "
                "`sent`, in-app `impressions`, over the chosen channels and "
                "variations; dashed, what Prometheus stored at the same time "
                "yesterday and on the same weekday of last week. They restart at 0 "
                "at midnight in the workspace's time zone.",
                unit="short",
                nothing=_NONE,
            ),
            12,
            6,
        ),
        Tile(
            daily.graph_by_day(
                "Messages by day and channel",
                [Query(total(stage(DAYS, figures.VOLUME), "channel"), "{{channel}}")],
                description="`sent`, of in-app messages `impressions`, on the last "
                f"complete day. {daily.POINT}",
                unit="short",
                nothing=_NONE,
            ),
            12,
            6,
        ),
    ]


def _results() -> list[Tile]:
    return [
        Tile(_funnel(), 12, 7),
        Tile(_conversion_events(), 6, 7),
        Tile(
            daily.graph_by_day(
                "Revenue by day",
                [Query(total(converting(DAYS, "revenue")), "revenue")],
                description=f"Sum of `revenue` in US dollars, {_WITHOUT_CONTROL}, on "
                f"the last complete day. A chosen variation has no effect. "
                f"{daily.POINT}",
                unit="currencyUSD",
                nothing=_NONE,
            ),
            6,
            7,
        ),
        Tile(
            daily.graph_by_day(
                "Opened and clicked, by day",
                [Query(_opened(), "opened"), Query(_clicked(), "clicked")],
                description=f"Shares of {_REACHED}, on the last complete day; in-app "
                f"messages have no opens. {_NAMES} {daily.POINT}",
                unit="percentunit",
                decimals=1,
                is_rate=True,
                nothing=_NONE,
            ),
            6,
            6,
        ),
        *damage.by_day(DAYS, width=6, height=6),
    ]


def _funnel() -> Drawn:
    sent = f"({total(stage(LAST, figures.VOLUME), 'channel')} > 0)"
    steps = (
        ("Delivered", total(stage(LAST, figures.DELIVERED), "channel")),
        ("Opened", total(stage(LAST, figures.OPENED_OF_OPENABLE), "channel")),
        ("Clicked", total(stage(LAST, figures.CLICKED), "channel")),
        ("Converted", figures.converted(LAST, "channel")),
    )
    return groups(
        "Funnel by channel, share of sent",
        [Query(f"{vector} / {sent}", title) for title, vector in steps],
        label="channel",
        description=f"Sums by channel on {LAST.days} ÷ `sent`, in-app `impressions`. A "
        "bar that is missing: push and cards report no `delivered`, SMS no opens, and "
        "conversions by channel need variations, or one channel only. "
        f"{_NAMES}",
        unit="percentunit",
        decimals=1,
        nothing=_NONE,
    )


def _conversion_events() -> Drawn:
    names = ("conversions", "conversions1", "conversions2", "conversions3")
    return daily.graph_by_day(
        "Conversion events, by day",
        [
            Query(total(converting(DAYS, name)), f"event {letter}")
            for name, letter in zip(names, "ABCD", strict=True)
        ],
        description="Sums of `conversions`, `conversions1`, `conversions2` and "
        f"`conversions3`: Braze's conversion events A to D, {_WITHOUT_CONTROL}, "
        "counted on the day of the conversion, on the last complete day. An event "
        f"that is not configured shows 0. {daily.POINT}",
        unit="short",
        is_rate=True,
        nothing=_NONE,
    )

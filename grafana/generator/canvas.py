"""The dashboard of one canvas: entries, steps, variants and channels."""

from __future__ import annotations

from grafana.generator import (
    canvas_parts,
    daily,
    damage,
    figures,
    health,
    links,
    object_state,
    palette,
    promql,
)
from grafana.generator.figures import stage, stat
from grafana.generator.layout import TREND_ROWS, Section, Tile
from grafana.generator.palette import Limits
from grafana.generator.panels import Query
from grafana.generator.promql import fold, ratio, select, total
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent, table_of

_WEEK = figures.WEEK.of("canvas", scope=promql.OF_CANVAS_CHANNEL)
_DAYS = figures.BY_DAY.of("canvas", scope=promql.OF_CANVAS_CHANNEL)
_BY_CHANNEL = ("workspace", "canvas", "channel")
_NONE = "No figures"


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-canvas",
        kind="canvas",
        title="Braze / Canvas",
        description="The entries, steps, variants and channels of a canvas: choose one "
        "above.",
        sections=(
            Section("Last complete day, and each day before", _headline()),
            Section("By day", _course()),
            Section("Steps", canvas_parts.steps()),
            Section("Variants", [canvas_parts.variants()]),
            Section("Channels", _channels()),
            Section(
                "How to read this, and the state of the data",
                [
                    Tile(canvas_parts.explanation(), 24, 9),
                    Tile(object_state.table("canvas", promql.OF_CANVAS), 24, 4),
                ],
                is_collapsed=True,
            ),
        ),
        hidden=("campaigns", "variation"),
        extra=(canvas_parts.baseline(),),
    )


def _whole(name: str) -> str:
    """Return a canvas-wide number of each day."""
    selector = select(_DAYS.overall, (*promql.OF_CANVAS, f'metric="{name}"'))
    return fold(promql.by_day(selector))


def _headline() -> list[Tile]:
    entries = _whole("entries")
    sent = total(stage(_DAYS, figures.VOLUME))
    tiles = (
        (health.exporter(links.to_exporter()), 4),
        (object_state.polls("canvas", promql.OF_CANVAS), 4),
        (
            daily.number(
                "Entries",
                total(entries),
                description="Users that entered: `entries`. A user may enter several "
                "times.",
            ),
            3,
        ),
        (
            daily.number(
                "Messages per entry",
                f"{sent} / ({total(entries)} > 0)",
                description="Messages (`sent`, in-app: `impressions`) in the chosen "
                "channels ÷ `entries`. Messages of a day are also to users that "
                "entered before.",
                decimals=2,
            ),
            4,
        ),
        (
            daily.number(
                "Converted",
                ratio(_whole("conversions"), entries),
                description="`conversions` (first conversion event) ÷ `entries`; "
                "controls are included. A conversion counts on its own day, also of "
                "users that entered before.",
                unit="percentunit",
                decimals=2,
            ),
            3,
        ),
        (
            daily.number(
                "Bounces",
                figures.BOUNCE.over(_DAYS),
                description=f"{figures.BOUNCE.formula}. Hard bounces only: Braze does "
                "not report soft bounces here.",
                unit="percentunit",
                limits=palette.BOUNCE,
                nothing="No email",
            ),
            3,
        ),
        (
            daily.number(
                "Spam",
                figures.SPAM.over(_DAYS),
                description=f"{figures.SPAM.formula}. A lower bound: Gmail reports "
                "none.",
                unit="percentunit",
                limits=palette.SPAM,
                nothing="No email",
            ),
            3,
        ),
    )
    return [Tile(panel, width, TREND_ROWS) for panel, width in tiles]


def _course() -> list[Tile]:
    sent = total(stage(_DAYS, figures.VOLUME), "channel")
    return [
        Tile(
            daily.graph_by_day(
                "Entries by day",
                [Query(total(_whole("entries")), "entries")],
                description="`entries` of the canvas on the last complete day, "
                f"including those of controls. {daily.POINT}",
                unit="short",
                nothing=_NONE,
            ),
            12,
            7,
        ),
        Tile(
            daily.graph_by_day(
                "Messages by day and channel",
                [Query(sent, "{{channel}}")],
                description="Messages of all steps on the last complete day: `sent`, "
                f"of in-app messages `impressions`. {daily.POINT}",
                unit="short",
                nothing=_NONE,
            ),
            12,
            7,
        ),
    ]


def _channels() -> list[Tile]:
    def rate(
        title: str, name: str, channel: str, of: str, limits: Limits | None = None
    ) -> Column:
        numerator = stat(_WEEK, name, channel=channel)
        base = stat(_WEEK, of, channel=channel)
        return percent(title, ratio(numerator, base, *_BY_CHANNEL), limits)

    failed = ratio(
        damage.failures(_WEEK),
        stat(_WEEK, "sent", channel="sms|rcs|whats_app|webhook"),
        *_BY_CHANNEL,
    )
    opened = ratio(
        stage(_WEEK, figures.OPENED_OF_OPENABLE),
        stage(_WEEK, figures.OPENABLE),
        *_BY_CHANNEL,
    )
    clicked = ratio(
        stage(_WEEK, figures.CLICKED), stage(_WEEK, figures.CLICKABLE), *_BY_CHANNEL
    )
    spoken = "email|sms|whats_app|rcs"
    columns = [
        Column("Sent", total(stage(_WEEK, figures.VOLUME), *_BY_CHANNEL)),
        rate("Delivered", "delivered", spoken, "sent", palette.DELIVERY),
        rate("Bounced", "bounces", "email", "sent", palette.BOUNCE),
        rate("Spam", "reported_spam", "email", "delivered", palette.SPAM),
        rate(
            *("Unsubscribed", "unsubscribes", "email", "delivered"),
            palette.UNSUBSCRIBE,
        ),
        rate(
            *("Invalid tokens", "bounces", figures.PUSH, "sent"), palette.INVALID_TOKENS
        ),
        percent("Failed", failed, palette.FAILURE),
        rate("Opted out", "opt_out", "sms|rcs", "delivered", palette.OPT_OUT),
        percent("Opened", opened),
        percent("Clicked", clicked),
    ]
    return [
        Tile(
            table_of(
                "Channels, 7 days",
                columns,
                keys=("channel", "workspace"),
                sort="Sent",
                nothing=_NONE,
                description=f"Over {_WEEK.days}, added over all steps. Sent: `sent`, "
                "of in-app messages `impressions`. ÷ `sent`: `delivered`, `bounces` "
                "(email: hard bounces; push: invalid tokens) and failed, which is "
                "`rejected` and `delivery_failed` (SMS, RCS), `failed` (WhatsApp) or "
                "`errors` (webhooks). ÷ `delivered`: `reported_spam`, `unsubscribes` "
                "and `opt_out`. Opened and clicked ÷ delivered, sent or shown; sums of "
                "unique figures are upper bounds. An empty cell: the channel has no "
                "such figure.",
            ),
            24,
            6,
        ),
        *damage.by_day(_DAYS, width=8),
    ]

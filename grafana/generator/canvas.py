"""The dashboard of one canvas: entries, steps, variants and channels."""

from __future__ import annotations

from grafana.generator import (
    canvas_parts,
    daily,
    figures,
    freshness,
    palette,
    panels,
    promql,
)
from grafana.generator.figures import stage, stat
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.palette import Limits
from grafana.generator.panels import Query
from grafana.generator.promql import fold, ratio, select, total, union
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent, table_of

_WEEK = figures.WEEK.of("canvas", scope=promql.OF_CANVAS_CHANNEL)
_DAYS = figures.BY_DAY.of("canvas", scope=promql.OF_CANVAS_CHANNEL)
_BY_CHANNEL = ("workspace", "canvas", "channel")
_POINT = (
    "A bar covers its day, a point is at its end. The days are right if the time zones "
    "of your browser and of the workspace differ by less than 12 hours."
)
_NONE = "No figures"
_UNSENT = "No messages"


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
                    Tile(freshness.state("canvas", promql.OF_CANVAS), 24, 4),
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
    return [
        Tile(panel, 4, 4)
        for panel in (
            _state(),
            _number(
                "Entries",
                total(entries),
                description="Users that entered: `entries`. A user may enter several "
                "times.",
                nothing=_NONE,
            ),
            _number(
                "Messages per entry",
                f"{sent} / ({total(entries)} > 0)",
                description="Messages (`sent`, in-app: `impressions`) in the chosen "
                "channels ÷ `entries`. Messages of a day are also to users that "
                "entered before.",
                decimals=2,
            ),
            _number(
                "Conversion per entry",
                ratio(_whole("conversions"), entries),
                description="`conversions` (first conversion event) ÷ `entries`; "
                "controls are included. A conversion counts on its own day, also of "
                "users that entered before.",
                unit="percentunit",
                decimals=2,
            ),
            _number(
                "Bounces (email)",
                figures.BOUNCE.over(_DAYS),
                description=f"{figures.BOUNCE.formula}. Hard bounces only: Braze does "
                "not report soft bounces here.",
                unit="percentunit",
                limits=palette.BOUNCE,
                nothing="No email",
            ),
            _number(
                "Spam (email)",
                figures.SPAM.over(_DAYS),
                description=f"{figures.SPAM.formula}. A lower bound: Gmail reports "
                "none.",
                unit="percentunit",
                limits=palette.SPAM,
                nothing="No email",
            ),
        )
    ]


def _number(
    title: str,
    value: str,
    *,
    description: str,
    unit: str = "short",
    decimals: int | None = None,
    limits: Limits | None = None,
    nothing: str = _UNSENT,
) -> Drawn:
    """Return a number of the last complete day, with a sparkline of the days."""
    return panels.stat(
        title,
        [],
        trend=Query(value),
        description=f"{description} Of {figures.LAST.days}, above the days before.",
        unit=unit,
        decimals=limits.decimals if limits else decimals,
        thresholds=limits.steps(good=palette.PLAIN) if limits else None,
        nothing=nothing,
    )


def _state() -> Drawn:
    """Return whether the figures are fresh, in words, also if nothing is scraped."""
    selector = select("braze_canvas_up", promql.OF_CANVAS)
    up = f"min({promql.least_of_jobs(selector, 'workspace', 'canvas')})"
    build = select("braze_exporter_build_info", promql.OF_JOB)
    unpolled, down = -1, -2
    code = union(up, f"0 * count({build}) + {unpolled}", f"vector({down})")
    return panels.stat(
        "Polls",
        [Query(code)],
        description="Whether the last finished poll of the canvas succeeded. A canvas "
        "whose polls fail has the figures of its last success until they are stale; "
        "the Exporter dashboard has the reason.",
        unit="short",
        mappings=panels.words(
            (1, "succeed", palette.PLAIN),
            (0, "fail", palette.VERMILLION),
            (unpolled, "not polled", palette.ORANGE),
            (down, "Exporter down", palette.VERMILLION),
        ),
    )


def _course() -> list[Tile]:
    sent = total(stage(_DAYS, figures.VOLUME), "channel")
    return [
        Tile(
            daily.graph_by_day(
                "Entries by day",
                [Query(total(_whole("entries")), "entries")],
                description="`entries` of the canvas on the last complete day, "
                f"including those of controls. {_POINT}",
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
                f"of in-app messages `impressions`. {_POINT}",
                unit="short",
                nothing=_UNSENT,
            ),
            12,
            7,
        ),
    ]


def _failures(period: figures.Period) -> str:
    """Return refused and failed messages, under all names that channels have."""
    return union(
        stat(period, "rejected", channel="sms|rcs"),
        stat(period, "delivery_failed", channel="sms|rcs"),
        stat(period, "failed", channel="whats_app"),
        stat(period, "errors", channel="webhook"),
    )


def _channels() -> list[Tile]:
    def rate(
        title: str, name: str, channel: str, of: str, limits: Limits | None = None
    ) -> Column:
        numerator = stat(_WEEK, name, channel=channel)
        base = stat(_WEEK, of, channel=channel)
        return percent(title, ratio(numerator, base, *_BY_CHANNEL), limits)

    failed = ratio(
        _failures(_WEEK),
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
                nothing=_UNSENT,
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
        *_damage(),
    ]


def _damage() -> list[Tile]:
    bounced = ratio(
        stat(_DAYS, "bounces", channel=f"email|{figures.PUSH}"),
        stat(_DAYS, "sent", channel=f"email|{figures.PUSH}"),
        "channel",
    )
    failed = ratio(
        _failures(_DAYS),
        stat(_DAYS, "sent", channel="sms|rcs|whats_app|webhook"),
        "channel",
    )
    left = union(
        figures.UNSUBSCRIBE.over(_DAYS, "channel"),
        ratio(
            stat(_DAYS, "opt_out", channel="sms|rcs"),
            stat(_DAYS, "delivered", channel="sms|rcs"),
            "channel",
        ),
    )
    of_spam = figures.SPAM.over(_DAYS, "channel")
    return [
        Tile(
            daily.graph_by_day(
                title,
                [Query(vector, "{{channel}}")],
                description=f"{text} {_POINT}",
                unit="percentunit",
                decimals=limits.decimals,
                thresholds=limits.steps(good=palette.NONE),
                is_rate=True,
                nothing=_UNSENT,
            ),
            8,
            7,
        )
        for title, vector, limits, text in (
            (
                "Bounced and failed, by day",
                union(bounced, failed),
                palette.BOUNCE,
                "Shares of `sent` on the last complete day: hard bounces of email, "
                "invalid tokens of push, rejected and failed SMS, failed WhatsApp "
                "messages, errors of webhooks. The lines at 3 % and 5 % are those of "
                "Braze for email.",
            ),
            (
                "Spam complaints, by day",
                of_spam,
                palette.SPAM,
                f"{figures.SPAM.formula}, on the last complete day. A lower bound: "
                "Gmail reports none. The lines at 0.08 % (Braze) and 0.3 % (Google and "
                "Yahoo) are the limits of the deliverability dashboard.",
            ),
            (
                "Unsubscribes and opt-outs, by day",
                left,
                palette.UNSUBSCRIBE,
                "`unsubscribes` of email and `opt_out` of SMS ÷ `delivered` on the "
                "last complete day. The lines at 0.5 % and 1 % are defaults of this "
                "project.",
            ),
        )
    ]

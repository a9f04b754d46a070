"""Push, SMS, WhatsApp, in-app messages, content cards and webhooks."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.generator import links, palette, panels, tables
from grafana.generator.figures import (
    BY_DAY,
    IN_APP,
    LAST,
    PUSH,
    TODAY,
    WEEK,
    Period,
    stat,
)
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.palette import FAILURE, INVALID_TOKENS, OPT_OUT, Limits
from grafana.generator.panels import Query
from grafana.generator.promql import (
    OBJECT,
    OF_VARIATION,
    fold,
    named,
    ratio,
    select,
    total,
)
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent

_KEYS = ("kind", "name", "channel", "workspace")
_BY = (*OBJECT, "channel")
_DAYS = f"Ratios of sums by campaign or canvas, and channel, on {LAST.days}"
_UNIQUE = "Sums of unique figures over variations are upper bounds."
_ABSENT = "An empty cell: the channel has no such figure, or nothing was sent."


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-messaging",
        title="Braze / Mobile and messaging",
        description="Push, SMS, WhatsApp, in-app messages, content cards and webhooks: "
        "failures, opt-outs and responses.",
        sections=(
            Section("Push", _push()),
            Section("SMS and RCS", _sms()),
            Section("WhatsApp and LINE", _chat()),
            Section("In-app messages and content cards", _in_app()),
            Section("Webhooks", _webhooks()),
            Section("Buttons and slides", [Tile(_buttons(), 24, 8)]),
        ),
    )


def _rate(
    title: str,
    channel: str,
    name: str,
    *,
    of: str = "sent",
    limits: Limits | None = None,
    period: Period = LAST,
) -> Column:
    """Return a column of a ratio of two of Braze's numbers of a channel."""
    return percent(
        title,
        ratio(
            stat(period, name, channel=channel),
            stat(period, of, channel=channel),
            *_BY,
        ),
        limits,
    )


def _sum(title: str, channel: str, name: str, *, period: Period = LAST) -> Column:
    return Column(title, total(stat(period, name, channel=channel), *_BY))


def _table(title: str, columns: Sequence[Column], *, description: str) -> Drawn:
    """Return a table of the campaigns and canvases with some channels."""
    channels = title.removesuffix(" by campaign and canvas")
    return tables.table_of(
        f"{title}, last complete day",
        columns,
        keys=_KEYS,
        sort=columns[0].title,
        nothing=f"{channels}: none in this choice",
        description=f"{_DAYS}. {description} {_ABSENT}",
    )


def _failures(
    title: str,
    channel: str,
    names: dict[str, str],
    *,
    description: str,
    limits: Limits,
    of: str = "sent",
) -> Drawn:
    """Return a graph of a channel's failures, over all campaigns and canvases."""
    return panels.graph(
        title,
        [
            Query(
                ratio(
                    stat(BY_DAY, name, channel=channel),
                    stat(BY_DAY, of, channel=channel),
                    "channel",
                ),
                f"{{{{channel}}}}: {legend}",
            )
            for name, legend in names.items()
        ],
        description=f"Ratios of sums by channel on {LAST.days}, so it changes at "
        f"midnight. {description} The dashed lines are defaults of this project: "
        f"{limits.warning:.0%} and {limits.critical:.0%}.",
        unit="percentunit",
        thresholds=limits.steps(good=palette.NONE),
        nothing="No such messages in this choice",
        is_by_day=True,
    )


def _push() -> list[Tile]:
    dead = "Bounces are invalid tokens: the app was removed or push was "
    dead += "turned off. They do not affect the sender reputation."
    dead_today = named(total(stat(TODAY, "bounces", channel=PUSH), *_BY), "channel")
    return [
        Tile(
            _table(
                "Push by campaign and canvas",
                [
                    _sum("Sent", PUSH, "sent"),
                    _rate(
                        "Opted out or invalid", PUSH, "bounces", limits=INVALID_TOKENS
                    ),
                    _rate("Opened", PUSH, "total_opens|influenced_opens"),
                    _rate("Opened directly", PUSH, "direct_opens|opens"),
                    _rate("Clicked", PUSH, "body_clicks"),
                ],
                description="All ÷ `sent`: `bounces`, `total_opens` (canvases: "
                "`influenced_opens`), `direct_opens` (canvases: `opens`), "
                f"`body_clicks`. {dead}",
            ),
            24,
            9,
        ),
        Tile(
            _failures(
                "Push: opt-outs and invalid tokens",
                PUSH,
                {"bounces": "opted out or invalid"},
                description=f"`bounces` ÷ `sent`. {dead}",
                limits=INVALID_TOKENS,
            ),
            12,
            8,
        ),
        Tile(
            panels.bars(
                "Push: opt-outs and invalid tokens, today so far",
                [
                    Query(
                        f"sort_desc({dead_today})",
                        "{{workspace}} / {{name}}: {{channel}}",
                    )
                ],
                name="${__field.labels.name}: ${__field.labels.channel}",
                description="Sum of `bounces` of push by campaign or canvas, and "
                f"channel, today so far (incomplete). {dead}",
                unit="short",
                links=[links.of_series()],
            ),
            12,
            8,
        ),
    ]


def _sms() -> list[Tile]:
    channel = "sms|rcs"
    refused = "Rejected: by the carrier. Failed: before reaching a carrier."
    opted_out = "Opt-outs are users who replied STOP."
    return [
        Tile(
            _table(
                "SMS and RCS by campaign and canvas",
                [
                    _sum("Sent", channel, "sent"),
                    _rate("Delivered", channel, "delivered"),
                    _rate("Rejected", channel, "rejected", limits=FAILURE),
                    _rate("Failed", channel, "delivery_failed", limits=FAILURE),
                    _rate(
                        "Opted out", channel, "opt_out", of="delivered", limits=OPT_OUT
                    ),
                    _rate("Replied HELP", channel, "help", of="delivered"),
                    _rate("Clicked", channel, "clicks", of="delivered"),
                ],
                description="`delivered`, `rejected` and `delivery_failed` ÷ `sent`; "
                f"`opt_out`, `help` and `clicks` ÷ `delivered`. {refused} "
                f"{opted_out}",
            ),
            24,
            7,
        ),
        Tile(
            _failures(
                "SMS and RCS: rejected and failed",
                channel,
                {"rejected": "rejected", "delivery_failed": "failed"},
                description=f"`rejected` and `delivery_failed` ÷ `sent`. {refused}",
                limits=FAILURE,
            ),
            12,
            8,
        ),
        Tile(
            _failures(
                "SMS: opt-outs",
                channel,
                {"opt_out": "opted out"},
                description=f"`opt_out` ÷ `delivered`. {opted_out}",
                limits=OPT_OUT,
                of="delivered",
            ),
            12,
            8,
        ),
    ]


def _chat() -> list[Tile]:
    return [
        Tile(
            _table(
                "WhatsApp and LINE by campaign and canvas",
                [
                    _sum("Sent", "whats_app|line", "sent"),
                    _rate("Delivered", "whats_app", "delivered"),
                    _rate("Failed", "whats_app", "failed", limits=FAILURE),
                    _rate("Read", "whats_app", "read", of="delivered"),
                    _rate("Opened", "line", "opens"),
                    _rate("Clicked", "line", "clicks"),
                ],
                description="WhatsApp: `delivered` and `failed` ÷ `sent`, `read` ÷ "
                "`delivered`. LINE: `opens` and `clicks` ÷ `sent`; Braze counts them "
                "only above 20 messages a day.",
            ),
            24,
            6,
        ),
        Tile(
            _failures(
                "WhatsApp: failed",
                "whats_app",
                {"failed": "failed"},
                description="`failed` ÷ `sent`.",
                limits=FAILURE,
            ),
            12,
            8,
        ),
    ]


def _in_app() -> list[Tile]:
    cards = "content_cards"
    return [
        Tile(
            _table(
                "In-app messages by campaign and canvas",
                [
                    _sum("Impressions", IN_APP, "impressions"),
                    _rate("Clicked", IN_APP, "clicks", of="impressions"),
                    _rate(
                        "First button", IN_APP, "first_button_clicks", of="impressions"
                    ),
                    _rate(
                        "Second button",
                        IN_APP,
                        "second_button_clicks",
                        of="impressions",
                    ),
                ],
                description="`clicks`, `first_button_clicks` and "
                "`second_button_clicks` ÷ `impressions`. In-app messages are not sent "
                "and cannot bounce.",
            ),
            24,
            6,
        ),
        Tile(
            _table(
                "Content cards by campaign and canvas",
                [
                    _sum("Sent", cards, "sent"),
                    _rate("Seen", cards, "unique_impressions"),
                    _rate("Clicked", cards, "unique_clicks", of="unique_impressions"),
                    _rate(
                        "Dismissed", cards, "unique_dismissals", of="unique_impressions"
                    ),
                ],
                description="`unique_impressions` ÷ `sent`; `unique_clicks` and "
                f"`unique_dismissals` ÷ `unique_impressions`. {_UNIQUE}",
            ),
            24,
            6,
        ),
    ]


def _webhooks() -> list[Tile]:
    return [
        Tile(
            tables.table_of(
                "Webhooks by campaign and canvas",
                [
                    _sum("Sent", "webhook", "sent"),
                    _sum("Errors", "webhook", "errors"),
                    _rate("Error rate", "webhook", "errors", limits=FAILURE),
                    _rate(
                        "Error rate, 7 days",
                        "webhook",
                        "errors",
                        limits=FAILURE,
                        period=WEEK,
                    ),
                    _sum("Sent today", "webhook", "sent", period=TODAY),
                    _sum("Errors today", "webhook", "errors", period=TODAY),
                ],
                keys=_KEYS,
                sort="Sent",
                nothing="Webhooks: none in this choice",
                description="Sent, errors and `errors` ÷ `sent` by campaign and canvas "
                f"on {LAST.days}; "
                "the rate over the 7 days before today taken together; and the two "
                "counts of today so far (incomplete). `sent` includes errors.",
            ),
            24,
            6,
        ),
        Tile(
            _failures(
                "Webhooks: errors",
                "webhook",
                {"errors": "errors"},
                description="`errors` ÷ `sent`.",
                limits=FAILURE,
            ),
            12,
            8,
        ),
    ]


def _buttons() -> Drawn:
    matchers = (*OF_VARIATION, 'metric=~"(carousel_slide|notif_button)_.+_click"')
    clicks = fold(select(LAST.family, matchers))
    by = (*_BY, "metric")
    return tables.table_of(
        "Clicks on buttons and carousel slides, last complete day",
        [Column("Clicks", total(clicks, *by))],
        keys=(*_KEYS, "metric"),
        sort="Clicks",
        nothing="Buttons and slides: none in this choice",
        description="Braze's `carousel_slide_<number>_<title>_click` and "
        f"`notif_button_<number>_<title>_click`, each separately, on {LAST.days}. "
        "Empty if no push message has any.",
    )

"""The figures of each channel but email, by campaign and canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grafana.generator import tables
from grafana.generator.figures import IN_APP, LAST, PUSH, WEEK, Period, stat
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.palette import FAILURE, INVALID_TOKENS, OPT_OUT, Limits
from grafana.generator.promql import OBJECT, OF_MESSAGE, fold, ratio, select, total
from grafana.generator.tables import Column, percent

KEYS = ("kind", "name", "channel", "workspace")
BY = (*OBJECT, "channel")
SMS = "sms|rcs"
DEAD = (
    "Bounces of push are invalid tokens: the app was removed or push was turned off. "
    "They do not affect the sender reputation."
)
REFUSED = "Rejected: by the carrier. Failed: before reaching a carrier."
STOP = "Opt-outs are users who replied STOP."

_CARDS = "content_cards"
_DAYS = f"By campaign or canvas, and channel: ratios of sums on {LAST.days}"
_UNIQUE = "Sums of unique figures over variations are upper bounds."
_ABSENT = "An empty cell: the channel has no such figure, or nothing was sent."


def sections() -> tuple[Section, ...]:
    """Return a heading for each channel; only that of push is open."""
    return (
        Section("Push", [Tile(_push(), 24, 10)]),
        *(
            Section(title, [Tile(panel, 24, 9)], is_collapsed=True)
            for title, panel in (
                ("SMS and RCS", _sms()),
                ("WhatsApp and LINE", _chat()),
                ("In-app messages", _in_app()),
                ("Content cards", _content_cards()),
                ("Webhooks", _webhooks()),
                ("Buttons and slides of push", _buttons()),
            )
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
            stat(period, name, channel=channel), stat(period, of, channel=channel), *BY
        ),
        limits,
    )


def _sum(title: str, channel: str, name: str) -> Column:
    return Column(title, total(stat(LAST, name, channel=channel), *BY))


def _table(channels: str, columns: Sequence[Column], *, description: str) -> Drawn:
    """Return a table of the last complete day, the highest of the first rate on top."""
    # With the arrow of the order.
    first = replace(columns[0], width=tables.title_width(columns[0].title) + 18)
    title = f"{channels[0].upper()}{channels[1:]}"
    return tables.table_of(
        f"{title} by campaign and canvas, last complete day",
        [first, *columns[1:]],
        keys=KEYS,
        sort=first.title,
        nothing=f"No {channels.replace(' and ', ' or ')}, or no figures",
        description=f"{_DAYS}. {description} {_ABSENT}",
    )


def _push() -> Drawn:
    return _table(
        "push messages",
        [
            _rate("Bounced", PUSH, "bounces", limits=INVALID_TOKENS),
            _rate("Opened", PUSH, "total_opens|influenced_opens"),
            _rate("Opened directly", PUSH, "direct_opens|opens"),
            _rate("Clicked", PUSH, "body_clicks"),
            _sum("Sent", PUSH, "sent"),
        ],
        description="All ÷ `sent`: `bounces`, `total_opens` (canvases: "
        "`influenced_opens`), `direct_opens` (canvases: `opens`), `body_clicks`. "
        f"{DEAD}",
    )


def _sms() -> Drawn:
    return _table(
        "SMS and RCS",
        [
            _rate("Rejected", SMS, "rejected", limits=FAILURE),
            _rate("Failed", SMS, "delivery_failed", limits=FAILURE),
            _rate("Opted out", SMS, "opt_out", of="delivered", limits=OPT_OUT),
            _rate("Delivered", SMS, "delivered"),
            _rate("Replied HELP", SMS, "help", of="delivered"),
            _rate("Clicked", SMS, "clicks", of="delivered"),
            _sum("Sent", SMS, "sent"),
        ],
        description="`delivered`, `rejected` and `delivery_failed` ÷ `sent`; "
        f"`opt_out`, `help` and `clicks` ÷ `delivered`. {REFUSED} {STOP}",
    )


def _chat() -> Drawn:
    return _table(
        "WhatsApp and LINE",
        [
            _rate("Failed", "whats_app", "failed", limits=FAILURE),
            _rate("Delivered", "whats_app", "delivered"),
            _rate("Read", "whats_app", "read", of="delivered"),
            _rate("Opened", "line", "opens"),
            _rate("Clicked", "line", "clicks"),
            _sum("Sent", "whats_app|line", "sent"),
        ],
        description="WhatsApp: `delivered` and `failed` ÷ `sent`, `read` ÷ "
        "`delivered`. LINE: `opens` and `clicks` ÷ `sent`; Braze counts them only "
        "above 20 messages a day.",
    )


def _in_app() -> Drawn:
    return _table(
        "in-app messages",
        [
            _rate("Clicked", IN_APP, "clicks", of="impressions"),
            _rate("First button", IN_APP, "first_button_clicks", of="impressions"),
            _rate("Second button", IN_APP, "second_button_clicks", of="impressions"),
            _sum("Impressions", IN_APP, "impressions"),
        ],
        description="`clicks`, `first_button_clicks` and `second_button_clicks` ÷ "
        "`impressions`. In-app messages are not sent and cannot bounce.",
    )


def _content_cards() -> Drawn:
    shown = "unique_impressions"
    return _table(
        "content cards",
        [
            _rate("Seen", _CARDS, shown),
            _rate("Clicked", _CARDS, "unique_clicks", of=shown),
            _rate("Dismissed", _CARDS, "unique_dismissals", of=shown),
            _sum("Sent", _CARDS, "sent"),
        ],
        description="`unique_impressions` ÷ `sent`; `unique_clicks` and "
        f"`unique_dismissals` ÷ `unique_impressions`. {_UNIQUE}",
    )


def _webhooks() -> Drawn:
    channel = "webhook"
    return _table(
        "webhooks",
        [
            _rate("Errors", channel, "errors", limits=FAILURE),
            _rate("Errors, 7 d", channel, "errors", limits=FAILURE, period=WEEK),
            _sum("Sent", channel, "sent"),
        ],
        description="`errors` ÷ `sent`, which includes errors; beside it the same over "
        "the 7 days before today taken together.",
    )


def _buttons() -> Drawn:
    matchers = (*OF_MESSAGE, 'metric=~"(carousel_slide|notif_button)_.+_click"')
    clicks = total(fold(select(LAST.family, matchers)), *BY, "metric")
    parts = "(?:carousel|notif)_(slide|button)_([0-9]+)_(.*)_click"
    clicks = f'label_replace({clicks}, "part", "$1 $2", "metric", "{parts}")'
    clicks = f'label_replace({clicks}, "text", "$3", "metric", "{parts}")'
    return tables.table_of(
        "Clicks on buttons and slides of push",
        [Column("Clicks", clicks)],
        keys=("kind", "name", "channel", "part", "text", "workspace"),
        sort="Clicks",
        nothing="No buttons or slides, or no figures",
        description="Braze's `carousel_slide_<number>_<text>_click` and "
        f"`notif_button_<number>_<text>_click`, each separately, on {LAST.days}.",
    )

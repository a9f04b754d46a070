"""Email: bounces, complaints and unsubscribes against the limits of providers."""

from __future__ import annotations

from dataclasses import replace

from grafana.generator import daily, health, links, palette, panels, risk, tables
from grafana.generator.figures import (
    BOUNCE,
    BY_DAY,
    MONTH,
    SPAM,
    TODAY,
    UNSUBSCRIBE,
    WEEK,
    WEEK_BY_DAY,
    Rate,
    email,
)
from grafana.generator.layout import TREND_ROWS, Drawn, Section, Tile
from grafana.generator.limited import Limit, limited_by_day
from grafana.generator.palette import ORANGE, PURPLE, VERMILLION, Limits
from grafana.generator.panels import Query
from grafana.generator.promql import OBJECT, total, union
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent
from grafana.generator.telemetry import BUILD

_KEYS = ("kind", "name", "workspace")
_MOST = 200
_NONE = "No email"

_HARD = (
    "Hard bounces only: Braze does not report soft bounces here, so the true bounce "
    "rate is higher."
)
_UNREPORTED = (
    "A lower bound: it includes only complaints that mailbox providers report, with "
    "delay. Gmail reports none. Google and Yahoo count by sending domain and over mail "
    "in their own users' inboxes, Braze by campaign or canvas over all providers; a "
    "rate below a line is therefore no proof of compliance."
)
_CAVEATS = {BOUNCE: _HARD, SPAM: "A lower bound: Gmail reports none.", UNSUBSCRIBE: ""}
_NEWEST = (
    f"Newest is today so far once {risk.LEAST} were sent (spam, unsubscribes: "
    "delivered), else the last complete day, else the 7 days before today"
)
_HOW_TO_READ = f"""\
**Read these figures with care.**

- **Bounces are hard bounces.** {_HARD.removeprefix("Hard bounces only: ")}
- **Complaints are a lower bound.** Gmail reports none to Braze; others report them \
days later, so complaints about older mail can exceed the mail of today. The limits of \
Google and Yahoo are per sending domain: only their tools (Google Postmaster Tools, \
Yahoo Sender Hub) show your rate there.
- **Today is incomplete.** In the morning rates are of few messages. Use the 7 days.
- **Small campaigns and canvases** reach 1 % with one complaint in 100 \
messages: look at the volume.
"""
_LIMITS = """\
| What | Source | Watch | Act |
|---|---|---|---|
| Bounces ÷ sent | Braze, IP warming | 3 % | 5 % |
| Complaints ÷ delivered | Braze, IP warming | 0.08 % | |
| | Google, bulk senders | 0.10 % | 0.30 % |
| | Yahoo, senders | | 0.30 % |
| Unsubscribes ÷ delivered | no provider; our own | 0.5 % | 1 % |

Google: stay below 0.10 % and never reach 0.30 %. After that, mitigation requires \
7 days in a row below it.
"""


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-email-deliverability",
        title="Braze / Email deliverability",
        description="Bounces, spam complaints and unsubscribes of email against the "
        "limits of Braze, Google and Yahoo.",
        sections=(
            Section(
                "All chosen email: last complete day and 28 days, then other days",
                [*_headline(), *_windows()],
            ),
            Section("Since when, and in which campaigns and canvases", _course()),
            Section("Worst first", [Tile(_ranking(), 24, 17)]),
            Section(
                "Volume, limits, and how to read these figures",
                _background(),
                is_collapsed=True,
            ),
        ),
    )


def _headline() -> list[Tile]:
    return [
        Tile(panel, 4, TREND_ROWS)
        for panel in (
            health.exporter(links.to_exporter()),
            _above(),
            daily.number(
                "Sent",
                total(email(BY_DAY, "sent")),
                description="Sum of `sent` of email.",
                nothing=_NONE,
            ),
            *(_by_day(rate, limits) for rate, limits in risk.RATES),
        )
    ]


def _above() -> Drawn:
    above = f"count({risk.worst_share()} >= 1)"
    return panels.stat(
        "Above a limit",
        [Query(f"{above} or 0 * count({BUILD})")],
        description="Campaigns and canvases whose newest bounce, spam complaint or "
        f"unsubscribe rate is at its upper limit or above: 5 %, 0.3 %, 1 %. {_NEWEST}. "
        "The table has them first.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, VERMILLION)),
    )


def _by_day(rate: Rate, limits: Limits) -> Drawn:
    return daily.number(
        rate.title,
        rate.over(BY_DAY),
        description=f"{rate.formula}. {_CAVEATS[rate]}".strip(),
        unit="percentunit",
        limits=limits,
        nothing=_NONE,
    )


def _windows() -> list[Tile]:
    return [
        Tile(
            panels.stat(
                f"{rate.title}, other days",
                [
                    Query(rate.over(period), title)
                    for period, title in (
                        (TODAY, "Today so far"),
                        (WEEK, "7 days"),
                        (MONTH, "28 days"),
                    )
                ],
                description=f"{rate.formula}, side by side: today so far (incomplete), "
                "and the 7 and 28 days before today, each taken together. "
                f"{_CAVEATS[rate]}".strip(),
                unit="percentunit",
                decimals=limits.decimals,
                thresholds=limits.steps(good=palette.PLAIN),
            ),
            8,
            4,
        )
        for rate, limits in risk.RATES
    ]


def _course() -> list[Tile]:
    of_spam = (
        Limit("Braze: look into it", palette.SPAM.warning, PURPLE),
        Limit("Google: stay below", 0.001, ORANGE),
        Limit("Google and Yahoo: never reach", palette.SPAM.critical, VERMILLION),
    )
    by_day = f"on each complete day, and today so far once {risk.LEAST} were"
    return [
        Tile(panel, 12, 8)
        for panel in (
            limited_by_day(
                "Bounce rate by day",
                BOUNCE.over(BY_DAY, *OBJECT),
                (
                    Limit("Braze: clean the list", palette.BOUNCE.warning, ORANGE),
                    Limit(
                        "Braze: act at the latest", palette.BOUNCE.critical, VERMILLION
                    ),
                ),
                today=BOUNCE.today(*OBJECT, least=risk.LEAST),
                description=f"{BOUNCE.formula}, {by_day} sent. {_HARD} {daily.POINT}",
            ),
            limited_by_day(
                "Spam complaint rate by day",
                SPAM.over(BY_DAY, *OBJECT),
                of_spam,
                today=SPAM.today(*OBJECT, least=risk.LEAST),
                decimals=palette.SPAM.decimals,
                description=f"{SPAM.formula}, {by_day} delivered. Complaints about "
                "older mail are included: on a day with little mail the rate is "
                f"overstated. {_UNREPORTED} {daily.POINT}",
            ),
            limited_by_day(
                "Spam complaint rate, 7 days, by day",
                SPAM.over(WEEK_BY_DAY, *OBJECT),
                of_spam,
                decimals=palette.SPAM.decimals,
                description=f"{SPAM.formula}, over the 7 complete days before a point "
                "taken together, because complaints arrive after the mail. "
                f"{_UNREPORTED} {daily.POINT}",
            ),
            limited_by_day(
                "Unsubscribe rate by day",
                UNSUBSCRIBE.over(BY_DAY, *OBJECT),
                (
                    Limit("Watch", palette.UNSUBSCRIBE.warning, ORANGE),
                    Limit("Act", palette.UNSUBSCRIBE.critical, VERMILLION),
                ),
                today=UNSUBSCRIBE.today(*OBJECT, least=risk.LEAST),
                description=f"{UNSUBSCRIBE.formula}, {by_day} delivered. No provider "
                "publishes a limit: the lines are defaults of this project. "
                f"{daily.POINT}",
            ),
        )
    ]


def _ranking() -> Drawn:
    # With the arrow of the order.
    share = replace(
        percent("Of limit", f"topk({_MOST}, {risk.worst_share()})", risk.SHARE),
        width=90,
    )
    columns = [share]
    titles = ("Bounces", "Spam", "Unsubscribed")
    for title, (rate, limits) in zip(titles, risk.RATES, strict=True):
        week = rate.over(WEEK, *OBJECT)
        newest = union(rate.latest(*OBJECT, least=risk.LEAST), week)
        columns += [
            percent(title, newest, limits),
            percent(f"{title}, 7 d", week, limits),
        ]
    columns.append(Column("Sent, 7 d", total(email(WEEK, "sent"), *OBJECT)))
    return tables.table_of(
        "Bounces, spam complaints and unsubscribes by campaign and canvas",
        columns,
        keys=_KEYS,
        sort=share.title,
        required=share.title,
        nothing="No email, or no figures",
        description="Email only. Bounces: `bounces` ÷ `sent`; spam: `reported_spam` ÷ "
        f"`delivered`; unsubscribed: `unsubscribes` ÷ `delivered`. {_NEWEST}, which "
        "are beside it, taken together. Of limit: the newest rate as a share of its "
        "upper limit (5 %, 0.3 %, 1 %), the worst of the three. At most "
        f"{_MOST} rows. {_HARD} {_CAVEATS[SPAM]}",
    )


def _background() -> list[Tile]:
    return [
        Tile(
            daily.graph_by_day(
                "Delivered and bounced email, by day",
                [
                    Query(total(email(BY_DAY, "delivered")), "delivered"),
                    Query(total(email(BY_DAY, "bounces")), "bounced"),
                ],
                description="Sums of `delivered` and `bounces` of email on each "
                "complete day, the last one at the right. Other mail is in transit, or "
                f"bounced softly. {daily.POINT}",
                unit="short",
                nothing="No email, or no figures",
            ),
            24,
            8,
        ),
        Tile(
            panels.note(
                "Limitations of these figures",
                _HOW_TO_READ,
                description="Applies to every panel of this dashboard.",
            ),
            14,
            8,
        ),
        Tile(
            panels.note(
                "Limits shown here",
                _LIMITS,
                description="The lines and colours of this dashboard. Each panel "
                "compares them with rates over the days in its description.",
            ),
            10,
            8,
        ),
    ]

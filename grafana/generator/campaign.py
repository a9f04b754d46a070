"""The dashboard of one campaign by channel and variation, or of several together."""

from __future__ import annotations

from functools import partial

from grafana.generator import figures, freshness, palette, panels, promql, tables, trial
from grafana.generator.figures import Period, converting, overall, stage, stat
from grafana.generator.last_day import counted
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.panels import Query
from grafana.generator.promql import ratio, total, union
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent

TODAY, LAST, WEEK, BY_DAY = (
    period.of("campaign", scope=promql.OF_VARIATION)
    for period in (figures.TODAY, figures.LAST, figures.WEEK, figures.BY_DAY)
)
_MESSAGE = ("workspace", "campaign", "channel", "variation")
_STAGES = (
    ("Sent", figures.SENT),
    ("Delivered", figures.DELIVERED),
    ("Opened", figures.OPENED),
    ("Clicked", figures.CLICKED),
)
_NAMES = (
    "Opened: email `unique_opens`, push `total_opens`, WhatsApp and RCS `read`, "
    "content cards `unique_impressions`, LINE `opens`, in-app `impressions`. Clicked: "
    "email and content cards `unique_clicks`, push `body_clicks`, else `clicks`. "
    "Figures that a channel does not count are absent: push has no `delivered`, in-app "
    "messages no `sent`."
)
_CONVERTED = (
    "Converted is `conversions`, the first conversion event, without control groups: "
    "by message for multivariate campaigns, else campaign-wide if the campaign uses "
    "one channel only. For other campaigns Braze does not report conversions by "
    "channel."
)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-campaign",
        title="Braze / Campaign",
        description="The channels and variations of a campaign: choose one above.",
        sections=(
            Section("Last complete day, against the days before", _headline()),
            Section("From sent to converted", _funnel()),
            Section("Daily course", _course()),
            Section("Variations", _variations()),
            Section(
                "State of the data",
                [Tile(freshness.state("campaign", promql.OF_CAMPAIGN), 24, 6)],
            ),
        ),
    )


def _headline() -> list[Tile]:
    names = [
        counted(
            title,
            partial(stage, names=names),
            last=LAST,
            by_day=BY_DAY,
            description=f"Sum of the figures for {title.lower()} in each channel. "
            + _NAMES.removesuffix("."),
        )
        for title, names in _STAGES
    ]
    whole = (
        "of multivariate campaigns over their variations without control groups, of "
        "others campaign-wide"
    )
    names += [
        counted(
            "Converted",
            partial(converting, name="conversions"),
            last=LAST,
            by_day=BY_DAY,
            description=f"Sum of `conversions`, the first conversion event, {whole}",
        ),
        counted(
            "Revenue",
            partial(converting, name="revenue"),
            last=LAST,
            by_day=BY_DAY,
            description=f"Sum of `revenue` in US dollars, {whole}. Attribution windows "
            "overlap, so a sum over several campaigns may count an order twice",
            unit="currencyUSD",
        ),
    ]
    return [Tile(panel, 4, 5) for panel in names]


def _funnel() -> list[Tile]:
    says = f"Sums by channel on {LAST.days}. {_NAMES} {_CONVERTED}"
    steps = [
        Query(total(stage(LAST, names), "channel"), title) for title, names in _STAGES
    ]
    steps.append(Query(figures.converted(LAST, "channel"), "Converted"))
    reached = total(stage(LAST, figures.REACHED), "channel")
    delivered = ratio(
        stage(LAST, figures.DELIVERED),
        stat(LAST, "sent", channel="email|sms|whats_app|rcs"),
        "channel",
    )
    opened = ratio(
        stage(LAST, figures.OPENED_OF_OPENABLE),
        stage(LAST, figures.OPENABLE),
        "channel",
    )
    clicked = ratio(
        stage(LAST, figures.CLICKED), stage(LAST, figures.CLICKABLE), "channel"
    )
    by = ("workspace", "campaign", "channel")
    known = figures.converted(LAST, *by)
    reached_by_known = f"{total(stage(LAST, figures.REACHED), *by)} and {known}"
    converted = ratio(known, reached_by_known, "channel")
    columns = [
        Column("Reached", reached),
        percent("Delivered", delivered, palette.DELIVERY),
        percent("Opened", opened),
        percent("Clicked", clicked),
        percent("Converted", converted),
    ]
    return [
        Tile(
            panels.groups(
                "Funnel by channel, last complete day",
                steps,
                label="channel",
                description=says,
                unit="short",
            ),
            13,
            10,
        ),
        Tile(
            tables.table_of(
                "Steps by channel, last complete day",
                columns,
                keys=("channel",),
                sort="Reached",
                description=f"Ratios of sums by channel on {LAST.days}. Reached is "
                "`delivered` (email, SMS, WhatsApp, RCS), `sent` (push, content cards, "
                "LINE) or `impressions` (in-app). Delivered ÷ `sent`; opened, clicked "
                "and converted ÷ reached, the last only for campaigns with conversions "
                f"by channel. {_NAMES} {_CONVERTED}",
            ),
            11,
            10,
        ),
    ]


def _course() -> list[Tile]:
    return [
        Tile(
            panels.graph(
                "Today so far",
                _stages_over(TODAY),
                description="Sums over the chosen channels and variations, today so "
                "far. They grow over the day and restart at 0 at midnight in the "
                f"workspace's time zone; the slope is not a send rate. {_NAMES}",
                unit="short",
            ),
            12,
            9,
        ),
        Tile(
            panels.graph(
                "By day",
                _stages_over(BY_DAY),
                is_by_day=True,
                description=f"The same on {LAST.days}: it changes once a day, soon "
                f"after midnight, and slightly when Braze restates the day. Each step "
                f"shows the previous day.",
                unit="short",
            ),
            12,
            9,
        ),
        Tile(
            _rates(
                "Rates, today so far",
                TODAY,
                note="Today is incomplete: recent messages are mostly unopened, and "
                "complaints about older mail are included. All figures restart at "
                "midnight in the workspace's time zone. ",
            ),
            8,
            9,
        ),
        Tile(_rates("Rates, last complete day", BY_DAY, note=""), 8, 9),
        Tile(_conversion_events(), 8, 9),
    ]


def _rates(title: str, period: Period, *, note: str) -> Drawn:
    opened = ratio(
        stage(period, figures.OPENED_OF_OPENABLE), stage(period, figures.OPENABLE)
    )
    clicked = ratio(stage(period, figures.CLICKED), stage(period, figures.CLICKABLE))
    return panels.graph(
        title,
        [
            Query(figures.BOUNCE.over(period), "bounces (email)"),
            Query(figures.SPAM.over(period), "spam (email)"),
            Query(figures.UNSUBSCRIBE.over(period), "unsubscribes (email)"),
            Query(opened, "opened"),
            Query(clicked, "clicked"),
        ],
        description=f"Ratios of sums, {'' if period is TODAY else 'on '}{period.days}. "
        f"{note}"
        "Bounces ÷ `sent`, complaints and unsubscribes ÷ `delivered` of email; opened "
        "and clicked ÷ reached, which is `delivered`, `sent` (push, content cards, "
        f"LINE) or `impressions` (in-app). {_NAMES}",
        unit="percentunit",
        is_by_day=period.is_course,
    )


def _stages_over(period: Period) -> list[Query]:
    return [Query(total(stage(period, names)), title) for title, names in _STAGES]


def _conversion_events() -> Drawn:
    names = ("conversions", "conversions1", "conversions2", "conversions3")
    letters = "ABCD"
    return panels.graph(
        "Conversion events, last complete day",
        [
            Query(total(converting(BY_DAY, name)), f"event {letter}")
            for name, letter in zip(names, letters, strict=True)
        ],
        description="Sums of `conversions`, `conversions1`, `conversions2` and "
        "`conversions3`: Braze's conversion events A to D, of multivariate "
        "campaigns over their variations without control groups, of others "
        f"campaign-wide, counted on the day of the conversion, on {LAST.days}. An "
        f"event that is not configured shows 0.",
        unit="short",
        is_by_day=True,
    )


def _variations() -> list[Tile]:
    return [
        Tile(_rates_by_variation(), 24, 8),
        Tile(trial.table(), 24, 9),
        Tile(trial.explanation(), 12, 10),
        Tile(_revenue(), 12, 10),
    ]


def _rates_by_variation() -> Drawn:
    by = _MESSAGE
    sent = total(stage(WEEK, figures.VOLUME), *by)
    enrolled = total(stat(WEEK, "enrolled"), *by)
    columns = [
        Column("Sent or enrolled", union(enrolled, sent), width=140),
        percent("Delivery", figures.DELIVERY.over(WEEK, *by)),
        percent("Bounce", figures.BOUNCE.over(WEEK, *by), palette.BOUNCE),
        percent("Spam", figures.SPAM.over(WEEK, *by), palette.SPAM),
        percent(
            "Unsubscribe", figures.UNSUBSCRIBE.over(WEEK, *by), palette.UNSUBSCRIBE
        ),
        percent(
            "Open",
            ratio(
                stage(WEEK, figures.OPENED_OF_OPENABLE),
                stage(WEEK, figures.OPENABLE),
                *by,
            ),
        ),
        percent(
            "Click",
            ratio(stage(WEEK, figures.CLICKED), stage(WEEK, figures.CLICKABLE), *by),
        ),
    ]
    return tables.table_of(
        "Rates by variation, 7 days",
        columns,
        keys=by,
        sort="Campaign",
        is_ascending=True,
        description=f"Ratios of sums over {WEEK.days}. Sent is `sent`, in-app "
        f"`impressions`; "
        "for control groups, which are sent nothing, `enrolled`. Delivery, bounce, "
        "spam "
        "and unsubscribe are of email. Unique opens and clicks are upper bounds: a "
        f"user who opened or clicked on two days counts twice. {_NAMES}",
    )


def _revenue() -> Drawn:
    by = _MESSAGE
    by_message = ratio(stat(LAST, "revenue"), stat(LAST, "unique_recipients"), *by)
    whole = ratio(
        converting(LAST, "revenue"),
        overall(LAST, "unique_recipients"),
        "workspace",
        "campaign",
    )
    return panels.bars(
        "Revenue per recipient, last complete day",
        [
            Query(
                f"topk(10, {by_message})",
                "{{workspace}} / {{campaign}}: {{channel}} {{variation}}",
            ),
            Query(
                f"topk(5, {whole})",
                "{{workspace}} / {{campaign}}: whole campaign",
            ),
        ],
        name="${__field.labels.campaign}: ${__field.labels.channel} "
        "${__field.labels.variation}",
        description=f"`revenue` ÷ `unique_recipients` on {LAST.days}, in US dollars: "
        f"by "
        "message of multivariate campaigns, control groups included as the baseline; "
        "and by campaign, for multivariate ones without control groups. Recipients do "
        "not add up over days, so there is no longer period. Shows the top 10 messages "
        "and 5 campaigns.",
        unit="currencyUSD",
    )

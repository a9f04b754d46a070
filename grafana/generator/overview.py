"""How are we doing? Every campaign at a glance."""

from __future__ import annotations

from grafana.generator import figures, links, palette, panels, promql, tables
from grafana.generator.figures import (
    LAST,
    TODAY,
    WEEK,
    Rate,
    converting,
    overall,
    stage,
)
from grafana.generator.freshness import failing, oldest
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.palette import Limits
from grafana.generator.panels import Override, Query, property_
from grafana.generator.promql import (
    change,
    fold,
    moved,
    otherwise,
    ratio,
    select,
    total,
    union,
)
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent

_KEYS = ("workspace", "campaign")
_MOST = 200
_LEAST = 100
_COMPARED = (
    "Below it by how much that is above (or, with a minus, below) the day before and "
    "the mean of the 7 days before today, of which the last complete day is one; both "
    "as a share of the earlier figure. The day before is what this Prometheus stored "
    "24 hours ago, so it shows only after a day of history."
)


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-overview",
        title="Braze / Overview",
        says="How all campaigns are doing, and which of them to look at.",
        sections=(
            Section("Now", _now()),
            Section("Last complete day, against the days before", _days()),
            Section("Campaigns", [Tile(leaderboard(), 24, 12)]),
            Section("Where bounces come from", [Tile(_bounces(), 16, 10), _mix()]),
            Section("Alerts", [Tile(_alerts(), 24, 7)]),
        ),
    )


def _now() -> list[Tile]:
    up = figures.up()
    day = fold(
        select("braze_campaign_last_complete_day_timestamp_seconds", promql.OF_CAMPAIGN)
    )
    small = [
        panels.stat(
            "Firing alerts",
            [Query(f"count({_firing('firing')}) or 0 * count({up})")],
            says="How many alerts of ours fire now. Prometheus must evaluate our "
            "rules; without them this is 0.",
            unit="short",
            thresholds=palette.steps((None, palette.PLAIN), (1, palette.VERMILLION)),
        ),
        failing(),
        oldest(),
        panels.stat(
            "Last complete day",
            [Query(f"1000 * max({day})")],
            says="The first instant of the newest day that is over, in the time zone "
            "of its workspace; shown in your browser's time zone. Other workspaces may "
            "be a day behind.",
            unit="dateTimeAsIso",
        ),
        panels.stat(
            "Sent, today so far",
            [Query(total(stage(TODAY, figures.SENT)))],
            says="Sum of `sent` over all channels, today so far. It begins again at "
            "midnight of the workspace and is no whole day, so it is compared with "
            "none.",
            unit="short",
        ),
        panels.stat(
            "Email bounce rate, today so far",
            [Query(figures.BOUNCE.over(TODAY))],
            says=f"{figures.BOUNCE.formula}, today so far, which is no whole day. "
            "Hard bounces only.",
            unit="percentunit",
            decimals=2,
            thresholds=palette.BOUNCE.steps(good=palette.PLAIN),
        ),
        panels.stat(
            "Email spam rate, today so far",
            [Query(figures.SPAM.over(TODAY))],
            says=f"{figures.SPAM.formula}, today so far, which is no whole day; "
            "complaints of older mail are in it. A lower bound: Gmail reports none.",
            unit="percentunit",
            decimals=3,
            thresholds=palette.SPAM.steps(good=palette.PLAIN),
        ),
    ]
    widths = (3, 3, 3, 4, 3, 4, 4)
    return [Tile(panel, width, 3) for panel, width in zip(small, widths, strict=True)]


def _days() -> list[Tile]:
    return [
        Tile(panel, 6, 4)
        for panel in (
            counted(
                "Sent",
                stage(LAST, figures.SENT),
                stage(WEEK, figures.SENT),
                says="Sum of `sent` over all channels",
            ),
            rated(figures.DELIVERY, Limits(0.97, 0.95, is_low_bad=True)),
            rated(figures.BOUNCE, palette.BOUNCE, "Hard bounces only."),
            rated(figures.SPAM, palette.SPAM, "A lower bound: Gmail reports none."),
            rated(figures.UNSUBSCRIBE, palette.UNSUBSCRIBE),
            rated(figures.OPEN, None, "Machine opens are not in it."),
            rated(figures.CLICK, None),
            counted(
                "Conversions",
                converting(LAST, "conversions"),
                converting(WEEK, "conversions"),
                says="Sum of `conversions` (first conversion event), of multivariate "
                "campaigns over their variations without control groups, of others "
                "campaign-wide, of campaigns that use a chosen channel; the "
                "choice of a variation does not matter here",
            ),
        )
    ]


def counted(
    title: str, last: str, week: str, *, says: str, note: str = "", unit: str = "short"
) -> Drawn:
    """Return a stat of a sum on the last complete day, with its changes."""
    return _compared(
        title,
        total(last),
        mean=f"{total(week)} / 7",
        says=f"{says}, on {LAST.days}. {note}".strip(),
        unit=unit,
        limits=None,
    )


def rated(rate: Rate, limits: Limits | None, *caveats: str) -> Drawn:
    """Return a stat of a rate of email on the last complete day, with its changes."""
    return _compared(
        f"{rate.title} (email)",
        rate.over(LAST),
        mean=rate.over(WEEK),
        says=" ".join([f"{rate.formula}, on {LAST.days}.", *caveats]),
        unit="percentunit",
        limits=limits,
    )


def _compared(
    title: str, value: str, *, mean: str, says: str, unit: str, limits: Limits | None
) -> Drawn:
    # Whatever is missing of the two, the other still shows.
    changes = union(
        _named(change(value, before=moved(value, "offset 1d")), "the day before"),
        _named(change(value, before=mean), "7-day mean"),
    )
    return panels.stat(
        title,
        [Query(value, "last complete day"), Query(changes, "vs {{compared}}")],
        says=f"{says} {_COMPARED}",
        unit=unit,
        decimals=2 if unit == "percentunit" else None,
        thresholds=limits.steps(good=palette.PLAIN) if limits else None,
        overrides=[
            Override(
                "/^vs/",
                [
                    property_("unit", "percentunit"),
                    property_("decimals", 1),
                    property_("thresholds", palette.no_steps().build()),
                ],
            )
        ],
    )


def _named(vector: str, name: str) -> str:
    return f'label_replace({vector}, "compared", "{name}", "", "")'


def leaderboard() -> Drawn:
    """Return the table of campaigns, those that sent most first."""
    volume = total(stage(LAST, figures.VOLUME), *_KEYS)
    top = f"topk({_MOST}, {volume})"

    def of_top(vector: str) -> str:
        return f"({vector}) and on (workspace, campaign) {top}"

    def rate(rate: Rate) -> str:
        return of_top(rate.over(LAST, *_KEYS))

    def today(rate: Rate) -> str:
        return of_top(rate.today(*_KEYS, least=_LEAST))

    columns = [
        Column("Sent", top, width=90),
        Column(
            "Delivered", of_top(total(stage(LAST, figures.DELIVERED), *_KEYS)), width=95
        ),
        percent("Bounce", rate(figures.BOUNCE), palette.BOUNCE),
        percent("Bounce today", today(figures.BOUNCE), palette.BOUNCE),
        percent("Spam", rate(figures.SPAM), palette.SPAM),
        percent("Spam today", today(figures.SPAM), palette.SPAM),
        percent("Unsubscribe", rate(figures.UNSUBSCRIBE), palette.UNSUBSCRIBE),
        percent("Open", of_top(open_rate(*_KEYS))),
        percent("Click", of_top(click_rate(*_KEYS))),
        percent("Conversion", of_top(conversion_rate())),
    ]
    return tables.table_of(
        "Leaderboard, last complete day",
        columns,
        keys=_KEYS,
        sort="Sent",
        trend=Column("Sent by day", of_top(volume), width=160),
        says=f"The {_MOST} campaigns that sent most on {LAST.days} (in-app messages: "
        "impressions), and their rates on that day: ratios of sums over channels and "
        "variations. Bounce is `bounces` ÷ `sent`, spam `reported_spam` ÷ `delivered`, "
        "unsubscribe `unsubscribes` ÷ `delivered`, all three of email only. The two "
        f"columns named today are of today so far, no whole day, once {_LEAST} were "
        "sent. Open and click count unique ones where the channel tells them, ÷ "
        "`delivered` (email, SMS, WhatsApp, RCS), `sent` (push, content cards, LINE) "
        "or impressions (in-app). Conversion is `conversions` (of multivariate "
        "campaigns over their variations without control groups, else campaign-wide) ÷ "
        "campaign-wide `unique_recipients`. An empty cell: the channel has "
        "no such figure, or nothing was sent. The small course shows what was sent on "
        "the last complete day, over the time range: it steps at midnight. Grafana "
        "before 10.2 needs its feature toggle timeSeriesTable for it.",
    )


def open_rate(*by: str) -> str:
    """Return opened ÷ reached on the last complete day, where openings are counted."""
    return ratio(
        stage(LAST, figures.OPENED_OF_OPENABLE), stage(LAST, figures.OPENABLE), *by
    )


def click_rate(*by: str) -> str:
    """Return clicked ÷ reached on the last complete day, where clicks are counted."""
    return ratio(stage(LAST, figures.CLICKED), stage(LAST, figures.CLICKABLE), *by)


def conversion_rate() -> str:
    """Return conversions ÷ recipients on the last complete day."""
    return ratio(
        converting(LAST, "conversions"), overall(LAST, "unique_recipients"), *_KEYS
    )


def _bounces() -> Drawn:
    rate = figures.BOUNCE.latest(*_KEYS, least=_LEAST)
    return panels.timeline(
        "Email bounce rate by campaign and time, worst 20",
        Query(promql.largest(rate, count=20), "{{workspace}} / {{campaign}}"),
        says=f"{figures.BOUNCE.formula}, by campaign: of today so far once {_LEAST} "
        f"were sent, until then of {LAST.days}. So it falls back at midnight to the "
        "whole day before, and a handful of early messages makes no colour. Which "
        "campaigns are the worst is decided at the end of the time range.",
        unit="percentunit",
        thresholds=palette.BOUNCE.steps(good=palette.BLUE),
        links=[links.of_series()],
    )


def _mix() -> Tile:
    volume = f"sort_desc({total(stage(LAST, figures.VOLUME), 'channel')} > 0)"
    return Tile(
        panels.bars(
            "Channel mix, last complete day",
            [Query(volume, "{{channel}}")],
            says=f"Sum of `sent` by channel on {LAST.days}; of in-app messages, which "
            "are not sent, the impressions.",
            unit="short",
        ),
        8,
        10,
    )


def _alerts() -> Drawn:
    keys = ("severity", "alertname", "alertstate", "workspace", "campaign")
    alerts = f"count by ({', '.join(keys)}) ({_firing('firing|pending')})"
    up = figures.up()
    nothing = f'label_replace(0 * max({up}), "alertname", "nothing fires", "", "")'
    return tables.table_of(
        "Firing and pending alerts",
        [Column("Alerts", otherwise(alerts, nothing), width=90)],
        keys=keys,
        sort="Severity",
        is_ascending=True,
        says="Alerts of our rules as this Prometheus evaluates them now; pending ones "
        "wait for their `for`. If our rules are not loaded, nothing fires.",
    )


def _firing(states: str) -> str:
    """Return alerts of the chosen job and workspace, and those that name none."""
    matchers = ('alertname=~"Braze.*"', f'alertstate=~"{states}"')
    scopes = (
        promql.OF_WORKSPACE,
        (promql.JOB, 'workspace=""'),
        ('job=""', 'workspace=~"$workspace"'),
        ('job=""', 'workspace=""'),
    )
    return union(*(select("ALERTS", (*matchers, *scope)) for scope in scopes))

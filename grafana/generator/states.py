"""The state of each campaign and canvas, and the table that begins with it."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import figures, freshness, palette, promql, tables, variables
from grafana.generator.figures import LAST, Rate, converting, overall, stage
from grafana.generator.layout import Drawn
from grafana.generator.palette import Limits
from grafana.generator.promql import OBJECT, newest, ratio, select, total, union
from grafana.generator.tables import Column, percent

LEAST = 100
"""The least emails of a day whose rate is judged, and messages of a usual day."""
_MOST = 200
_DAYS = "braze_(campaign|canvas)_(daily|last_complete_day)"
_MESSAGES = "sent|impressions"
_SCOPE = promql.OF_WORKSPACE
_BY = ", ".join(OBJECT)
_BOUNCES, _SPAM, _FAILING, _SILENT, _SOME_BOUNCES, _SOME_SPAM, _LATE, _OK = range(1, 9)
"""Codes, the worst first."""
_WORDS = {
    _BOUNCES: ("bounces", palette.VERMILLION),
    _SPAM: ("spam", palette.VERMILLION),
    _FAILING: ("failing", palette.VERMILLION),
    _SILENT: ("silent", palette.ORANGE),
    _SOME_BOUNCES: ("bounces", palette.ORANGE),
    _SOME_SPAM: ("spam", palette.ORANGE),
    _LATE: ("late", palette.ORANGE),
    _OK: ("OK", palette.PLAIN),
}


def table() -> Drawn:
    """Return the campaigns and canvases that need a look, then the others."""
    volume = total(stage(LAST, figures.VOLUME), *OBJECT)
    by_day = total(stage(figures.BY_DAY, figures.VOLUME), *OBJECT)
    # The graph ends at a midnight, at which a new Prometheus has no samples.
    largest = f"topk({_MOST}, {promql.at_now(volume)})"

    def rate(rate: Rate) -> str:
        return rate.over(LAST, *OBJECT)

    def today(rate: Rate) -> str:
        return rate.today(*OBJECT, least=LEAST)

    columns = [
        Column("State", state(), mappings=_mappings(), width=90),
        Column("Sent", volume),
        percent("Bounce", rate(figures.BOUNCE), palette.BOUNCE),
        percent("Bounce today", today(figures.BOUNCE), palette.BOUNCE),
        percent("Spam", rate(figures.SPAM), palette.SPAM),
        percent("Spam today", today(figures.SPAM), palette.SPAM),
        percent("Open", open_rate(*OBJECT)),
        percent("Click", click_rate(*OBJECT)),
        percent("Conversion", conversion_rate()),
    ]
    return tables.table_of(
        "Campaigns and canvases by state, last complete day",
        columns,
        keys=("kind", "name", "workspace"),
        sort="State",
        is_ascending=True,
        leading=1,
        required="State",
        trend=Column("Sent by day", f"({by_day}) and {largest}", width=95),
        nothing="No campaign or canvas is polled",
        description=f"The first {_MOST}: by state, the worst first, then by messages. "
        f"bounces: more than {_percent(palette.BOUNCE, 0)} of {LEAST} or more emails "
        f"bounced today so far or on {LAST.days}; spam: more than "
        f"{_percent(palette.SPAM, 2)} were reported. failing: the last poll failed. "
        "silent: no messages on the last complete day, although it had "
        f"{LEAST} or more a week before and sends on this weekday in most weeks; until "
        "Prometheus has data of a week before, the sums of 7 and 28 days are compared. "
        f"late: the last success is {freshness.LATE.warning} or more intervals ago. "
        "Figures are of the last complete day, those named today of today so far, "
        f"once {LEAST} were sent: ratios of sums over channels and variations. Sent: "
        "`sent`, in-app `impressions`. Bounce is `bounces` ÷ `sent`, spam "
        "`reported_spam` ÷ `delivered`, of email only. Open and click are unique if "
        "the channel reports that, ÷ "
        "`delivered` (email, SMS, WhatsApp, RCS), `sent` (push, content cards, LINE) "
        "or impressions (in-app). Conversion is `conversions` (of multivariate "
        "campaigns without control groups) ÷ `unique_recipients`, of canvases ÷ "
        "`entries`. –: the channel has no such figure, or nothing was sent. Each line "
        "of days has its own scale, from the lowest day to the highest. Grafana "
        "before 10.2 needs its feature toggle timeSeriesTable.",
    )


def state() -> str:
    """Return the code of each object, less a share below 1 that grows with its volume.

    So one ascending order is that of the states, and of the volume within a state. A
    state is that of the whole object; the choice only selects the rows.
    """
    share = f'label_replace(1 / (1 + {_volume(LAST)}) - 1, "part", "volume", "", "")'
    worst = f"min by ({_BY}) ({union(_judged(), *_unjudged())})"
    code = f"sum by ({_BY}) ({union(worst, share)})"
    with_channel = select(variables.WITH_CHANNEL, promql.OF_MESSAGE)
    # Objects without a successful poll have no channels.
    rows = union(f"max by ({_BY}) ({with_channel})", f"{figures.up()} == 0")
    return f"bottomk({_MOST}, {code} and on ({_BY}) {rows})"


def _judged() -> str:
    """Return the codes of rates beyond their limits, of exporters with the newest day.

    The rates are those of each exporter, of today and of the last complete day.
    """
    day = select("braze_(campaign|canvas)_daily_timestamp_seconds", promql.OF_JOB)
    return newest(
        union(
            _beyond(figures.BOUNCE, palette.BOUNCE, _SOME_BOUNCES, _BOUNCES),
            _beyond(figures.SPAM, palette.SPAM, _SOME_SPAM, _SPAM),
        ),
        day=day,
    )


def _beyond(rate: Rate, limits: Limits, warning: int, critical: int) -> str:
    def summed(metric: str) -> str:
        matchers = (*_SCOPE, 'channel="email"', f'metric="{metric}"')
        dated = (
            f'label_replace({select(_DAYS, matchers)}, "part", '
            f'"{rate.numerator} $1", "__name__", ".*_(.*)")'
        )
        return f"sum by (job, instance, {_BY}, part) ({dated})"

    share = f"{summed(rate.numerator)} / ({summed(rate.denominator)} >= {LEAST})"
    return (
        f"{warning} - {warning - critical} * "
        f"({share} > {limits.warning} > bool {limits.critical})"
    )


def _unjudged() -> tuple[str, ...]:
    """Return the codes of the other states, one for each object."""
    up = promql.least_of_jobs(select("braze_(campaign|canvas)_up", _SCOPE), *OBJECT)
    known = select(variables.WITH_CHANNEL, _SCOPE)
    return (
        f"{_FAILING} + 0 * ({up} == 0)",
        f"{_SILENT} + 0 * ({_silent()})",
        f"{_LATE} + 0 * ({freshness.intervals(_SCOPE)} >= {freshness.LATE.warning})",
        f"{_OK} + 0 * max by ({_BY}) ({known})",
    )


def _silent() -> str:
    """Return objects without messages on the last complete day, on a usual weekday.

    Usual: a week before there were enough, and 28 days have more than two such days.
    Without data of a week before, the last 7 days lack more than one average day of the
    last 28, and less than half a week. The alert BrazeSendsStopped compares the same.
    """
    week, month = _volume(figures.WEEK), _volume(figures.MONTH)
    before = promql.moved(_volume(LAST), "offset 7d")
    fewer = f"{week} / 7 and {week} / {month} >= {0.5 / 4} < {0.88 / 4}"
    usual = f"{union(before, fewer)} >= {LEAST}"
    return f"{month} / ({usual}) >= 2.5 unless {_volume(LAST)} > 0"


def _volume(period: figures.Period) -> str:
    return total(figures.stat(period, _MESSAGES, scope=_SCOPE), *OBJECT)


def _mappings() -> tuple[models.ValueMapping, ...]:
    return tuple(
        models.RangeMap(
            options=models.DashboardRangeMapOptions(
                from_val=code - 1,
                to=code,
                result=models.ValueMappingResult(text=text, color=colour, index=code),
            )
        )
        for code, (text, colour) in _WORDS.items()
    )


def _percent(limits: Limits, decimals: int) -> str:
    return f"{100 * limits.warning:.{decimals}f} %"


def open_rate(*by: str) -> str:
    """Return opened ÷ reached on the last complete day, of channels with opens."""
    return ratio(
        stage(LAST, figures.OPENED_OF_OPENABLE), stage(LAST, figures.OPENABLE), *by
    )


def click_rate(*by: str) -> str:
    """Return clicked ÷ reached on the last complete day, of channels with clicks."""
    return ratio(stage(LAST, figures.CLICKED), stage(LAST, figures.CLICKABLE), *by)


def conversion_rate() -> str:
    """Return conversions ÷ recipients, of canvases ÷ entries, on that day."""
    base = overall(LAST, "unique_recipients|entries")
    return ratio(converting(LAST, "conversions"), base, *OBJECT)

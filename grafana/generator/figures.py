"""Braze's numbers as queries: their days, and their names in each channel.

The stages from sent to clicked have different names in each channel; here each stage is
mapped to one name per channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from grafana.generator import promql, variables
from grafana.generator.promql import OBJECT, fold, ratio, select, total, union


@dataclass(frozen=True, slots=True)
class Period:
    """Days of the figures of campaigns, of canvases, or of both."""

    title: str
    days: str
    suffix: str
    """The end of the families' names."""
    window: str | None = None
    kinds: str = "(campaign|canvas)"
    """A pattern of the kinds."""
    scope: tuple[str, ...] = promql.OF_MESSAGE
    """The chosen messages."""
    is_course: bool = False
    """Whether the points of a graph are a day apart."""

    @property
    def family(self) -> str:
        """The family of figures by channel."""
        return f"braze_{self.kinds}_{self.suffix}"

    @property
    def overall(self) -> str:
        """The family of figures of the whole campaign or canvas."""
        return f"braze_{self.kinds}_overall_{self.suffix}"

    @property
    def matchers(self) -> tuple[str, ...]:
        """The matchers of one window; windows must never be added up."""
        return (f'window="{self.window}"',) if self.window else ()

    def of(self, kind: str, *, part: str = "", scope: tuple[str, ...]) -> Period:
        """Return the same days of one kind, or of its parts such as `step`."""
        kinds = f"{kind}_{part}" if part else kind
        return replace(self, kinds=kinds, scope=scope)


TODAY = Period("Today so far", "today so far", "daily")
LAST = Period(
    "Last complete day",
    "the last day that is over in the workspace's time zone",
    "last_complete_day",
)
WEEK = Period("7 days", "the 7 days before today taken together", "trailing", "7d")
MONTH = Period("28 days", "the 28 days before today taken together", "trailing", "28d")
PERIODS = (TODAY, LAST, WEEK, MONTH)
BY_DAY = replace(LAST, title="By day", is_course=True)
WEEK_BY_DAY = replace(WEEK, title="7 days, by day", is_course=True)

Names = tuple[tuple[str, str], ...]
"""Pairs of a pattern of channels, empty for all, and one of Braze's names.

Each channel has one of the names. One selector for several channels keeps the
queries short.
"""

PUSH = ".*_push"
IN_APP = "in_app_message|trigger_in_app_message"
_SPOKEN = "email|sms|whats_app|rcs"

SENT: Names = (("", "sent"),)
VOLUME: Names = (("", "sent"), (IN_APP, "impressions"))
DELIVERED: Names = ((_SPOKEN, "delivered"),)
OPENED: Names = (
    (
        f"email|{PUSH}|whats_app|rcs|content_cards",
        # In canvases, direct and influenced opens together are `influenced_opens`.
        "unique_opens|total_opens|influenced_opens|read|unique_impressions",
    ),
    ("line", "opens"),
    (IN_APP, "impressions"),
)
CLICKED: Names = (
    (f"email|content_cards|{PUSH}", "unique_clicks|body_clicks"),
    (f"sms|rcs|line|{IN_APP}", "clicks"),
)
# Reached, in channels in which an opening, or a click, is counted at all.
OPENABLE: Names = (
    ("email|whats_app|rcs", "delivered"),
    (f"{PUSH}|content_cards|line", "sent"),
)
CLICKABLE: Names = (
    (f"email|sms|rcs|{IN_APP}", "delivered|impressions"),
    (f"{PUSH}|content_cards|line", "sent"),
)
OPENED_OF_OPENABLE: Names = OPENED[:-1]


def stat(
    period: Period,
    name: str,
    *,
    channel: str = "",
    scope: tuple[str, ...] = (),
) -> str:
    """Return one of Braze's numbers by message, over a period, with replicas merged.

    For today only replicas with the newest day are used. For other periods that would
    make the queries too long, and sums of consecutive days differ little.
    """
    return _merged(period, _selector(period, name, channel=channel, scope=scope))


def stage(period: Period, names: Names) -> str:
    """Return a stage over all channels, as one vector."""
    return _merged(
        period,
        *(
            _selector(period, name, channel=channel, scope=())
            for channel, name in names
        ),
    )


def _selector(
    period: Period, name: str, *, channel: str, scope: tuple[str, ...]
) -> str:
    of_channel = (f'channel=~"{channel}"',) if channel else ()
    operator = "=~" if "|" in name else "="
    matchers = (
        *(scope or period.scope),
        *of_channel,
        f'metric{operator}"{name}"',
        *period.matchers,
    )
    return select(period.family, matchers)


def _merged(period: Period, *selectors: str) -> str:
    """Return the samples of disjoint selectors, with replicas merged."""
    vector = " or ".join(
        promql.by_day(each) if period.is_course else each for each in selectors
    )
    if period.suffix == TODAY.suffix:
        day = select(f"braze_{period.kinds}_daily_timestamp_seconds", promql.OF_JOB)
        vector = promql.newest(vector, day=day)
    return fold(vector)


def email(period: Period, name: str) -> str:
    """Return one of Braze's numbers of email."""
    return stat(period, name, channel="email")


def overall(period: Period, name: str) -> str:
    """Return a number of the whole, of campaigns and canvases in the chosen channels.

    It is campaign-wide, or canvas-wide.
    """
    whole = _whole(period, name)
    return f"({whole} and on ({_OBJECT}) {_chosen(period)})"


def converting(period: Period, name: str) -> str:
    """Return conversions or revenue by object, of those that use the chosen channels.

    If Braze reports them by variation, they are summed without control groups; else
    the campaign-wide or canvas-wide figure is used.
    """
    of = promql.OF_CAMPAIGN
    control = select("braze_campaign_variation_info", (*of, 'control="true"'))
    parts = stat(period, name, scope=of)
    sent = total(f"{parts} unless on ({_MESSAGE}) {control}", *OBJECT)
    every = union(sent, total(_whole(period, name), *OBJECT))
    return f"({every} and on ({_OBJECT}) {_chosen(period)})"


def _whole(period: Period, name: str) -> str:
    operator = "=~" if "|" in name else "="
    matchers = (*promql.OF_CAMPAIGN, f'metric{operator}"{name}"', *period.matchers)
    selector = select(period.overall, matchers)
    return fold(promql.by_day(selector) if period.is_course else selector)


def _chosen(period: Period) -> str:
    """Return samples of each chosen object; in a graph those of its last day alone."""
    return promql.recent(chosen()) if period.is_course else chosen()


def chosen() -> str:
    """Return samples of each chosen campaign or canvas and chosen channel."""
    return select(variables.WITH_CHANNEL, promql.OF_MESSAGE)


def up() -> str:
    """Return 1 for campaigns and canvases whose last poll succeeded in every job."""
    selector = select("braze_(campaign|canvas)_up", promql.OF_CAMPAIGN)
    return promql.least_of_jobs(selector, *OBJECT)


@dataclass(frozen=True, slots=True)
class Rate:
    """A ratio of two sums of email."""

    title: str
    numerator: str
    denominator: str

    def over(self, period: Period, *by: str) -> str:
        """Return the ratio of sums over a period; empty if nothing was sent."""
        return ratio(
            email(period, self.numerator),
            email(period, self.denominator),
            *by,
            nothing=self.nothing(period),
        )

    def nothing(self, period: Period) -> str:
        """Return 0 if the numerator is absent because all of it is 0."""
        if self.numerator == "delivered":
            return no_deliveries(period, "email")
        return promql.NOTHING

    def today(self, *by: str, least: int) -> str:
        """Return today's ratio, only if its denominator is at least `least`."""
        numerator = total(email(TODAY, self.numerator), *by)
        if not by:
            numerator = f"({numerator} or {self.nothing(TODAY)})"
        return (
            f"{numerator} / ({total(email(TODAY, self.denominator), *by)} >= {least})"
        )

    def latest(self, *by: str, least: int) -> str:
        """Return today's ratio, or below `least` that of the last complete day."""
        return union(self.today(*by, least=least), self.over(LAST, *by))

    @property
    def formula(self) -> str:
        """The formula, for a panel's description."""
        return f"Sum of `{self.numerator}` ÷ sum of `{self.denominator}`, email only"


def no_deliveries(period: Period, channel: str) -> str:
    """Return 0 if any campaign or canvas has deliveries in such a channel, else empty.

    Without any of them Braze may not report deliveries, and they are no 0.
    """
    matchers = (*promql.OF_WORKSPACE, f'channel=~"{channel}"', 'metric="delivered"')
    return f"0 * count({select(period.family, matchers)})"


BOUNCE = Rate("Bounce rate", "bounces", "sent")
SPAM = Rate("Spam complaint rate", "reported_spam", "delivered")
UNSUBSCRIBE = Rate("Unsubscribe rate", "unsubscribes", "delivered")
DELIVERY = Rate("Delivery rate", "delivered", "sent")
OPEN = Rate("Open rate", "unique_opens", "delivered")
CLICK = Rate("Click rate", "unique_clicks", "delivered")

_CONTROL = select(
    "braze_campaign_variation_info", (*promql.OF_VARIATION, 'control="true"')
)
_MESSAGE = "workspace, campaign, channel, variation"
_OBJECT = ", ".join(OBJECT)


def without_control(vector: str) -> str:
    """Return a vector by message without control groups."""
    return f"(({vector}) unless on ({_MESSAGE}) {_CONTROL})"


def converted(period: Period, *by: str) -> str:
    """Return conversions by labels out of workspace, campaign and channel.

    Braze reports them by channel for multivariate campaigns; their control groups are
    excluded. Those of other campaigns count for the channel if there is only one.
    """
    key = "workspace, campaign, channel"
    by_message = total(without_control(stat(period, "conversions")), *key.split(", "))
    channels = fold(select("braze_campaign_variation_info", promql.OF_CAMPAIGN))
    of_campaign = f"count by (workspace, campaign) (count by ({key}) ({channels})) == 1"
    whole = _whole(period, "conversions")
    single = (
        f"0 * (count by ({key}) ({chosen()}) and on (workspace, campaign) "
        f"({of_campaign})) + on (workspace, campaign) group_left () "
        f"sum by (workspace, campaign) ({whole})"
    )
    return total(union(by_message, single), *by)

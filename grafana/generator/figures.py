"""Braze's numbers as queries: their days, and their names in each channel.

The stages from sent to clicked have different names in each channel; here each stage is
mapped to one name per channel.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana.generator import promql
from grafana.generator.promql import fold, ratio, select, total, union


@dataclass(frozen=True, slots=True)
class Period:
    """The days that a metric family covers."""

    title: str
    days: str
    family: str
    window: str | None = None

    @property
    def overall(self) -> str:
        """The family of campaign-wide figures."""
        return self.family.replace("campaign_", "campaign_overall_")

    @property
    def matchers(self) -> tuple[str, ...]:
        """The matchers of one window; windows must never be added up."""
        return (f'window="{self.window}"',) if self.window else ()


TODAY = Period("Today so far", "today so far", "braze_campaign_daily")
LAST = Period(
    "Last complete day",
    "the last day that is over in the workspace's time zone",
    "braze_campaign_last_complete_day",
)
WEEK = Period(
    "7 days", "the 7 days before today taken together", "braze_campaign_trailing", "7d"
)
MONTH = Period(
    "28 days",
    "the 28 days before today taken together",
    "braze_campaign_trailing",
    "28d",
)
PERIODS = (TODAY, LAST, WEEK, MONTH)

Names = tuple[tuple[str, str], ...]
"""Pairs of a pattern of channels and a pattern of Braze's names, one in each channel.

One selector for several channels keeps the queries short.
"""

PUSH = ".*_push"
IN_APP = "in_app_message|trigger_in_app_message"
_SPOKEN = "email|sms|whats_app|rcs"

SENT: Names = ((".+", "sent"),)
VOLUME: Names = ((".+", "sent"), (IN_APP, "impressions"))
DELIVERED: Names = ((_SPOKEN, "delivered"),)
OPENED: Names = (
    (
        f"email|{PUSH}|whats_app|rcs|content_cards",
        "unique_opens|total_opens|read|unique_impressions",
    ),
    ("line", "opens"),
    (IN_APP, "impressions"),
)
CLICKED: Names = (
    (f"email|content_cards|{PUSH}", "unique_clicks|body_clicks"),
    (f"sms|rcs|line|{IN_APP}", "clicks"),
)
REACHED: Names = (
    (f"{_SPOKEN}|{IN_APP}", "delivered|impressions"),
    (f"{PUSH}|content_cards|line", "sent"),
)
# Those of REACHED in whose channel an opening, or a click, is counted at all.
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
    scope: tuple[str, ...] = promql.OF_VARIATION,
) -> str:
    """Return one of Braze's numbers by message, over a period, with replicas merged.

    For today only replicas with the newest day are used. For other periods that would
    make the queries too long, and sums of consecutive days differ little.
    """
    of_channel = (f'channel=~"{channel}"',) if channel else ()
    operator = "=~" if "|" in name else "="
    matchers = (*scope, *of_channel, f'metric{operator}"{name}"', *period.matchers)
    selector = select(period.family, matchers)
    if period is TODAY:
        day = select(f"{period.family}_timestamp_seconds", promql.OF_JOB)
        selector = promql.newest(selector, day=day)
    return fold(selector)


def stage(period: Period, names: Names) -> str:
    """Return a stage over all channels, as one vector."""
    return union(*(stat(period, name, channel=channel) for channel, name in names))


def email(period: Period, name: str) -> str:
    """Return one of Braze's numbers of email."""
    return stat(period, name, channel="email")


def overall(period: Period, name: str) -> str:
    """Return a campaign-wide number of the campaigns that use the chosen channels."""
    whole = _whole(period, name)
    return f"({whole} and on (workspace, campaign) {chosen()})"


def converting(period: Period, name: str) -> str:
    """Return conversions or revenue by campaign, of those that use the chosen channels.

    If Braze reports them by variation, they are summed without control groups; else
    the campaign-wide figure is used.
    """
    by = ("workspace", "campaign")
    of = promql.OF_CAMPAIGN
    control = fold(select("braze_campaign_variation_info", (*of, 'control="true"')))
    parts = stat(period, name, scope=of)
    sent = total(f"{parts} unless on ({_MESSAGE}) {control}", *by)
    every = union(sent, total(_whole(period, name), *by))
    return f"({every} and on (workspace, campaign) {chosen()})"


def _whole(period: Period, name: str) -> str:
    matchers = (*promql.OF_CAMPAIGN, f'metric="{name}"', *period.matchers)
    return fold(select(period.overall, matchers))


def chosen() -> str:
    """Return 1 for each message of the chosen campaigns in the chosen channels."""
    return fold(select("braze_campaign_variation_info", promql.OF_MESSAGE))


def up() -> str:
    """Return 1 for campaigns whose last finished poll succeeded in every job."""
    selector = select("braze_campaign_up", promql.OF_CAMPAIGN)
    return promql.least_of_jobs(selector, "workspace", "campaign")


@dataclass(frozen=True, slots=True)
class Rate:
    """A ratio of two sums of email."""

    title: str
    numerator: str
    denominator: str

    def over(self, period: Period, *by: str) -> str:
        """Return the ratio of sums over a period; empty if nothing was sent."""
        return ratio(
            email(period, self.numerator), email(period, self.denominator), *by
        )

    def today(self, *by: str, least: int) -> str:
        """Return today's ratio, only if its denominator is at least `least`."""
        numerator = total(email(TODAY, self.numerator), *by)
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


BOUNCE = Rate("Bounce rate", "bounces", "sent")
SPAM = Rate("Spam complaint rate", "reported_spam", "delivered")
UNSUBSCRIBE = Rate("Unsubscribe rate", "unsubscribes", "delivered")
DELIVERY = Rate("Delivery rate", "delivered", "sent")
OPEN = Rate("Open rate", "unique_opens", "delivered")
CLICK = Rate("Click rate", "unique_clicks", "delivered")

_CONTROL = fold(
    select("braze_campaign_variation_info", (*promql.OF_VARIATION, 'control="true"'))
)
_MESSAGE = "workspace, campaign, channel, variation"


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

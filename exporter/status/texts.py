"""What states, reasons, instants and numbers are called where people read them.

Short plain English, the same wherever it stands. It knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

from exporter.model.errors import FailureReason
from exporter.polling.sharding import Shard
from exporter.series.deliverability import Level, Rate
from exporter.status.query import ATTENTION, IDLE
from exporter.status.view_model import (
    CampaignState,
    CampaignView,
    DiscoveryView,
    RateLimitView,
    WorkspaceView,
)

STATES: Mapping[str, str] = {
    ATTENTION: "Need attention",
    CampaignState.PAUSED: "Paused",
    CampaignState.STALE: "Stale",
    CampaignState.FAILING: "Failing",
    CampaignState.WAITING: "Not polled yet",
    CampaignState.OK: "Up to date",
    IDLE: "Idle",
}
LEVELS: Mapping[Level, str] = {
    Level.UNJUDGED: "too few to judge",
    Level.FINE: "fine",
    Level.WARNING: "high",
    Level.CRITICAL: "too high",
}
SORTS: Mapping[str, str] = {
    "state": "Most urgent",
    "name": "Name",
    "sent": "Sent",
    "bounces": "Bounces",
    "spam": "Spam",
    "age": "Age",
    "next": "Next poll",
}
REASONS: Mapping[FailureReason, str] = {
    FailureReason.UNAUTHORIZED: (
        "Braze does not accept the key. Compare key and endpoint: a good key of "
        "another instance gets this answer, too."
    ),
    FailureReason.FORBIDDEN: (
        "The key may not ask this. It needs the permission campaigns.data_series and, "
        "if it has an IP allowlist, this machine on it; make a new key."
    ),
    FailureReason.RATE_LIMITED: (
        "Braze's rate limit is used up, by us or by others. It is asked again when "
        "the limit is reset."
    ),
    FailureReason.BAD_REQUEST: (
        "Braze refuses the request. Mostly the id is not the campaign's API identifier."
    ),
    FailureReason.NOT_FOUND: "Braze does not know this. Mostly the endpoint is wrong.",
    FailureReason.REDIRECT: (
        "The answer points elsewhere, and redirects are not followed. Wrong endpoint, "
        "or a proxy that wants to be logged in to."
    ),
    FailureReason.SERVER_ERROR: (
        "Braze has an error of its own. Nothing to do here: it is asked again."
    ),
    FailureReason.TIMEOUT: (
        "Braze did not answer in time. It is asked again; if it stays so, look at the "
        "network and the proxy."
    ),
    FailureReason.CONNECTION: (
        "There is no connection to Braze. Look at DNS, firewall, proxy and "
        "certificates."
    ),
    FailureReason.TOO_LARGE: (
        "The answer is larger than limits.response_bytes allows. Raise the limit."
    ),
    FailureReason.MALFORMED: (
        "What came is not a data series. If it is a proxy's page, look at the proxy."
    ),
}
_PAUSES: Mapping[FailureReason, str] = {
    FailureReason.UNAUTHORIZED: (
        "Paused: Braze does not accept the key from {source} (401). Compare key and "
        "endpoint: a good key of another instance gets this answer, too."
    ),
    FailureReason.FORBIDDEN: (
        "Paused: the key from {source} may not ask this (403). It needs the permission "
        "campaigns.data_series and, if it has an IP allowlist, this machine on it. "
        "Keys cannot be amended: make a new one."
    ),
}
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit, as `3 min`; never negative."""
    whole = max(0, int(seconds))
    for length, unit in _UNITS:
        # Two of a unit, or it would say too little.
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def ago(at: float, *, now: float) -> str:
    """Return how long ago an instant was."""
    return f"{duration(now - at)} ago" if now - at >= 1 else "now"


def ahead(at: float, *, now: float) -> str:
    """Return in how long an instant will be."""
    return f"in {duration(at - now)}" if at - now >= 1 else "now"


def instant(at: float) -> str:
    """Return an instant as people write it, in UTC."""
    return _utc(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_instant(at: float) -> str:
    """Return an instant as HTML's `datetime` wants it."""
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _utc(at: float) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def day(when: date) -> str:
    """Return a day without its year, as `3 Sep`."""
    return f"{when.day} {when:%b}"


def count(number: float) -> str:
    """Return a number of things, thousands apart."""
    whole = round(number)
    return f"{whole:,}" if abs(whole) < 10**15 else f"{number:.3g}"


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def per_minute(rate: float) -> str:
    """Return requests per minute, with a decimal where there are few."""
    return f"{rate:,.0f}" if rate >= 10 else f"{round(rate, 1):g}"


def percent(ratio: float) -> str:
    """Return a share with as many digits as thresholds have."""
    shown = 100 * ratio
    if shown >= 10:
        return f"{shown:,.1f} %"
    return f"{shown:.2f} %"


def rate(one: Rate) -> str:
    """Return a rate and what is thought of it, to be read aloud."""
    if one.ratio is None:
        return "none"
    return f"{percent(one.ratio)}, {LEVELS[one.level]}"


def reason(workspace: WorkspaceView) -> str:
    """Return why a workspace is paused; empty: it is not."""
    if workspace.pause is None:
        return ""
    source = workspace.plan.workspace.key_source
    text = _PAUSES.get(workspace.pause.reason)
    return text.format(source=source) if text else f"Paused: {workspace.pause.reason}."


def rhythm(workspace: WorkspaceView) -> str:
    """Return what a workspace does, in one or two sentences."""
    plan = workspace.plan
    campaigns = len(plan.workspace.campaigns)
    if not campaigns:
        return "No campaigns to poll."
    resting = ""
    if workspace.idle:
        every = duration(plan.workspace.idle_interval_seconds * plan.stretch)
        resting = f" ({workspace.idle:,} idle, every {every} or slower)"
    text = (
        f"{plural(campaigns, 'campaign')} every {duration(plan.interval_seconds)}"
        f"{resting}: "
        f"{per_minute(plan.planned_per_minute)} of at most "
        f"{per_minute(plan.ceiling_per_minute)} requests a minute."
    )
    if plan.stretch > 1:
        text += (
            f" Intervals are stretched {plan.stretch:.2g} times to keep to that; raise "
            "requests_per_minute or the intervals."
        )
    return text


def discovery(one: DiscoveryView, *, now: float) -> str:
    """Return what discovery has found and whether it still finds, as sentences."""
    found = f"Discovery has found {plural(one.campaigns, 'campaign')}"
    listed = ""
    if one.listed_at is not None:
        listed = f"; it read the list {ago(one.listed_at, now=now)}"
    if one.failure is not None:
        text = "Discovery fails; what it has found before is polled on."
        if one.listed_at is None:
            text = "Discovery fails and has not read the list of campaigns yet."
        if one.next_at is not None:
            text += f" It asks again {ahead(one.next_at, now=now)}."
    elif one.listed_at is None:
        text = "Discovery reads the list of campaigns for the first time."
    else:
        text = f"{found}{listed}."
    if one.is_limited:
        text += " max_campaigns keeps others out."
    return text


def shard(one: Shard) -> str:
    """Return which part of the campaigns is polled, as a sentence."""
    return (
        f"Shard {one.number} of {one.total} (numbers start at 0): this page shows the "
        f"campaigns of this shard, and ceilings are 1/{one.total} of the configured."
    )


def idleness(campaign: CampaignView) -> str:
    """Return how seldom a campaign is asked in which nothing happens."""
    return f"Idle: every {duration(campaign.interval_seconds)}"


def limit(one: RateLimitView, *, now: float) -> str:
    """Return what Braze's headers said of an endpoint, as sentences."""
    if one.shut_until is not None:
        return (
            "The rate limit is used up (429): nothing is asked until "
            f"{instant(one.shut_until)}."
        )
    if one.limit is None and one.remaining is None:
        return "Braze has told no rate limit yet."
    if one.limit is not None and one.remaining is not None:
        text = f"{count(one.remaining)} of {count(one.limit)} requests left"
    elif one.remaining is not None:
        text = f"{count(one.remaining)} requests left"
    else:
        text = f"{count(one.limit or 0)} requests allowed"
    if one.reset_at is not None and one.reset_at > now:
        text += f", reset {ahead(one.reset_at, now=now)}"
    if one.reserved:
        text += f"; the last {count(one.reserved)} stay for others"
    return f"{text}."


def next_poll(campaign: CampaignView, *, now: float) -> str:
    """Return when a campaign is asked for next."""
    upcoming = campaign.next_poll
    if upcoming.is_running:
        return "running"
    if upcoming.is_of_others:
        return "by another exporter"
    if upcoming.at is None:
        is_paused = campaign.state is CampaignState.PAUSED
        return "after the pause" if is_paused else "soon"
    if upcoming.place:
        return f"{ahead(upcoming.at, now=now)}, {upcoming.place} before it"
    return ahead(upcoming.at, now=now)

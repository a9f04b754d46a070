"""The texts of the status page and of the JSON's summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from exporter.braze.paths import permission_for
from exporter.braze.rate_limit_view import RateLimitView
from exporter.discovery.view import DiscoveryView
from exporter.model.durations import duration
from exporter.model.errors import FailureReason
from exporter.model.failure_texts import FAILURE_TEXTS
from exporter.polling.kinds import Kind
from exporter.polling.sharding import Shard
from exporter.series.deliverability import Level, Rate
from exporter.status.view_model import (
    GroupView,
    ObjectState,
    ObjectView,
    Overview,
    WorkspaceView,
)

LEVELS: Mapping[Level, str] = {
    Level.UNJUDGED: "too few to judge",
    Level.FINE: "fine",
    Level.WARNING: "high",
    Level.CRITICAL: "too high",
}

_CHECKS: Mapping[str, str] = {
    "campaign": "Check that the id is the campaign's API identifier",
    "canvas": "Check that the id is the canvas's API identifier, and that the clock of "
    "this machine is not ahead",
    "segment": "Turn on analytics tracking of the segment in Braze, and check that the "
    "id is the segment's API identifier",
    "event": "Check that the event is spelled as in Braze",
}
"""Kind → what to check after a 400."""

NEVER_POLLED = (
    "No poll has ended yet, although the first was due more than 30 s ago. Requests "
    "are slow or wait for the rate limit; or threads are short, and the log has "
    "event=job.not_started."
)


def ago(at: float, *, now: float) -> str:
    """Return how long ago an instant was: `3 min ago`."""
    return f"{duration(now - at)} ago" if now - at >= 1 else "now"


def ahead(at: float, *, now: float) -> str:
    """Return how far ahead an instant is: `in 3 min`."""
    return f"in {duration(at - now)}" if at - now >= 1 else "now"


def instant(at: float) -> str:
    """Return an instant in UTC, for people."""
    return _utc(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_instant(at: float) -> str:
    """Return an instant for the attribute `datetime` of HTML."""
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _utc(at: float) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def day(when: date) -> str:
    """Return a date without its year: `3 Sep`."""
    return f"{when.day} {when:%b}"


def count(number: float) -> str:
    """Return a rounded number with thousands separators."""
    whole = round(number)
    return f"{whole:,}" if abs(whole) < 10**15 else f"{number:.3g}"


def plural(number: int, singular: str, plural_form: str = "") -> str:
    """Return a number with its noun; the default plural adds an s."""
    noun = singular if number == 1 else plural_form or f"{singular}s"
    return f"{number:,} {noun}"


def per_minute(rate: float) -> str:
    """Return a rate, with a decimal below 10; a small one is not rounded to 0."""
    if rate >= 10:
        return f"{rate:,.0f}"
    return f"{round(rate, 1) or float(f'{rate:.1g}'):g}"


def percent(ratio: float) -> str:
    """Return a percentage; two decimals below 10 %, as the thresholds need."""
    shown = 100 * ratio
    return f"{shown:,.1f} %" if shown >= 10 else f"{shown:.2f} %"


def rate(rate: Rate) -> str:
    """Return a rate and its level in words."""
    if rate.ratio is None:
        return "none"
    return f"{percent(rate.ratio)}, {LEVELS[rate.level]}"


def names(kinds: Sequence[Kind]) -> str:
    """Return the plurals of some kinds: `campaigns, canvases and series`."""
    return _joined([one.plural for one in kinds], "and")


def objects(number: int, kinds: Sequence[Kind]) -> str:
    """Return a number of objects, each of one of some kinds."""
    return plural(number, _joined([one.label for one in kinds], "or"), names(kinds))


def _joined(nouns: Sequence[str], conjunction: str) -> str:
    *first, last = nouns
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def about(one: ObjectView, overview: Overview) -> list[str]:
    """Return what is known of an object beside its name; nothing that all share.

    The name of a series contains its labels.
    """
    labels = {} if one.kind.is_series else one.labels.labels
    texts = (
        one.kind.label.capitalize() if len(overview.kinds) > 1 else "",
        one.labels.workspace if len(overview.workspaces) > 1 else "",
        ", ".join(one.channels),
        *(f"{name}={value}" for name, value in labels.items()),
    )
    return [text for text in texts if text]


def failure(reason: FailureReason, kind: Kind) -> str:
    """Return what a failure reason means for a kind of object, and what to do."""
    return f"{FAILURE_TEXTS[reason].cause} {_action(reason, kind)}"


def _action(reason: FailureReason, kind: Kind) -> str:
    return FAILURE_TEXTS[reason].action.format(
        permission=permission_for(kind.path),
        check=_CHECKS.get(kind.name, "Please report the error message"),
        relief=f"lower {kind.ceiling_option}"
        if kind.ceiling_option
        else "raise series.interval",
    )


def pause(group: GroupView) -> str:
    """Return why objects are not polled and what to do; empty: they are polled."""
    if group.pause is None:
        return ""
    reason, kind = group.pause.reason, group.kind
    subject = "Paused"
    if not group.pause.is_of_key:
        of = f" ({kind.name})" if kind.is_series else ""
        subject = f"{kind.plural.capitalize()}{of} are paused"
    return (
        f"{subject}: {FAILURE_TEXTS[reason].cause} The key is read from "
        f"{group.plan.workspace.key_source}. {_action(reason, kind)}"
    )


def probe(group: GroupView) -> str:
    """Return which request is sent during a pause, without its time."""
    return f"One {group.kind.label} is polled as a probe"


def summary(workspace: WorkspaceView) -> str:
    """Return why each kind is paused, or how it is polled, as sentences."""
    texts: list[str] = []
    for groups in workspace.polled_together:
        texts += (pause(one) for one in groups if one.pause)
        if polled := [one for one in groups if not one.pause]:
            texts.append(polling(*polled))
    return " ".join(dict.fromkeys(texts))


def polling(*groups: GroupView) -> str:
    """Return the number of objects, their interval and the request rate.

    Several groups have one plural and one bucket, and so one stretch.
    """
    plan, kind = groups[0].plan, groups[0].kind
    number = sum(len(one.plan.objects) for one in groups)
    if not number:
        return f"No {kind.plural} to poll."
    idle = ""
    if number_idle := sum(one.idle for one in groups):
        every = duration(plan.workspace.idle_interval_seconds * plan.stretch)
        idle = f" ({number_idle:,} idle, every {every} or longer)"
    text = (
        f"{objects(number, [kind])} every {duration(plan.interval_seconds)}{idle}: "
        f"{per_minute(sum(one.plan.planned_per_minute for one in groups))} of at most "
        f"{per_minute(sum(one.plan.ceiling_per_minute for one in groups))} requests "
        "per minute."
    )
    if plan.stretch > 1:
        change = "raise series.interval"
        if kind.ceiling_option:
            change = f"raise {kind.ceiling_option} or the intervals"
        text += (
            f" Intervals are stretched by a factor of {plan.stretch:.2g} to stay below "
            f"that ceiling; {change}."
        )
    return text


def queued(*groups: GroupView) -> str:
    """Return how many objects wait for the budget; empty: none."""
    kind, number = groups[0].kind, sum(one.waiting for one in groups)
    if not number:
        return ""
    return f"{plural(number, f'{kind.label} is', f'{kind.plural} are')} queued."


def discovery(view: DiscoveryView, *, now: float) -> str:
    """Return the state of a discovery, as sentences."""
    name, plural_form = view.kind.name, view.kind.plural
    if view.failure is not None:
        text = f"Discovery is failing; the {plural_form} found so far are still polled."
        if view.listed_at is None:
            text = f"Discovery is failing and has not read the {name} list yet."
        if view.next_at is not None:
            text += f" Next try {ahead(view.next_at, now=now)}."
    elif view.listed_at is None:
        text = f"Discovery is reading the {name} list for the first time."
    else:
        found = plural(view.found, name, plural_form)
        read = ago(view.listed_at, now=now)
        text = f"Discovery found {found}; the list was read {read}."
    if view.is_limited:
        text += f" {view.kind.max_option} excludes further {plural_form}."
    return text


def shard(shard: Shard) -> str:
    """Return which objects this process polls, as a sentence."""
    return (
        f"Shard {shard.number} of {shard.total} (numbers start at 0): this page shows "
        "the objects of this shard only, and its ceilings are the configured ones "
        f"divided by {shard.total}."
    )


def limit(view: RateLimitView, *, now: float) -> str:
    """Return the state of a rate limit, as sentences."""
    if view.shut_until is not None:
        return (
            "The rate limit is used up (429): no requests until "
            f"{instant(view.shut_until)}."
        )
    if view.limit is None and view.remaining is None:
        return "Braze has not sent rate limit headers yet."
    if view.limit is not None and view.remaining is not None:
        text = f"{count(view.remaining)} of {count(view.limit)} requests left"
    elif view.remaining is not None:
        text = f"{count(view.remaining)} requests left"
    else:
        text = f"{count(view.limit or 0)} requests allowed"
    if view.reset_at is not None and view.reset_at > now:
        text += f", resets {ahead(view.reset_at, now=now)}"
    if view.reserved:
        text += f"; the last {count(view.reserved)} are left to other clients"
    return f"{text}."


def next_poll(one: ObjectView, *, now: float) -> str:
    """Return the time of an object's next poll in words."""
    poll = one.next_poll
    if poll.is_running:
        return "running"
    if poll.at is None:
        is_paused = one.state is ObjectState.PAUSED
        return "after the pause" if is_paused else "soon"
    if poll.place:
        return f"{ahead(poll.at, now=now)}, after {plural(poll.place, 'other')}"
    return ahead(poll.at, now=now)

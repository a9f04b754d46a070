"""Which campaigns are polled besides the listed ones, and what to ask to know it.

Decisions over frozen values: what is known, what the configuration wants, and `now`.
Each campaign is known by its id; its name is only what it is shown by. It knows neither
requests nor budgets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from sys import getsizeof

from exporter.discovery.documents import Details, Listed, ListPage, key
from exporter.model.config import (
    CampaignConfig,
    DiscoverConfig,
    Selection,
    TagSelection,
    WorkspaceConfig,
)
from exporter.model.errors import MalformedCatalogue
from exporter.model.labels import (
    LONGEST,
    NamedEntry,
    VariationKey,
    assign_labels,
    clean,
)
from exporter.model.patterns import matcher

DETAILS_INTERVAL_SECONDS = 86400.0
_MOST_PAGES = 1000
MOST_BYTES = 128 << 20
"""Of the list's texts: 100,000 campaigns with three tags each take half of that."""

_LONGEST_DELAY_SECONDS = 900.0
_FIRST_DELAY_SECONDS = 2.0
# What is the same by whichever endpoint it is spelled: details say `content_card` and
# `in-app_message` for `content_cards` and `trigger_in_app_message` of data series.
_PREFIX = re.compile(r"^trigger(?=inapp)")
_ALIASES = {
    "contentcard": ("content_card", "content_cards"),
    "inappmessage": ("in_app_message", "in-app_message", "trigger_in_app_message"),
    "whatsapp": ("whats_app", "whatsapp"),
    "banner": ("banner", "banners"),
    "kakaotalk": ("kakao_talk", "kakaotalk"),
}


@dataclass(frozen=True, slots=True)
class ListProgress:
    """A list that is being read: the next page, and what the ones before held."""

    page: int = 0
    found: Mapping[str, Listed] = field(default_factory=dict)
    bytes: int = 0
    """About how much memory the texts of what was found take."""


@dataclass(frozen=True, slots=True)
class CampaignCatalogue:
    """What is known of a workspace's campaigns; keys are made of ids by `key`."""

    campaigns: Mapping[str, Listed] = field(default_factory=dict)
    details: Mapping[str, Details] = field(default_factory=dict)
    listed_at: float | None = None
    """When the list was last read to its end."""
    reading: ListProgress | None = None


@dataclass(frozen=True, slots=True)
class PageWanted:
    """Ask for this page of the list."""

    page: int


@dataclass(frozen=True, slots=True)
class DetailsWanted:
    """Ask for the details of this campaign."""

    campaign: Listed


NextRequest = PageWanted | DetailsWanted


@dataclass(frozen=True, slots=True)
class Choice:
    """The campaigns that were found."""

    campaigns: tuple[Listed, ...]
    is_limited: bool
    """Whether `max_campaigns` keeps others out, or not yet looked at."""


def begun(known: CampaignCatalogue) -> CampaignCatalogue:
    """Return what is known when the list is read from its first page on."""
    return replace(known, reading=ListProgress())


def turned(
    known: CampaignCatalogue, page: ListPage, *, now: float
) -> CampaignCatalogue:
    """Return what is known after the next page of the list.

    A page without any campaign that was not on a page before would go on for ever.
    """
    reading = known.reading or ListProgress()
    found = {key(one.id): one for one in page.campaigns}
    is_useless = found.keys() <= reading.found.keys()
    is_first_or_full = not reading.found or not page.is_last
    if page.entries and is_useless and (found or is_first_or_full):
        message = (
            f"the list of campaigns: page {reading.page} holds no campaign that was "
            "not on a page before"
        )
        raise MalformedCatalogue(message)
    size = reading.bytes + sum(map(_bytes, found.values()))
    if size > MOST_BYTES:
        most = f"{MOST_BYTES >> 20} MiB"
        message = f"the list of campaigns: it has more than {most} of names and tags"
        raise MalformedCatalogue(message)
    found = {**found, **reading.found}
    if not page.is_last:
        if reading.page + 1 >= _MOST_PAGES:
            message = f"the list of campaigns: it has more than {_MOST_PAGES} pages"
            raise MalformedCatalogue(message)
        return replace(known, reading=ListProgress(reading.page + 1, found, size))
    return _listed(known, found, now=now)


def _bytes(one: Listed) -> int:
    texts = (one.id, one.name, one.last_edited, *one.tags)
    return sum(map(getsizeof, texts)) + getsizeof(one) + getsizeof(one.tags)


def _listed(
    known: CampaignCatalogue, found: Mapping[str, Listed], *, now: float
) -> CampaignCatalogue:
    missing = {
        id_: one if one.missing_since is not None else replace(one, missing_since=now)
        for id_, one in known.campaigns.items()
        if id_ not in found
    }
    campaigns = {**missing, **found}
    return CampaignCatalogue(
        campaigns=campaigns,
        details={id_: one for id_, one in known.details.items() if id_ in campaigns},
        listed_at=now,
    )


def detailed(
    known: CampaignCatalogue, campaign: Listed, details: Details
) -> CampaignCatalogue:
    """Return what is known after the details of a campaign."""
    return replace(known, details={**known.details, key(campaign.id): details})


def without_removed(
    known: CampaignCatalogue, settings: DiscoverConfig, *, now: float
) -> CampaignCatalogue:
    """Return what is known without campaigns whose grace is over."""
    gone = [
        id_
        for id_, one in known.campaigns.items()
        if one.missing_since is not None
        and now >= one.missing_since + settings.grace_seconds
    ]
    if not gone:
        return known
    return replace(
        known,
        campaigns={id_: one for id_, one in known.campaigns.items() if id_ not in gone},
    )


def candidates(
    known: CampaignCatalogue, settings: DiscoverConfig
) -> tuple[Listed, ...]:
    """Return what the list's names and tags select, the last edited first."""
    has_name = matcher(settings.names)
    selected = (
        one
        for one in known.campaigns.values()
        if has_name(one.name) and _has_tags(settings.tags, one.tags)
    )
    return tuple(sorted(selected, key=lambda one: (-one.edited_at, one.id)))


def _has_tags(wanted: TagSelection, tags: Sequence[str]) -> bool:
    has = set(tags)
    return (
        (not wanted.any or not has.isdisjoint(wanted.any))
        and has.issuperset(wanted.all)
        and has.isdisjoint(wanted.none)
    )


def choose(
    known: CampaignCatalogue,
    wanted: Iterable[Listed],
    settings: DiscoverConfig,
    *,
    listed: frozenset[str],
) -> Choice:
    """Return those of the candidates that are found, at most `max_campaigns`.

    The keys of `listed` campaigns, which the configuration names, are not counted.
    """
    found: list[Listed] = []
    room, is_limited = settings.max_campaigns, False
    for one in wanted:
        is_listed = key(one.id) in listed
        details = known.details.get(key(one.id))
        is_open = details is None and settings.needs_details
        if not room and not is_listed:
            is_limited = is_limited or is_open or _accepts(settings, details)
        elif not is_open and _accepts(settings, details):
            found.append(one)
            room -= not is_listed
    return Choice(tuple(found), is_limited)


def _accepts(settings: DiscoverConfig, details: Details | None) -> bool:
    """Tell whether the details say what is wanted; None: they are not needed."""
    if details is None or not settings.needs_details:
        return True
    if not details.is_known:
        return False
    is_left_out = (details.is_draft and not settings.include_drafts) or (
        details.is_archived and not settings.include_archived
    )
    return (
        not is_left_out
        and _was_sent_within(settings.sent_within_seconds, details)
        and _has_channel(settings.channels, details.channels)
    )


def showing(
    settings: DiscoverConfig, details: Details | None
) -> tuple[bool, tuple[str, ...], bool]:
    """Return all of a campaign's details that matter: that it is found, and how.

    Most details are the same, read again each day.
    """
    if details is None or not _accepts(settings, details):
        return False, (), False
    return True, details.channels, _is_dormant(details)


def _is_dormant(details: Details | None) -> bool:
    """Tell whether Braze is known to call it archived or a draft."""
    return details is not None and (details.is_archived or details.is_draft)


def _was_sent_within(seconds: float | None, details: Details) -> bool:
    """Judge by when the details were read: they are a day old at most.

    What is sent each day must not leave and come back while they grow old.
    """
    if seconds is None:
        return True
    sent_at = details.last_sent_at
    return sent_at is not None and details.read_at - sent_at <= seconds


def _has_channel(wanted: Selection, channels: Iterable[str]) -> bool:
    """Tell whether any channel is selected, however it is spelled."""
    if wanted == Selection():
        return True
    return any(
        (not wanted.include or _is_one_of(channel, wanted.include))
        and not _is_one_of(channel, wanted.exclude)
        for channel in channels
    )


def _is_one_of(channel: str, patterns: tuple[str, ...]) -> bool:
    spelled = _spelled(channel)
    spellings = {channel, channel.lower().replace("-", "_"), *_ALIASES.get(spelled, ())}
    matches = matcher(Selection(include=patterns)) if patterns else lambda _: False
    return any(map(matches, spellings)) or any(
        _spelled(pattern) == spelled for pattern in patterns
    )


def _spelled(channel: str) -> str:
    """Return what is left of a channel's name by all the ways to spell it."""
    letters = "".join(char for char in channel.lower() if char not in "-_ ")
    return _PREFIX.sub("", letters).removesuffix("s")


def next_request(
    known: CampaignCatalogue,
    wanted: Sequence[Listed],
    settings: DiscoverConfig,
    *,
    listed: frozenset[str],
    now: float,
) -> NextRequest | float:
    """Return what to ask next, or until when there is nothing to ask.

    The list goes before details, unknown ones before old ones. Whoever would find no
    room is not asked for.
    """
    if known.reading is not None:
        return PageWanted(known.reading.page)
    list_at = (known.listed_at or 0.0) + settings.list_interval_seconds
    if known.listed_at is None or now >= list_at:
        return PageWanted(0)
    leavers = (
        one.missing_since + settings.grace_seconds
        for one in known.campaigns.values()
        if one.missing_since is not None
    )
    until = min(list_at, *leavers, math.inf)
    if not settings.needs_details:
        return until
    oldest, read_at = None, math.inf
    room = settings.max_campaigns
    for one in wanted:
        is_listed = key(one.id) in listed
        if one.missing_since is not None or (is_listed and not settings.labels):
            continue
        if not room and not is_listed:
            continue
        details = known.details.get(key(one.id))
        if details is None or details.last_edited != one.last_edited:
            return DetailsWanted(one)
        if details.read_at < read_at:
            oldest, read_at = one, details.read_at
        room -= _accepts(settings, details) and not is_listed
    if oldest is not None and now >= read_at + DETAILS_INTERVAL_SECONDS:
        return DetailsWanted(oldest)
    return min(until, read_at + DETAILS_INTERVAL_SECONDS)


def delay_seconds(failures: int, *, fraction: float) -> float:
    """Return how long to wait after so many failures in a row; `fraction`: jitter."""
    longest = min(
        _LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 4.0 ** min(failures - 1, 9)
    )
    return longest * (0.5 + fraction / 2)


def campaigns(
    workspace: WorkspaceConfig, choice: Choice, known: CampaignCatalogue
) -> tuple[CampaignConfig, ...]:
    """Return the listed campaigns and those that were found, each by its own name.

    The listed ones keep their names, and gain the labels that are found for them where
    they have none of their own.
    """
    settings = workspace.discover
    if settings is None:
        return workspace.campaigns
    found = {key(one.id): one for one in choice.campaigns}
    labels = {
        id_: _labels(settings, one, known.details.get(id_))
        for id_, one in found.items()
    }
    listed = tuple(
        one._replace(
            labels={**labels.get(key(one.id), {}), **one.labels},
            is_dormant=_is_dormant(known.details.get(key(one.id))),
        )
        for one in workspace.campaigns
    )
    for one in workspace.campaigns:
        found.pop(key(one.id), None)
    names = _names(workspace.campaigns, found)
    return listed + tuple(
        CampaignConfig(
            id=one.id,
            name=names[id_],
            interval_seconds=workspace.interval_seconds,
            labels=labels[id_],
            is_dormant=_is_dormant(known.details.get(id_)),
        )
        for id_, one in found.items()
    )


def _names(
    listed: Iterable[CampaignConfig], found: Mapping[str, Listed]
) -> dict[str, str]:
    """Give every found campaign a name of its own; the rule is that of variations.

    In the order of ids, so that two exporters agree.
    """
    first = [NamedEntry(VariationKey(key(one.id), "", 1), one.name) for one in listed]
    second = [
        NamedEntry(VariationKey(id_, "", 1), one.name if one.name.strip() else one.id)
        for id_, one in sorted(found.items())
    ]
    given = assign_labels([first, second])
    return {id_: given[VariationKey(id_, "", 1)] for id_ in found}


def _labels(
    settings: DiscoverConfig, one: Listed, details: Details | None
) -> dict[str, str]:
    channels = details.channels if details else ()
    texts = {"tags": _joined(one.tags), "channels": _joined(channels)}
    filled = {name: texts[source] for name, source in settings.labels.items()}
    # Prometheus takes an empty label for none.
    return {name: text for name, text in filled.items() if text}


def _joined(texts: Iterable[str]) -> str:
    """Join by commas, in order, as many as a label shows whole."""
    joined = ""
    for text in sorted(map(clean, texts)):
        longer = f"{joined},{text}" if joined else text
        if len(longer) > LONGEST:
            break
        joined = longer
    return joined

"""Selection of discovered campaigns, and the next request that it needs.

Pure functions of the catalogue, the configuration and `now`. A campaign is identified
by its id; its name is for display only. Listed campaigns are those that the
configuration has under `campaigns`.
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
_MAX_PAGES = 1000
MAX_BYTES = 128 << 20
"""Limit of the list's texts; 100,000 campaigns with three tags take half of it."""

_LONGEST_DELAY_SECONDS = 900.0
_FIRST_DELAY_SECONDS = 2.0
# Spellings of one channel: details contain `content_card` and `in-app_message` for
# `content_cards` and `trigger_in_app_message` of data series.
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
    """A list that is being read: its next page, and the campaigns so far."""

    page: int = 0
    found: Mapping[str, Listed] = field(default_factory=dict)
    bytes: int = 0
    """Approximate memory of the texts in `found`."""


@dataclass(frozen=True, slots=True)
class CampaignCatalogue:
    """List and details of a workspace's campaigns, by `documents.key` of their ids."""

    campaigns: Mapping[str, Listed] = field(default_factory=dict)
    details: Mapping[str, Details] = field(default_factory=dict)
    listed_at: float | None = None
    """When the list was last read completely."""
    reading: ListProgress | None = None


@dataclass(frozen=True, slots=True)
class PageWanted:
    """Request this page of the list."""

    page: int


@dataclass(frozen=True, slots=True)
class DetailsWanted:
    """Request the details of this campaign."""

    campaign: Listed


NextRequest = PageWanted | DetailsWanted


@dataclass(frozen=True, slots=True)
class SelectedCampaigns:
    """The campaigns that discovery selects."""

    campaigns: tuple[Listed, ...]
    is_limited: bool
    """Whether `max_campaigns` excludes campaigns that are or may be selected."""


def list_started(catalogue: CampaignCatalogue) -> CampaignCatalogue:
    """Return the catalogue with the list to be read from its first page."""
    return replace(catalogue, reading=ListProgress())


def after_page(
    catalogue: CampaignCatalogue, page: ListPage, *, now: float
) -> CampaignCatalogue:
    """Return the catalogue after the next page of the list.

    MalformedCatalogue: the page repeats previous ones, or the list is too long.
    """
    reading = catalogue.reading or ListProgress()
    found = {key(one.id): one for one in page.campaigns}
    is_useless = found.keys() <= reading.found.keys()
    is_first_or_full = not reading.found or not page.is_last
    if page.entries and is_useless and (found or is_first_or_full):
        message = f"the list of campaigns: page {reading.page} contains no new campaign"
        raise MalformedCatalogue(message)
    size = reading.bytes + sum(map(_bytes, found.values()))
    if size > MAX_BYTES:
        most = f"{MAX_BYTES >> 20} MiB"
        message = f"the list of campaigns: it has more than {most} of names and tags"
        raise MalformedCatalogue(message)
    found = {**found, **reading.found}
    if not page.is_last:
        if reading.page + 1 >= _MAX_PAGES:
            message = f"the list of campaigns: it has more than {_MAX_PAGES} pages"
            raise MalformedCatalogue(message)
        return replace(catalogue, reading=ListProgress(reading.page + 1, found, size))
    return _listed(catalogue, found, now=now)


def _bytes(one: Listed) -> int:
    texts = (one.id, one.name, one.last_edited, *one.tags)
    return sum(map(getsizeof, texts)) + getsizeof(one) + getsizeof(one.tags)


def _listed(
    catalogue: CampaignCatalogue, found: Mapping[str, Listed], *, now: float
) -> CampaignCatalogue:
    missing = {
        id_: one if one.missing_since is not None else replace(one, missing_since=now)
        for id_, one in catalogue.campaigns.items()
        if id_ not in found
    }
    campaigns = {**missing, **found}
    return CampaignCatalogue(
        campaigns=campaigns,
        details={
            id_: one for id_, one in catalogue.details.items() if id_ in campaigns
        },
        listed_at=now,
    )


def with_details(
    catalogue: CampaignCatalogue, campaign: Listed, details: Details
) -> CampaignCatalogue:
    """Return the catalogue with the details of a campaign."""
    return replace(catalogue, details={**catalogue.details, key(campaign.id): details})


def without_removed(
    catalogue: CampaignCatalogue, settings: DiscoverConfig, *, now: float
) -> CampaignCatalogue:
    """Return the catalogue without missing campaigns whose `grace` is over."""
    gone = [
        id_
        for id_, one in catalogue.campaigns.items()
        if one.missing_since is not None
        and now >= one.missing_since + settings.grace_seconds
    ]
    if not gone:
        return catalogue
    return replace(
        catalogue,
        campaigns={
            id_: one for id_, one in catalogue.campaigns.items() if id_ not in gone
        },
    )


def candidates(
    catalogue: CampaignCatalogue, settings: DiscoverConfig
) -> tuple[Listed, ...]:
    """Return the campaigns that match by name and tags, the last edited first."""
    has_name = matcher(settings.names)
    selected = (
        one
        for one in catalogue.campaigns.values()
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


def select(
    catalogue: CampaignCatalogue,
    wanted: Iterable[Listed],
    settings: DiscoverConfig,
    *,
    listed: frozenset[str],
) -> SelectedCampaigns:
    """Return the candidates whose details match, at most `max_campaigns`.

    Campaigns whose key is in `listed` do not count towards the limit.
    """
    found: list[Listed] = []
    room, is_limited = settings.max_campaigns, False
    for one in wanted:
        is_listed = key(one.id) in listed
        details = catalogue.details.get(key(one.id))
        is_open = details is None and settings.needs_details
        if not room and not is_listed:
            is_limited = is_limited or is_open or _accepts(settings, details)
        elif not is_open and _accepts(settings, details):
            found.append(one)
            room -= not is_listed
    return SelectedCampaigns(tuple(found), is_limited)


def _accepts(settings: DiscoverConfig, details: Details | None) -> bool:
    """Return whether the details match; None: they are not needed."""
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


def selection_state(
    settings: DiscoverConfig, details: Details | None
) -> tuple[bool, tuple[str, ...], bool]:
    """Return what a campaign's details change: its selection, labels and interval.

    Equal states need no update; most details do not change.
    """
    if details is None or not _accepts(settings, details):
        return False, (), False
    return True, details.channels, _is_dormant(details)


def _is_dormant(details: Details | None) -> bool:
    """Return whether the campaign is archived or a draft."""
    return details is not None and (details.is_archived or details.is_draft)


def _was_sent_within(seconds: float | None, details: Details) -> bool:
    """Compare with the time at which the details were read, at most a day ago.

    Compared with now, a campaign that is sent daily would leave and come back.
    """
    if seconds is None:
        return True
    sent_at = details.last_sent_at
    return sent_at is not None and details.read_at - sent_at <= seconds


def _has_channel(wanted: Selection, channels: Iterable[str]) -> bool:
    """Return whether any channel is selected, in any spelling."""
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
    """Return the part of a channel's name that all spellings share."""
    letters = "".join(char for char in channel.lower() if char not in "-_ ")
    return _PREFIX.sub("", letters).removesuffix("s")


def next_request(
    catalogue: CampaignCatalogue,
    wanted: Sequence[Listed],
    settings: DiscoverConfig,
    *,
    listed: frozenset[str],
    now: float,
) -> NextRequest | float:
    """Return the next request, or the time until which none is needed.

    Order: the list, unknown details, old details. Details of campaigns beyond
    `max_campaigns` are not requested.
    """
    if catalogue.reading is not None:
        return PageWanted(catalogue.reading.page)
    list_at = (catalogue.listed_at or 0.0) + settings.list_interval_seconds
    if catalogue.listed_at is None or now >= list_at:
        return PageWanted(0)
    leavers = (
        one.missing_since + settings.grace_seconds
        for one in catalogue.campaigns.values()
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
        details = catalogue.details.get(key(one.id))
        if details is None or details.last_edited != one.last_edited:
            return DetailsWanted(one)
        if details.read_at < read_at:
            oldest, read_at = one, details.read_at
        room -= _accepts(settings, details) and not is_listed
    if oldest is not None and now >= read_at + DETAILS_INTERVAL_SECONDS:
        return DetailsWanted(oldest)
    return min(until, read_at + DETAILS_INTERVAL_SECONDS)


def delay_seconds(failures: int, *, fraction: float) -> float:
    """Return the seconds to wait after failures in a row; `fraction`: jitter 0 to 1."""
    longest = min(
        _LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 4.0 ** min(failures - 1, 9)
    )
    return longest * (0.5 + fraction / 2)


def campaigns(
    workspace: WorkspaceConfig,
    selected_campaigns: SelectedCampaigns,
    catalogue: CampaignCatalogue,
) -> tuple[CampaignConfig, ...]:
    """Return the listed and the selected campaigns, with unique names.

    Listed campaigns keep their names and labels; labels of discovery are added.
    """
    settings = workspace.discover
    if settings is None:
        return workspace.campaigns
    found = {key(one.id): one for one in selected_campaigns.campaigns}
    labels = {
        id_: _labels(settings, one, catalogue.details.get(id_))
        for id_, one in found.items()
    }
    listed = tuple(
        one._replace(
            labels={**labels.get(key(one.id), {}), **one.labels},
            is_dormant=_is_dormant(catalogue.details.get(key(one.id))),
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
            is_dormant=_is_dormant(catalogue.details.get(id_)),
        )
        for id_, one in found.items()
    )


def _names(
    listed: Iterable[CampaignConfig], found: Mapping[str, Listed]
) -> dict[str, str]:
    """Return unique names of the selected campaigns, by the rule of variations.

    Names are given in the order of ids, so that two exporters agree.
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
    # In Prometheus an empty label is a missing label.
    return {name: text for name, text in filled.items() if text}


def _joined(texts: Iterable[str]) -> str:
    """Join sorted texts by commas, as many as fit into a label."""
    joined = ""
    for text in sorted(map(clean, texts)):
        longer = f"{joined},{text}" if joined else text
        if len(longer) > LONGEST:
            break
        joined = longer
    return joined

"""Selection of discovered objects of one kind, and the next request that it needs.

Pure functions of the catalogue, the configuration and `now`. An object is identified by
its id; its name is for display only. Listed objects are those that the configuration
has under `campaigns` or `canvases`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.documents import Details, Listed, key
from exporter.discovery.kinds import ListedKind
from exporter.model.config import (
    DiscoverRules,
    ObjectConfig,
    Selection,
    TagSelection,
    WorkspaceConfig,
)
from exporter.model.labels import (
    LONGEST,
    NamedEntry,
    NameKey,
    assign_labels,
    clean,
)
from exporter.model.patterns import matcher

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
class PageWanted:
    """Request this page of the list."""

    page: int


@dataclass(frozen=True, slots=True)
class DetailsWanted:
    """Request the details of this object."""

    listed: Listed


NextRequest = PageWanted | DetailsWanted


class Criteria(NamedTuple):
    """What details are compared with, and how old they may be."""

    settings: DiscoverRules
    active_within_seconds: float
    details_interval_seconds: float
    """After so long details are read again."""
    wall_offset: float = 0.0
    """By how many seconds the wall clock was set since the start."""

    @classmethod
    def of(
        cls,
        settings: DiscoverRules,
        catalogue: ObjectCatalogue,
        wanted: Iterable[Listed],
        *,
        wall_offset: float,
    ) -> Criteria:
        """Return the criteria for the candidates whose details are read."""
        reads = sum(catalogue.details_of(one) is not None for one in wanted)
        return cls(
            settings,
            settings.active_within_in_force(reads),
            settings.details_interval_seconds(reads),
            wall_offset,
        )

    def accept(self, details: Details | None) -> bool:
        """Return whether the details match; None: they are not needed."""
        settings = self.settings
        if details is None or not settings.needs_details:
            return True
        if not details.is_known:
            return False
        is_left_out = (
            (details.is_draft and not settings.include_drafts)
            or (details.is_stopped and not settings.include_stopped)
            or (details.is_archived and not settings.include_archived)
        )
        return (
            not is_left_out
            and self._was_active_within(details)
            and _has_channel(settings.channels, details.channels)
        )

    def _was_active_within(self, details: Details) -> bool:
        """Compare the last activity with the time at which the details were read.

        Both by the wall clock as it is set now. Compared with the present, an object
        would leave before its next activity is read.
        """
        if self.settings.active_within_seconds is None:
            return True
        active_at = details.last_active_at
        read_at = details.read_at + self.wall_offset
        return (
            active_at is not None and read_at - active_at <= self.active_within_seconds
        )

    def state(self, details: Details | None) -> tuple[bool, tuple[str, ...], bool]:
        """Return what details change: an object's selection, labels and interval.

        Equal states need no update; most details do not change.
        """
        if details is None or not self.accept(details):
            return False, (), False
        return True, details.channels, details.is_dormant


@dataclass(frozen=True, slots=True)
class SelectedObjects:
    """The objects that discovery selects."""

    objects: tuple[Listed, ...]
    is_limited: bool
    """Whether `max` excludes objects that are or may be selected."""


def candidates(
    catalogue: ObjectCatalogue, settings: DiscoverRules
) -> tuple[Listed, ...]:
    """Return the objects that match by name and tags, the last edited first."""
    has_name = matcher(settings.names)
    selected = (
        one
        for one in catalogue.objects.values()
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
    catalogue: ObjectCatalogue,
    wanted: Iterable[Listed],
    criteria: Criteria,
    *,
    listed: frozenset[str],
) -> SelectedObjects:
    """Return the candidates whose details match, at most `most`.

    Objects whose key is in `listed` do not count towards the limit.
    """
    found: list[Listed] = []
    settings = criteria.settings
    room, is_limited = settings.most, False
    for one in wanted:
        is_listed = key(one.id) in listed
        details = catalogue.details_of(one)
        is_open = details is None and settings.needs_details
        if not room and not is_listed:
            is_limited = is_limited or is_open or criteria.accept(details)
        elif not is_open and criteria.accept(details):
            found.append(one)
            room -= not is_listed
    return SelectedObjects(tuple(found), is_limited)


def _has_channel(wanted: Selection, channels: Iterable[str]) -> bool:
    """Return whether any channel is selected, in any spelling."""
    return wanted == Selection() or any(
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
    catalogue: ObjectCatalogue,
    wanted: Sequence[Listed],
    criteria: Criteria,
    *,
    listed: frozenset[str],
    now: float,
) -> NextRequest | float:
    """Return the next request, or the time until which none is needed.

    Order: the list, unknown details, old details. Details of objects beyond `most`
    are not requested.
    """
    settings = criteria.settings
    if catalogue.reading is not None:
        return PageWanted(catalogue.reading.page)
    list_at = (catalogue.listed_at or 0.0) + settings.list_interval_seconds
    if catalogue.listed_at is None or now >= list_at:
        return PageWanted(0)
    leavers = (
        one.missing_since + settings.grace_seconds
        for one in catalogue.objects.values()
        if one.missing_since is not None
    )
    until = min(list_at, *leavers, math.inf)
    if not settings.needs_details:
        return until
    oldest, read_at = None, math.inf
    room = settings.most
    for one in wanted:
        is_listed = key(one.id) in listed
        is_needed = settings.labels if is_listed else room
        if one.missing_since is not None or not is_needed:
            continue
        details = catalogue.details_of(one)
        if details is None or details.last_edited != one.last_edited:
            return DetailsWanted(one)
        if details.read_at < read_at:
            oldest, read_at = one, details.read_at
        room -= criteria.accept(details) and not is_listed
    due_at = read_at + criteria.details_interval_seconds
    if oldest is not None and now >= due_at:
        return DetailsWanted(oldest)
    return min(until, due_at)


def delay_seconds(failures: int, *, fraction: float) -> float:
    """Return the seconds to wait after failures in a row; `fraction`: jitter 0 to 1."""
    longest = min(
        _LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 4.0 ** min(failures - 1, 9)
    )
    return longest * (0.5 + fraction / 2)


def objects(
    workspace: WorkspaceConfig,
    kind: ListedKind,
    settings: DiscoverRules,
    selected: Iterable[Listed],
    catalogue: ObjectCatalogue,
) -> tuple[ObjectConfig, ...]:
    """Return the listed and the selected objects, with unique names.

    Listed objects keep their names and labels; labels of discovery are added.
    """
    found = {key(one.id): one for one in selected}
    labels = {
        id_: _labels(settings, one, catalogue.details.get(id_))
        for id_, one in found.items()
    }

    def completed(one: ObjectConfig) -> ObjectConfig:
        details = catalogue.details.get(key(one.id))
        listed = catalogue.objects.get(key(one.id))
        return one._replace(
            labels={**labels.get(key(one.id), {}), **one.labels},
            is_dormant=details is not None and details.is_dormant,
            edited_at=(listed and listed.edited_at) or None,
        )

    own = kind.objects(workspace)
    for one in own:
        found.pop(key(one.id), None)
    names = _names(own, found)
    more = (
        kind.new_object(workspace, one.id, names[id_]) for id_, one in found.items()
    )
    return tuple(map(completed, (*own, *more)))


def _names(
    listed: Iterable[ObjectConfig], found: Mapping[str, Listed]
) -> dict[str, str]:
    """Return unique names of the selected objects, by the rule of variations.

    Names are given in the order of ids, so that two exporters agree.
    """
    first = [NamedEntry(NameKey(key(one.id), "", 1), one.name) for one in listed]
    second = [
        NamedEntry(NameKey(id_, "", 1), one.name if one.name.strip() else one.id)
        for id_, one in sorted(found.items())
    ]
    given = assign_labels([first, second])
    return {id_: given[NameKey(id_, "", 1)] for id_ in found}


def _labels(
    settings: DiscoverRules, one: Listed, details: Details | None
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

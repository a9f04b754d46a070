"""The known campaigns of a workspace: Braze's list, and the details read so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from sys import getsizeof

from exporter.discovery.documents import Details, Listed, ListPage, key
from exporter.model.errors import MalformedCatalogue

_MAX_PAGES = 1000
MAX_BYTES = 128 << 20
"""Limit of the list's texts; 100,000 campaigns with three tags take half of it."""


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
    is_provisional: bool = False
    """Whether it was read with another key: that of the same workspace or not."""

    def details_of(self, campaign: Listed) -> Details | None:
        """Return the details of a campaign, if they were read."""
        return self.details.get(key(campaign.id))

    def with_details(self, campaign: Listed, details: Details) -> CampaignCatalogue:
        """Return the catalogue with the details of a campaign."""
        return replace(self, details={**self.details, key(campaign.id): details})

    def after_page(self, page: ListPage, *, now: float) -> CampaignCatalogue:
        """Return the catalogue after the next page of the list.

        MalformedCatalogue: the page repeats previous ones, or the list is too long.
        """
        reading = self.reading or ListProgress()
        found = {key(one.id): one for one in page.campaigns}
        is_useless = found.keys() <= reading.found.keys()
        is_first_or_full = not reading.found or not page.is_last
        if page.entries and is_useless and (found or is_first_or_full):
            raise _malformed(f"page {reading.page} contains no new campaign")
        size = reading.bytes + sum(map(_bytes, found.values()))
        if size > MAX_BYTES:
            raise _malformed(
                f"it has more than {MAX_BYTES >> 20} MiB of names and tags"
            )
        found = {**found, **reading.found}
        if page.is_last:
            return self._listed(found, now=now)
        if reading.page + 1 >= _MAX_PAGES:
            raise _malformed(f"it has more than {_MAX_PAGES} pages")
        return replace(self, reading=ListProgress(reading.page + 1, found, size))

    def _listed(self, found: Mapping[str, Listed], *, now: float) -> CampaignCatalogue:
        missing = {
            id_: replace(one, missing_since=one.missing_since or now)
            for id_, one in self.campaigns.items()
            if id_ not in found and not self.is_provisional
        }
        campaigns = {**missing, **found}
        details = {id_: one for id_, one in self.details.items() if id_ in campaigns}
        return CampaignCatalogue(campaigns, details, listed_at=now)

    def provisional(self) -> CampaignCatalogue:
        """Return the catalogue until the list is read with another key.

        Campaigns that are not in that list are removed without grace.
        """
        return replace(self, listed_at=None, reading=None, is_provisional=True)

    def shifted(self, seconds: float) -> CampaignCatalogue:
        """Return the catalogue with all its own instants so much later."""
        if not seconds:
            return self
        return replace(
            self,
            campaigns={
                id_: one
                if one.missing_since is None
                else replace(one, missing_since=one.missing_since + seconds)
                for id_, one in self.campaigns.items()
            },
            details={
                id_: replace(one, read_at=one.read_at + seconds)
                for id_, one in self.details.items()
            },
            listed_at=None if self.listed_at is None else self.listed_at + seconds,
        )

    def without_removed(self, grace_seconds: float, *, now: float) -> CampaignCatalogue:
        """Return the catalogue without campaigns that are missing for so long."""
        kept = {
            id_: one
            for id_, one in self.campaigns.items()
            if one.missing_since is None or now < one.missing_since + grace_seconds
        }
        if len(kept) == len(self.campaigns):
            return self
        return replace(self, campaigns=kept)


def _malformed(problem: str) -> MalformedCatalogue:
    return MalformedCatalogue(f"the list of campaigns: {problem}")


def _bytes(one: Listed) -> int:
    texts = (one.id, one.name, one.last_edited, *one.tags)
    return sum(map(getsizeof, texts)) + getsizeof(one) + getsizeof(one.tags)

"""The known objects of a kind in a workspace: Braze's list, and details read so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from sys import getsizeof

from exporter.discovery.documents import Details, Listed, ListPage, key
from exporter.model.errors import MalformedCatalogue

_MAX_PAGES = 1000
MAX_BYTES = 128 << 20
"""Limit of the list's texts; 100,000 objects with three tags take half of it."""


@dataclass(frozen=True, slots=True)
class ListProgress:
    """A list that is being read: its next page, and the objects so far."""

    page: int = 0
    found: Mapping[str, Listed] = field(default_factory=dict)
    bytes: int = 0
    """Approximate memory of the texts in `found`."""


@dataclass(frozen=True, slots=True)
class ObjectCatalogue:
    """List and details of the objects, by `documents.key` of their ids."""

    objects: Mapping[str, Listed] = field(default_factory=dict)
    details: Mapping[str, Details] = field(default_factory=dict)
    listed_at: float | None = None
    """When the list was last read completely."""
    reading: ListProgress | None = None
    is_provisional: bool = False
    """Whether it was read with another key: that of the same workspace or not."""

    def details_of(self, one: Listed) -> Details | None:
        """Return the details of an object, if they were read."""
        return self.details.get(key(one.id))

    def with_details(self, one: Listed, details: Details) -> ObjectCatalogue:
        """Return the catalogue with the details of an object."""
        return replace(self, details={**self.details, key(one.id): details})

    def after_page(self, page: ListPage, *, now: float) -> ObjectCatalogue:
        """Return the catalogue after the next page of the list.

        MalformedCatalogue: the page repeats previous ones, or the list is too long.
        """
        reading = self.reading or ListProgress()
        found = {key(one.id): one for one in page.objects}
        is_useless = found.keys() <= reading.found.keys()
        is_first_or_full = not reading.found or not page.is_last
        if page.entries and is_useless and (found or is_first_or_full):
            raise _malformed(f"page {reading.page} contains nothing new")
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

    def _listed(self, found: Mapping[str, Listed], *, now: float) -> ObjectCatalogue:
        missing = {
            id_: replace(one, missing_since=one.missing_since or now)
            for id_, one in self.objects.items()
            if id_ not in found and not self.is_provisional
        }
        objects = {**missing, **found}
        details = {id_: one for id_, one in self.details.items() if id_ in objects}
        return ObjectCatalogue(objects, details, listed_at=now)

    def provisional(self) -> ObjectCatalogue:
        """Return the catalogue until the list is read with another key.

        Objects that are not in that list are removed without grace.
        """
        return replace(self, listed_at=None, reading=None, is_provisional=True)

    def shifted(self, seconds: float) -> ObjectCatalogue:
        """Return the catalogue with all its own instants so much later."""
        if not seconds:
            return self
        return replace(
            self,
            objects={
                id_: one
                if one.missing_since is None
                else replace(one, missing_since=one.missing_since + seconds)
                for id_, one in self.objects.items()
            },
            details={
                id_: replace(one, read_at=one.read_at + seconds)
                for id_, one in self.details.items()
            },
            listed_at=None if self.listed_at is None else self.listed_at + seconds,
        )

    def without_removed(self, grace_seconds: float, *, now: float) -> ObjectCatalogue:
        """Return the catalogue without objects that are missing for so long."""
        kept = {
            id_: one
            for id_, one in self.objects.items()
            if one.missing_since is None or now < one.missing_since + grace_seconds
        }
        if len(kept) == len(self.objects):
            return self
        return replace(self, objects=kept)


def _malformed(problem: str) -> MalformedCatalogue:
    return MalformedCatalogue(f"the list: {problem}")


def _bytes(one: Listed) -> int:
    texts = (one.id, one.name, one.last_edited, *one.tags)
    return sum(map(getsizeof, texts)) + getsizeof(one) + getsizeof(one.tags)

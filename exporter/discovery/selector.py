"""Selects the objects of one kind that are polled, from all that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

from exporter.discovery import rules
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.documents import Listed, key
from exporter.discovery.kinds import ListedKind
from exporter.discovery.rules import Criteria, NextRequest, SelectedObjects
from exporter.model.config import DiscoverRules, ObjectConfig, WorkspaceConfig


class Selector:
    """Any thread may call any method."""

    def __init__(self, kind: ListedKind, *, wall_offset: Callable[[], float]) -> None:
        """`wall_offset` returns by how many seconds the wall clock was set."""
        self._kind = kind
        self._wall_offset = wall_offset
        self._candidates: tuple[object, object, tuple[Listed, ...]] = (None, None, ())

    def objects(
        self, known: ObjectCatalogue, workspace: WorkspaceConfig
    ) -> tuple[ObjectConfig, ...]:
        """Return the configured and the discovered objects of a workspace."""
        settings = self._kind.rules(workspace)
        if settings is None:
            return self._kind.objects(workspace)
        found = self.selected(known, workspace).objects
        return rules.objects(workspace, self._kind, settings, found, known)

    def selected(
        self, known: ObjectCatalogue, workspace: WorkspaceConfig
    ) -> SelectedObjects:
        """Return what the rules of a workspace select; it has rules for the kind."""
        settings = self._kind.rules_of(workspace)
        return rules.select(
            known,
            self._wanted(known, settings),
            self.criteria(known, settings),
            listed=self.listed_keys(workspace),
        )

    def next_request(
        self, known: ObjectCatalogue, workspace: WorkspaceConfig, *, now: float
    ) -> NextRequest | float:
        """Return the next request, or the time until which none is needed."""
        settings = self._kind.rules_of(workspace)
        return rules.next_request(
            known,
            self._wanted(known, settings),
            self.criteria(known, settings),
            listed=self.listed_keys(workspace),
            now=now,
        )

    def criteria(self, known: ObjectCatalogue, settings: DiscoverRules) -> Criteria:
        """Return the criteria in force; in a single run details are read once."""
        criteria = Criteria.of(
            settings,
            known,
            self._wanted(known, settings),
            wall_offset=self._wall_offset(),
        )
        if settings.list_interval_seconds < math.inf:
            return criteria
        return criteria._replace(
            active_within_seconds=settings.active_within_seconds or math.inf,
            details_interval_seconds=math.inf,
        )

    def listed_keys(self, workspace: WorkspaceConfig) -> frozenset[str]:
        """Return the keys of the configured objects."""
        return frozenset(key(one.id) for one in self._kind.objects(workspace))

    def _wanted(
        self, known: ObjectCatalogue, settings: DiscoverRules
    ) -> tuple[Listed, ...]:
        """Return the candidates, computed once per list."""
        listed, previous, wanted = self._candidates
        if listed is not known.objects or previous is not settings:
            wanted = rules.candidates(known, settings)
            self._candidates = (known.objects, settings, wanted)
        return wanted

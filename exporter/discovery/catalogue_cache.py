"""The catalogues of all workspaces, kept in the state file over a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from exporter.discovery import catalogue_json
from exporter.discovery.catalogue import CampaignCatalogue
from exporter.discovery.catalogue_json import Account
from exporter.model.errors import StateError

if TYPE_CHECKING:  # SQLite is loaded only where a directory is configured
    from exporter.storage.sqlite_state import SqliteState


class CatalogueCache:
    """Loads and saves the catalogues of one state file."""

    def __init__(self, state: SqliteState) -> None:
        self._state = state
        self._quarantine: Callable[[], None] | None = None

    def load(self, *, now: float) -> dict[Account, CampaignCatalogue]:
        """Return what was saved, nothing at a first start. StateError: unusable."""
        self._quarantine = None
        try:
            documents = self._state.load_catalogues()
        except StateError as error:
            if not error.is_locked:
                self._quarantine = self._state.quarantine
            raise
        try:
            return {
                account: catalogue_json.unpack(document, now=now)
                for account, document in documents.items()
            }
        except ValueError as error:
            self._quarantine = self._remove_documents
            message = f"the catalogues in the state file cannot be read: {error}"
            raise StateError(message) from error

    def save(self, catalogues: Mapping[Account, CampaignCatalogue]) -> None:
        """Replace what was saved; on StateError, it stays."""
        self._state.save_catalogues(
            {account: catalogue_json.pack(one) for account, one in catalogues.items()}
        )

    def quarantine(self) -> None:
        """Set aside what the last `load` found unusable."""
        if self._quarantine is not None:
            self._quarantine()

    def _remove_documents(self) -> None:
        with suppress(StateError):
            self._state.save_catalogues({})

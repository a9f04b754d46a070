"""The catalogues of all workspaces, kept in the state file over a restart.

Earlier versions kept them in discovery.json, which is imported once and removed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from exporter.discovery import catalogue_json
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.catalogue_json import CatalogueKey
from exporter.model.errors import StateError
from exporter.system.read_file import MIB, read_regular

if TYPE_CHECKING:  # SQLite is loaded only where a directory is configured
    from exporter.storage.sqlite_state import SqliteState


_log = logging.getLogger(__name__)

LEGACY_FILE_NAME = "discovery.json"
_MAX_LEGACY_BYTES = 256 * MIB


class CatalogueCache:
    """Loads and saves the catalogues of one state file."""

    def __init__(self, state: SqliteState) -> None:
        self._state = state
        self._legacy = state.directory / LEGACY_FILE_NAME
        self._quarantine: Callable[[], None] | None = None

    def load(self, *, now: float) -> dict[CatalogueKey, ObjectCatalogue]:
        """Return what was saved, nothing at a first start. StateError: unusable.

        A document that cannot be parsed is logged and left out.
        """
        self._quarantine = None
        try:
            documents = self._state.load_catalogues()
        except StateError as error:
            if not error.is_locked:
                self._quarantine = self._state.quarantine
            raise
        if not documents:
            return self._import_legacy(now)
        catalogues = {}
        for key, document in documents.items():
            try:
                catalogues[key] = catalogue_json.unpack(document, now=now)
            except ValueError as error:
                fields = {
                    "workspace": key[0],
                    "kind": key[2],
                    "error": f"the catalogue in the state file: {error}",
                    "advice": "none: the list is read again",
                }
                _log.warning("state.skipped", extra={"fields": fields})
        return catalogues

    def save(
        self,
        catalogues: Mapping[CatalogueKey, ObjectCatalogue],
        *,
        wall_offset: float = 0.0,
    ) -> None:
        """Replace what was saved, in wall time; on StateError, it stays."""
        self._state.save_catalogues(
            {
                key: catalogue_json.pack(one.shifted(wall_offset))
                for key, one in catalogues.items()
            }
        )
        with suppress(OSError):
            self._legacy.unlink()

    def quarantine(self) -> None:
        """Set aside what the last `load` found unusable."""
        if self._quarantine is not None:
            self._quarantine()

    def _import_legacy(self, now: float) -> dict[CatalogueKey, ObjectCatalogue]:
        try:
            content = read_regular(str(self._legacy), at_most=_MAX_LEGACY_BYTES)
            catalogues = catalogue_json.unpack_legacy(content, now=now)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            self._quarantine = self._quarantine_legacy
            message = f"the state file {self._legacy} cannot be read: {error}"
            raise StateError(message) from error
        with suppress(StateError):  # the next save tries again
            self.save(catalogues)
        return catalogues

    def _quarantine_legacy(self) -> None:
        with suppress(OSError):
            self._legacy.rename(self._legacy.with_suffix(".unusable"))

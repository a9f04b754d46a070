"""Parts that few ask for, loaded only by those who do: start-up is everybody's."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from exporter.entrance import Entrance, OpenEntrance
from exporter.store import KeptEntries, Store
from exporter.telemetry import Telemetry


class Keeper(Protocol):
    """What keeps the last values over a restart."""

    def restore(self) -> KeptEntries:
        """Return what is kept, nothing if it cannot be read."""

    def save(self) -> None:
        """Keep what changed since."""


def entrance(web_config_file: str | None) -> Entrance:
    """Return what a web configuration protects with, if there is one."""
    if web_config_file is None:
        return OpenEntrance()
    made: Entrance = import_module("exporter.protection").Protection(web_config_file)
    return made


def keeper(
    state_path: str | None, *, store: Store, telemetry: Telemetry
) -> Keeper | None:
    """Return what keeps values in a directory, if there is one."""
    if state_path is None:
        return None
    state = import_module("exporter.state").State(Path(state_path))
    made: Keeper = import_module("exporter.keeper").Keeper(
        state, store=store, telemetry=telemetry
    )
    return made

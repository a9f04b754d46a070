"""Parts that few ask for, loaded only by those who do: start-up is everybody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, KeptEntries, ObjectKey, Store
from exporter.model.config import CampaignConfig, Config, WorkspaceConfig
from exporter.polling.poller import Workspace
from exporter.polling.request_queue import PendingPoll
from exporter.web.open_security import OpenSecurity, Security
from exporter.web.routes import StatusSource


class Keeper(Protocol):
    """What keeps the last values over a restart."""

    def restore(self) -> KeptEntries:
        """Return what is kept, nothing if it cannot be read."""

    def save(self) -> None:
        """Keep what changed since."""


class Scouting(Protocol):
    """What finds campaigns that are not listed."""

    def apply(self, config: Config) -> None:
        """Look for what this configuration wants from now on."""

    def begin(self) -> None:
        """Go on looking, now."""

    def campaigns_of(self, workspace: WorkspaceConfig) -> tuple[CampaignConfig, ...]:
        """Return all campaigns of a workspace, as far as they are known."""

    def seen(self) -> Mapping[str, Any]:
        """Return how discovery stands in each workspace that has it."""

    def look_again(self, name: str) -> None:
        """Ask what could not be asked with the former key."""

    def forget_windows(self) -> None:
        """Do what a wall clock that was set asks for."""

    def stop(self) -> None:
        """Keep what is known."""


class SharedState(NamedTuple):
    """Where several exporters share what they know."""

    ledger: Any
    """Typed where it is used: its packages are not everybody's."""
    replicas: int
    """How many exporters there are while nobody tells."""


class Sharing(Protocol):
    """What makes one of several exporters."""

    def share_discovery(self, scouting: Any) -> None:
        """Let one of all ask for each workspace's list, and all know of it."""

    def start(self) -> None:
        """Begin to share."""

    def stop(self) -> None:
        """Leave all to the others."""

    def seen(self) -> Any:
        """Return how this exporter stands with the others."""

    def at_work(self, turn: PendingPoll) -> AbstractContextManager[None]:
        """Keep a campaign for oneself during a poll."""


def entrance(web_config_file: str | None) -> Security:
    """Return what a web configuration protects with, if there is one."""
    if web_config_file is None:
        return OpenSecurity()
    made: Security = import_module("exporter.web.security").Protection(web_config_file)
    return made


def keeper(
    state_path: str | None, *, store: Store, telemetry: SelfMetrics
) -> Keeper | None:
    """Return what keeps values in a directory, if there is one."""
    if state_path is None:
        return None
    state = import_module("exporter.storage.sqlite_state").State(Path(state_path))
    made: Keeper = import_module("exporter.storage.autosave").Keeper(
        state, store=store, telemetry=telemetry
    )
    return made


def scouting(
    config: Config, state_path: str | None, desks: Mapping[str, Any], **parts: Any
) -> Scouting | None:
    """Return what discovers campaigns, if any workspace wants that."""
    if not any(workspace.discover for workspace in config.workspaces):
        return None
    file = None
    if state_path is not None:
        made_file: Callable[..., Any] = import_module(
            "exporter.storage.catalogue_file"
        ).CatalogueFile
        file = made_file(Path(state_path))
    made: Scouting = import_module("exporter.discovery.service").Scouting(
        desks, file=file, **parts
    )
    return made


def ledger(url: str) -> Any:
    """Return what exporters share in Redis. ValueError: it cannot be used, and why."""
    try:
        module = import_module("exporter.sharing.ledger")
    except ModuleNotFoundError as error:
        message = (
            f"--state.url needs the package {error.name}: "
            "pip install 'braze-exporter[redis]'"
        )
        raise ValueError(message) from None
    try:
        return module.Ledger(url)
    except ValueError as error:
        message = f"--state.url: {error}"
        raise ValueError(message) from None


def sharing(shared: SharedState, **parts: Any) -> Sharing:
    """Return what shares the work with others."""
    made: Sharing = import_module("exporter.sharing.sharing").Sharing(
        shared.ledger, replicas=shared.replicas, **parts
    )
    return made


def status_pages(  # noqa: PLR0913 - all that there is to look at
    *,
    entries: Callable[[], tuple[Entry, ...]],
    desks: Mapping[str, Workspace],
    discoveries: Callable[[], Mapping[str, Any]] = dict,
    peers: Callable[[], Any] = lambda: None,
    planned: Callable[[], Mapping[ObjectKey, float]],
    now: Callable[[], float],
    clock_set_by: Callable[[], float],
    is_ready: Callable[[], bool],
    version: str,
) -> Callable[[], StatusSource]:
    """Return what makes the status page when it is first called, and then keeps it."""
    made: list[StatusSource] = []
    lock = Lock()

    def pages() -> StatusSource:
        with lock:
            if not made:
                module = import_module("exporter.status.page")
                made.append(
                    module.StatusPages(
                        entries=entries,
                        desks=desks,
                        discoveries=discoveries,
                        peers=peers,
                        planned=planned,
                        now=now,
                        clock_set_by=clock_set_by,
                        is_ready=is_ready,
                        version=version,
                    )
                )
            return made[0]

    return pages

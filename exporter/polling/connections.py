"""How each workspace is reached: its API key and its HTTP client.

Keys and CA bundles are read here, before a configuration is applied: their files may be
on a disk that hangs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from exporter.braze.client import Client
from exporter.braze.hosts import without_default_port
from exporter.braze.proxies import ProxySettings
from exporter.model.config import Config, KeySource, WorkspaceConfig
from exporter.system.api_key import ApiKey


class WorkspaceConnection(NamedTuple):
    """The key and the client of one workspace."""

    workspace: WorkspaceConfig
    """As configured when it was opened."""
    response_bytes: int
    key: ApiKey
    client: Client

    def has_account_of(self, other: WorkspaceConnection) -> bool:
        """Return whether both have one account at Braze.

        An account is its endpoint and its key, wherever the key is read from.
        """
        endpoints = (self.workspace.endpoint, other.workspace.endpoint)
        if len(set(map(without_default_port, endpoints))) > 1:
            return False
        if self.key is other.key:
            return True
        return bool(self.key.seen.reveal()) and self.key.seen == other.key.seen


class Connector:
    """Opens connections; any thread may call it."""

    def __init__(
        self,
        *,
        read_key: Callable[[KeySource], str | None],
        proxies: ProxySettings,
        now: Callable[[], float],
    ) -> None:
        self._read_key = read_key
        self._proxies = proxies
        self._now = now

    def connect(
        self,
        config: Config,
        workspace: WorkspaceConfig,
        previous: WorkspaceConnection | None,
    ) -> WorkspaceConnection:
        """Return the connection to a workspace; the previous one as far as it fits.

        A key or CA bundle that cannot be read fails the requests only.
        """
        response_bytes = config.limits.response_bytes
        if previous and previous.workspace.key_source == workspace.key_source:
            known = _settings(previous.workspace, previous.response_bytes)
            if known == _settings(workspace, response_bytes):
                return previous
            key = previous.key
        else:
            key = ApiKey(workspace.key_source, self._read_key)
            key.has_changed()  # reads it
        client = Client(
            workspace,
            read_key=key,
            proxies=self._proxies,
            response_bytes=response_bytes,
            now=self._now,
        )
        client.prepare()
        return WorkspaceConnection(workspace, response_bytes, key, client)


def _settings(workspace: WorkspaceConfig, response_bytes: int) -> tuple[object, ...]:
    """Return everything that a client is built from, beside the key."""
    return (
        workspace.endpoint,
        workspace.timeout_seconds,
        workspace.proxy,
        workspace.ca_file,
        workspace.concurrency,
        response_bytes,
    )

"""Clients of scripted peers."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import pytest
from exporter.braze.client import Client
from exporter.braze.proxies import ProxySettings
from exporter.model.config import KeySource, WorkspaceConfig
from exporter.model.errors import FetchError
from exporter.system.api_key import Secret

from tests.support.scripted_peer import PATIENCE_SECONDS, Peer, PeerConnection, Script

KEY = "11111111-aaaa-bbbb-cccc-222222222222"
BRAZE = "https://rest.iad-01.braze.com"
PATH = "campaigns/data_series"
NOW = 1_790_000_000.0
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def client_of(
    endpoint: str,
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    proxy: str | None = None,
    ca_file: str | None = None,
    proxies: ProxySettings | None = None,
    read_key: Callable[[], Secret] = lambda: Secret(KEY),
    response_bytes: int = 1024 * 1024,
    monotonic: Callable[[], float] = time.monotonic,
) -> Client:
    """Return the client of a workspace at `endpoint`."""
    workspace = WorkspaceConfig(
        name="production",
        endpoint=endpoint,
        key_source=KeySource(env="BRAZE_API_KEY"),
        timezone=ZoneInfo("UTC"),
        interval_seconds=300.0,
        requests_per_minute=120.0,
        reserve=0.2,
        concurrency=2,
        timeout_seconds=timeout_seconds,
        proxy=proxy,
        ca_file=ca_file,
        allow_http=True,
        campaigns=(),
    )
    return Client(
        workspace,
        read_key=read_key,
        proxies=proxies or ProxySettings(),
        response_bytes=response_bytes,
        now=lambda: NOW,
        monotonic=monotonic,
    )


def failure_of(client: Client) -> FetchError:
    """Return the failure of a fetch; no text of it contains the key."""
    with pytest.raises(FetchError) as caught:
        client.fetch(PATH, {"length": 30})
    client.close()
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


@contextmanager
def responding(respond: Script) -> Iterator[Peer]:
    """Yield a peer that follows a script after each request."""

    def script(connection: PeerConnection) -> None:
        while peer.expect(connection):
            respond(connection)

    with Peer(script) as peer:
        yield peer


def dripping(head: bytes, piece: bytes) -> Script:
    """Return a script that sends `head` and then `piece` for ever, slowly."""

    def script(connection: PeerConnection) -> None:
        connection.send(head)
        connection.drip(piece)

    return script


def flooding(head: bytes, piece: bytes) -> Script:
    """Return a script that sends `head` and then `piece` for ever."""

    def script(connection: PeerConnection) -> None:
        connection.send(head)
        while True:
            connection.send(piece)

    return script

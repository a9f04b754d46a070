"""Clients of scripted peers."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from exporter.braze.client import Client
from exporter.braze.proxies import ProxySettings
from exporter.model.errors import FetchError
from exporter.system.api_key import Secret

from tests.support.daemon_process import parsed
from tests.support.scripted_peer import (
    PATIENCE_SECONDS,
    Peer,
    PeerConnection,
    Script,
    serving,
)

KEY = "11111111-aaaa-bbbb-cccc-222222222222"
BRAZE = "https://rest.iad-01.braze.com"
PATH = "campaigns/data_series"
NOW = 1_790_000_000.0
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def client_of(
    endpoint: str,
    *,
    proxies: ProxySettings | None = None,
    read_key: Callable[[], Secret] = lambda: Secret(KEY),
    response_bytes: int = 1024 * 1024,
    monotonic: Callable[[], float] = time.monotonic,
    **options: Any,
) -> Client:
    """Return the client of a workspace at `endpoint` with these options."""
    document = {
        "name": "production",
        "endpoint": BRAZE,
        "api_key_env": "BRAZE_API_KEY",
        "discover": {},
    }
    workspace = parsed({"workspaces": [document]}, key=KEY).workspaces[0]
    options = {"timeout_seconds": PATIENCE_SECONDS, "concurrency": 2, **options}
    return Client(
        replace(workspace, endpoint=endpoint, **options),
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
def connected(*pieces: bytes, **options: Any) -> Iterator[tuple[Peer, Client]]:
    """Yield a peer that responds with `pieces`, and its client."""
    with serving(*pieces) as peer, closing(client_of(peer.url, **options)) as client:
        yield peer, client


@contextmanager
def responding(respond: Script | bytes) -> Iterator[Peer]:
    """Yield a peer that follows a script after each request, or sends and closes."""

    def script(connection: PeerConnection) -> None:
        if isinstance(respond, bytes):
            peer.expect(connection)
            return connection.send(respond)
        while peer.expect(connection):
            respond(connection)
        return None

    with Peer(script) as peer:
        yield peer


def failure_from(respond: Script | bytes, **options: Any) -> FetchError:
    """Return the failure of a fetch from a peer that responds like this."""
    with responding(respond) as peer:
        return failure_of(client_of(peer.url, **options))


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

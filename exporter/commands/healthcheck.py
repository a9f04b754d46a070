"""`braze-exporter healthcheck`: is the local daemon alive? Needs no curl."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException

from exporter.flags import WEB, Parser
from exporter.listener import Address
from exporter.web_settings import settings

_DESCRIPTION = """\
Ask the daemon on this machine for /-/healthy: exit 0 if it answers that it is alive, 1
if not. Takes the same --web.* flags and environment as the daemon; the first address
counts."""

_TIMEOUT_SECONDS = 3.0
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Ask once."""
    parser = Parser(WEB, program="braze-exporter healthcheck", description=_DESCRIPTION)
    options = parser.parse(arguments, environment)
    try:
        web = settings(options)
    except ValueError as error:
        parser.error(str(error))
    address = web.addresses[0]
    path = f"{web.prefix}/-/healthy"
    try:
        status = _ask(address, path)
    except (OSError, HTTPException) as error:
        print(f"unhealthy: {address}{path}: {error}", file=sys.stderr)
        return 1
    if status != 200:
        print(f"unhealthy: {address}{path} answered {status}", file=sys.stderr)
        return 1
    print("healthy")
    return 0


def _ask(address: Address, path: str) -> int:
    host = _LOOPBACK.get(address.host, address.host)
    connection = HTTPConnection(host, address.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()

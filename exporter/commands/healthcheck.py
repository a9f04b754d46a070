"""`braze-exporter healthcheck`: is the local daemon alive, or ready? Needs no curl."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from exporter.commands.flags import WEB, Flag, Parser
from exporter.model.errors import ConfigError
from exporter.web.security import FileSecurity
from exporter.web.server import Address
from exporter.web.settings import settings
from exporter.web.tls import client_context
from exporter.web.web_config import ClientAuth

_DESCRIPTION = """\
Ask the daemon on this machine for /-/healthy: exit 0 if it answers that it is alive, 1
if not. With --ready, ask for /-/ready: whether every campaign was tried once. Takes the
same --web.* flags and environment as the daemon; the first address counts. No password
is needed.

With --web.config.file it speaks TLS if the daemon does. It does not verify the daemon's
certificate: it sends no secret, and learns no more than whether someone answers here.
Where clients have to show a certificate it shows the daemon's own, which the
authority of client_ca_file has to have signed for clients too, or else the one of
--client.cert-file."""

FLAGS = (
    Flag(
        "ready",
        "Ask whether it is ready: every campaign was tried, or 30 s are over. Else "
        "whether it is alive.",
        is_switch=True,
    ),
    Flag(
        "client.cert-file",
        "Certificate to show. The daemon's own if not given and one has to be shown.",
        "FILE",
    ),
    Flag("client.key-file", "Its key. The same file if not given.", "FILE"),
)
_TIMEOUT_SECONDS = 3.0
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Ask once."""
    parser = Parser(
        (*WEB, *FLAGS),
        program="braze-exporter healthcheck",
        description=_DESCRIPTION,
    )
    options = parser.parse(arguments, environment)
    try:
        web = settings(options)
    except ValueError as error:
        parser.error(str(error))
    address = web.addresses[0]
    claim = "ready" if options.ready else "healthy"
    path = f"{web.prefix}/-/{claim}"
    try:
        contexts = _contexts(
            options.web_config_file, options.client_cert_file, options.client_key_file
        )
        status = _ask_one_way_or_other(address, path, contexts)
    except (OSError, HTTPException) as error:
        print(
            f"un{claim}: asked {address}{path}: {error}; is the daemon up, with this "
            "--web.listen-address?",
            file=sys.stderr,
        )
        return 1
    if status != 200:
        print(
            f"un{claim}: asked {address}{path}: it answered {status}; "
            f"{_advice(status)}",
            file=sys.stderr,
        )
        return 1
    print(claim)
    return 0


def _advice(status: int) -> str:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return "the first round of polls goes on, for half a minute at most"
    return "give the daemon's own --web.* flags, and look at its log"


def _contexts(
    web_file: str | None, cert_file: str | None, key_file: str | None
) -> list[ssl.SSLContext | None]:
    """Return ways to ask, the likeliest first; None is plain HTTP.

    What the file says may not be in force: the daemon goes on with the former one while
    the file is wrong, and must not be taken for dead then. OSError: there is no such
    certificate.
    """
    if web_file is None:
        return [None]
    protection = FileSecurity(web_file)
    with suppress(ConfigError):
        protection.load()
    tls = protection.config.tls
    shown = tls if tls and tls.client_auth is ClientAuth.REQUIRED else None
    context = client_context(None if cert_file else shown)
    if cert_file:
        context.load_cert_chain(cert_file, key_file, password="")
    return [context, None] if tls else [None, context]


def _ask_one_way_or_other(
    address: Address, path: str, contexts: Sequence[ssl.SSLContext | None]
) -> int:
    """Return the status of the first way that works, or raise what the first raised."""
    errors: list[OSError | HTTPException] = []
    for context in contexts:
        try:
            return _ask(address, path, context)
        except (OSError, HTTPException) as error:
            errors.append(error)
    raise errors[0]


def _ask(address: Address, path: str, context: ssl.SSLContext | None) -> int:
    host = _LOOPBACK.get(address.host, address.host)
    connection = (
        HTTPConnection(host, address.port, timeout=_TIMEOUT_SECONDS)
        if context is None
        else HTTPSConnection(
            host, address.port, timeout=_TIMEOUT_SECONDS, context=context
        )
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()

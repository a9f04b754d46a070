"""`braze-exporter healthcheck`: checks health or readiness of the local daemon."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from exporter.commands import print_error
from exporter.commands.flags import WEB, Flag, Parser
from exporter.model.errors import ConfigError
from exporter.web.security import Security
from exporter.web.server import Address
from exporter.web.settings import settings
from exporter.web.tls import ClientAuth, client_context

_DESCRIPTION = """\
Request /-/healthy from the daemon on this machine: exit 0 if it responds, 1 if not.
With --ready, request /-/ready: exit 0 if every campaign, canvas and series was polled,
restored or paused; from 30 s after the start it is enough that each workspace has sent
its first requests.
Takes the same --web.* flags and environment variables as the daemon and uses the first
address. No password is needed.

With --web.config.file it uses TLS if the daemon does. It does not verify the daemon's
certificate, as it sends no secret. If clients have to present a certificate, it
presents the daemon's own, which must be signed by the authority in client_ca_file and
be valid for client authentication, or else the one of --client.cert-file."""

FLAGS = (
    Flag(
        "ready",
        "Request /-/ready instead of /-/healthy.",
        is_switch=True,
    ),
    Flag(
        "client.cert-file",
        "Client certificate. Default: the daemon's own, if one is required.",
        "FILE",
    ),
    Flag("client.key-file", "Its key. Default: the same file.", "FILE"),
)
_TIMEOUT_SECONDS = 3.0
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Send one request; return the exit code."""
    parser = Parser((*WEB, *FLAGS), "braze-exporter healthcheck", _DESCRIPTION)
    options = parser.parse(arguments, environment)
    with parser.usage_errors():
        web = settings(options)
    address = web.addresses[0]
    state = "ready" if options.ready else "healthy"
    path = f"{web.prefix}/-/{state}"
    try:
        contexts = _contexts(
            options.web_config_file, options.client_cert_file, options.client_key_file
        )
        status = _first_status(address, path, contexts)
    except (OSError, HTTPException) as error:
        problem = f"request to {address}{path} failed: {error}"
        advice = "check that the daemon runs with this --web.listen-address"
    else:
        if status == HTTPStatus.OK:
            print(state)
            return 0
        problem = f"{address}{path} returned {status}"
        advice = "use the --web.* flags of the daemon, and check its log"
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            advice = (
                "some campaigns, canvases or series are not polled yet; retry within "
                "30 s of the start"
            )
    print_error(f"un{state}: {problem}; {advice}")
    return 1


def _contexts(
    web_file: str | None, cert_file: str | None, key_file: str | None
) -> list[ssl.SSLContext | None]:
    """Return the contexts to try, the likeliest first; None is plain HTTP.

    The daemon may still use the previous content of the file, while the file is invalid
    or was changed just now. OSError: the certificate cannot be loaded.
    """
    if web_file is None:
        return [None]
    security = Security(web_file)
    with suppress(ConfigError):
        security.load()
    tls = security.config.tls
    needs_certificate = tls is not None and tls.client_auth is ClientAuth.REQUIRED
    context = client_context(tls if needs_certificate and not cert_file else None)
    if cert_file:
        context.load_cert_chain(cert_file, key_file, password="")
    return [context, None] if tls else [None, context]


def _first_status(
    address: Address, path: str, contexts: Sequence[ssl.SSLContext | None]
) -> int:
    """Return the status of the first working context, or raise the first error."""
    errors: list[OSError | HTTPException] = []
    for context in contexts:
        try:
            return _status(address, path, context)
        except (OSError, HTTPException) as error:
            errors.append(error)
    raise errors[0]


def _status(address: Address, path: str, context: ssl.SSLContext | None) -> int:
    host = _LOOPBACK.get(address.host, address.host)
    connect = partial(HTTPSConnection, context=context) if context else HTTPConnection
    with closing(connect(host, address.port, timeout=_TIMEOUT_SECONDS)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status

"""What the `--web.*` flags mean: addresses, paths and prefixes.

The daemon, the demo and the health check read them alike. It opens no socket.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple
from urllib.parse import urlsplit

from exporter.web.routes import canonical
from exporter.web.server import Address, parse_address

_SERVED = {"/", "/config", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/status"}


class WebSettings(NamedTuple):
    """Where and under which paths the daemon serves; all paths are canonical."""

    addresses: tuple[Address, ...]
    telemetry_path: str
    prefix: str
    """What stands before every path: empty, or `/like/this`."""
    link_prefix: str
    """The same as a browser sees it."""
    has_lifecycle: bool = False
    """Whether a client may ask for a reload."""


def settings(options: argparse.Namespace) -> WebSettings:
    """Return what the flags say. ValueError names the flag and the form expected."""
    return WebSettings(
        addresses=tuple(map(_address, options.web_listen_address)),
        telemetry_path=_telemetry_path(options),
        prefix=_route_prefix(options),
        link_prefix=_link_prefix(options),
        has_lifecycle=options.web_enable_lifecycle,
    )


def _address(text: str) -> Address:
    try:
        return parse_address(text.strip())
    except ValueError as error:
        message = f"--web.listen-address: {error}"
        raise ValueError(message) from error


def _telemetry_path(options: argparse.Namespace) -> str:
    """Return the path of the metrics. ValueError: it is no path, or taken."""
    path: str = options.web_telemetry_path
    is_path = path.startswith("/") and path.isprintable() and not set(path) & set("?# ")
    if not is_path or canonical(path) in _SERVED:
        message = (
            f"--web.telemetry-path is {path!r}, expected a path such as /metrics that "
            "is not used for something else"
        )
        raise ValueError(message)
    return canonical(path)


def _link_prefix(options: argparse.Namespace) -> str:
    """Return what stands before paths as a browser sees them."""
    url: str | None = options.web_external_url
    if not url:
        return _route_prefix(options) if options.web_route_prefix else ""
    try:
        parts = urlsplit(url if "://" in url or url.startswith("/") else f"//{url}")
    except ValueError as error:
        message = f"--web.external-url is {url!r}, expected an URL: {error}"
        raise ValueError(message) from error
    return _prefix(parts.path, flag="--web.external-url")


def _route_prefix(options: argparse.Namespace) -> str:
    """Return what stands before paths as we see them."""
    if options.web_route_prefix:
        return _prefix(options.web_route_prefix, flag="--web.route-prefix")
    return _link_prefix(options)


def _prefix(path: str, *, flag: str) -> str:
    if not path.isprintable() or set(path) & set("?#"):
        message = f"{flag} is {path!r}, expected a path such as /braze"
        raise ValueError(message)
    stripped = path.strip("/")
    return canonical(f"/{stripped}") if stripped else ""

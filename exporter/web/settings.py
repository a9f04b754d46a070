"""Addresses, paths and prefixes from the `--web.*` flags of all commands."""

from __future__ import annotations

import argparse
from typing import NamedTuple
from urllib.parse import urlsplit

from exporter.web.routes import canonical
from exporter.web.server import Address, parse_address

_RESERVED_PATHS = {
    "/",
    "/config",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/api/v1/status",
}


class WebSettings(NamedTuple):
    """Addresses and paths of the web server; all paths are canonical."""

    addresses: tuple[Address, ...]
    telemetry_path: str
    prefix: str
    """Precedes every path: empty, or `/like/this`."""
    link_prefix: str
    """The same as a browser sees it."""
    has_lifecycle: bool = False
    """Whether `/-/reload` is enabled."""


def settings(options: argparse.Namespace) -> WebSettings:
    """Return the settings. ValueError names the flag and the expected form."""
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
    """Return the path of the metrics. ValueError: it is invalid or reserved."""
    path: str = options.web_telemetry_path
    is_path = path.startswith("/") and path.isprintable() and not set(path) & set("?# ")
    if not is_path or canonical(path) in _RESERVED_PATHS:
        message = (
            f"--web.telemetry-path is {path!r}, expected a path such as /metrics that "
            f"is not one of {', '.join(sorted(_RESERVED_PATHS))}"
        )
        raise ValueError(message)
    return canonical(path)


def _link_prefix(options: argparse.Namespace) -> str:
    """Return the prefix of paths as a browser sees them."""
    url: str | None = options.web_external_url
    if not url:
        return _route_prefix(options) if options.web_route_prefix else ""
    try:
        parts = urlsplit(url if "://" in url or url.startswith("/") else f"//{url}")
    except ValueError as error:
        message = (
            f"--web.external-url is {url!r}, expected a URL such as "
            f"https://example.com/braze: {error}"
        )
        raise ValueError(message) from error
    return _prefix(parts.path, flag="--web.external-url")


def _route_prefix(options: argparse.Namespace) -> str:
    """Return the prefix of paths in requests."""
    if options.web_route_prefix:
        return _prefix(options.web_route_prefix, flag="--web.route-prefix")
    return _link_prefix(options)


def _prefix(path: str, *, flag: str) -> str:
    if not path.isprintable() or set(path) & set("?#"):
        message = f"{flag} is {path!r}, expected a path such as /braze"
        raise ValueError(message)
    stripped = path.strip("/")
    return canonical(f"/{stripped}") if stripped else ""

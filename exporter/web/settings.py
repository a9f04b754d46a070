"""Addresses, paths and prefixes from the `--web.*` flags of all commands."""

from __future__ import annotations

import argparse
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

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
    url: str = options.web_external_url or ""
    link_prefix = _prefix(_url_path(url), flag="--web.external-url")
    prefix = link_prefix
    if options.web_route_prefix:
        prefix = _prefix(options.web_route_prefix, flag="--web.route-prefix")
    return WebSettings(
        addresses=tuple(map(_address, options.web_listen_address)),
        telemetry_path=_telemetry_path(options.web_telemetry_path),
        prefix=prefix,
        link_prefix=link_prefix if url else prefix,
        has_lifecycle=options.web_enable_lifecycle,
    )


def canonical(path: str) -> str:
    """Return a URL path with percent signs only where they are necessary."""
    return quote(unquote(path), safe="/:@!$&'()*+,;=~")


def _address(text: str) -> Address:
    try:
        return parse_address(text.strip())
    except ValueError as error:
        raise ValueError(f"--web.listen-address: {error}") from error


def _telemetry_path(path: str) -> str:
    is_path = path.startswith("/") and path.isprintable() and not set(path) & set("?# ")
    if not is_path or canonical(path) in _RESERVED_PATHS:
        raise ValueError(
            f"--web.telemetry-path is {path!r}, expected a path such as /metrics that "
            f"is not one of {', '.join(sorted(_RESERVED_PATHS))}"
        )
    return canonical(path)


def _url_path(url: str) -> str:
    try:
        return urlsplit(url if "://" in url or url.startswith("/") else f"//{url}").path
    except ValueError as error:
        raise ValueError(
            f"--web.external-url is {url!r}, expected a URL such as "
            f"https://example.com/braze: {error}"
        ) from error


def _prefix(path: str, *, flag: str) -> str:
    if not path.isprintable() or set(path) & set("?#"):
        raise ValueError(f"{flag} is {path!r}, expected a path such as /braze")
    stripped = path.strip("/")
    return canonical(f"/{stripped}") if stripped else ""

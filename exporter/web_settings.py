"""What the `--web.*` flags mean: addresses, paths and prefixes.

The daemon, the demo and the health check read them alike. It opens no socket.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from urllib.parse import urlsplit

from exporter.listener import Address, parse_address

_SERVED = {"/", "/config", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/status"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and under which paths the daemon serves."""

    addresses: tuple[Address, ...]
    telemetry_path: str
    prefix: str
    """What stands before every path: empty, or `/like/this`."""
    link_prefix: str
    """The same as a browser sees it."""


def settings(options: argparse.Namespace) -> Settings:
    """Return what the flags say. ValueError names the flag and the form expected."""
    return Settings(
        addresses=tuple(
            parse_address(text.strip()) for text in options.web_listen_address
        ),
        telemetry_path=_telemetry_path(options),
        prefix=_route_prefix(options),
        link_prefix=_link_prefix(options),
    )


def _telemetry_path(options: argparse.Namespace) -> str:
    """Return the path of the metrics. ValueError: it is no path, or taken."""
    path: str = options.web_telemetry_path
    if not path.startswith("/") or set(path) & set("?# ") or path in _SERVED:
        message = (
            f"--web.telemetry-path is {path!r}, expected a path such as /metrics that "
            "is not used for something else"
        )
        raise ValueError(message)
    return path


def _link_prefix(options: argparse.Namespace) -> str:
    """Return what stands before paths as a browser sees them."""
    url: str | None = options.web_external_url
    if not url:
        return _route_prefix(options) if options.web_route_prefix else ""
    parts = urlsplit(url if "://" in url or url.startswith("/") else f"//{url}")
    return _prefix(parts.path)


def _route_prefix(options: argparse.Namespace) -> str:
    """Return what stands before paths as we see them."""
    if options.web_route_prefix:
        return _prefix(options.web_route_prefix)
    return _link_prefix(options)


def _prefix(path: str) -> str:
    stripped = path.strip("/")
    return f"/{stripped}" if stripped else ""

"""Proxies and authorities from the environment variables that curl and requests use.

They are read once at start. `proxy` and `ca_file` of a workspace override them.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from exporter.braze.authorities import Authorities
from exporter.braze.hosts import is_loopback, with_scheme
from exporter.system.api_key import without_quotes

_DEFAULT_PORTS = {"http": 80, "https": 443}


class ProxySettings(NamedTuple):
    """The proxies by scheme, the hosts that bypass them, and the authorities."""

    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    authorities: Authorities = Authorities.from_environment({})

    def __repr__(self) -> str:
        # The URL of a proxy may contain a password.
        return (
            f"ProxySettings(no_proxy={self.no_proxy}, authorities={self.authorities})"
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ProxySettings:
        """Read the variables; lower case overrides upper case, even if it is empty.

        Docker's `--env-file` passes quotes around a value on.
        """

        def variable(name: str) -> str | None:
            text = environment.get(name, environment.get(name.upper(), ""))
            return without_quotes(text) or None

        def proxy(name: str) -> str | None:
            url = variable(name) or variable("all_proxy")
            return with_scheme(url) if url else None

        return cls(
            http_proxy=proxy("http_proxy"),
            https_proxy=proxy("https_proxy"),
            no_proxy=tuple((variable("no_proxy") or "").replace(",", " ").split()),
            authorities=Authorities.from_environment(environment),
        )

    def proxy_for(self, url: str) -> str | None:
        """Return the proxy for `url`; None for loopback hosts, as in Go's net/http.

        An entry of NO_PROXY is `*`, a host (which includes its subdomains) or address,
        each with an optional `:port`, or a network such as `10.0.0.0/8`.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        if is_loopback(host) or host.endswith(".localhost"):
            return None
        if any(
            _matches(entry.lower(), host=host, port=port) for entry in self.no_proxy
        ):
            return None
        return self.https_proxy if parts.scheme == "https" else self.http_proxy


def _matches(entry: str, *, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, _, tail = entry.rpartition(":")
    if name and tail.isdecimal():
        entry = name if tail == str(port) else ""
    bare = entry.removeprefix("*").removeprefix(".").rstrip(".").strip("[]")
    return bool(bare) and (host == bare or host.endswith(f".{bare}"))

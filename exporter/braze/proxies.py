"""How this machine reaches the internet: the proxies and CA bundle of its environment.

Read once, when the daemon starts, from the variables that curl and requests read; what
a workspace's configuration says goes before it. It knows neither sockets nor HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class ProxySettings(NamedTuple):
    """The proxies by scheme, the hosts that go without, and the CA bundle."""

    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    ca_file: str | None = None
    """A file of PEM certificates, or a directory that OpenSSL has hashed."""

    def __repr__(self) -> str:
        # The URL of a proxy may hold a password.
        return f"Egress(no_proxy={self.no_proxy}, ca_file={self.ca_file!r})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ProxySettings:
        """Lower case goes before upper case, and an empty lower case turns it off."""

        def variable(name: str) -> str | None:
            text = environment.get(name, environment.get(name.upper(), ""))
            return text.strip() or None

        bundles = (environment.get(name) for name in _CA_VARIABLES)
        return cls(
            http_proxy=variable("http_proxy") or variable("all_proxy"),
            https_proxy=variable("https_proxy") or variable("all_proxy"),
            no_proxy=tuple((variable("no_proxy") or "").replace(",", " ").split()),
            ca_file=next((bundle for bundle in bundles if bundle), None),
        )

    def proxy_for(self, url: str) -> str | None:
        """Return the proxy `url` is to be asked through; loopback never takes one.

        Go's net/http makes the same exception: no proxy can reach our loopback, and the
        simulator listens there. An entry of NO_PROXY is `*`, a host (with all below
        it), either with `:port`, an address, or a network as `10.0.0.0/8`.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        if _is_loopback(host):
            return None
        if any(_covers(entry.lower(), host=host, port=port) for entry in self.no_proxy):
            return None
        return self.https_proxy if parts.scheme == "https" else self.http_proxy


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _covers(entry: str, *, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, _, tail = entry.rpartition(":")
    if name and tail.isdecimal():
        entry = name if tail == str(port) else ""
    bare = entry.removeprefix("*").removeprefix(".").strip("[]")
    return bool(bare) and (host == bare or host.endswith(f".{bare}"))

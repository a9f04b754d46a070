"""Validation of URLs: REST endpoints of Braze and proxies.

Functions raise `ValueError` with what was expected. Messages never quote the URL, which
may contain a password.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

# Braze's list of instances: https://www.braze.com/docs/api/basics (there is no US-09)
_LISTED = frozenset(
    [f"rest.iad-{number:02}.braze.com" for number in range(1, 9)]
    + [
        f"rest.{name}.braze.com"
        for name in ("us-10", "au-01", "id-01", "jp-01", "kr-01")
    ]
    + [f"rest.{name}.braze.eu" for name in ("fra-01", "fra-02")]
)
REST_HOSTS = tuple(sorted(_LISTED))
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_SUCH_AS = "such as https://rest.iad-01.braze.com"


class _Address(NamedTuple):
    scheme: str
    host: str
    port: int | None
    split: SplitResult

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def rest_endpoint(text: str, *, allow_http: bool) -> str:
    """Return scheme, host and port of a REST endpoint, in lower case."""
    address = _address(text, f"an https:// URL {_SUCH_AS}")
    if address.split.path not in ("", "/"):
        message = f"expected scheme and host without a path, {_SUCH_AS}"
        raise ValueError(message)
    if "@" in address.split.netloc:
        message = f"user and password are not supported; expected a URL {_SUCH_AS}"
        raise ValueError(message)
    if address.host.startswith("sdk."):
        message = (
            "this is the SDK host, which does not serve the REST API;"
            " expected the REST host, such as rest.iad-01.braze.com"
        )
        raise ValueError(message)
    if address.scheme == "http" and not (allow_http or is_loopback(address.host)):
        message = (
            "http:// sends the API key unencrypted; expected https://"
            " (allow_http: true permits http://)"
        )
        raise ValueError(message)
    return address.origin


def is_unlisted(endpoint: str) -> bool:
    """Return whether the host is neither in Braze's list nor a loopback address."""
    host = urlsplit(endpoint).hostname or ""
    return host not in _LISTED and not is_loopback(host)


def proxy_url(text: str) -> str:
    """Return the URL unchanged; it may contain user and password."""
    if text.lower().startswith("socks"):
        message = "SOCKS proxies are not supported; expected an http:// or https:// URL"
        raise ValueError(message)
    address = _address(text, "a URL such as http://proxy:3128")
    if address.split.path not in ("", "/"):
        message = "expected a URL without a path, such as http://proxy:3128"
        raise ValueError(message)
    return text


def masked_url(url: str) -> str:
    """Return the URL with `***` for its user and password."""
    split = urlsplit(url)
    userinfo, _, place = split.netloc.rpartition("@")
    return split._replace(netloc=f"***@{place}" if userinfo else place).geturl()


def _address(text: str, expected: str) -> _Address:
    try:
        split = urlsplit(text)
        host, port = split.hostname or "", split.port
    except ValueError:  # unbalanced brackets, an invalid port
        host, port, split = "", None, SplitResult("", "", "", "", "")
    # urlsplit drops newlines and tabs silently and does not check host names.
    is_plain = text.isascii() and text.isprintable() and not set(text) & {" ", "\\"}
    is_url = split.scheme in ("http", "https") and port != 0
    is_host = _ip(host) if "[" in split.netloc else _HOST.fullmatch(host)
    if not (is_plain and is_url and is_host):
        message = f"expected {expected}"
        raise ValueError(message)
    if split.query or split.fragment:
        message = f"expected {expected}, without query and fragment"
        raise ValueError(message)
    return _Address(split.scheme, host, port, split)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is `localhost`, 127.0.0.0/8 or ::1."""
    address = _ip(host)
    if isinstance(address, IPv4Address):
        return address.packed[0] == 127
    return host == "localhost" or address == IPv6Address("::1")


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None

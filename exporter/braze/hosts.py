"""Validation of URLs: REST endpoints of Braze and proxies.

Functions raise `ValueError` with what was expected. Messages never quote the URL, which
may contain a password.
"""

from __future__ import annotations

import re
import string
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, quote, urlsplit

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
_BRACKETED = re.compile(r"(?:^|@)\[[^]@]*\](?::[0-9]*)?$")
_KEPT = string.punctuation.replace("\\", "")
_SUCH_AS = "such as https://rest.iad-01.braze.com"


def rest_endpoint(text: str, *, allow_http: bool) -> str:
    """Return scheme, host and port of a REST endpoint, in lower case."""
    url = _parsed(text, f"an https:// URL {_SUCH_AS}")
    host = url.hostname or ""
    if url.path not in ("", "/"):
        raise ValueError(f"expected scheme and host without a path, {_SUCH_AS}")
    if "@" in url.netloc:
        raise ValueError(
            f"user and password are not supported; expected a URL {_SUCH_AS}"
        )
    if host.startswith("sdk."):
        raise ValueError(
            "this is the SDK host, which does not serve the REST API;"
            " expected the REST host, such as rest.iad-01.braze.com"
        )
    if url.scheme == "http" and not (allow_http or is_loopback(host)):
        raise ValueError(
            "http:// sends the API key unencrypted; expected https://"
            " (allow_http: true permits http://)"
        )
    return f"{url.scheme}://{url.netloc.lower().removesuffix(':')}"


def without_default_port(endpoint: str) -> str:
    """Return an endpoint without the port that its scheme implies."""
    default = ":443" if endpoint.startswith("https:") else ":80"
    return endpoint.removesuffix(default)


@lru_cache(maxsize=64)  # of each object at a start
def endpoint_digest(endpoint: str) -> str:
    """Return 64 bits of an endpoint, whether or not a default port is written."""
    return fingerprint(without_default_port(endpoint))


def fingerprint(text: str) -> str:
    """Return 64 bits of a text: too few to reveal a key."""
    content = text.encode(errors="surrogatepass")
    return blake2b(content, digest_size=8, person=b"braze-exporter").hexdigest()


def is_unlisted(endpoint: str) -> bool:
    """Return whether the host is neither in Braze's list nor a loopback address."""
    host = urlsplit(endpoint).hostname or ""
    return host not in _LISTED and not is_loopback(host)


def with_scheme(text: str) -> str:
    """Return the URL of a proxy, which is plain HTTP without a scheme, as for curl.

    Spaces, backslashes and other than ASCII characters of user and password are
    percent-encoded: a host would end at a backslash.
    """
    url = text if "://" in text else f"http://{text}"
    userinfo, at, place = url.rpartition("@")
    return quote(userinfo, safe=_KEPT) + at + place


def proxy_url(text: str) -> str:
    """Return the URL with a scheme; it may contain user and password."""
    text = with_scheme(text)
    if text.lower().startswith("socks"):
        raise ValueError(
            "SOCKS proxies are not supported; expected an http:// or https:// URL"
        )
    expected = "a URL such as http://proxy:3128"
    if "@" in text:
        expected = (
            "a URL such as http://user:password@proxy:3128; write /, ? and # in the"
            " password as %2F, %3F and %23"
        )
    url = _parsed(text, expected)
    if url.path not in ("", "/"):
        raise ValueError("expected a URL without a path, such as http://proxy:3128")
    return text


def masked_url(url: str) -> str:
    """Return the URL with `***` for its user and password."""
    split = urlsplit(url)
    userinfo, _, place = split.netloc.rpartition("@")
    return split._replace(netloc=f"***@{place}" if userinfo else place).geturl()


def _parsed(text: str, expected: str) -> SplitResult:
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:  # unbalanced brackets, an invalid port
        raise ValueError(f"expected {expected}") from None
    # urlsplit drops newlines and tabs silently and does not check host names.
    is_plain = text.isascii() and text.isprintable() and not set(text) & {" ", "\\"}
    is_url = url.scheme in ("http", "https") and port != 0
    # Nor does it reject text around the brackets of an address.
    is_host = (
        _BRACKETED.search(url.netloc) and _ip(host)
        if "[" in url.netloc
        else _HOST.fullmatch(host)
    )
    if not (is_plain and is_url and is_host):
        raise ValueError(f"expected {expected}")
    if url.query or url.fragment:
        raise ValueError(f"expected {expected}, without query and fragment")
    return url


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

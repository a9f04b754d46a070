"""URLs of REST hosts and proxies."""

from __future__ import annotations

import pytest
from exporter.braze import hosts
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("https://rest.iad-01.braze.com", "https://rest.iad-01.braze.com"),
        ("HTTPS://Rest.IAD-01.braze.com/", "https://rest.iad-01.braze.com"),
        ("https://rest.fra-01.braze.eu:8443", "https://rest.fra-01.braze.eu:8443"),
        ("http://localhost:18000", "http://localhost:18000"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_an_endpoint_is_scheme_host_and_port(text: str, endpoint: str) -> None:
    assert hosts.rest_endpoint(text, allow_http=False) == endpoint


@pytest.mark.parametrize("host", ["rest.iad-01.braze.com", "10.0.0.1", "128.0.0.1"])
def test_http_to_other_machines_has_to_be_allowed(host: str) -> None:
    url = f"http://{host}"

    with pytest.raises(ValueError, match="sends the API key unencrypted"):
        hosts.rest_endpoint(url, allow_http=False)
    assert hosts.rest_endpoint(url, allow_http=True) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rest.iad-01.braze.com",
        "https:rest.iad-01.braze.com",
        "https://",
        "https://:443",
        "https://-a",
        "https://a..b",
        "https://rest.iad-01.braze.com:0",
        "https://rest.iad-01.braze.com:port",
        "https://rest.iad-01\n.braze.com",
        "https://rest.iad-01.braze.com\\@elsewhere",
        "https://[::1",
        "https://[v1.x]",
        "https://a[::1]",
        "https://[::1]a:80",
        "https://[::1]]",
        "https://bücher.example",
        "ftp://rest.iad-01.braze.com",
    ],
)
def test_an_invalid_url_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected an https:// URL such as"):
        hosts.rest_endpoint(text, allow_http=True)


@pytest.mark.parametrize(
    ("host", "is_unlisted"),
    [
        ("rest.iad-08.braze.com", False),
        ("rest.us-10.braze.com", False),
        ("rest.fra-02.braze.eu", False),
        ("localhost", False),
        ("[::1]", False),
        ("rest.iad-09.braze.com", True),
        ("dashboard-01.braze.com", True),
        ("[::2]", True),
    ],
)
def test_hosts_are_listed_or_loopback(host: str, *, is_unlisted: bool) -> None:
    """Another host causes a warning, since Braze adds instances."""
    assert hosts.is_unlisted(f"https://{host}:443") is is_unlisted


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("https://user:p%40ss@proxy:3128/", "https://***@proxy:3128/"),
        ("http://user@[::1]", "http://***@[::1]"),
    ],
)
def test_the_password_of_a_proxy_is_masked(url: str, masked: str) -> None:
    assert hosts.proxy_url(url) == url
    assert hosts.masked_url(url) == masked
    assert hosts.proxy_url(masked) == masked


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("user:pässwörd€@proxy:1", "http://user:p%C3%A4ssw%C3%B6rd%E2%82%AC@proxy:1"),
        ("http://company\\me:a b@p:1", "http://company%5Cme:a%20b@p:1"),
        ("http://user:p@ss:100%@proxy:1", "http://user:p@ss:100%@proxy:1"),
    ],
)
def test_a_password_of_a_proxy_may_contain_any_letter(text: str, url: str) -> None:
    assert hosts.proxy_url(text) == url


@given(st.text() | st.text("htps:/@[].%0:a#?\\", max_size=20).map("http:{}".format))
def test_any_text_is_a_url_or_rejected(text: str) -> None:
    try:
        endpoint = hosts.rest_endpoint(text, allow_http=True)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017 - both outcomes are valid
    else:
        assert hosts.rest_endpoint(endpoint, allow_http=True) == endpoint

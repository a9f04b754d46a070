"""URLs of REST hosts and proxies."""

from __future__ import annotations

import pytest
from exporter.braze import hosts
from hypothesis import given, settings
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
    """It is kept in lower case without a slash; loopback hosts need no encryption."""
    assert hosts.rest_endpoint(text, allow_http=False) == endpoint


@pytest.mark.parametrize("host", ["rest.iad-01.braze.com", "10.0.0.1", "128.0.0.1"])
def test_http_leaves_this_machine_only_where_allowed(host: str) -> None:
    """An http:// endpoint elsewhere is refused unless allow_http is true."""
    url = f"http://{host}"

    with pytest.raises(ValueError, match="send the key unencrypted"):
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
        "https://bücher.example",
        "ftp://rest.iad-01.braze.com",
    ],
)
def test_what_is_no_http_url_is_refused(text: str) -> None:
    """Scheme and host must be there, in ASCII, and the port a number."""
    with pytest.raises(ValueError, match="expected an https:// URL such as"):
        hosts.rest_endpoint(text, allow_http=True)


@pytest.mark.parametrize(
    ("host", "is_doubtful"),
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
def test_only_listed_hosts_and_loopback_are_beyond_doubt(
    host: str,
    is_doubtful: bool,
) -> None:
    """Braze's list grows, so another host is doubtful and not wrong."""
    assert hosts.is_doubtful(f"https://{host}:443") is is_doubtful


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("https://user:p%40ss@proxy:3128/", "https://***@proxy:3128/"),
        ("http://user@[::1]", "http://***@[::1]"),
    ],
)
def test_a_proxy_keeps_its_user_and_shows_none(url: str, masked: str) -> None:
    """User and password are part of a proxy's URL, and masked where it is shown."""
    assert hosts.proxy_url(url) == url
    assert hosts.masked_url(url) == masked
    assert hosts.proxy_url(masked) == masked


@settings(deadline=None)
@given(st.text() | st.text("htps:/@[].%0:a#?\\", max_size=20).map("http:{}".format))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    """What is accepted is accepted again in the form it was given."""
    try:
        endpoint = hosts.rest_endpoint(text, allow_http=True)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017 - both ways out are right
    else:
        assert hosts.rest_endpoint(endpoint, allow_http=True) == endpoint

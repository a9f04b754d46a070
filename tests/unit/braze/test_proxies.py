"""Proxies from the environment; `test_authorities` has the certificates."""

import pytest
from exporter.braze.proxies import ProxySettings

BRAZE = "https://rest.iad-01.braze.com"


HTTP = "http://braze.test"


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        (BRAZE, {}, None),
        (BRAZE, {"HTTPS_PROXY": "http://up:1"}, "http://up:1"),
        (BRAZE, {"https_proxy": "http://low:1", "HTTPS_PROXY": "x:1"}, "http://low:1"),
        (BRAZE, {"https_proxy": "", "HTTPS_PROXY": "http://up:1"}, None),
        (BRAZE, {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        (BRAZE, {"https_proxy": "me:pw@10.0.0.1:3128/"}, "http://me:pw@10.0.0.1:3128/"),
        (BRAZE, {"https_proxy": "AD\\me:pw@proxy:1"}, "http://AD%5Cme:pw@proxy:1"),
        (BRAZE, {"https_proxy": "me:p%40 é@proxy"}, "http://me:p%40%20%C3%A9@proxy"),
        (BRAZE, {"all_proxy": "HTTPS://Proxy"}, "HTTPS://Proxy"),
        (BRAZE, {"HTTPS_PROXY": '"http://up:1"'}, "http://up:1"),
        (BRAZE, {"HTTPS_PROXY": "' up:1 '"}, "http://up:1"),
        (BRAZE, {"HTTPS_PROXY": "http://up:1", "NO_PROXY": '"braze.com"'}, None),
        (BRAZE, {"HTTP_PROXY": "http://up:1"}, None),
        (BRAZE, {"ALL_PROXY": "http://all:1"}, "http://all:1"),
        (BRAZE, {"ALL_PROXY": "x:1", "HTTPS_PROXY": "http://s:1"}, "http://s:1"),
        (HTTP, {"http_proxy": "http://p:1", "https_proxy": "x:1"}, "http://p:1"),
    ],
)
def test_the_proxy_of_a_scheme(
    url: str, environment: dict[str, str], proxy: str | None
) -> None:
    assert ProxySettings.from_environment(environment).proxy_for(url) == proxy


def test_no_password_of_a_proxy_is_shown() -> None:
    url = "http://me:hidden@proxy:1"
    proxies = ProxySettings(http_proxy=url, https_proxy=url, no_proxy=("a.test",))

    assert "hidden" not in repr(proxies)
    assert repr(proxies).startswith("ProxySettings(no_proxy=('a.test',), ")


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_listed"),
    [
        ("*", BRAZE, True),
        ("braze.com", BRAZE, True),
        (".braze.com", BRAZE, True),
        ("*.braze.com", BRAZE, True),
        ("other.test, REST.iad-01.braze.com", BRAZE, True),
        ("braze.com.", BRAZE, True),
        ("braze.com:443", BRAZE, True),
        ("braze.test:8080", "https://braze.test:8080", True),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("fd00::/8", "https://[fd00::1]", True),
        ("[fd00::1]", "https://[fd00::1]:8443", True),
        ("10.1.2.3:8443", "https://10.1.2.3:8443", True),
        ("aze.com", BRAZE, False),
        ("braze.com:8443", BRAZE, False),
        ("10.0.0.0/8", BRAZE, False),
        # Invalid entries are ignored.
        *((text, BRAZE, False) for text in ("", ",", "[", "a/b", ":443")),
        # Loopback hosts have no proxy.
        ("", "http://127.0.0.1:8000", True),
        ("", "http://[::1]:8000", True),
        ("", "http://localhost:8000", True),
        ("", "http://a.localhost:8000", True),
    ],
)
def test_no_proxy_lists_hosts_without_a_proxy(
    no_proxy: str, url: str, *, is_listed: bool
) -> None:
    proxies = ProxySettings.from_environment(
        {"ALL_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    )

    assert proxies.proxy_for(url) == (None if is_listed else "http://p:1")

"""Proxies and CA bundle from the environment."""

import pytest
from exporter.braze.proxies import ProxySettings

BRAZE = "https://rest.iad-01.braze.com"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://up:1"}, "http://up:1"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://up:1"}, None),
        ({"HTTP_PROXY": "http://up:1"}, None),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://s:1"}, "http://s:1"),
    ],
)
def test_the_proxy_of_https(environment: dict[str, str], proxy: str | None) -> None:
    """HTTPS_PROXY overrides ALL_PROXY, lower case overrides upper case."""
    proxies = ProxySettings.from_environment(environment)

    assert proxies.proxy_for(BRAZE) == proxy


def test_the_proxy_of_http() -> None:
    """Plain HTTP uses HTTP_PROXY, not HTTPS_PROXY."""
    proxies = ProxySettings.from_environment(
        {"http_proxy": "http://p:1", "https_proxy": "x:1"}
    )

    assert proxies.proxy_for("http://braze.test") == "http://p:1"


def test_no_password_of_a_proxy_is_shown() -> None:
    """The repr contains neither of the two URLs."""
    url = "http://me:hidden@proxy:1"
    proxies = ProxySettings(http_proxy=url, https_proxy=url, no_proxy=("a.test",))

    assert repr(proxies) == "ProxySettings(no_proxy=('a.test',), ca_file=None)"


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", BRAZE),
        ("braze.com", BRAZE),
        (".braze.com", BRAZE),
        ("*.braze.com", BRAZE),
        ("other.test, REST.iad-01.braze.com", BRAZE),
        ("braze.com:443", BRAZE),
        ("braze.test:8080", "https://braze.test:8080"),
        ("10.0.0.0/8", "https://10.1.2.3"),
        ("10.1.2.3", "https://10.1.2.3"),
        ("fd00::/8", "https://[fd00::1]"),
        ("[fd00::1]", "https://[fd00::1]:8443"),
        ("10.1.2.3:8443", "https://10.1.2.3:8443"),
    ],
)
def test_no_proxy_lists_hosts_without_a_proxy(no_proxy: str, url: str) -> None:
    """Entries are hosts with their subdomains, ports, addresses and networks."""
    proxies = ProxySettings.from_environment(
        {"ALL_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    )

    assert proxies.proxy_for(url) is None


@pytest.mark.parametrize(
    "no_proxy", ["", ",", "aze.com", "braze.com:8443", "10.0.0.0/8", "[", "a/b", ":443"]
)
def test_other_hosts_use_the_proxy(no_proxy: str) -> None:
    """Invalid entries of NO_PROXY are ignored."""
    proxies = ProxySettings.from_environment(
        {"ALL_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    )

    assert proxies.proxy_for(BRAZE) == "http://p:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "a.localhost"])
def test_loopback_has_no_proxy(host: str) -> None:
    """The environment's proxy is not used for this machine."""
    proxies = ProxySettings.from_environment({"ALL_PROXY": "http://p:1"})

    assert proxies.proxy_for(f"http://{host}:8000") is None


def test_the_ca_bundle_has_three_variables() -> None:
    """REQUESTS_CA_BUNDLE overrides CURL_CA_BUNDLE, which overrides SSL_CERT_FILE."""
    names = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
    bundles = [
        ProxySettings.from_environment({name: name for name in names[:count]}).ca_file
        for count in range(4)
    ]

    assert bundles == [None, *names]

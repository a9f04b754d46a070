"""The environment's proxies and CA bundle."""

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
    """HTTPS_PROXY goes before ALL_PROXY, lower case before upper, empty is none."""
    egress = ProxySettings.from_environment(environment)

    assert egress.proxy_for(BRAZE) == proxy


def test_the_proxy_of_http() -> None:
    """Plain HTTP takes HTTP_PROXY and not HTTPS_PROXY."""
    egress = ProxySettings.from_environment(
        {"http_proxy": "http://p:1", "https_proxy": "x:1"}
    )

    assert egress.proxy_for("http://braze.test") == "http://p:1"


def test_no_password_of_a_proxy_is_shown() -> None:
    """Neither of the two that may be in the environment."""
    url = "http://me:hidden@proxy:1"
    egress = ProxySettings(http_proxy=url, https_proxy=url, no_proxy=("a.test",))

    assert repr(egress) == "Egress(no_proxy=('a.test',), ca_file=None)"


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
def test_no_proxy_names_who_goes_without(no_proxy: str, url: str) -> None:
    """NO_PROXY takes hosts with all below them, ports, addresses and networks."""
    egress = ProxySettings.from_environment(
        {"ALL_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    )

    assert egress.proxy_for(url) is None


@pytest.mark.parametrize(
    "no_proxy", ["", ",", "aze.com", "braze.com:8443", "10.0.0.0/8", "[", "a/b", ":443"]
)
def test_no_proxy_spares_nobody_else(no_proxy: str) -> None:
    """What NO_PROXY does not name goes through the proxy, nonsense included."""
    egress = ProxySettings.from_environment(
        {"ALL_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    )

    assert egress.proxy_for(BRAZE) == "http://p:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "a.localhost"])
def test_loopback_takes_no_proxy(host: str) -> None:
    """The environment's proxy is never asked for this machine itself."""
    egress = ProxySettings.from_environment({"ALL_PROXY": "http://p:1"})

    assert egress.proxy_for(f"http://{host}:8000") is None


def test_the_ca_bundle_is_the_first_that_is_named() -> None:
    """REQUESTS_CA_BUNDLE goes before CURL_CA_BUNDLE, and that before SSL_CERT_FILE."""
    names = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
    bundles = [
        ProxySettings.from_environment({name: name for name in names[:count]}).ca_file
        for count in range(4)
    ]

    assert bundles == [None, *names]

"""Settings from the `--web.*` flags."""

from __future__ import annotations

import pytest
from exporter.commands.flags import WEB, Parser
from exporter.web.server import Address
from exporter.web.settings import WebSettings, settings


def read(*arguments: str) -> WebSettings:
    return settings(Parser(WEB, program="test", description="").parse(arguments, {}))


def test_defaults() -> None:
    assert read() == WebSettings((Address("", 10417),), "/metrics", "", "")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10417", Address("", 10417)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("server.example:65535", Address("server.example", 65535)),
        ("[::1]:80", Address("::1", 80)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
    ],
)
def test_addresses_keep_their_order_and_text(text: str, address: Address) -> None:
    found = read(f"--web.listen-address={text}", "--web.listen-address", ":2")

    assert found.addresses == (address, Address("", 2))
    assert str(address) == text


@pytest.mark.parametrize(
    ("external", "route", "prefix", "link_prefix"),
    [
        ("https://example.com", "", "", ""),
        ("https://example.com/a/b/", "", "/a/b", "/a/b"),
        ("example.com/a", "", "/a", "/a"),
        ("/a", "", "/a", "/a"),
        ("https://example.com/a", "/", "", "/a"),
        ("https://example.com/", "/b", "/b", ""),
        ("https://example.com/a", "b/", "/b", "/a"),
        ("", "/b", "/b", "/b"),
        ("", '/é%20"<', "/%C3%A9%20%22%3C", "/%C3%A9%20%22%3C"),
        ("//evil.example/a", "", "/a", "/a"),
    ],
)
def test_prefixes_from_external_url_and_route_prefix(
    external: str, route: str, prefix: str, link_prefix: str
) -> None:
    found = read(f"--web.external-url={external}", f"--web.route-prefix={route}")

    assert (found.prefix, found.link_prefix) == (prefix, link_prefix)


HOST_PORT = "expected host:port, :port or [v6]:port"
IPV6 = "expected an IPv6 address as in [::1]:10417"
PORT = "expected a port from 0 to 65535 after the colon"


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("listen-address", "", HOST_PORT),
        ("listen-address", "10417", HOST_PORT),
        ("listen-address", "http://server:80", HOST_PORT),
        ("listen-address", "::1:80", IPV6),
        ("listen-address", "[server]:80", IPV6),
        ("listen-address", "[::1]", IPV6),
        ("listen-address", "[::1]x:80", IPV6),
        ("listen-address", "server:", PORT),
        ("listen-address", "server:http", PORT),
        ("listen-address", "server:65536", PORT),
        ("telemetry-path", "metrics", "expected a path such as /metrics"),
        ("telemetry-path", "/%2d/healthy", "is not one of /"),
        ("telemetry-path", "/m?x", "expected a path such as /metrics"),
        ("telemetry-path", "/m\n", "expected a path such as /metrics"),
        ("route-prefix", "/a\r\nSet-Cookie: x", "expected a path such as /braze"),
        ("route-prefix", "/a#b", "expected a path such as /braze"),
        ("external-url", "http://[", "expected a URL such as https://example.com"),
    ],
)
def test_invalid_flags_raise(flag: str, value: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^--web.{flag}") as caught:
        read(f"--web.{flag}={value}")

    assert repr(value) in str(caught.value)
    assert expected in str(caught.value)

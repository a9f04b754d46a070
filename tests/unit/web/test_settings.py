"""Settings from the `--web.*` flags."""

from __future__ import annotations

import re

import pytest
from exporter.commands.flags import WEB, Parser
from exporter.web.server import Address
from exporter.web.settings import WebSettings, settings


def read(*arguments: str) -> WebSettings:
    """Return the settings of a command line."""
    return settings(Parser(WEB, program="test", description="").parse(arguments, {}))


def test_defaults() -> None:
    assert read() == WebSettings((Address("", 10417),), "/metrics", "", "")


def test_addresses_keep_their_order() -> None:
    found = read("--web.listen-address=127.0.0.1:1", "--web.listen-address", "[::1]:2")

    assert found.addresses == (Address("127.0.0.1", 1), Address("::1", 2))


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


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--web.listen-address=10417", "--web.listen-address: address '10417'"),
        ("--web.telemetry-path=metrics", "--web.telemetry-path is 'metrics'"),
        ("--web.telemetry-path=/%2d/healthy", "is not one of /"),
        ("--web.telemetry-path=/m?x", "expected a path such as /metrics"),
        ("--web.telemetry-path=/m\n", "expected a path such as /metrics"),
        ("--web.route-prefix=/a\r\nSet-Cookie: x", "--web.route-prefix is"),
        ("--web.route-prefix=/a#b", "expected a path such as /braze"),
        ("--web.external-url=http://[", "--web.external-url is 'http://['"),
    ],
)
def test_invalid_flags_raise(argument: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read(argument)

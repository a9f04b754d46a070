"""Parsing of web configurations: values, problems and warnings."""

from __future__ import annotations

from contextlib import suppress

import pytest
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.system.api_key import Secret
from exporter.web.tls import ClientAuth, Pem, Tls, WebConfigFault
from exporter.web.web_config import RequestRateLimit, WebConfig, parse
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import HASH

FILES = {
    "etc/cert.pem": b"a certificate",
    "etc/key.pem": b"SECRET",
    "/ca.pem": b"ca\xff",
}
PAIR = "cert_file: cert.pem, key_file: key.pem"


def read(text: str, *faults: WebConfigFault) -> tuple[WebConfig, tuple[Problem, ...]]:
    """Parse a text as `etc/web.yml`; OpenSSL finds the faults."""
    return parse(text, file="etc/web.yml", read=FILES.get, check_tls=lambda _: faults)


def tls_of(options: str) -> Tls:
    tls = read(f"tls_server_config: {{{options}}}")[0].tls
    assert tls is not None
    return tls


def problems_of(text: str, *faults: WebConfigFault) -> list[str]:
    """Return the problems of an invalid text, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        read(text, *faults)
    return [str(one).removeprefix("etc/web.yml:") for one in caught.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n# nothing yet\n\n",
        "{}",
        "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\nrate_limit:\n",
        "tls_server_config: {}\nbasic_auth_users: {}\nrate_limit: {}",
        "http_server_config: {http2: false, headers: }",
        "http_server_config: {headers: {X-Frame-Options: ''}}",
        "rate_limit: {interval: 0s, burst: 5}",
    ],
)
def test_a_file_may_be_empty(text: str) -> None:
    """Empty files and sections mean plain HTTP, as in exporter-toolkit."""
    assert read(text) == (WebConfig(), ())


def test_every_option_is_read() -> None:
    tls = tls_of(
        f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, min_version: TLS12,"
        " client_ca_file: /ca.pem, client_allowed_sans: [prometheus, '0:0::1'],"
        " max_version: TLS12, prefer_server_cipher_suites: false,"
        " cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256],"
        " curve_preferences: [CurveP384]"
    )

    assert tls == Tls(
        cert=Pem("cert_file", "etc/cert.pem", Secret("a certificate")),
        key=Pem("key_file", "etc/key.pem", Secret("SECRET")),
        client_ca=Pem("client_ca_file", "/ca.pem", Secret("ca")),
        client_auth=ClientAuth.REQUIRED,
        allowed_sans=frozenset({"prometheus", "::1"}),
        min_version="TLS12",
        max_version="TLS12",
        ciphers=("ECDHE-RSA-AES128-GCM-SHA256",),
        prefers_own_ciphers=False,
        curve="secp384r1",
    )


def test_the_defaults_are_those_of_exporter_toolkit() -> None:
    pair = "cert: the cert, key: the key"

    assert (
        tls_of(f"{pair}, client_auth_type: NoClientCert")
        == tls_of(f"{pair}, client_auth_type: '', min_version: ~, cipher_suites: ~")
        == tls_of(pair)
        == Tls(
            cert=Pem("cert", None, Secret("the cert")),
            key=Pem("key", None, Secret("the key")),
            client_auth=ClientAuth.NONE,
            min_version="TLS12",
            max_version="TLS13",
            prefers_own_ciphers=True,
        )
    )


def test_headers_users_and_a_rate_limit_are_read() -> None:
    config, warnings = read(
        "http_server_config: {headers: {X-XSS-Protection: 0, X-Frame-Options: deny,"
        " Content-Security-Policy: ' '}}\n"
        f"basic_auth_users: {{prometheus: {HASH}, 'Jürgen ☕': {HASH}}}\n"
        "rate_limit: {interval: 500ms, burst: 10}\n"
    )

    headers = {"X-XSS-Protection": "0", "X-Frame-Options": "deny"}
    assert warnings == ()
    assert config.headers == headers
    assert config.users == {
        "prometheus": Secret(HASH),
        "Jürgen ☕": Secret(HASH),
    }
    assert config.rate_limit == RequestRateLimit(0.5, 10)
    assert HASH not in repr(config)


def test_warnings() -> None:
    config, warnings = read(
        "http_server_config: {http2: true}\n"
        f"tls_server_config: {{{PAIR}, min_version: TLS10}}\n"
        "basic_auth_users:\n"
        f"  a: {HASH}\n"
        f"  b: {HASH.replace('$04$', '$15$')}\n"
    )

    assert config.tls
    assert config.tls.min_version == "TLS12"
    assert [str(one).removeprefix("etc/web.yml:") for one in warnings] == [
        "1: http_server_config.http2: warning: HTTP/2 is not supported; HTTP/1.1 is"
        " used instead",
        "2: tls_server_config.min_version: warning: TLS below 1.2 is not supported by"
        " OpenSSL; TLS12 is used instead",
        "4: basic_auth_users: warning: the hashes differ in cost, so response times"
        " disclose which users exist; expected the same cost for all",
        "5: basic_auth_users.b: warning: with cost 15 the first request of a client"
        " takes many seconds, longer than a scrape waits; expected at most 14",
    ]


CLIENT_AUTH = "NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert"
NO_HASH = (
    "expected a bcrypt hash of 60 characters that begins with $2y$, $2b$ or $2a$;"
    " `htpasswd -nBC 10 NAME` prints one after the colon"
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("min_version: TLS13", "cert_file: this option is required but missing"),
        (f"{PAIR}, cert: x", "cert_file: cert is set too; expected only one of them"),
        (
            "cert_file: a.pem, key_file: b.pem",
            "cert_file: cannot read etc/a.pem; expected a readable file in PEM form",
        ),
        (
            f"{PAIR}, client_auth_type: RequireAnyClientCert",
            "client_auth_type: not supported, as it does not verify certificates;"
            f" expected one of {CLIENT_AUTH}",
        ),
        (
            f"{PAIR}, client_auth_type: none",
            f"client_auth_type: expected one of {CLIENT_AUTH}",
        ),
        (
            f"{PAIR}, client_auth_type: VerifyClientCertIfGiven",
            "client_ca_file: this option is required but missing",
        ),
        (
            f"{PAIR}, client_ca_file: /ca.pem",
            "client_ca_file: not used, as clients present no certificate; expected also"
            " client_auth_type: RequireAndVerifyClientCert",
        ),
        (
            f"{PAIR}, client_allowed_sans: [a]",
            "client_allowed_sans: not used, as clients may present no certificate;"
            " expected also client_auth_type: RequireAndVerifyClientCert",
        ),
        (
            f"{PAIR}, client_auth_type: RequireAndVerifyClientCert,"
            " client_ca_file: /ca.pem, client_allowed_sans: []",
            "client_allowed_sans: no client could connect; expected at least one name",
        ),
        (
            f"{PAIR}, min_version: TLS13, max_version: TLS12",
            "max_version: expected at least min_version, TLS13",
        ),
        (
            f"{PAIR}, max_version: TLS11",
            "max_version: TLS below 1.2 is not supported by OpenSSL; expected TLS12 or"
            " TLS13",
        ),
        (
            f"{PAIR}, min_version: SSL3",
            "min_version: expected one of TLS10, TLS11, TLS12, TLS13",
        ),
        (
            f"{PAIR}, curve_preferences: [X25519, CurveP256]",
            "curve_preferences: only one curve is supported; expected a list with one"
            " curve",
        ),
        (
            f"{PAIR}, curve_preferences: [P-256]",
            "curve_preferences[0]: expected one of CurveP256, CurveP384, CurveP521,"
            " X25519",
        ),
    ],
)
def test_problems_of_tls_options(options: str, expected: str) -> None:
    first, *_ = problems_of(f"tls_server_config: {{{options}}}")

    assert first == f"1: tls_server_config.{expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "1: expected the options of a web configuration, found a list"),
        (
            "tls_config: {}",
            "1: tls_config: unknown key `tls_config` (did you mean"
            " `tls_server_config`?); expected one of tls_server_config,"
            " http_server_config, basic_auth_users, rate_limit",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: maybe}}",
            "1: http_server_config.headers.X-Frame-Options: expected deny or"
            " sameorigin",
        ),
        (
            'http_server_config: {headers: {X-XSS-Protection: "a\\r\\nb: c"}}',
            "1: http_server_config.headers.X-XSS-Protection: expected printable ASCII"
            " in one line",
        ),
        (
            f"basic_auth_users: {{'a:b': {HASH}}}",
            "1: basic_auth_users.?: invalid user name; expected one line without a"
            " colon",
        ),
        (
            "basic_auth_users: {a: hunter2}",
            f"1: basic_auth_users.a: {NO_HASH}",
        ),
        (
            f"basic_auth_users: {{a: $2b$04${'a' * 53}}}",
            f"1: basic_auth_users.a: {NO_HASH}",
        ),
        (
            f"basic_auth_users: {{a: {HASH.replace('$04$', '$31$')}}}",
            "1: basic_auth_users.a: expected a cost from 4 to 18, found 31",
        ),
        (
            f"basic_auth_users: {{a: {HASH.replace('$04$', '$03$')}}}",
            "1: basic_auth_users.a: expected a cost from 4 to 18, found 3",
        ),
        (
            "rate_limit: {interval: 1s}",
            "1: rate_limit: every request would be rejected; expected a burst of at"
            " least 1",
        ),
    ],
)
def test_problems_of_other_options(text: str, expected: str) -> None:
    first, *_ = problems_of(text)

    assert first == expected


def test_all_problems_are_ordered_by_line() -> None:
    """Faults that OpenSSL finds have the line of their option, else of its section."""
    problems = problems_of(
        "basic_auth_users:\n"
        "  b: 'no hash'\n"
        "tls_server_config:\n"
        "  cert_file: cert.pem\n"
        "  key_file: key.pem\n"
        "  color: blue\n",
        WebConfigFault("key_file", "no key"),
        WebConfigFault("cipher_suites", "unknown"),
    )

    lines = [problem.partition(": ")[0] for problem in problems]
    assert lines == ["2", "4", "5", "6"]
    assert problems[1] == "4: tls_server_config: unknown"
    assert problems[2] == "5: tls_server_config.key_file: no key"


@given(st.text() | st.sampled_from(sorted(FILES)))
def test_any_text_gives_a_configuration_or_problems(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(read(text)[0], WebConfig)

"""The web configuration: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from exporter.model.errors import ConfigError
from exporter.system.api_key import Secret
from exporter.web.web_config import (
    ClientAuth,
    ParsedWebConfig,
    RequestRateLimit,
    Tls,
    WebConfig,
    WebConfigFault,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import HASH

FILES = {
    "etc/cert.pem": b"a certificate",
    "etc/key.pem": b"SECRET",
    "/ca.pem": b"ca\xff",
}
PAIR = "cert_file: cert.pem, key_file: key.pem"


def read(text: str, *faults: WebConfigFault) -> ParsedWebConfig:
    """Parse a text as `etc/web.yml`; OpenSSL finds the faults."""
    return parse(text, file="etc/web.yml", read=FILES.get, judge=lambda _: faults)


def tls_of(options: str) -> Tls:
    """Return what a TLS section means."""
    tls = read(f"tls_server_config: {{{options}}}").config.tls
    assert tls is not None
    return tls


def told(text: str, *faults: WebConfigFault) -> list[str]:
    """Return the problems of a text that has some, without the file's name."""
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
def test_a_file_may_ask_for_nothing(text: str) -> None:
    """Empty files and empty sections mean plain HTTP for everyone, as in Go."""
    assert read(text) == ParsedWebConfig(WebConfig(), ())


def test_every_option_is_read() -> None:
    """Relative paths begin at the file's directory; ciphers and curves are renamed."""
    tls = tls_of(
        f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, min_version: TLS12,"
        " client_ca_file: /ca.pem, client_allowed_sans: [prometheus, '0:0::1'],"
        " max_version: TLS12, prefer_server_cipher_suites: false,"
        " cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256],"
        " curve_preferences: [CurveP384]"
    )

    assert (tls.cert.path, tls.cert.text.reveal()) == ("etc/cert.pem", "a certificate")
    assert (tls.key.path, tls.key.text.reveal()) == ("etc/key.pem", "SECRET")
    assert tls.client_ca
    assert (tls.client_ca.path, tls.client_ca.text.reveal()) == ("/ca.pem", "ca")
    assert tls.client_auth is ClientAuth.REQUIRED
    assert tls.allowed_sans == {"prometheus", "::1"}
    assert (tls.min_version, tls.max_version) == ("TLS12", "TLS12")
    assert tls.ciphers == ("ECDHE-RSA-AES128-GCM-SHA256",)
    assert not tls.prefers_own_ciphers
    assert tls.curve == "secp384r1"


def test_what_is_not_told_has_the_defaults_of_exporter_toolkit() -> None:
    """No client certificates, TLS 1.2 and 1.3, OpenSSL's ciphers in our order."""
    tls = tls_of(PAIR)

    assert (tls.client_auth, tls.client_ca) == (ClientAuth.NONE, None)
    assert (tls.min_version, tls.max_version) == ("TLS12", "TLS13")
    assert (tls.ciphers, tls.prefers_own_ciphers, tls.curve) == ((), True, "")


def test_certificates_and_keys_may_stand_in_the_file() -> None:
    """Then they have no path."""
    tls = tls_of("cert: the cert, key: the key, client_auth_type: NoClientCert")

    assert (tls.cert.option, tls.cert.path) == ("cert", None)
    assert (tls.key.path, tls.key.text.reveal()) == (None, "the key")


def test_headers_users_and_a_rate_limit_are_read() -> None:
    """Numbers may be headers, blank ones are left out, hashes are secrets."""
    parsed = read(
        "http_server_config: {headers: {X-XSS-Protection: 0, X-Frame-Options: deny,"
        " Content-Security-Policy: ' '}}\n"
        f"basic_auth_users: {{prometheus: {HASH}, 'Jürgen ☕': {HASH}}}\n"
        "rate_limit: {interval: 500ms, burst: 10}\n"
    )

    headers = {"X-XSS-Protection": "0", "X-Frame-Options": "deny"}
    assert parsed.warnings == ()
    assert parsed.config.headers == headers
    assert parsed.config.users == {
        "prometheus": Secret(HASH),
        "Jürgen ☕": Secret(HASH),
    }
    assert parsed.config.rate_limit == RequestRateLimit(0.5, 10)
    assert HASH not in repr(parsed)


def test_doubts_are_warnings() -> None:
    """What works otherwise than its author may think is told, and stops nothing."""
    parsed = read(
        "http_server_config: {http2: true}\n"
        f"tls_server_config: {{{PAIR}, min_version: TLS10}}\n"
        "basic_auth_users:\n"
        f"  a: {HASH}\n"
        f"  b: {HASH.replace('$04$', '$15$')}\n"
    )

    assert parsed.config.tls
    assert parsed.config.tls.min_version == "TLS12"
    assert [str(one).removeprefix("etc/web.yml:") for one in parsed.warnings] == [
        "1: http_server_config.http2: warning: HTTP/2 is not supported; clients are"
        " served HTTP/1.1",
        "2: tls_server_config.min_version: warning: OpenSSL serves no TLS below 1.2"
        " any more; TLS12 holds instead",
        "4: basic_auth_users: warning: the hashes differ in cost: the time of an answer"
        " tells which names exist; expected one cost for all",
        "5: basic_auth_users.b: warning: cost 15 makes each first login take many"
        " seconds: more than a scrape waits; expected 14 at most",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("min_version: TLS13", "cert_file: this option is required but missing"),
        (f"{PAIR}, cert: x", "cert_file: cert is there too; expected one of the two"),
        (
            "cert_file: none.pem, key_file: key.pem",
            "cert_file: etc/none.pem cannot be read; expected a file in PEM form",
        ),
        (
            f"{PAIR}, client_auth_type: RequireAnyClientCert",
            "client_auth_type: not supported: no certificate is asked for here without"
            " being verified; expected one of NoClientCert, VerifyClientCertIfGiven,"
            " RequireAndVerifyClientCert",
        ),
        (
            f"{PAIR}, client_auth_type: none",
            "client_auth_type: expected one of NoClientCert, VerifyClientCertIfGiven,"
            " RequireAndVerifyClientCert",
        ),
        (
            f"{PAIR}, client_auth_type: VerifyClientCertIfGiven",
            "client_ca_file: this option is required but missing",
        ),
        (
            f"{PAIR}, client_ca_file: /ca.pem",
            "client_ca_file: no client is asked for a certificate; expected"
            " client_auth_type: RequireAndVerifyClientCert too",
        ),
        (
            f"{PAIR}, client_allowed_sans: [a]",
            "client_allowed_sans: expected client_auth_type: RequireAndVerifyClientCert"
            " with it",
        ),
        (
            f"{PAIR}, client_auth_type: RequireAndVerifyClientCert,"
            " client_ca_file: /ca.pem, client_allowed_sans: []",
            "client_allowed_sans: nobody could connect; expected at least one name",
        ),
        (
            f"{PAIR}, min_version: TLS13, max_version: TLS12",
            "max_version: this is below the lowest version, TLS13",
        ),
        (
            f"{PAIR}, max_version: TLS11",
            "max_version: OpenSSL serves no TLS below 1.2 any more; expected TLS12 or"
            " TLS13",
        ),
        (
            f"{PAIR}, min_version: SSL3",
            "min_version: expected one of TLS10, TLS11, TLS12, TLS13",
        ),
        (
            f"{PAIR}, curve_preferences: [X25519, CurveP256]",
            "curve_preferences: not supported: only one curve can be set; expected one,"
            " or no list",
        ),
        (
            f"{PAIR}, curve_preferences: [P-256]",
            "curve_preferences[0]: expected one of CurveP256, CurveP384, CurveP521,"
            " X25519",
        ),
    ],
)
def test_every_rule_of_tls_has_its_message(options: str, expected: str) -> None:
    """The first problem names the option and what was expected."""
    first, *_ = told(f"tls_server_config: {{{options}}}")

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
            'http_server_config: {headers: {Content-Security-Policy: "a\\r\\nb: c"}}',
            "1: http_server_config.headers.Content-Security-Policy: expected printable"
            " ASCII in one line",
        ),
        (
            f"basic_auth_users: {{'a:b': {HASH}}}",
            "1: basic_auth_users.?: this name cannot be sent; expected one line without"
            " a colon",
        ),
        (
            "basic_auth_users: {a: hunter2}",
            "1: basic_auth_users.a: expected a bcrypt hash of the password, such as"
            " `htpasswd -nBC 10 NAME` gives after the colon: 60 characters that begin"
            " with $2y$, $2b$ or $2a$",
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
            "1: rate_limit: nobody would be answered; expected a burst of at least 1",
        ),
    ],
)
def test_every_other_rule_has_its_message(text: str, expected: str) -> None:
    """Messages repeat nothing of a hash."""
    first, *_ = told(text)

    assert first == expected


def test_all_problems_come_at_once_by_line() -> None:
    """What OpenSSL finds stands at the option that gave it, else at its section."""
    problems = told(
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
    """Nothing else ever comes out."""
    with suppress(ConfigError):
        assert isinstance(read(text).config, WebConfig)

"""Parses a web configuration in exporter-toolkit's format.

The tables below are its schema. An option that this server does not support is an
error, never ignored. Messages quote paths but no other value of the file. Files and
OpenSSL are accessed by functions that the caller passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import TypeVar

from exporter.config import option_values, units, yaml_tree
from exporter.config.option import OPTIONAL, Option
from exporter.config.reader import Field, Findings, Section, values
from exporter.config.yaml_tree import Scalar
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.system.api_key import Secret
from exporter.web import go_duration
from exporter.web.handshake import normal_san
from exporter.web.tls import ClientAuth, Pem, Tls, WebConfigFault

# https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
WEB_CONFIG = {
    "tls_server_config": OPTIONAL,
    "http_server_config": OPTIONAL,
    "basic_auth_users": OPTIONAL,
    "rate_limit": OPTIONAL,
}
TLS_SERVER = {
    "cert_file": OPTIONAL,  # one of these two
    "cert": OPTIONAL,
    "key_file": OPTIONAL,  # one of these two
    "key": OPTIONAL,
    "client_auth_type": Option("NoClientCert"),
    "client_ca_file": OPTIONAL,  # one of these two, if clients show certificates
    "client_ca": OPTIONAL,
    "client_allowed_sans": OPTIONAL,
    "min_version": Option("TLS12"),
    "max_version": Option("TLS13"),
    "cipher_suites": Option("[]"),
    "prefer_server_cipher_suites": Option("true"),
    "curve_preferences": Option("[]"),
}
HTTP_SERVER = {"http2": OPTIONAL, "headers": OPTIONAL}
RATE_LIMIT = {"interval": Option("0"), "burst": Option("0")}
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""The response headers that may be set, and their values; empty for any value."""

VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
"""Cipher suites of TLS 1.2: the name in Go, the name in OpenSSL."""
TLS13_CIPHERS = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
"""Accepted without effect, as in Go: TLS 1.3 always offers all of them."""
CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

# The 22nd character of the salt carries two bits: bcrypt writes only these four.
_BCRYPT = re.compile(
    r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII
)
_LOWEST_COST, _SLOW_COST, _HIGHEST_COST = 4, 14, 18
_UNVERIFIED = {"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RequestRateLimit:
    """One request per interval on average, and `burst` requests at once."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    """TLS, users, rate limit, and headers of every response."""

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Secret] = field(default_factory=dict)
    """Names and bcrypt hashes; without any, no password is required."""
    rate_limit: RequestRateLimit | None = None


def is_blank(text: str) -> bool:
    """Return whether a file contains only comments and white space."""
    return all(line.lstrip()[:1] in {"", "#"} for line in text.splitlines())


def parse(
    text: str,
    *,
    file: str,
    read: Callable[[str], bytes | None],
    check_tls: Callable[[Tls], Iterable[WebConfigFault]],
) -> tuple[WebConfig, tuple[Problem, ...]]:
    """Return settings and warnings. ConfigError: all problems, ordered by line.

    `read` returns a file's content, None if it cannot be read; `check_tls` returns what
    OpenSSL rejects. Relative paths are resolved against the directory of `file`.
    """
    if is_blank(text):
        return WebConfig(), ()
    root, problems = yaml_tree.compose(text, file=file)
    reader = _Reader(file, read, check_tls)
    config = Field(root, "", Findings(file, problems)).parsed(reader.web_config)
    problems.sort(key=yaml_tree.by_line)
    if config is None or not all(problem.is_warning for problem in problems):
        raise ConfigError(tuple(problems))
    return config, tuple(problems)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the sections."""

    file: str
    read: Callable[[str], bytes | None]
    check_tls: Callable[[Tls], Iterable[WebConfigFault]]

    def web_config(self, field: Field) -> WebConfig:
        section = field.section("the options of a web configuration", WEB_CONFIG)
        return WebConfig(
            tls=_find(section, "tls_server_config", self._tls),
            headers=_find(section, "http_server_config", _http_server) or {},
            users=_find(section, "basic_auth_users", _users) or {},
            rate_limit=_find(section, "rate_limit", _rate_limit),
        )

    def _tls(self, field: Field) -> Tls | None:
        section = field.section("the options of a TLS server", TLS_SERVER)
        if not section.entries:
            return None
        section = _without_empty(section)
        cert, key = self._pem(section, "cert"), self._pem(section, "key")
        client_auth = section.read("client_auth_type", _client_auth)
        min_version, max_version = _versions(section)
        suites = section.read("cipher_suites", _ciphers)
        ciphers = tuple(CIPHERS[one] for one in suites if one in CIPHERS)
        if suites and not ciphers:  # none is left for TLS 1.2
            min_version = "TLS13"
            if max_version == "TLS12" and (place := section.at("cipher_suites")):
                place.error("expected at least one suite of TLS 1.2, the max_version")
        tls = Tls(
            cert=cert or _NO_PEM,
            key=key or _NO_PEM,
            client_ca=self._client_ca(section, client_auth),
            client_auth=client_auth,
            allowed_sans=_allowed_sans(section, client_auth),
            min_version=min_version,
            max_version=max_version,
            ciphers=ciphers,
            prefers_own_ciphers=section.read(
                "prefer_server_cipher_suites", option_values.boolean
            ),
            curve=section.read("curve_preferences", _curve),
        )
        if cert and key:
            for fault in self.check_tls(tls):
                (section.at(fault.option) or field).error(fault.message)
        return tls

    def _pem(
        self, section: Section, name: str, *, is_needed: bool = True
    ) -> Pem | None:
        text, file = section.at(name), section.at(f"{name}_file")
        if text and file:
            file.error(f"{name} is set too; expected only one of them")
            return None
        if text:
            return text.parsed(partial(_inline, option=name))
        if file:
            return file.parsed(partial(self._from_file, option=f"{name}_file"))
        if is_needed:
            section.missing(f"{name}_file")
        return None

    def _from_file(self, field: Field, *, option: str) -> Pem:
        path = str(PurePath(self.file).parent / field.plain_text())
        content = self.read(path)
        if content is None:
            raise ValueError(
                f"cannot read {path}; expected a readable file in PEM form"
            )
        return Pem(option, path, Secret(content.decode("ascii", "ignore")))

    def _client_ca(self, section: Section, client_auth: ClientAuth) -> Pem | None:
        is_needed = client_auth is not ClientAuth.NONE
        place = section.at("client_ca_file") or section.at("client_ca")
        if place and not is_needed:
            place.error(
                "not used, as clients present no certificate; expected also"
                f" client_auth_type: {ClientAuth.REQUIRED}"
            )
        return self._pem(section, "client_ca", is_needed=is_needed)


_NO_PEM = Pem("", None, Secret(""))


def _find(section: Section, name: str, reading: Callable[[Field], T]) -> T | None:
    """Return an option; None also for an empty value, as in exporter-toolkit."""
    found = section.at(name)
    return None if found is None or found.is_null else found.parsed(reading)


def _without_empty(section: Section) -> Section:
    """Return the section without options that are empty: exporter-toolkit's default."""
    entries = {
        name: entry
        for name, entry in section.entries.items()
        if not (isinstance(entry.node, Scalar) and _is_empty(entry.node))
    }
    return section._replace(entries=entries)


def _is_empty(scalar: Scalar) -> bool:
    return scalar.tag == "null" or not scalar.text


def _inline(field: Field, *, option: str) -> Pem:
    text = field.text().encode("ascii", "ignore").decode()
    return Pem(option, None, Secret(text))


def _choice(field: Field, choices: Iterable[str]) -> str:
    text = field.text()
    if text not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}")
    return text


def _client_auth(field: Field) -> ClientAuth:
    if field.text() in _UNVERIFIED:
        raise ValueError(
            "not supported, as it does not verify certificates;"
            f" expected one of {', '.join(ClientAuth)}"
        )
    return ClientAuth(_choice(field, tuple(ClientAuth)))


def _allowed_sans(section: Section, client_auth: ClientAuth) -> frozenset[str]:
    sans = section.find("client_allowed_sans", _sans)
    place = section.at("client_allowed_sans")
    if place and client_auth is not ClientAuth.REQUIRED:
        place.error(
            "not used, as clients may present no certificate; expected also"
            f" client_auth_type: {ClientAuth.REQUIRED}"
        )
    return sans or frozenset()


def _sans(field: Field) -> frozenset[str]:
    items = field.items(
        "a list of names",
        if_empty="no client could connect; expected at least one name",
    )
    return frozenset(normal_san(text) for text in values(items, Field.plain_text))


def _versions(section: Section) -> tuple[str, str]:
    lowest = section.read("min_version", partial(_choice, choices=VERSIONS))
    highest = section.read("max_version", partial(_choice, choices=VERSIONS))
    if (place := section.at("min_version")) and lowest < "TLS12":
        place.warn("TLS below 1.2 is not supported by OpenSSL; TLS12 is used instead")
        lowest = "TLS12"
    place = section.at("max_version")
    if place and highest < "TLS12":
        place.error(
            "TLS below 1.2 is not supported by OpenSSL; expected TLS12 or TLS13"
        )
        highest = "TLS13"
    elif place and lowest > highest:
        place.error(f"expected at least min_version, {lowest}")
    return lowest, highest


def _ciphers(field: Field) -> tuple[str, ...]:
    items = field.items("a list of cipher suites")
    return values(items, partial(_choice, choices=(*CIPHERS, *TLS13_CIPHERS)))


def _curve(field: Field) -> str:
    items = field.items("a list with one curve")
    if len(items) > 1:
        raise ValueError("only one curve is supported; expected a list with one curve")
    return "".join(values(items, lambda item: CURVES[_choice(item, CURVES)]))


def _http_server(field: Field) -> Mapping[str, str]:
    section = field.section("a mapping with http2 and headers", HTTP_SERVER)
    http2 = section.at("http2")
    if http2 and http2.parsed(option_values.boolean):
        http2.warn("HTTP/2 is not supported; HTTP/1.1 is used instead")
    return _find(section, "headers", _headers) or {}


def _headers(field: Field) -> Mapping[str, str]:
    section = field.section(
        "a mapping of response headers", dict.fromkeys(HEADERS, OPTIONAL)
    )
    found = {
        name: _find(section, name, partial(_header, choices=choices))
        for name, choices in HEADERS.items()
    }
    return {name: text for name, text in found.items() if text}


def _header(field: Field, *, choices: tuple[str, ...]) -> str:
    text = field.scalar("text", "str", "int").strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("expected printable ASCII in one line")
    if text and choices and text not in choices:
        raise ValueError(f"expected {' or '.join(choices)}")
    return text


def _rate_limit(field: Field) -> RequestRateLimit | None:
    section = field.section("a mapping with interval and burst", RATE_LIMIT)
    interval_seconds = section.read(
        "interval",
        lambda item: item.quantity("a duration", go_duration.seconds),
    )
    burst = section.read("burst", lambda item: item.amount(units.whole_number))
    if not interval_seconds:
        return None
    if not burst:
        section.field.error(
            "every request would be rejected; expected a burst of at least 1"
        )
    return RequestRateLimit(interval_seconds, burst)


def _users(field: Field) -> Mapping[str, Secret]:
    named = field.fields("a mapping of names to bcrypt hashes")
    users = {}
    costs = set()
    for name, item in named.items():
        if hash_ := item.parsed(partial(_hash, name=name)):
            users[name] = Secret(hash_)
            costs.add(cost_of(hash_))
    if len(costs) > 1:
        field.warn(
            "the hashes differ in cost, so response times disclose which users exist;"
            " expected the same cost for all"
        )
    return users


def _hash(field: Field, *, name: str) -> str:
    if ":" in name or not name.isprintable():
        raise ValueError("invalid user name; expected one line without a colon")
    text = field.scalar("a bcrypt hash", "str")
    if not _BCRYPT.fullmatch(text):
        raise ValueError(
            "expected a bcrypt hash of 60 characters that begins with $2y$, $2b$ or"
            " $2a$; `htpasswd -nBC 10 NAME` prints one after the colon"
        )
    cost = cost_of(text)
    if not _LOWEST_COST <= cost <= _HIGHEST_COST:
        raise ValueError(
            f"expected a cost from {_LOWEST_COST} to {_HIGHEST_COST}, found {cost}"
        )
    if cost > _SLOW_COST:
        field.warn(
            f"with cost {cost} the first request of a client takes many seconds, longer"
            f" than a scrape waits; expected at most {_SLOW_COST}"
        )
    return text


def cost_of(bcrypt_hash: str) -> int:
    """Return the cost factor of a bcrypt hash: the work doubles with each step."""
    return int(bcrypt_hash[4:6])

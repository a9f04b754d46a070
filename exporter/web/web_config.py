"""The web configuration: text in exporter-toolkit's format → `WebConfig`, or problems.

The tables below are its whole schema. What this server cannot do is an error that says
so, never something silently left out. A message repeats no value of the file but paths,
and nothing of a hash or key. What lies outside (files, OpenSSL) is passed in: there is
no I/O here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from pathlib import PurePath
from typing import NamedTuple, TypeVar

from exporter.config import option_values, units, yaml_tree
from exporter.config.option import OPTIONAL, Option
from exporter.config.reader import Field, Findings, Section, values
from exporter.config.yaml_tree import Scalar
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.system.api_key import Secret

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
"""The response headers that may be set, and what each may be if not anything."""

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
"""Cipher suites of TLS 1.2 by their names in Go: their names in OpenSSL."""
CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

# The 22nd character of the salt carries four bits: others are no bcrypt's writing.
_BCRYPT = re.compile(
    r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII
)
_LOWEST_COST, _DEAR_COST, _HIGHEST_COST = 4, 14, 18
_UNVERIFIED = {"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"}

T = TypeVar("T")


class ClientAuth(StrEnum):
    """What a client has to show."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key: the option that gave them, their file if any, the text."""

    option: str
    path: str | None
    text: Secret


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS; ciphers and curve have OpenSSL's names, empty for its own."""

    cert: Pem
    key: Pem
    client_ca: Pem | None = None
    client_auth: ClientAuth = ClientAuth.NONE
    allowed_sans: frozenset[str] = frozenset()
    """Of which a client's certificate must have one, unless this is empty."""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()
    prefers_own_ciphers: bool = True
    curve: str = ""


class WebConfigFault(NamedTuple):
    """Why OpenSSL does not take what an option of `tls_server_config` gives."""

    option: str
    message: str


@dataclass(frozen=True, slots=True)
class RequestRateLimit:
    """A request per interval on average, and so many at once."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Who may ask, over what, and which headers every answer has."""

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Secret] = field(default_factory=dict)
    """Names, and the bcrypt hashes of their passwords; none: no password is asked."""
    rate_limit: RequestRateLimit | None = None


@dataclass(frozen=True, slots=True)
class ParsedWebConfig:
    """A web configuration that can be used, and what its author may want to know."""

    config: WebConfig
    warnings: tuple[Problem, ...]


def says_nothing(text: str) -> bool:
    """Tell whether a file is empty but for comments: plain HTTP for everyone."""
    return all(line.lstrip()[:1] in {"", "#"} for line in text.splitlines())


def parse(
    text: str,
    *,
    file: str,
    read: Callable[[str], bytes | None],
    judge: Callable[[Tls], Iterable[WebConfigFault]],
) -> ParsedWebConfig:
    """Read the text of `file`, or raise `ConfigError` with all problems, by line.

    `read` gives a file's content, None if it cannot be read; `judge` says what OpenSSL
    does not take. Relative paths are taken from the directory of `file`.
    """
    if says_nothing(text):
        return ParsedWebConfig(WebConfig(), ())
    root, problems = yaml_tree.compose(text, file=file)
    reader = _Reader(file, read, judge)
    config = Field(root, "", Findings(file, problems)).parsed(reader.web_config)
    problems.sort(key=yaml_tree.by_line)
    if config is None or not all(problem.is_warning for problem in problems):
        raise ConfigError(tuple(problems))
    return ParsedWebConfig(config, tuple(problems))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the sections; holds what lies outside the text."""

    file: str
    read: Callable[[str], bytes | None]
    judge: Callable[[Tls], Iterable[WebConfigFault]]

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
        cert, key = self._pem(section, "cert"), self._pem(section, "key")
        client_auth = section.read("client_auth_type", _client_auth)
        min_version, max_version = _versions(section)
        tls = Tls(
            cert=cert or _NO_PEM,
            key=key or _NO_PEM,
            client_ca=self._client_ca(section, client_auth),
            client_auth=client_auth,
            allowed_sans=_allowed_sans(section, client_auth),
            min_version=min_version,
            max_version=max_version,
            ciphers=section.read("cipher_suites", _ciphers),
            prefers_own_ciphers=section.read(
                "prefer_server_cipher_suites", option_values.boolean
            ),
            curve=section.read("curve_preferences", _curve),
        )
        if cert and key:
            for fault in self.judge(tls):
                (section.at(fault.option) or field).error(fault.message)
        return tls

    def _pem(
        self, section: Section, name: str, *, is_needed: bool = True
    ) -> Pem | None:
        text, file = section.at(name), section.at(f"{name}_file")
        if text and file:
            file.error(f"{name} is there too; expected one of the two")
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
            message = f"{path} cannot be read; expected a file in PEM form"
            raise ValueError(message)
        return Pem(option, path, Secret(content.decode("ascii", "ignore")))

    def _client_ca(self, section: Section, client_auth: ClientAuth) -> Pem | None:
        is_needed = client_auth is not ClientAuth.NONE
        place = section.at("client_ca_file") or section.at("client_ca")
        if place and not is_needed:
            place.error(
                "no client is asked for a certificate; expected client_auth_type:"
                f" {ClientAuth.REQUIRED} too"
            )
        return self._pem(section, "client_ca", is_needed=is_needed)


_NO_PEM = Pem("", None, Secret(""))


def _find(section: Section, name: str, reading: Callable[[Field], T]) -> T | None:
    """Return an option; None also where there is only its name, as Go reads it."""
    found = section.at(name)
    is_null = found and isinstance(found.node, Scalar) and found.node.tag == "null"
    return None if found is None or is_null else found.parsed(reading)


def _inline(field: Field, *, option: str) -> Pem:
    text = field.text().encode("ascii", "ignore").decode()
    return Pem(option, None, Secret(text))


def _choice(field: Field, choices: Iterable[str]) -> str:
    text = field.text()
    if text not in choices:
        message = f"expected one of {', '.join(choices)}"
        raise ValueError(message)
    return text


def _client_auth(field: Field) -> ClientAuth:
    if field.text() in _UNVERIFIED:
        message = (
            "not supported: no certificate is asked for here without being verified;"
            f" expected one of {', '.join(ClientAuth)}"
        )
        raise ValueError(message)
    return ClientAuth(_choice(field, tuple(ClientAuth)))


def _allowed_sans(section: Section, client_auth: ClientAuth) -> frozenset[str]:
    sans = section.find("client_allowed_sans", _sans)
    place = section.at("client_allowed_sans")
    if place and client_auth is not ClientAuth.REQUIRED:
        place.error(f"expected client_auth_type: {ClientAuth.REQUIRED} with it")
    return sans or frozenset()


def _sans(field: Field) -> frozenset[str]:
    items = field.items(
        "a list of names", if_empty="nobody could connect; expected at least one name"
    )
    return frozenset(normal_san(text) for text in values(items, Field.plain_text))


def normal_san(text: str) -> str:
    """Write an IP address in its shortest form, and leave all other names alone."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def _versions(section: Section) -> tuple[str, str]:
    lowest = section.read("min_version", _min_version)
    highest = section.read("max_version", _max_version)
    place = section.at("max_version")
    if place and lowest > highest:
        place.error(f"this is below the lowest version, {lowest}")
    return lowest, highest


def _min_version(field: Field) -> str:
    version = _choice(field, VERSIONS)
    if version < "TLS12":
        field.warn("OpenSSL serves no TLS below 1.2 any more; TLS12 holds instead")
        return "TLS12"
    return version


def _max_version(field: Field) -> str:
    version = _choice(field, VERSIONS)
    if version < "TLS12":
        message = "OpenSSL serves no TLS below 1.2 any more; expected TLS12 or TLS13"
        raise ValueError(message)
    return version


def _ciphers(field: Field) -> tuple[str, ...]:
    items = field.items("a list of cipher suites")
    return values(items, lambda item: CIPHERS[_choice(item, CIPHERS)])


def _curve(field: Field) -> str:
    items = field.items("a list with one curve")
    if len(items) > 1:
        message = "not supported: only one curve can be set; expected one, or no list"
        raise ValueError(message)
    return "".join(values(items, lambda item: CURVES[_choice(item, CURVES)]))


def _http_server(field: Field) -> Mapping[str, str]:
    section = field.section("a mapping with http2 and headers", HTTP_SERVER)
    http2 = section.at("http2")
    if http2 and http2.parsed(option_values.boolean):
        http2.warn("HTTP/2 is not supported; clients are served HTTP/1.1")
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
        message = "expected printable ASCII in one line"
        raise ValueError(message)
    if text and choices and text not in choices:
        message = f"expected {' or '.join(choices)}"
        raise ValueError(message)
    return text


def _rate_limit(field: Field) -> RequestRateLimit | None:
    section = field.section("a mapping with interval and burst", RATE_LIMIT)
    interval_seconds = section.read(
        "interval",
        lambda item: item.quantity("a duration", units.duration_seconds),
    )
    burst = section.read("burst", lambda item: item.amount(units.whole_number))
    if not interval_seconds:
        return None
    if not burst:
        section.field.error("nobody would be answered; expected a burst of at least 1")
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
            "the hashes differ in cost: the time of an answer tells which names exist;"
            " expected one cost for all"
        )
    return users


def _hash(field: Field, *, name: str) -> str:
    if ":" in name or not name.isprintable():
        message = "this name cannot be sent; expected one line without a colon"
        raise ValueError(message)
    text = field.scalar("a bcrypt hash", "str")
    if not _BCRYPT.fullmatch(text):
        message = (
            "expected a bcrypt hash of the password, such as `htpasswd -nBC 10 NAME`"
            " gives after the colon: 60 characters that begin with $2y$, $2b$ or $2a$"
        )
        raise ValueError(message)
    cost = cost_of(text)
    if not _LOWEST_COST <= cost <= _HIGHEST_COST:
        message = (
            f"expected a cost from {_LOWEST_COST} to {_HIGHEST_COST}, found {cost}"
        )
        raise ValueError(message)
    if cost > _DEAR_COST:
        field.warn(
            f"cost {cost} makes each first login take many seconds: more than a scrape"
            f" waits; expected {_DEAR_COST} at most"
        )
    return text


def cost_of(bcrypt_hash: str) -> int:
    """Return the cost in a bcrypt hash: one more doubles the work."""
    return int(bcrypt_hash[4:6])

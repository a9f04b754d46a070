"""Diagnosis of a workspace from Braze's responses.

Every failure becomes one `Check` with a stable code, a message and advice. No key is
ever part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from exporter.braze import connection_errors, paths
from exporter.braze.hosts import REST_HOSTS
from exporter.braze.paths import path_for, permission_for
from exporter.braze.responses import is_clock_ahead
from exporter.model.config import DiscoverRules, KeySource, WorkspaceConfig
from exporter.model.errors import FailureReason, FetchError
from exporter.system.api_key import unreadable_reason


class Permissions(NamedTuple):
    """The permissions for one kind of object; series of the workspace have one."""

    kind: str
    plural: str
    data_series: str
    list: str = ""
    details: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(filter(None, self[2:]))


def _series(kind: str, path: str) -> Permissions:
    return Permissions(kind, "series", permission_for(path))


CAMPAIGNS = Permissions(
    "campaign",
    "campaigns",
    permission_for(paths.CAMPAIGN_DATA_SERIES),
    permission_for(paths.CAMPAIGN_LIST),
    permission_for(paths.CAMPAIGN_DETAILS),
)
CANVASES = Permissions(
    "canvas",
    "canvases",
    permission_for(paths.CANVAS_DATA_SERIES),
    permission_for(paths.CANVAS_LIST),
    permission_for(paths.CANVAS_DETAILS),
)
SERIES = (
    _series("dau", paths.DAU),
    _series("mau", paths.MAU),
    _series("new_users", paths.NEW_USERS),
    _series("uninstalls", paths.UNINSTALLS),
    _series("sessions", paths.SESSIONS),
    _series("purchase_revenue", paths.PURCHASE_REVENUE),
    _series("purchases", paths.PURCHASE_QUANTITY),
    _series("segment", paths.SEGMENT_DATA_SERIES),
    _series("event", paths.EVENT_DATA_SERIES),
    _series("broadcasts", paths.SCHEDULED_BROADCASTS),
    _series("data_ingestion", paths.INTEGRATION_LIST),
)
KEY, CLOCK = "key", "clock"

_DISCOVERED = (CAMPAIGNS, CANVASES)
_KINDS = (*_DISCOVERED, *SERIES)
_ORDER = (KEY, *(each for kind in _KINDS for each in kind.all), CLOCK)
_WITHOUT_ID = {kind.list for kind in _DISCOVERED} | {
    kind.data_series for kind in SERIES if kind.kind not in {"segment", "event"}
}
MAX_SKEW_SECONDS = 30.0
_ALLOWLIST = re.compile(r"\bIPs?\b|allow.?list|white.?list", re.IGNORECASE)
_HOST_LIST = f"The REST hosts are {', '.join(REST_HOSTS)}."
# A phrase in a connection error's message → the code of the problem.
_CONNECTION_CODES = (
    ("name not found", "dns"),
    ("name look-up failed", "dns"),
    (connection_errors.NOT_TRUSTED, "tls"),
    ("the certificates in", "tls"),
    ("TLS failed", "tls"),
    ("closed within TLS", "tls"),
    ("the proxy refuses", "proxy"),
)
_THROUGH_PROXY = " through the proxy "
# A phrase in the message of a problem of TLS → the topic of its advice.
_TLS_TOPICS = (
    # OpenSSL's message for a response that is not TLS, mostly plain HTTP.
    ("wrong version number", "no_tls"),
    ("the certificates in", "tls_bundle"),
    (connection_errors.NOT_YET_VALID, "tls_dates"),
    (connection_errors.EXPIRED, "tls_dates"),
    (connection_errors.OTHER_HOST, "tls_host"),
    (connection_errors.SELF_SIGNED.partition("{")[0], "tls_self_signed"),
    (connection_errors.UNKNOWN_ISSUER.partition("{")[0], "tls_issuer"),
    (connection_errors.WEAK, "tls_weak"),
    (connection_errors.INVALID_CERTIFICATE, "tls_invalid"),
)
_ADVICE = {
    "key_or_host": "Copy the key again, without quotes. If the key is right, the host "
    "is wrong: it depends on your Braze instance, see the address of your dashboard. "
    f"{_HOST_LIST}",
    "permission_missing": "{new_key}",
    "ip_not_allowed": "The key's IP allowlist does not contain this machine's address. "
    "{new_key}",
    "forbidden": "Unless Braze's message above names another cause, the key lacks the "
    "permission, or its IP allowlist does not contain this machine's address. "
    "{new_key}",
    "no_tls": "The response is not TLS. Check the endpoint. The URL of a "
    "proxy usually begins with http://, also for https requests.",
    "dns": "Check the spelling of the endpoint and this machine's DNS resolver; a pod "
    "or container may have a different resolver, or none.",
    "tls": "A proxy or firewall interrupts TLS, or does not support TLS 1.2: check "
    "both.",
    "tls_bundle": "Correct the path, or make it readable for the user that runs the "
    "exporter. PEM begins with -----BEGIN CERTIFICATE-----; `openssl x509 -inform der "
    "-in FILE -out FILE.pem` converts another format.",
    "tls_dates": "This machine's clock shows {now}. If it is wrong, run a time daemon. "
    "If it is right, a certificate that the server presents, or that of its authority, "
    "must be renewed, by the owner of the proxy if one inspects TLS.",
    "tls_host": "The certificate names other hosts than the URL. Check the endpoint, "
    "`proxy` and the DNS; a proxy that inspects TLS must issue certificates for this "
    "host.",
    "tls_self_signed": "This is not Braze's certificate: the endpoint is wrong, or a "
    "proxy or firewall inspects TLS. If that is intended, set ca_file to a file with "
    "the presented certificate (PEM), or add it where the message names.",
    "tls_issuer": "A proxy or firewall inspects TLS and its authority is not trusted "
    "here, the server does not send its intermediate certificates, or the trusted "
    "certificates are outdated. Set ca_file to a file with the certificate of the "
    "authority (PEM), or add it where the message names. In directories only "
    "files with the names of `openssl rehash` count.",
    "tls_weak": "This machine's OpenSSL requires keys of 2048 bits (RSA) and SHA-256: "
    "the owner of the server, or of the proxy that inspects TLS, must issue the "
    "certificates again.",
    "tls_invalid": "The message names the check that failed. The owner of the server, "
    "or of the proxy that inspects TLS, must issue the certificate again; `openssl "
    "verify -CAfile CA.pem CERTIFICATE.pem` repeats the check.",
    "proxy": "Check `proxy`, or HTTPS_PROXY and NO_PROXY: is it the right proxy, does "
    "it allow this host, does it require user and password?",
    "connection": "A firewall blocks the connection, or nothing listens there: check "
    "the endpoint. If this network requires a proxy, set `proxy` or HTTPS_PROXY.",
    "timeout": "A firewall drops packets, a proxy is required, or Braze is slow: try "
    "again, or raise `timeout`.",
    "redirect": "The endpoint is not a REST host of Braze, or a proxy requires a "
    f"login. {_HOST_LIST}",
    "rate_limited": "Another client uses up the rate limit of this Braze workspace, or "
    "requests_per_minute is too high. Wait, then try again.",
    "server_error": "Braze has an outage; see its status page. Try again later.",
    "wrong_endpoint": "This is not a REST endpoint of Braze, or a proxy responds in "
    f"its place. {_HOST_LIST}",
    "campaign_refused": "Key, host and permission are right. Check that the id is the "
    "Campaign API identifier, of a campaign in this Braze workspace.",
    "canvas_refused": "Key, host and permission are right. Check that the id is the "
    "Canvas API identifier, of a canvas in this Braze workspace.",
    "segment_refused": "Key, host and permission are right. Turn on Analytics Tracking "
    "of the segment in Braze: without it Braze has no sizes. If it is on, check that "
    "the id is the Segment API identifier, of a segment in this Braze workspace.",
    "event_refused": "Key, host and permission are right. Check that the event is "
    "spelled as under Data Settings > Custom Events in this Braze workspace.",
    "clock_ahead": "Key, host and permission are right. This machine's clock shows "
    "{now}, and Braze refuses days of canvases that end in the future: run a time "
    "daemon.",
    "refused": "Key and host are right; please report this response.",
    "malformed": "The response may be a proxy's page. If it is Braze's, please report "
    "it.",
    "too_large": "Raise limits.response_bytes.",
}
_NEW_KEY = (
    "Braze fixes the permissions and the IP allowlist of a key when it is created: "
    "create a new key under Settings > APIs and Identifiers with {permissions}, and "
    "store it in {source}."
)
# The codes of the other reasons have the same name.
_CODES = {
    FailureReason.UNAUTHORIZED: "key_or_host",
    FailureReason.BAD_REQUEST: "refused",
    FailureReason.NOT_FOUND: "wrong_endpoint",
}
# What a valid response contains, and its types; details have no required field.
_REQUIRED: Mapping[str, tuple[str, tuple[type, ...]]] = {
    CAMPAIGNS.data_series: ("data", (list,)),
    # As the daemon reads it: null and lists have been seen without figures.
    CANVASES.data_series: ("data", (dict, list, type(None))),
    **{kind.list: (kind.plural, (list,)) for kind in _DISCOVERED},
    **{kind.data_series: ("data", (list,)) for kind in SERIES},
    permission_for(paths.SCHEDULED_BROADCASTS): ("scheduled_broadcasts", (list,)),
    permission_for(paths.INTEGRATION_LIST): ("results", (list,)),
}
OF_ONE_SERIES = {"segment_refused", "event_refused"}
"""Problems that another series with the same permission may not have."""
# Straight quotes, and those that word processors and chat programs replace them by.
_QUOTES = frozenset("\"'`\u201c\u201d\u201e\u2018\u2019\u201a\xab\xbb")
# Problems that every other request of the workspace would have, too.
_GENERAL = {
    *("key_or_host", "redirect"),
    *("dns", "tls", "proxy", "connection", "timeout"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; `is_ok` None: it was not made."""

    name: str
    is_ok: bool | None
    problem: str = ""
    """A stable code; empty if nothing is wrong."""
    message: str = ""
    advice: str = ""
    status: int | None = None
    seconds: float | None = None
    """Duration of the response; for `clock`, how far Braze's clock is ahead."""


def permissions(workspace: WorkspaceConfig) -> tuple[str, ...]:
    """Return the permissions that the workspace's key needs."""
    discover = workspace.discover
    canvases = _needed(
        CANVASES, workspace.canvases, discover.canvases if discover else None
    )
    campaigns = _needed(
        CAMPAIGNS, workspace.campaigns, discover.campaigns if discover else None
    )
    series = (one.data_series for one in SERIES if workspace.series_of(one.kind))
    # Without anything configured, as by flags, the key is tried with campaigns.
    return (*campaigns, *canvases, *series) or (CAMPAIGNS.data_series,)


def _needed(
    kind: Permissions, listed: Sized, discover: DiscoverRules | None
) -> tuple[str, ...]:
    if discover is None:
        return (kind.data_series,) if listed else ()
    details = (kind.details,) if discover.needs_details else ()
    return (kind.data_series, kind.list, *details)


def kind_of(permission: str) -> Permissions:
    """Return the permissions of the same kind of object."""
    return next(kind for kind in _KINDS if permission in kind.all)


def check_key(source: KeySource, key: str | None) -> Check:
    """Check a key's format; None: the variable or file does not exist."""
    if key is None:
        problem, message = "key_missing", f"{source} {unreadable_reason(source)}"
        advice = "Set it in the exporter's environment, or correct the name."
    elif not key:
        problem, message = "key_empty", f"the key in {source} is empty"
        advice = "Store the key there."
    elif key[0] in _QUOTES or key[-1] in _QUOTES:
        problem, message = "key_quoted", f"the key in {source} is in quotes"
        advice = "Remove the quotes: Braze responds 401 to a quoted key."
    elif not (key.isascii() and key.isprintable()) or " " in key:
        problem = "key_unsendable"
        message = (
            f"the key in {source} contains a space, or a character that is not allowed "
            "in a header"
        )
        advice = "Copy the key again: it consists of letters, digits and dashes."
    else:
        return Check(KEY, is_ok=True, message=f"read from {source}")
    return Check(KEY, is_ok=False, problem=problem, message=message, advice=advice)


def check_response(permission: str, document: object, *, seconds: float) -> Check:
    """Check the body of a response with status 200."""
    name, types = _REQUIRED.get(permission, ("message", (object,)))
    if (
        isinstance(document, dict)
        and document.get("message") in ("success", None)
        and isinstance(document.get(name, ...), types)
    ):
        return Check(permission, True, message="HTTP 200", status=200, seconds=seconds)
    return Check(
        permission,
        is_ok=False,
        problem="malformed",
        message="HTTP 200, but the body is not a response of Braze",
        advice=_ADVICE["malformed"],
        status=200,
    )


def check_failure(
    permission: str,
    failure: FetchError,
    *,
    workspace: WorkspaceConfig,
    is_placeholder_id: bool,
    now: float,
) -> Check:
    """Check a failed request; `is_placeholder_id`: its object's id does not exist.

    `now` is this machine's time in seconds since the epoch, for the advice.

    Braze's own 400 to a placeholder id is the expected response to a good key. A 400
    without Braze's message comes from a server in between, and requests of the list
    have no id.
    """
    code = _code(permission, failure)
    is_refused = is_placeholder_id and failure.reason is FailureReason.BAD_REQUEST
    if is_refused and code != "clock_ahead":
        is_expected = failure.status == 400 and failure.detail
        if permission not in _WITHOUT_ID and is_expected:
            kind = kind_of(permission).kind
            message = f"allowed: HTTP 400 is for the placeholder {kind} id only"
            return Check(permission, is_ok=True, message=message, status=failure.status)
        code = "refused"
    text = str(failure)
    topic = code
    if code == "tls":
        topic = next((topic for mark, topic in _TLS_TOPICS if mark in text), code)
    advice = _advice(topic, workspace, now)
    return Check(permission, False, code, text, advice, status=failure.status)


def join_series(checks: Mapping[str, Check]) -> Check:
    """Return one check of a permission from those of its series, by their names.

    A series that Braze refuses is named, and so are others that it refuses.
    """
    refused = {name: one for name, one in checks.items() if not one.is_ok}
    if not refused:
        last = tuple(checks.values())[-1]
        number = f" for {len(checks)} series" if len(checks) > 1 else ""
        return replace(last, message=last.message + number)
    first, *others = refused
    also = f"; the same for {', '.join(others)}" if others else ""
    return replace(refused[first], message=f"{first}: {refused[first].message}{also}")


def skipped(permission: str) -> Check:
    """Return the check of a request that is not sent, as it would fail too."""
    return Check(
        permission, is_ok=None, message="not requested: the problem above comes first"
    )


def affects_all(check: Check) -> bool:
    """Return whether every other request of the workspace would fail the same way."""
    return check.problem in _GENERAL


def check_clock(ahead_seconds: float | None) -> Check:
    """Check by how many seconds Braze's clock is ahead; None: no `Date` header."""
    if ahead_seconds is None:
        return Check(
            CLOCK, None, message="not compared: no response with a Date header"
        )
    if abs(ahead_seconds) <= MAX_SKEW_SECONDS:
        return Check(CLOCK, is_ok=True, message="right", seconds=ahead_seconds)
    skew = f"{abs(ahead_seconds):.0f} s {'behind' if ahead_seconds > 0 else 'ahead of'}"
    return Check(
        CLOCK,
        is_ok=False,
        problem="clock_skew",
        message=f"this machine's clock is {skew} the response's Date header",
        advice="Run a time daemon: rate limits, days and certificates depend on the "
        "clock.",
        seconds=ahead_seconds,
    )


def resolve_forbidden(
    checks: Iterable[Check], *, workspace: WorkspaceConfig
) -> tuple[Check, ...]:
    """Return the checks in their fixed order, with the cause of each 403.

    A 403 means a missing permission or an IP allowlist. If the key is accepted for any
    request, the allowlist is not the cause.
    """
    ordered = tuple(sorted(checks, key=lambda check: _ORDER.index(check.name)))
    is_accepted = any(
        check.is_ok and check.name not in (KEY, CLOCK) for check in ordered
    )
    advice = (
        "Other requests from this machine are allowed, so the permission is missing. "
        f"{_advice('permission_missing', workspace)}"
    )
    return tuple(
        replace(check, problem="permission_missing", advice=advice)
        if is_accepted and check.problem == "forbidden"
        else check
        for check in ordered
    )


def _code(permission: str, failure: FetchError) -> str:
    text = str(failure)
    is_through_proxy = _THROUGH_PROXY in text
    if failure.reason is FailureReason.FORBIDDEN:
        detail = failure.detail.lower()
        if _ALLOWLIST.search(failure.detail):
            return "ip_not_allowed"
        is_named = permission in detail or "permission" in detail
        return "permission_missing" if is_named else "forbidden"
    if failure.reason is FailureReason.BAD_REQUEST and failure.status == 400:
        return _refusal_code(permission, failure)
    if failure.reason is FailureReason.TIMEOUT and is_through_proxy:
        return "proxy"
    if failure.reason is not FailureReason.CONNECTION:
        return _CODES.get(failure.reason, failure.reason.value)
    code = next(
        (code for mark, code in _CONNECTION_CODES if mark in text), "connection"
    )
    # Through a proxy, DNS and connection errors are those of the proxy.
    return "proxy" if is_through_proxy and code != "tls" else code


def _refusal_code(permission: str, failure: FetchError) -> str:
    if permission in _WITHOUT_ID:
        return "refused"
    if is_clock_ahead(path_for(permission), failure.detail):
        return "clock_ahead"
    return f"{kind_of(permission).kind}_refused"


def _advice(topic: str, workspace: WorkspaceConfig, now: float = 0.0) -> str:
    new_key = _NEW_KEY.format(
        permissions=", ".join(permissions(workspace)), source=workspace.key_source
    )
    instant = datetime.fromtimestamp(now, UTC)
    return _ADVICE[topic].format(new_key=new_key, now=f"{instant:%Y-%m-%d %H:%M} UTC")

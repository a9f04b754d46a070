"""What is wrong with a workspace, by how Braze answered, and what to do about it.

Every failure becomes one `Check` with a code that stays, words for whoever reads them,
and an advice. It asks nobody anything and knows no key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from exporter.braze.hosts import REST_HOSTS
from exporter.model.config import KeySource, WorkspaceConfig
from exporter.model.errors import FailureReason, FetchError

DATA_SERIES = "campaigns.data_series"
LIST = "campaigns.list"
DETAILS = "campaigns.details"
KEY, CLOCK = "key", "clock"

_ORDER = (KEY, DATA_SERIES, LIST, DETAILS, CLOCK)
MOST_SKEW_SECONDS = 30.0
_ALLOWLIST = re.compile(r"\bIPs?\b|allow.?list|white.?list", re.IGNORECASE)
_NEW_KEY = (
    "Permissions and the IP allowlist of a key are fixed when it is made: make a new "
    "key under Settings > APIs and Identifiers with {permissions}, and put it into "
    "{source}."
)
_INSTANCE = (
    "Copy the key again, without quotes. If it is right, the host is not: it is the "
    "one of your instance, which the address of your dashboard tells. The REST hosts "
    "are "
    f"{', '.join(REST_HOSTS)}."
)
# What `cause` says of a connection → the code of the problem.
_CONNECTIONS = (
    ("name not found", "dns"),
    ("name look-up failed", "dns"),
    ("certificate not trusted", "tls"),
    ("TLS failed", "tls"),
    ("closed within TLS", "tls"),
    ("the proxy refuses", "proxy"),
)
_THROUGH_PROXY = " through the proxy "
_NO_TLS = "wrong version number"
"""OpenSSL's words for an answer that is none of TLS, mostly plain HTTP."""

_NO_TLS_ADVICE = (
    "What answers there speaks no TLS. Is the endpoint right? The URL of a proxy "
    "mostly begins with http://, whatever it is asked for."
)
_ADVICE = {
    "dns": "Is the endpoint spelled right? Else ask this machine's name server: a pod "
    "or container may have another one, or none.",
    "tls": "Something between here and Braze speaks in its name, or the certificates "
    "here are old: give its authority as ca_file, or update them. Is this machine's "
    "clock right?",
    "proxy": "Look at `proxy`, or at HTTPS_PROXY and NO_PROXY: is it the right one, "
    "does it let this host through, does it want user and password?",
    "connection": "A firewall, or nobody listens there: is the endpoint right? If this "
    "network needs a proxy, set `proxy` or HTTPS_PROXY.",
    "timeout": "A firewall that drops packets, a proxy that is missing, or Braze is "
    "slow: try again; `timeout` is how long we wait.",
    "redirect": "The endpoint is not a REST host of Braze, or a proxy wants to be "
    f"logged in to. The REST hosts are {', '.join(REST_HOSTS)}.",
    "rate_limited": "Another tool spends what Braze allows this workspace, or "
    "requests_per_minute is too high. Wait, then ask again.",
    "server_error": "Braze is out of order; its status page may know more. Ask again "
    "later.",
    "wrong_endpoint": "This is no REST endpoint of Braze, or a proxy answers in its "
    f"place. The REST hosts are {', '.join(REST_HOSTS)}.",
    "campaign_refused": "Key, host and permission are right. Is the id the Campaign "
    "API identifier, and of this workspace?",
    "refused": "Key and host are reached; please report this answer.",
    "malformed": "A proxy's page? If it is Braze's own, please report it.",
    "too_large": "Raise limits.response_bytes.",
}
_CODES = {
    FailureReason.RATE_LIMITED: "rate_limited",
    FailureReason.BAD_REQUEST: "refused",
    FailureReason.NOT_FOUND: "wrong_endpoint",
    FailureReason.REDIRECT: "redirect",
    FailureReason.SERVER_ERROR: "server_error",
    FailureReason.TIMEOUT: "timeout",
    FailureReason.TOO_LARGE: "too_large",
    FailureReason.MALFORMED: "malformed",
}
_LISTS = {DATA_SERIES: "data", LIST: "campaigns"}
"""What an answer has a list of, at least; details may lack anything."""
_GOOD = ("success", None)
_QUOTES = frozenset("\"'`\u201c\u201d\u201e\u2018\u2019\u201a\xab\xbb")
"""Word processors and chat programs put other ones where they were typed."""

_NOBODY_REACHED = {"dns", "tls", "proxy", "connection", "timeout", "redirect"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `is_ok` None: it could not be."""

    name: str
    is_ok: bool | None
    problem: str = ""
    """A code; empty if nothing is wrong."""
    message: str = ""
    advice: str = ""
    status: int | None = None
    seconds: float | None = None
    """How long the answer took; of the clock how far it is ahead of ours."""


def permissions(workspace: WorkspaceConfig) -> tuple[str, ...]:
    """Return what the workspace's key has to be allowed."""
    if workspace.discover is None:
        return (DATA_SERIES,)
    if not workspace.discover.needs_details:
        return (DATA_SERIES, LIST)
    return (DATA_SERIES, LIST, DETAILS)


def check_key(source: KeySource, key: str | None) -> Check:
    """Judge a key as it was read, without a word of it; None: there is none to read."""
    if key is None:
        where = "is not set" if source.env else "cannot be read"
        problem, message = "key_missing", f"{source} {where}"
        advice = "Put the key there, where the exporter runs, or correct the name."
    elif not key:
        problem, message = "key_empty", f"the key in {source} is empty"
        advice = "Put the key there."
    elif key[0] in _QUOTES or key[-1] in _QUOTES:
        problem, message = "key_quoted", f"the key in {source} is in quotes"
        advice = "Take the quotes away: Braze answers 401 to a quoted key."
    elif not (key.isascii() and key.isprintable()) or " " in key:
        problem = "key_unsendable"
        message = (
            f"the key in {source} holds a space or a character no header can carry"
        )
        advice = "Copy the key again: it is one word of letters, digits and dashes."
    else:
        return Check(KEY, is_ok=True, message=f"read from {source}")
    return Check(KEY, is_ok=False, problem=problem, message=message, advice=advice)


def check_answer(permission: str, document: object, *, seconds: float) -> Check:
    """Return that a question was answered, or that something else was said."""
    expected = _LISTS.get(permission, "")
    is_object = isinstance(document, dict) and document.get("message") in _GOOD
    if not is_object or (expected and not _has_list(document, expected)):
        return Check(
            permission,
            is_ok=False,
            problem="malformed",
            message="answered with HTTP 200, but not as Braze would",
            advice=_ADVICE["malformed"],
            status=200,
        )
    return Check(
        permission, is_ok=True, message="answered", status=200, seconds=seconds
    )


def _has_list(document: object, name: str) -> bool:
    return isinstance(document, dict) and isinstance(document.get(name), list)


def check_failure(
    permission: str,
    failure: FetchError,
    *,
    workspace: WorkspaceConfig,
    is_made_up: bool,
) -> Check:
    """Return what a failure tells; `is_made_up`: the campaign asked for was.

    Then a refusal of the campaign, in Braze's own words, is what a good key and host
    get. Servers in between say 400 without any, and to the list no id is sent.
    """
    is_refused = is_made_up and failure.reason is FailureReason.BAD_REQUEST
    if is_refused and permission != LIST and failure.status == 400 and failure.said:
        message = "allowed: it refuses only the campaign id, which we made up"
        return Check(permission, is_ok=True, message=message, status=failure.status)
    code = "refused" if is_refused else _code(permission, failure)
    return Check(
        permission,
        is_ok=False,
        problem=code,
        message=str(failure),
        advice=_NO_TLS_ADVICE
        if code == "tls" and _NO_TLS in str(failure)
        else _advice(code, workspace),
        status=failure.status,
    )


def skipped(permission: str) -> Check:
    """Return that a question was not asked, for the answer is plain."""
    return Check(permission, is_ok=None, message="not asked: another answer tells")


def is_telling_of_all(check: Check) -> bool:
    """Tell whether every other question would fail in the same way."""
    return check.problem == "key_or_host" or check.problem in _NOBODY_REACHED


def check_clock(ahead_seconds: float | None) -> Check:
    """Judge by how much the other side's clock was ahead of ours; None: not told."""
    if ahead_seconds is None:
        return Check(CLOCK, is_ok=None, message="not compared: no answer told the time")
    told = f"{abs(ahead_seconds):.0f} s {'behind' if ahead_seconds > 0 else 'ahead of'}"
    if abs(ahead_seconds) <= MOST_SKEW_SECONDS:
        return Check(CLOCK, is_ok=True, message="right", seconds=ahead_seconds)
    return Check(
        CLOCK,
        is_ok=False,
        problem="clock_skew",
        message=f"this machine's clock is {told} the answer's",
        advice="Let a time daemon set it: limits, days and certificates go by it.",
        seconds=ahead_seconds,
    )


def reconsidered(
    checks: Iterable[Check], *, workspace: WorkspaceConfig
) -> tuple[Check, ...]:
    """Tell a missing permission from a refused machine, now that all was asked.

    A key that may ask one thing from here lacks the permission for what it may not.
    They come in one order, whichever was asked first.
    """
    given = tuple(sorted(checks, key=lambda check: _ORDER.index(check.name)))
    is_let_in = any(check.is_ok and check.name not in (KEY, CLOCK) for check in given)
    missing = "permission_missing"
    advice = f"This machine is let in, so it is that. {_advice(missing, workspace)}"
    return tuple(
        replace(check, problem=missing, advice=advice)
        if is_let_in and check.problem == "forbidden"
        else check
        for check in given
    )


def _code(permission: str, failure: FetchError) -> str:
    if failure.reason is FailureReason.UNAUTHORIZED:
        return "key_or_host"
    if failure.reason is FailureReason.FORBIDDEN:
        if _ALLOWLIST.search(failure.said):
            return "ip_not_allowed"
        words = failure.said.lower()
        is_named = permission in words or "permission" in words
        return "permission_missing" if is_named else "forbidden"
    if failure.reason is FailureReason.BAD_REQUEST and failure.status == 400:
        return "refused" if permission == LIST else "campaign_refused"
    if failure.reason is not FailureReason.CONNECTION:
        code = _CODES[failure.reason]
        is_waiting = code == "timeout" and _THROUGH_PROXY in str(failure)
        return "proxy" if is_waiting else code
    text = str(failure)
    code = next((code for mark, code in _CONNECTIONS if mark in text), "connection")
    # Then it is the proxy whose name was not found, or that does not answer.
    return "proxy" if _THROUGH_PROXY in text and code != "tls" else code


def _advice(code: str, workspace: WorkspaceConfig) -> str:
    new_key = _NEW_KEY.format(
        permissions=" and ".join(permissions(workspace)), source=workspace.key_source
    )
    if code == "key_or_host":
        return _INSTANCE
    if code == "permission_missing":
        return new_key
    if code == "ip_not_allowed":
        return f"This machine's address is not on the key's IP allowlist. {new_key}"
    if code == "forbidden":
        return (
            "Either the key lacks the permission, or it has an IP allowlist without "
            f"this machine's address, unless Braze says otherwise above. {new_key}"
        )
    return _ADVICE[code]

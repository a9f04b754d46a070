"""Interpretation of Braze's responses: document and headers, or a `FetchError`.

Headers and bodies are untrusted: every content results in a value or a `FetchError`,
and messages quote at most a short, cleaned part of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import orjson

from exporter.braze.paths import (
    CAMPAIGN_DATA_SERIES,
    CAMPAIGN_DETAILS,
    CANVAS_DATA_SERIES,
    CANVAS_DETAILS,
    EVENT_DATA_SERIES,
    SEGMENT_DATA_SERIES,
    permission_for,
)
from exporter.braze.proxy_password import ProxyPassword
from exporter.model.config import KeySource
from exporter.model.errors import (
    FailureReason,
    FetchError,
    KeyRefused,
    ObjectRefused,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.model.failure_texts import FAILURE_TEXTS
from exporter.model.labels import without_addresses
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.api_key import Secret

_LONGEST_WAIT_SECONDS = 3600.0
_LEAST_SKEW_SECONDS = 5.0
_QUOTE_LIMIT = 200
# Fifteen digits are exact in a double; no limit and no instant needs more.
_COUNT = re.compile(r"[0-9]{1,15}")
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?", re.ASCII)
_LINK = re.compile(r'<([^>]*)>((?:[^,"]|"[^"]*")*)')
_RELATION = re.compile(r';\s*rel\s*=\s*"?([^";]*)', re.IGNORECASE)
_LONG_DIGITS = 20
# A shorter key may be a word of a valid response; Braze's have 36 characters.
_SHORTEST_SECRET = 8
_WRONG_ID = "; is the {0} id the {0}'s API identifier?"
_HINTS: Mapping[str, str] = {
    **dict.fromkeys(
        (CAMPAIGN_DATA_SERIES, CAMPAIGN_DETAILS), _WRONG_ID.format("campaign")
    ),
    **dict.fromkeys((CANVAS_DATA_SERIES, CANVAS_DETAILS), _WRONG_ID.format("canvas")),
    SEGMENT_DATA_SERIES: "; is analytics tracking on for the segment in Braze, and its "
    "id the segment's API identifier?",
    EVENT_DATA_SERIES: "; is the event spelled as in Braze?",
}
"""Path → what to check after a 400, as the end of a sentence."""
# The text of Braze's refusal is not documented.
_END_OF_DAYS = re.compile(r"ending.?at|\bfuture\b", re.IGNORECASE)
# The escapes of JSON for printable ASCII characters.
_ESCAPE = re.compile(rb"\\(?:u00([0-7][0-9a-fA-F])|(.))", re.DOTALL)
_FAILURES: dict[int, tuple[type[FetchError], FailureReason]] = {
    401: (KeyRefused, FailureReason.UNAUTHORIZED),
    403: (KeyRefused, FailureReason.FORBIDDEN),
    404: (ObjectRefused, FailureReason.NOT_FOUND),
    429: (Throttled, FailureReason.RATE_LIMITED),
}
# Temporary failures, although they begin with 4: timeout, misdirected, too early, and
# a client that seemed to leave (AWS, nginx).
_FAILURES |= dict.fromkeys(
    (408, 421, 425, 460, 499), (Unavailable, FailureReason.SERVER_ERROR)
)
_FAILURES_BY_CLASS: Mapping[int, tuple[type[FetchError], FailureReason]] = {
    3: (Unusable, FailureReason.REDIRECT),
    4: (ObjectRefused, FailureReason.BAD_REQUEST),
    5: (Unavailable, FailureReason.SERVER_ERROR),
}


class BrazeResponse(NamedTuple):
    """The document of a response, and its rate limit headers."""

    document: object
    """The decoded JSON, or the result of the client's `parse`."""
    status: int
    rate_limit: RateLimitHeaders
    answered_at: float | None = None
    """The time of Braze; None: absent or invalid."""
    digest: int = 0
    """64 bits of the body, salted by a secret of this process."""
    seconds: float | None = None
    """From connecting to the last byte; None: not measured."""
    next_cursor: str = ""
    """The parameter `cursor` of the next page; empty: this is the last one."""


class RequestInfo(NamedTuple):
    """A request, for the messages of its failures."""

    endpoint: str
    path: str
    key_source: KeySource
    key: Secret
    proxy_password: ProxyPassword = ProxyPassword()

    def quote(self, text: str) -> str:
        """Return a text for a message: shortened, on one line, without secrets.

        Email addresses are removed, too.
        """
        key = re.compile(re.escape(self.key.reveal()), re.IGNORECASE)
        hidden = self.proxy_password.hide(key.sub("<key>", text))
        hidden = without_addresses(hidden)
        clean = "".join(char if char.isprintable() else "\ufffd" for char in hidden)
        return clean if len(clean) <= _QUOTE_LIMIT else f"{clean[:_QUOTE_LIMIT]}…"

    def secret_in(self, body: bytes) -> str:
        """Return the name of a secret that a JSON body contains, escaped or not."""
        key = self.key.reveal().lower().encode()
        plain = (_ESCAPE.sub(_unescape, body) if b"\\" in body else body).lower()
        if len(key) >= _SHORTEST_SECRET and key in plain:
            return "the API key"
        return "the proxy's password" if self.proxy_password.is_in(plain) else ""

    def drop_secrets(self, headers: MutableMapping[str, str]) -> None:
        """Remove the headers that contain the proxy's password."""
        is_secret = self.proxy_password.is_in_header
        for name in [name for name, text in headers.items() if is_secret(text)]:
            del headers[name]


def _unescape(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 16)]) if escape[1] else escape[2]


def rate_limit_of(headers: Mapping[str, str]) -> RateLimitHeaders:
    """Parse `X-RateLimit-*`; all but plain non-negative integers are ignored."""
    reset_at = _count(headers.get("X-RateLimit-Reset", ""))
    return RateLimitHeaders(
        limit=_count(headers.get("X-RateLimit-Limit", "")),
        remaining=_count(headers.get("X-RateLimit-Remaining", "")),
        reset_at=None if reset_at is None else float(reset_at),
    )


def next_cursor_of(headers: Mapping[str, str]) -> str:
    """Return the cursor of the next page of a list; empty without one.

    Of the link's address (RFC 8288) nothing else is used: pages are of one endpoint.
    """
    for link in _LINK.finditer(headers.get("Link", "")):
        relation = _RELATION.search(link[2])
        if relation and "next" in relation[1].lower().split():
            with suppress(ValueError):
                # In a cursor a plus sign is one, and no space.
                query = urlsplit(link[1]).query.replace("+", "%2B")
                return dict(parse_qsl(query)).get("cursor", "")
    return ""


def retry_after_seconds_of(headers: Mapping[str, str], *, now: float) -> float | None:
    """Parse `Retry-After`, seconds or a date (RFC 9110, 10.2.3), as 0 to 3600 s.

    Some servers send fractions. A date is by the clock of the sender, whose `Date`
    counts rather than `now`.
    """
    text = headers.get("Retry-After", "").strip(" \t")
    seconds = float(text) if _SECONDS.fullmatch(text) else None
    if seconds is None:
        instant, answered_at = _instant(text), answered_at_of(headers)
        base = now if answered_at is None else answered_at
        seconds = None if instant is None else instant - base
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)


def answered_at_of(headers: Mapping[str, str]) -> float | None:
    """Return the sender's time in seconds since the epoch; None: not given.

    It is its `Date` (RFC 9110, 6.6.1), plus the `Age` of a response from a cache.
    """
    instant = _instant(headers.get("Date", ""))
    return None if instant is None else instant + (_count(headers.get("Age", "")) or 0)


def _instant(text: str) -> float | None:
    try:
        instant = parsedate_to_datetime(text)
        # The format of asctime (RFC 9110, 5.6.7) has no time zone; it is UTC.
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def document_of(body: bytes) -> object:
    """Decode JSON, or raise `ValueError` with a short message.

    Numbers beyond the range of a double, NaN and infinities are decoded as strings:
    they invalidate one value, not the document. Integers beyond 64 bits are doubles.
    """
    if not body:
        raise ValueError("the body is empty")
    # Three times as fast as json, but stricter: json decodes what it rejects.
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    try:
        text = body.decode("utf-8-sig")
        document: object = json.loads(
            text, parse_int=_integer, parse_float=_double, parse_constant=str
        )
    except UnicodeDecodeError as exc:
        fault = f"the body is not UTF-8 at byte {exc.start}"
    except json.JSONDecodeError as exc:
        error = exc.msg.removesuffix(" at")
        fault = f"the body is not JSON: {error} at character {exc.pos}"
    except RecursionError:
        fault = "its JSON is nested too deeply"
    else:
        return document
    # Outside of the handlers: the exceptions there reference the body.
    raise ValueError(fault)


def _integer(digits: str) -> int | float | str:
    # Longer ones are beyond 64 bits, and int() rejects very long ones.
    number = int(digits) if len(digits) <= _LONG_DIGITS else 2**64
    return number if -(2**63) <= number < 2**64 else _double(digits)


def _double(digits: str) -> float | str:
    number = float(digits)
    return number if isfinite(number) else digits


def message_of(body: bytes) -> str:
    """Return the `message` of an error response, or an empty string."""
    try:
        document = document_of(body)
    except ValueError:
        return ""
    message = document.get("message") if isinstance(document, dict) else None
    return message if isinstance(message, str) else ""


class Body:
    """The body of a response with status 200.

    One with a secret is rejected by `Unavailable`, since its strings become labels.
    """

    def __init__(
        self, request: RequestInfo, headers: Mapping[str, str], content: bytes
    ) -> None:
        self._request = request
        self._headers = headers
        self.content = content
        if secret := request.secret_in(content):
            raise self._failure(f"the body contains {secret}")

    def document(self) -> object:
        """Decode it; `Unavailable`: it is not JSON."""
        try:
            return document_of(self.content)
        except ValueError as exc:
            raise self._failure(str(exc)) from exc

    @staticmethod
    def decode(content: bytes) -> object:
        """Decode a part of it as `document_of` does."""
        return document_of(content)

    def _failure(self, fault: str) -> Unavailable:
        request = self._request
        return Unavailable(
            f"HTTP 200 from {request.endpoint} for {request.path}, but {fault}",
            reason=FailureReason.MALFORMED,
            status=200,
            rate_limit=rate_limit_of(self._headers),
        )


def refusal(
    request: RequestInfo,
    *,
    status: int,
    headers: Mapping[str, str],
    message: str,
    now: float,
) -> FetchError:
    """Return the failure of a response with another status than 200."""
    kind, reason = _FAILURES.get(status) or _FAILURES_BY_CLASS.get(
        status // 100, (Unavailable, FailureReason.MALFORMED)
    )
    wait = retry_after_seconds_of(headers, now=now)
    if reason is FailureReason.BAD_REQUEST and status != 400 and wait is not None:
        # Not of Braze but of a server in front of it, which is to be tried again.
        kind, reason = Unavailable, FailureReason.SERVER_ERROR
    text = FAILURE_TEXTS[reason].message.format(
        source=request.key_source,
        permission=permission_for(request.path),
        target=_target(request, headers),
    )
    answered_at = answered_at_of(headers)
    if status == 400:
        if is_clock_ahead(request.path, message):
            kind = Unusable  # right as soon as the clock is
        text += _hint(request.path, message, answered_at=answered_at, now=now)
    detail = request.quote(message) if message.strip() else ""
    quoted = f" (Braze: {detail})" if detail else ""
    return kind(
        f"HTTP {status} from {request.endpoint} for {request.path}: {text}{quoted}",
        reason=reason,
        status=status,
        rate_limit=rate_limit_of(headers),
        retry_after_seconds=wait,
        answered_at=answered_at,
        detail=detail,
    )


def is_clock_ahead(path: str, message: str) -> bool:
    """Return whether Braze refused (400) the end of a canvas's days as in the future.

    It is computed by the clock of this machine. Campaigns have no such parameter.
    """
    return path == CANVAS_DATA_SERIES and bool(_END_OF_DAYS.search(message))


def _hint(path: str, message: str, *, answered_at: float | None, now: float) -> str:
    """Return what to check after a 400, as the end of a sentence."""
    if is_clock_ahead(path, message):
        ahead = 0.0 if answered_at is None else now - answered_at
        clock = (
            f"this machine's clock is {ahead:.0f} s ahead of the response's Date header"
            if ahead >= _LEAST_SKEW_SECONDS
            else "ending_at is computed by this machine's clock: is it ahead?"
        )
        return f"; {clock}; run a time daemon"
    return _HINTS.get(path, "")


def _target(request: RequestInfo, headers: Mapping[str, str]) -> str:
    try:
        host = urlsplit(headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return request.quote(host) if host else "an unknown host"


def _count(text: str) -> int | None:
    found = _COUNT.fullmatch(text.strip(" \t"))
    return int(found[0]) if found else None

"""What an answer of Braze says: its document, its allowance, or why there is none.

Headers and bodies are untrusted: whatever they hold, the outcome is a value or a
`FetchError`, and no message quotes more than a cleaned, short piece of them. It knows
no sockets and no HTTP library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from exporter.model.config import KeySource
from exporter.model.errors import (
    CampaignRefused,
    FailureReason,
    FetchError,
    KeyRefused,
    Throttled,
    Unavailable,
    Unusable,
)
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.system.api_key import Secret

RETRY_AFTER_LIMIT_SECONDS = 3600.0
_QUOTE_LIMIT = 200
# Fifteen digits are exact in a double; no limit and no instant needs more.
_COUNT = re.compile(r"[0-9]{1,15}")
_LONG_DIGITS = 20
_SHORTEST_SECRET = 8
"""Shorter keys are words that an honest answer may hold; Braze's have 36 characters."""
_ESCAPE = re.compile(rb"\\(?:u00([0-7][0-9a-fA-F])|(.))", re.DOTALL)
"""What JSON may write for a printable character of ASCII."""


class BrazeResponse(NamedTuple):
    """A document that Braze sent, and what may still be asked."""

    document: object
    """Or what was made of it at once, to let go of it."""
    status: int
    allowance: RateLimitHeaders
    answered_at: float | None = None
    """When that was by the other side's clock; None: not said."""
    digest: int = 0
    """Of the body: 64 bits, under a secret of this process."""


class RequestInfo(NamedTuple):
    """What was asked, of whom, with whose key: the words of a failure's message."""

    endpoint: str
    path: str
    key_source: KeySource
    key: Secret

    @property
    def permission(self) -> str:
        """Braze names a key's permissions after the paths they open."""
        return self.path.strip("/").replace("/", ".")

    def quote(self, text: str) -> str:
        """Return `text` fit for a message: short, on one line, without the key."""
        key = re.compile(re.escape(self.key.reveal()), re.IGNORECASE)
        hidden = key.sub("<key>", text)
        clean = "".join(char if char.isprintable() else "\ufffd" for char in hidden)
        return clean if len(clean) <= _QUOTE_LIMIT else f"{clean[:_QUOTE_LIMIT]}…"

    def is_told_by(self, body: bytes) -> bool:
        """Tell whether a body of JSON repeats the key, escaped or not."""
        key = self.key.reveal().lower().encode()
        plain = _ESCAPE.sub(_unescape, body) if b"\\" in body else body
        return len(key) >= _SHORTEST_SECRET and key in plain.lower()


def _unescape(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 16)]) if escape[1] else escape[2]


def allowance_of(headers: Mapping[str, str]) -> RateLimitHeaders:
    """Read `X-RateLimit-*`; what is no plain non-negative integer was not said."""
    reset_at = _count(headers.get("X-RateLimit-Reset"))
    return RateLimitHeaders(
        limit=_count(headers.get("X-RateLimit-Limit")),
        remaining=_count(headers.get("X-RateLimit-Remaining")),
        reset_at=None if reset_at is None else float(reset_at),
    )


def retry_after_seconds_of(headers: Mapping[str, str], *, now: float) -> float | None:
    """Read `Retry-After`, seconds or a date (RFC 9110, 10.2.3), as 0 to 3600 s."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    seconds: float | None = _count(text)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(float(seconds), 0.0), RETRY_AFTER_LIMIT_SECONDS)


def answered_at_of(headers: Mapping[str, str]) -> float | None:
    """Read `Date` (RFC 9110, 6.6.1)."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def document_of(body: bytes) -> object:
    """Decode JSON; `ValueError` with a short text of ours if it is none.

    Numbers that no double holds come as texts, NaN and infinities too: one absurd
    number costs itself, not the document. Integers beyond 64 bits come as doubles.
    """
    if not body:
        message = "its body is empty"
        raise ValueError(message)
    # Three times as fast as json, but strict: what it refuses need not be wrong.
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    fault = "its JSON is nested too deep"
    try:
        return _decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        fault = f"its body is not UTF-8 at byte {exc.start}"
    except json.JSONDecodeError as exc:
        fault = (
            f"its body is no JSON: {exc.msg.removesuffix(' at')} at character {exc.pos}"
        )
    except RecursionError:
        pass
    # Outside of the handlers: those exceptions carry the body along.
    raise ValueError(fault)


def _decode(text: str) -> object:
    """Decode what is JSON for Python alone; numbers are as orjson would have them."""
    document: object = json.loads(
        text, parse_int=_integer, parse_float=_double, parse_constant=str
    )
    return document


def _integer(digits: str) -> int | float | str:
    # Longer ones are beyond 64 bits, and int() refuses some.
    number = int(digits) if len(digits) <= _LONG_DIGITS else 2**64
    return number if -(2**63) <= number < 2**64 else _double(digits)


def _double(digits: str) -> float | str:
    number = float(digits)
    return number if isfinite(number) else digits


def message_of(body: bytes) -> str:
    """Return the `message` of a failure's body, or nothing."""
    try:
        document = document_of(body)
    except ValueError:
        return ""
    message = document.get("message") if isinstance(document, dict) else None
    return message if isinstance(message, str) else ""


_VERDICTS: Mapping[int, tuple[type[FetchError], FailureReason]] = {
    401: (KeyRefused, FailureReason.UNAUTHORIZED),
    403: (KeyRefused, FailureReason.FORBIDDEN),
    404: (CampaignRefused, FailureReason.NOT_FOUND),
    429: (Throttled, FailureReason.RATE_LIMITED),
}
_VERDICTS_BY_HUNDRED: Mapping[int, tuple[type[FetchError], FailureReason]] = {
    3: (Unusable, FailureReason.REDIRECT),
    4: (CampaignRefused, FailureReason.BAD_REQUEST),
    5: (Unavailable, FailureReason.SERVER_ERROR),
}
_ADVICE: Mapping[FailureReason, str] = {
    FailureReason.UNAUTHORIZED: (
        "either the key from {source} or the endpoint is wrong; "
        "Braze gives this answer to a good key of another instance, too"
    ),
    FailureReason.FORBIDDEN: (
        "the key from {source} needs the permission {permission}, and its IP "
        "allowlist, if it has one, this machine's address; both are fixed when a key "
        "is made"
    ),
    FailureReason.REDIRECT: (
        "it points to {target}, and redirects are not followed: the key goes to the "
        "configured endpoint only"
    ),
    FailureReason.RATE_LIMITED: "the rate limit is used up",
    FailureReason.SERVER_ERROR: "the server is out of order",
    FailureReason.NOT_FOUND: "no such thing at this endpoint",
    FailureReason.BAD_REQUEST: "the request is refused{doubt}",
    FailureReason.MALFORMED: "200 was expected",
}
_DOUBT = "; is the campaign id the campaign's API identifier?"
"""Of 400 alone, and where an id was sent."""


def accepted(
    question: RequestInfo, headers: Mapping[str, str], body: bytes
) -> BrazeResponse:
    """Return what an answer with status 200 holds; `Unavailable` if it is no JSON.

    A document with the key in it is none either: its texts become labels.
    """
    try:
        if question.is_told_by(body):
            message = "its body repeats the key"
            raise ValueError(message)
        document = document_of(body)
    except ValueError as exc:
        raise Unavailable(
            f"HTTP 200 from {question.endpoint} for {question.path}, but {exc}",
            reason=FailureReason.MALFORMED,
            status=200,
            allowance=allowance_of(headers),
        ) from exc
    return BrazeResponse(document, 200, allowance_of(headers), answered_at_of(headers))


def recalled(
    known: object, headers: Mapping[str, str], *, digest: int
) -> BrazeResponse:
    """Return the answer whose body is as one that was read before, as `known`."""
    return BrazeResponse(
        known, 200, allowance_of(headers), answered_at_of(headers), digest=digest
    )


def too_large(
    question: RequestInfo, headers: Mapping[str, str], *, limit: int
) -> FetchError:
    """Return the failure for a body of more than `limit` bytes, decompressed."""
    return Unusable(
        f"HTTP 200 from {question.endpoint} for {question.path}: "
        f"more than the limit of {limit} bytes (limits.response_bytes)",
        reason=FailureReason.TOO_LARGE,
        status=200,
        allowance=allowance_of(headers),
    )


def refusal(
    question: RequestInfo,
    *,
    status: int,
    headers: Mapping[str, str],
    message: str,
    now: float,
) -> FetchError:
    """Return the failure that an answer other than 200 stands for."""
    kind, reason = _verdict(status)
    advice = _ADVICE[reason].format(
        source=question.key_source,
        permission=question.permission,
        target=_target(question, headers),
        doubt=_DOUBT if status == 400 and not question.path.endswith("list") else "",
    )
    words = question.quote(message) if message.strip() else ""
    said = f" (Braze says: {words})" if words else ""
    return kind(
        f"HTTP {status} from {question.endpoint} for {question.path}: {advice}{said}",
        reason=reason,
        status=status,
        allowance=allowance_of(headers),
        retry_after_seconds=retry_after_seconds_of(headers, now=now),
        answered_at=answered_at_of(headers),
        said=words,
    )


def _verdict(status: int) -> tuple[type[FetchError], FailureReason]:
    strange = (Unavailable, FailureReason.MALFORMED)
    by_hundred = _VERDICTS_BY_HUNDRED.get(status // 100, strange)
    return _VERDICTS.get(status, by_hundred)


def _target(question: RequestInfo, headers: Mapping[str, str]) -> str:
    try:
        host = urlsplit(headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return question.quote(host) if host else "another place"


def _count(text: str | None) -> int | None:
    found = None if text is None else _COUNT.fullmatch(text.strip(" \t"))
    return int(found[0]) if found else None

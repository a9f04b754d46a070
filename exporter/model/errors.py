"""The exceptions of the package in one tree, each with its consequence.

ExporterError
├── ConfigError          all problems of a configuration; it is not applied
├── ListenError          an address is in use; the process exits with code 1
├── StateError           the state file is unusable; the exporter runs without it
├── MalformedSeries      not a data series; the poll fails, values are kept
├── MalformedCatalogue   not a list of objects; the previous list is kept
└── FetchError           a request without a document
    ├── Unavailable      5xx, timeout, broken connection, no JSON: retried soon
    │   └── KeyReplaced  401, 403 to a key that was replaced meanwhile: likewise
    ├── Throttled        429: no request of this bucket before it is reset
    ├── KeyRefused       401, 403: the workspace or a kind is paused and probed
    ├── ObjectRefused    other 4xx: this object is polled at a slow rate
    └── Unusable         a redirect, a body too large, days in the future: retried
                         in the next slot
"""

from __future__ import annotations

from enum import StrEnum

from exporter.model.config import Problem
from exporter.model.rate_limit_headers import RateLimitHeaders


class FailureReason(StrEnum):
    """Why a poll failed: the value of the label `reason`."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    REDIRECT = "redirect"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"


class ExporterError(Exception):
    """The base of all exceptions of this package."""


class ConfigError(ExporterError):
    """An invalid configuration, with all its problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ListenError(ExporterError):
    """An address that cannot be bound; the message contains it and the reason."""


class StateError(ExporterError):
    """The state file cannot be read or written; the message contains its path.

    `is_damaged`: no retry can succeed. `is_locked`: another process has it open.
    """

    def __init__(
        self, message: str, *, is_damaged: bool = False, is_locked: bool = False
    ) -> None:
        super().__init__(message)
        self.is_damaged = is_damaged
        self.is_locked = is_locked


class MalformedSeries(ExporterError):
    """A document that is not a data series; the message has path and expectation."""


class MalformedCatalogue(ExporterError):
    """A document that is not a list of objects, or their details."""


class FetchError(ExporterError):
    """A request without a document.

    Without a response `status` and `rate_limit` are None. `retry_after_seconds` is its
    Retry-After, `answered_at` its Date, `detail` the message of its body, shortened. No
    text contains the key, another header or a body.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: FailureReason,
        status: int | None = None,
        rate_limit: RateLimitHeaders | None = None,
        retry_after_seconds: float | None = None,
        answered_at: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.rate_limit = rate_limit
        self.retry_after_seconds = retry_after_seconds
        self.answered_at = answered_at
        self.detail = detail
        self.seconds: float | None = None
        """From connecting to the last byte or the fault; None: not connected to."""


class Unavailable(FetchError):
    """Braze or the connection to it fails temporarily."""


class KeyReplaced(Unavailable):
    """Braze rejected (401, 403) a key that was replaced during the request."""


class Throttled(FetchError):
    """Braze responded 429."""


class KeyRefused(FetchError):
    """Braze rejected the key (401, 403)."""


class ObjectRefused(FetchError):
    """Braze rejected this request permanently."""


class Unusable(FetchError):
    """A response that an immediate retry would not change."""

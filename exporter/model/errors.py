"""Every failure the exporter answers, in one tree; each class says what is next.

ExporterError
├── ConfigError          every problem at once; nothing starts, nothing changes
├── ListenError          an address is taken; the process ends with code 1
├── StateError           the last values' file is no use; we go on without it
├── MalformedSeries      a document is no data series; the poll ends, values stay
├── MalformedCatalogue   a document tells of no campaigns; what was known stays
└── FetchError           one request gave no document
    ├── Unavailable      5xx, timeout, broken connection, no JSON: try again soon
    │   └── KeyReplaced  401, 403 to a key that is another one by now: the same
    ├── Throttled        429: nothing goes to this bucket before it resets
    ├── KeyRefused       401, 403: the workspace pauses and is probed
    ├── CampaignRefused  other 4xx: this campaign goes on at a slow rate
    └── Unusable         a redirect, a body too large: the next slot tries again
"""

from __future__ import annotations

from enum import StrEnum

from exporter.model.config import Problem
from exporter.model.rate_limit_headers import RateLimitHeaders


class FailureReason(StrEnum):
    """Why a poll failed: the text of the label `reason`."""

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
    """The root: catching it catches all that this package raises on purpose."""


class ConfigError(ExporterError):
    """A configuration that cannot be used, with every problem found in it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ListenError(ExporterError):
    """An address that cannot be listened on; the message names it and says why."""


class StateError(ExporterError):
    """The last values cannot be kept or read back; the message names file and fault.

    `is_damaged`: it will never be of use again. `is_locked`: somebody else has it open.
    """

    def __init__(
        self, message: str, *, is_damaged: bool = False, is_locked: bool = False
    ) -> None:
        super().__init__(message)
        self.is_damaged = is_damaged
        self.is_locked = is_locked


class MalformedSeries(ExporterError):
    """A document that is no data series; the message says what was expected where."""


class MalformedCatalogue(ExporterError):
    """A document that is no list or details of campaigns; says what was expected."""


class FetchError(ExporterError):
    """One request that gave no document.

    `status` and `allowance` are None when no answer came; `retry_after_seconds` is
    what the answer asked for, `answered_at` what it said of the time, `said` its words,
    cut and without the key. The message never holds the key, a header or a body.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: FailureReason,
        status: int | None = None,
        allowance: RateLimitHeaders | None = None,
        retry_after_seconds: float | None = None,
        answered_at: float | None = None,
        said: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.allowance = allowance
        self.retry_after_seconds = retry_after_seconds
        self.answered_at = answered_at
        self.said = said


class Unavailable(FetchError):
    """Braze or the way to it is out of order for now."""


class KeyReplaced(Unavailable):
    """Braze answered 401 or 403 to a key that was replaced meanwhile."""


class Throttled(FetchError):
    """Braze answered 429."""


class KeyRefused(FetchError):
    """Braze answered 401 or 403."""


class CampaignRefused(FetchError):
    """Braze answered that this request can never be served."""


class Unusable(FetchError):
    """An answer that asking again at once would not change."""

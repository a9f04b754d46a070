"""What each failure reason means and what to do about it: the one table of texts.

Used by error messages and the log (`cause`), the status page (`summary` and `advice`)
and `doctor` (`advice`). `{source}`, `{permission}` and `{target}` are replaced by the
place of the API key, the permission of the request and the host of a redirect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.model.errors import FailureReason


class FailureText(NamedTuple):
    """The texts of one failure reason."""

    cause: str
    """A clause that follows `HTTP 401 from ENDPOINT for PATH: `."""
    summary: str
    """One sentence."""
    advice: str
    """What to check or to change, as sentences."""


FAILURE_TEXTS: Mapping[FailureReason, FailureText] = {
    FailureReason.UNAUTHORIZED: FailureText(
        "the API key from {source} is invalid, or belongs to another Braze instance "
        "than the endpoint",
        "Braze rejects the API key from {source} (401).",
        "Compare key and endpoint: a valid key of another instance is rejected, too.",
    ),
    FailureReason.FORBIDDEN: FailureText(
        "the API key from {source} needs the permission {permission} and, if it has "
        "an IP allowlist, the address of this machine on it; create a new key, since "
        "both are fixed when a key is created",
        "Braze denies this request to the API key from {source} (403).",
        "The key needs the permission {permission} and, if it has an IP allowlist, the "
        "address of this machine on it. Both are fixed when a key is created: create "
        "a new one.",
    ),
    FailureReason.RATE_LIMITED: FailureText(
        "the rate limit is exhausted",
        "Braze's rate limit is exhausted (429).",
        "Requests continue when the limit is reset. If this recurs, lower "
        "requests_per_minute, or find the other users of the workspace's limit.",
    ),
    FailureReason.BAD_REQUEST: FailureText(
        "the request is refused",
        "Braze rejects the request.",
        "Check that the id is the campaign's API identifier, and of this workspace.",
    ),
    FailureReason.NOT_FOUND: FailureText(
        "the endpoint has no such path; check that it is a REST host of Braze",
        "The endpoint has no such path (404).",
        "Check that the endpoint is a REST host of Braze.",
    ),
    FailureReason.REDIRECT: FailureText(
        "redirect to {target}; redirects are not followed, since the API key is sent "
        "to the configured endpoint only",
        "The response is a redirect, which is not followed.",
        "Check the endpoint, and whether a proxy requires a login.",
    ),
    FailureReason.SERVER_ERROR: FailureText(
        "server error",
        "Braze has a server error.",
        "The request is retried. If it persists, see Braze's status page.",
    ),
    FailureReason.TIMEOUT: FailureText(
        "no complete response within the timeout",
        "Braze did not respond within the timeout.",
        "The request is retried. If it persists, check network and proxy, or raise "
        "timeout.",
    ),
    FailureReason.CONNECTION: FailureText(
        "the connection failed",
        "The connection to Braze failed.",
        "Check DNS, firewall, proxy and certificates.",
    ),
    FailureReason.TOO_LARGE: FailureText(
        "the response is larger than limits.response_bytes",
        "The response is larger than limits.response_bytes.",
        "Raise the limit.",
    ),
    FailureReason.MALFORMED: FailureText(
        "unexpected status; expected 200",
        "The response is not a data series.",
        "If a proxy sent it, check the proxy; else report it.",
    ),
}

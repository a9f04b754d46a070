"""The texts of each failure reason: what it means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.model.errors import FailureReason


class FailureText(NamedTuple):
    """The texts of one failure reason; the status page has `cause` and `action`.

    `{permission}` is that of the request.
    """

    message: str
    """A clause that follows `HTTP 401 from ENDPOINT for PATH: ` in an error message.

    `{source}` is that of the API key, and `{target}` the host of a redirect.
    """
    cause: str
    action: str
    """`{check}` is what to check of a refused request of the kind, and `{relief}` how
    fewer requests are sent.
    """


FAILURE_TEXTS: Mapping[FailureReason, FailureText] = {
    FailureReason.UNAUTHORIZED: FailureText(
        "the API key from {source} is invalid, or belongs to another Braze instance "
        "than the endpoint",
        "Braze rejects the API key (401).",
        "Check the key and the endpoint: Braze also returns 401 for a valid key of "
        "another instance.",
    ),
    FailureReason.FORBIDDEN: FailureText(
        "the API key from {source} needs the permission {permission} and, if it has "
        "an IP allowlist, the address of this machine on it; create a new key, since "
        "both are fixed when a key is created",
        "The API key lacks a permission, or its IP allowlist excludes this machine "
        "(403).",
        "Create a new key with the permission {permission} and, if it has an "
        "IP allowlist, this machine's address; existing keys cannot be changed.",
    ),
    FailureReason.RATE_LIMITED: FailureText(
        "the rate limit is used up",
        "Braze's rate limit is used up (429), by this exporter or another client.",
        "Polling continues when the limit resets. If this happens often, {relief}.",
    ),
    FailureReason.BAD_REQUEST: FailureText(
        "the request is refused",
        "Braze rejects the request (400 or another 4xx).",
        "{check}.",
    ),
    FailureReason.NOT_FOUND: FailureText(
        "the endpoint does not have this path; check that it is a REST host of Braze",
        "The endpoint does not have this path (404).",
        "Check the endpoint.",
    ),
    FailureReason.REDIRECT: FailureText(
        "redirect to {target}; redirects are not followed, since the API key is sent "
        "to the configured endpoint only",
        "The response is a redirect (3xx), which the exporter does not follow.",
        "Check the endpoint, and whether a proxy requires a login.",
    ),
    FailureReason.SERVER_ERROR: FailureText(
        "Braze, or a server in front of it, has a temporary error",
        "Braze, or a server in front of it, has a temporary error (5xx, 408, 425).",
        "The poll is retried; if the error persists, see Braze's status page.",
    ),
    FailureReason.TIMEOUT: FailureText(
        "no complete response within the timeout",
        "Braze did not respond within the timeout.",
        "The poll is retried; if the error persists, check the network and the proxy.",
    ),
    FailureReason.CONNECTION: FailureText(
        "the connection failed",
        "The connection to Braze failed.",
        "Check DNS, firewall, proxy and CA certificates.",
    ),
    FailureReason.TOO_LARGE: FailureText(
        "the response is larger than limits.response_bytes",
        "The response is larger than limits.response_bytes.",
        "Raise that limit.",
    ),
    FailureReason.MALFORMED: FailureText(
        "unexpected status, expected 200",
        "The response is not a data series.",
        "If it is a proxy's page, check the proxy; if it is Braze's, report it.",
    ),
}

"""Rate limiting, authentication and response headers, around a responder."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping

from exporter.web.basic_auth import Authenticator, AuthResult, credentials
from exporter.web.messages import HttpRequest, HttpResponse, Responder
from exporter.web.web_config import RequestRateLimit, WebConfig

_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_UNAUTHORIZED = HttpResponse(
    401,
    (_TEXT, ("WWW-Authenticate", 'Basic realm="braze-exporter"')),
    (b"Unauthorized: a valid user name and password are required.\n",),
)
_BUSY = HttpResponse(
    503,
    (_TEXT, ("Retry-After", "1")),
    (b"Too many passwords are being verified. Retry in a second.\n",),
)


class TokenBucket:
    """A token bucket: `burst` requests at once, then one per interval."""

    def __init__(self, limit: RequestRateLimit, *, now: float) -> None:
        self._limit = limit
        self._full_at = now

    def take(self, *, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        interval_seconds, burst = self._limit.interval_seconds, self._limit.burst
        full_at = max(self._full_at, now) + interval_seconds
        wait_seconds = full_at - burst * interval_seconds - now
        if wait_seconds > 0:
            return wait_seconds
        self._full_at = full_at
        return 0.0


class Middleware:
    """Applies the web configuration to requests and responses."""

    def __init__(self) -> None:
        self._authenticator = Authenticator()
        self._bucket: TokenBucket | None = None
        self._headers: Mapping[str, str] = {}
        self._rate_limit: RequestRateLimit | None = None

    def apply(self, config: WebConfig) -> None:
        """Use this configuration from the next request on."""
        self._authenticator.replace_users(config.users)
        self._headers = config.headers
        self._rate_limit, self._bucket = config.rate_limit, None

    def wrap(
        self, respond: Responder, *, needs_no_auth: Callable[[HttpRequest], bool]
    ) -> Responder:
        """Return a responder with rate limiting and authentication around `respond`.

        Neither applies to a request for which `needs_no_auth` returns True.
        """

        async def respond_if_allowed(request: HttpRequest) -> HttpResponse:
            error = None if needs_no_auth(request) else await self._refusal(request)
            return self._with_headers(error or await respond(request))

        return respond_if_allowed

    async def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        """Return the error response; None if the request is allowed."""
        if self._rate_limit is not None:
            now = asyncio.get_running_loop().time()
            self._bucket = self._bucket or TokenBucket(self._rate_limit, now=now)
            if wait_seconds := self._bucket.take(now=now):
                return _too_many_requests(wait_seconds)
        if not self._authenticator.is_enabled:
            return None
        given = credentials(request.header("authorization"))
        return _REFUSALS[await self._authenticator.authenticate(given)]

    def _with_headers(self, response: HttpResponse) -> HttpResponse:
        """Add the configured headers; they replace headers of the same name."""
        if not self._headers:
            return response
        configured = {name.lower() for name in self._headers}
        kept = (pair for pair in response.headers if pair[0].lower() not in configured)
        return response._replace(headers=(*kept, *self._headers.items()))


_REFUSALS = {
    AuthResult.GRANTED: None,
    AuthResult.REFUSED: _UNAUTHORIZED,
    AuthResult.BUSY: _BUSY,
}


def _too_many_requests(wait_seconds: float) -> HttpResponse:
    retry_after = ("Retry-After", str(math.ceil(wait_seconds)))
    return HttpResponse(429, (_TEXT, retry_after), (b"Too many requests.\n",))

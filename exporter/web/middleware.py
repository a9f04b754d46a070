"""What stands before every path: a rate limit, passwords, and headers on the answers.

Whoever asks for health or readiness passes. It knows no path and no file.
"""

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
    (b"A name and a password are needed.\n",),
)
_BUSY = HttpResponse(
    503,
    (_TEXT, ("Retry-After", "1")),
    (b"Too many passwords are being verified. Try again.\n",),
)


class TokenBucket:
    """A token bucket: so many requests at once, and one more each interval."""

    def __init__(self, limit: RequestRateLimit, *, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._counted_at = now

    def take(self, *, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        gained = (now - self._counted_at) / self._limit.interval_seconds
        self._tokens = min(self._tokens + gained, float(self._limit.burst))
        self._counted_at = now
        if self._tokens < 1:
            return (1 - self._tokens) * self._limit.interval_seconds
        self._tokens -= 1
        return 0.0


class Middleware:
    """Lets requests through to a responder, as the web configuration says."""

    def __init__(self) -> None:
        self._authenticator = Authenticator()
        self._bucket: TokenBucket | None = None
        self._headers: Mapping[str, str] = {}
        self._rate_limit: RequestRateLimit | None = None

    def apply(self, config: WebConfig) -> None:
        """Let this be the configuration, from the next request on."""
        self._authenticator.replace(config.users)
        self._headers = config.headers
        self._rate_limit, self._bucket = config.rate_limit, None

    def guard(
        self, respond: Responder, *, is_open: Callable[[HttpRequest], bool]
    ) -> Responder:
        """Return a responder for everyone, of one for those who may ask."""

        async def answer(request: HttpRequest) -> HttpResponse:
            refusal = None if is_open(request) else await self._refuse(request)
            return self._dress(refusal or await respond(request))

        return answer

    async def _refuse(self, request: HttpRequest) -> HttpResponse | None:
        """Return what to answer to one who may not ask."""
        if self._rate_limit is not None:
            now = asyncio.get_running_loop().time()
            self._bucket = self._bucket or TokenBucket(self._rate_limit, now=now)
            if wait_seconds := self._bucket.take(now=now):
                return _too_many(wait_seconds)
        if not self._authenticator.is_needed:
            return None
        asked = credentials(request.header("authorization"))
        verdict = await self._authenticator.judge(asked, peer=request.peer)
        return _ANSWERS[verdict]

    def _dress(self, response: HttpResponse) -> HttpResponse:
        """Add the configured headers; they win over those that are there."""
        if not self._headers:
            return response
        own = {name.lower() for name in self._headers}
        kept = (pair for pair in response.headers if pair[0].lower() not in own)
        return response._replace(headers=(*kept, *self._headers.items()))


_ANSWERS = {
    AuthResult.GRANTED: None,
    AuthResult.REFUSED: _UNAUTHORIZED,
    AuthResult.BUSY: _BUSY,
}


def _too_many(wait_seconds: float) -> HttpResponse:
    retry_after = ("Retry-After", str(math.ceil(wait_seconds)))
    return HttpResponse(429, (_TEXT, retry_after), (b"Too many requests.\n",))

"""Rate limiting, authentication and response headers around a responder."""

from __future__ import annotations

import asyncio
import base64

import pytest
from exporter.system.api_key import Secret
from exporter.web.messages import HttpRequest, HttpResponse
from exporter.web.security import Security, TokenBucket
from exporter.web.web_config import RequestRateLimit, WebConfig

from tests.support.certificates import HASH, PASSWORD

GET = HttpRequest("GET", "/metrics", "", {})
HEALTH = GET._replace(path="/-/healthy")
USERS = {"prometheus": Secret(HASH)}
RESPONSE = HttpResponse(200, (("Content-Type", "a/b"), ("x-frame-options", "own")))


def basic(name: str, password: str) -> HttpRequest:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return GET._replace(headers={"authorization": f"Basic {encoded}"})


def responses(config: WebConfig, *requests: HttpRequest) -> list[HttpResponse]:
    """Return the responses to requests that arrive at the same time."""

    async def respond(_: HttpRequest) -> HttpResponse:
        return RESPONSE

    security = Security()
    security.use(config)
    wrapped = security.wrap(respond, needs_no_auth=lambda request: request == HEALTH)

    async def work() -> list[HttpResponse]:
        return await asyncio.gather(*map(wrapped, requests))

    return asyncio.run(work())


def test_configured_headers_are_added_to_every_response() -> None:
    headers = {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=9"}

    valid, refused = responses(
        WebConfig(headers=headers, users=USERS), basic("prometheus", PASSWORD), GET
    )

    assert valid.headers == (("Content-Type", "a/b"), *headers.items())
    assert refused.headers[-2:] == tuple(headers.items())


def test_the_rate_limit_applies_to_all_but_health() -> None:
    """Unauthenticated requests count; the response names the time to wait."""
    config = WebConfig(users=USERS, rate_limit=RequestRateLimit(3600.5, 2))

    first, second, third, health = responses(config, GET, GET, GET, HEALTH)

    assert (first.status, second.status) == (401, 401)
    assert third.status == 429
    assert ("Retry-After", "3601") in third.headers
    assert health.status == 200


def test_a_bucket_gains_one_token_each_interval() -> None:
    bucket = TokenBucket(RequestRateLimit(2.0, 3), now=100.0)

    assert [bucket.take(now=100.0) for _ in range(4)] == [0, 0, 0, 2.0]
    assert bucket.take(now=101.0) == pytest.approx(1.0)
    assert [bucket.take(now=102.0), bucket.take(now=102.0)] == [0, 2.0]
    assert [bucket.take(now=1000.0) for _ in range(4)] == [0, 0, 0, 2.0]

"""What stands before every path: who passes it, and what the answers wear."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import pytest
from exporter.system.api_key import Secret
from exporter.web.messages import HttpRequest, HttpResponse
from exporter.web.middleware import Middleware, TokenBucket
from exporter.web.web_config import RequestRateLimit, WebConfig

from tests.support.certificates import HASH, PASSWORD

GET = HttpRequest("GET", "/metrics", "", {}, "192.0.2.1")
ALIVE = GET._replace(path="/-/healthy")
USERS = {"prometheus": Secret(HASH)}


def basic(name: str, password: str) -> HttpRequest:
    """Return a request with credentials."""
    said = base64.b64encode(f"{name}:{password}".encode()).decode()
    return GET._replace(headers={"authorization": f"Basic {said}"})


async def greet(_: HttpRequest) -> HttpResponse:
    """Answer anything."""
    return HttpResponse(200, (("Content-Type", "a/b"), ("x-frame-options", "own")))


def answers(config: WebConfig, *requests: HttpRequest) -> Sequence[HttpResponse]:
    """Return what the requests get, one after the other."""
    gate = Middleware()
    gate.apply(config)
    respond = gate.guard(greet, is_open=lambda request: request.path == ALIVE.path)

    async def work() -> list[HttpResponse]:
        return [await respond(request) for request in requests]

    return asyncio.run(work())


def test_without_a_configuration_everyone_passes() -> None:
    """And the answer is what it was."""
    (answer,) = answers(WebConfig(), GET)

    assert answer == asyncio.run(greet(GET))


def test_only_users_pass_and_everyone_may_ask_for_health() -> None:
    """The others are told in which form to come again."""
    right, wrong = basic("prometheus", PASSWORD), basic("prometheus", "guess")

    answered = answers(WebConfig(users=USERS), right, wrong, GET, ALIVE)

    assert [answer.status for answer in answered] == [200, 401, 401, 200]
    for answer in answered[1:3]:
        challenge = ("WWW-Authenticate", 'Basic realm="braze-exporter"')
        assert challenge in answer.headers
        assert b"guess" not in b"".join(answer.body)


def test_whoever_finds_no_place_is_told_to_come_again() -> None:
    """At once, with 503."""
    gate = Middleware()
    gate.apply(WebConfig(users=USERS))
    respond = gate.guard(greet, is_open=lambda _: False)

    async def work() -> list[HttpResponse]:
        asked = (respond(basic("prometheus", f"guess {n}")) for n in range(4))
        return await asyncio.gather(*asked)

    answered = asyncio.run(work())

    assert sorted(answer.status for answer in answered) == [401, 401, 503, 503]
    assert all(
        ("Retry-After", "1") in answer.headers
        for answer in answered
        if answer.status == 503
    )


def test_configured_headers_are_on_every_answer() -> None:
    """They win over ours of the same name in any case."""
    headers = {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=9"}

    right, refused = answers(
        WebConfig(headers=headers, users=USERS), basic("prometheus", PASSWORD), GET
    )

    assert right.headers == (("Content-Type", "a/b"), *headers.items())
    assert refused.headers[-2:] == tuple(headers.items())


def test_the_rate_limit_holds_for_all_but_health() -> None:
    """Also for those who have no password: they are told when to come again."""
    config = WebConfig(users=USERS, rate_limit=RequestRateLimit(3600.5, 2))

    first, second, third, alive = answers(config, GET, GET, GET, ALIVE)

    assert (first.status, second.status) == (401, 401)
    assert third.status == 429
    assert ("Retry-After", "3601") in third.headers
    assert alive.status == 200


def test_a_bucket_fills_by_one_each_interval() -> None:
    """Up to its burst, and no further."""
    bucket = TokenBucket(RequestRateLimit(2.0, 3), now=100.0)

    assert [bucket.take(now=100.0) for _ in range(4)] == [0, 0, 0, 2.0]
    assert bucket.take(now=101.0) == pytest.approx(1.0)
    assert [bucket.take(now=102.0), bucket.take(now=102.0)] == [0, 2.0]
    assert [bucket.take(now=1000.0) for _ in range(4)] == [0, 0, 0, 2.0]

"""Basic authentication: results, cache, queue and timing."""

from __future__ import annotations

import asyncio
import base64
import statistics
import time

import bcrypt
import pytest
from exporter.system.api_key import Secret
from exporter.web.basic_auth import Authenticator, AuthResult, Credentials, credentials
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import HASH, PASSWORD

GRANTED, REFUSED, BUSY = AuthResult.GRANTED, AuthResult.REFUSED, AuthResult.BUSY
VALID = Credentials(b"prometheus", PASSWORD.encode())
OTHER_HASH = bcrypt.hashpw(VALID.password, bcrypt.gensalt(4)).decode()


def users(**hashes: str) -> dict[str, Secret]:
    """Return users by their hashes; without any, the user of `VALID`."""
    hashes = hashes or {"prometheus": HASH}
    return {name: Secret(hash_) for name, hash_ in hashes.items()}


def authenticator(**hashes: str) -> Authenticator:
    """Return an authenticator with these users."""
    made = Authenticator()
    made.replace_users(users(**hashes))
    return made


def wrong(number: int) -> Credentials:
    """Return invalid credentials."""
    return Credentials(b"prometheus", b"guess %d" % number)


def results(one: Authenticator, *given: Credentials | None) -> list[AuthResult]:
    """Authenticate one after the other."""

    async def work() -> list[AuthResult]:
        return [await one.authenticate(each) for each in given]

    return asyncio.run(work())


@pytest.fixture
def bcrypts(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record the passwords that are verified by bcrypt."""
    checked: list[bytes] = []
    original = bcrypt.checkpw

    def recording(password: bytes, hash_: bytes) -> bool:
        checked.append(password)
        return original(password, hash_)

    monkeypatch.setattr(bcrypt, "checkpw", recording)
    return checked


def header(text: bytes) -> str:
    """Return the header for a name and a password."""
    return f"Basic {base64.b64encode(text).decode()}"


def test_the_header_contains_a_name_and_a_password() -> None:
    """The scheme is case-insensitive; a password may contain colons and any bytes."""
    sent = header(b"J\xc3\xbcrgen:a:b\0\xff")

    for text in (sent, sent.replace("Basic", "bAsIc"), sent.replace(" ", "   ")):
        assert credentials(text) == (b"J\xc3\xbcrgen", b"a:b\0\xff")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic",
        "Basic ",
        "Bearer YTpi",
        "Basic a",
        "Basic YTpi!",
        "Basic YTpi, Basic YTpi",
        "Basic ÿ",
        header(b"no colon"),
    ],
)
def test_a_malformed_header_has_no_credentials(text: str) -> None:
    """The parser returns None and raises nothing."""
    assert credentials(text) is None


@given(st.text())
def test_any_header_is_parsed(text: str) -> None:
    """The parser raises nothing."""
    for sent in (text, f"Basic {text}"):
        found = credentials(sent)

        assert found is None or isinstance(found, Credentials)


def test_the_representation_of_credentials_contains_no_password() -> None:
    """It may appear in a traceback."""
    assert PASSWORD not in repr(VALID)


def test_only_the_password_of_an_existing_user_is_granted() -> None:
    """Other passwords, unknown users and missing credentials are refused."""
    unknown = Credentials(b"grafana", VALID.password)

    found = results(authenticator(), VALID, wrong(1), unknown, None)

    assert found == [GRANTED, REFUSED, REFUSED, REFUSED]


@pytest.mark.parametrize("scheme", ["$2a$", "$2b$", "$2y$"])
def test_all_bcrypt_prefixes_are_supported(scheme: str) -> None:
    """Tools write different prefixes."""
    one = authenticator(prometheus=HASH.replace("$2b$", scheme))

    assert results(one, VALID) == [GRANTED]


@pytest.mark.parametrize("password", [b"x" * 73, b"x" * 10_000, b"\0", b"", b"\xff"])
def test_unusual_passwords_are_refused(password: bytes) -> None:
    """Too long for bcrypt, empty, with NUL, invalid in UTF-8."""
    assert results(authenticator(), Credentials(b"prometheus", password)) == [REFUSED]


def test_a_password_may_have_72_bytes() -> None:
    """With one more byte it is refused, although bcrypt would ignore that byte."""
    password = b"x" * 72
    one = authenticator(a=bcrypt.hashpw(password, bcrypt.gensalt(4)).decode())

    found = results(
        one, Credentials(b"a", password), Credentials(b"a", password + b"x")
    )

    assert found == [GRANTED, REFUSED]


def test_valid_credentials_are_verified_once(bcrypts: list[bytes]) -> None:
    """Concurrent requests share a verification, later ones use the cache."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        concurrent = (one.authenticate(VALID) for _ in range(50))
        return [*await asyncio.gather(*concurrent), await one.authenticate(VALID)]

    assert asyncio.run(work()) == [GRANTED] * 51
    assert bcrypts == [VALID.password]


def test_eight_passwords_are_pending_at_most(bcrypts: list[bytes]) -> None:
    """Further ones are BUSY; the queue accepts others once it is empty again."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        flood = (one.authenticate(wrong(number)) for number in range(20))
        return [*await asyncio.gather(*flood), await one.authenticate(VALID)]

    assert asyncio.run(work()) == [REFUSED] * 8 + [BUSY] * 12 + [GRANTED]
    assert len(bcrypts) == 9


def test_one_bcrypt_runs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the clients disconnect."""
    running, most = 0, 0

    def counting(_password: bytes, _hash: bytes) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)  # long enough for another thread to overlap
        running -= 1
        return False

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    one = authenticator()

    async def work() -> None:
        requests = [
            asyncio.ensure_future(one.authenticate(wrong(number)))
            for number in range(8)
        ]
        await asyncio.sleep(0.005)
        for request in requests[:4]:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    asyncio.run(work())

    assert most == 1


def test_cached_credentials_are_granted_without_waiting() -> None:
    """They do not wait for the passwords that are being verified."""
    one = authenticator()

    async def work() -> tuple[list[AuthResult], list[bool]]:
        await one.authenticate(VALID)
        flood = [
            asyncio.ensure_future(one.authenticate(wrong(number)))
            for number in range(20)
        ]
        await asyncio.sleep(0)
        cached = [await one.authenticate(VALID) for _ in range(1000)]
        are_done = [each.done() for each in flood[:8]]
        await asyncio.gather(*flood)
        return cached, are_done

    cached, are_done = asyncio.run(work())

    assert set(cached) == {GRANTED}
    assert not all(are_done)


def test_a_disconnecting_client_does_not_affect_others() -> None:
    """Requests that share its verification get the result."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        leaving = asyncio.ensure_future(one.authenticate(VALID))
        staying = asyncio.ensure_future(one.authenticate(VALID))
        await asyncio.sleep(0)
        leaving.cancel()
        return [await staying, await one.authenticate(wrong(1))]

    assert asyncio.run(work()) == [GRANTED, REFUSED]


def test_new_users_are_in_force_at_once() -> None:
    """The cache contains neither result of the previous users."""
    one = authenticator()
    assert results(one, VALID, wrong(1)) == [GRANTED, REFUSED]

    one.replace_users(
        users(prometheus=bcrypt.hashpw(b"guess 1", bcrypt.gensalt(4)).decode())
    )

    assert results(one, VALID, wrong(1)) == [REFUSED, GRANTED]


def test_the_cache_stays_valid_for_unchanged_hashes(bcrypts: list[bytes]) -> None:
    """A new hash, or a user that was removed meanwhile, is verified again."""
    one = authenticator()
    expected = [
        (users(), GRANTED, 1),
        (users(prometheus=HASH, grafana=OTHER_HASH), GRANTED, 1),
        (users(prometheus=OTHER_HASH), GRANTED, 2),
        (users(grafana=HASH), REFUSED, 3),
        (users(prometheus=OTHER_HASH), GRANTED, 4),
    ]

    for new_users, result, verifications in expected:
        one.replace_users(new_users)

        assert results(one, VALID) == [result]
        assert len(bcrypts) == verifications


def test_users_may_change_during_a_verification() -> None:
    """The request gets its result; requests after the change use the new users."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        running = asyncio.ensure_future(one.authenticate(VALID))
        await asyncio.sleep(0)
        one.replace_users(users(grafana=HASH))
        concurrent = await asyncio.gather(running, one.authenticate(VALID))
        return [*concurrent, await one.authenticate(VALID)]

    assert asyncio.run(work()) == [GRANTED, REFUSED, REFUSED]


def test_an_unknown_user_takes_as_long_as_the_most_expensive_hash() -> None:
    """The response time does not disclose which names exist."""
    one = authenticator(cheap=HASH, expensive=HASH.replace("$04$", "$09$"))
    seconds: dict[bytes, list[float]] = {b"unknown": [], b"expensive": [], b"cheap": []}

    async def work() -> None:
        for number in range(7):
            for name, durations in seconds.items():
                began = time.perf_counter()
                await one.authenticate(Credentials(name, b"%d" % number))
                durations.append(time.perf_counter() - began)

    asyncio.run(work())

    unknown, expensive, cheap = map(statistics.median, seconds.values())
    assert 0.2 < unknown / expensive < 5
    assert unknown > cheap


def test_a_hash_that_bcrypt_rejects_raises_for_its_user_only() -> None:
    """The next verification is not affected."""
    one = authenticator(broken="$2b$04$" + "a" * 53, prometheus=HASH)

    with pytest.raises(ValueError, match="Invalid salt"):
        results(one, Credentials(b"broken", b"x"))

    assert results(one, VALID) == [GRANTED]

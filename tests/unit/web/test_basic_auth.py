"""Basic authentication: results, cache, queue and timing."""

from __future__ import annotations

import asyncio
import base64
import time

import bcrypt
import pytest
from exporter.system.api_key import Secret
from exporter.web.basic_auth import Authenticator, AuthResult, Credentials, credentials
from exporter.web.password_queue import origin_of
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
    made = Authenticator()
    made.replace_users(users(**hashes))
    return made


def wrong(number: int) -> Credentials:
    return Credentials(b"prometheus", b"guess %d" % number)


def results(one: Authenticator, *given: Credentials | None) -> list[AuthResult]:
    async def work() -> list[AuthResult]:
        return [await one.authenticate(each) for each in given]

    return asyncio.run(work())


@pytest.fixture
def bcrypts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Record the passwords that bcrypt verifies, and their hashes."""
    checked: list[tuple[bytes, bytes]] = []
    original = bcrypt.checkpw

    def recording(password: bytes, hash_: bytes) -> bool:
        checked.append((password, hash_))
        return original(password, hash_)

    monkeypatch.setattr(bcrypt, "checkpw", recording)
    return checked


def header(text: bytes) -> str:
    return f"Basic {base64.b64encode(text).decode()}"


SENT = header(b"J\xc3\xbcrgen:a:b\0\xff")
PARSED = Credentials(b"J\xc3\xbcrgen", b"a:b\0\xff")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SENT, PARSED),
        (SENT.replace("Basic", "bAsIc"), PARSED),
        (SENT.replace(" ", "   "), PARSED),
        ("", None),
        ("Basic", None),
        ("Basic ", None),
        ("Bearer YTpi", None),
        ("Basic a", None),
        ("Basic YTpi!", None),
        ("Basic YTpi, Basic YTpi", None),
        ("Basic ÿ", None),
        (header(b"no colon"), None),
    ],
)
def test_the_header_contains_a_name_and_a_password(
    text: str, expected: Credentials | None
) -> None:
    assert credentials(text) == expected


@given(st.text())
def test_any_header_is_parsed(text: str) -> None:
    for sent in (text, f"Basic {text}"):
        found = credentials(sent)

        assert found is None or isinstance(found, Credentials)


def test_the_representation_of_credentials_contains_no_password() -> None:
    assert PASSWORD not in repr(VALID)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (VALID, GRANTED),
        (None, REFUSED),
        (Credentials(b"grafana", VALID.password), REFUSED),
        (Credentials(b"prometheus", b"guess"), REFUSED),
        (Credentials(b"prometheus", b""), REFUSED),
        (Credentials(b"prometheus", b"\0"), REFUSED),
        (Credentials(b"prometheus", b"\xff"), REFUSED),
        # Tools write different prefixes.
        (Credentials(b"$2a$", VALID.password), GRANTED),
        (Credentials(b"$2y$", VALID.password), GRANTED),
        (Credentials(b"long", b"x" * 72), GRANTED),
        # bcrypt ignores all further bytes, as in exporter-toolkit.
        (Credentials(b"long", b"x" * 73), GRANTED),
        (Credentials(b"long", b"x" * 10_000), GRANTED),
        (Credentials(b"long", b"x" * 71 + b"yx"), REFUSED),
        # Cut in the middle of a character, which has two bytes.
        (Credentials(b"longer", "é".encode() * 50), GRANTED),
        (Credentials(b"longer", b"x" + "é".encode() * 50), REFUSED),
    ],
)
def test_only_the_password_of_an_existing_user_is_granted(
    given: Credentials | None, expected: AuthResult
) -> None:
    hashes = {name: HASH.replace("$2b$", name) for name in ("$2a$", "$2y$")}
    long = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    longer = bcrypt.hashpw("é".encode() * 36, bcrypt.gensalt(4)).decode()
    one = authenticator(prometheus=HASH, long=long, longer=longer, **hashes)

    assert results(one, given) == [expected]


def test_valid_credentials_are_verified_once(
    bcrypts: list[tuple[bytes, bytes]],
) -> None:
    one = authenticator()

    async def work() -> list[AuthResult]:
        concurrent = (one.authenticate(VALID) for _ in range(50))
        return [*await asyncio.gather(*concurrent), await one.authenticate(VALID)]

    assert asyncio.run(work()) == [GRANTED] * 51
    assert bcrypts == [(VALID.password, HASH.encode())]


def test_eight_passwords_wait_at_most(bcrypts: list[tuple[bytes, bytes]]) -> None:
    """Others are BUSY; the queue accepts all again once it is empty."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        flood = (one.authenticate(wrong(number)) for number in range(20))
        return [*await asyncio.gather(*flood), await one.authenticate(VALID)]

    *flood, last = asyncio.run(work())

    assert flood.count(BUSY) == 12
    assert flood.count(REFUSED) == 8
    assert last is GRANTED
    assert len(bcrypts) == 9


FLOODS = {
    "one address": ["203.0.113.7"] * 300,
    "one network": [f"192.0.2.{number % 250 + 2}" for number in range(300)],
    "many networks": [f"10.{number % 250}.{number}.7"[:14] for number in range(250)],
    "mapped to IPv6": [f"::ffff:127.0.{number}.1" for number in range(250)],
    "IPv6": [f"2001:db8:{number:x}::1" for number in range(300)],
    "one IPv6 network": [f"2001:db8:0:{number:x}::1" for number in range(300)],
    "one IPv6 host": [f"2001:db8::{number:x}" for number in range(300)],
}


@pytest.mark.parametrize(
    "client", ["192.0.2.1", "::ffff:127.0.1.9", "2001:db8:0:ffff::1"]
)
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_new_client_is_next_during_a_flood_from_any_addresses(
    flood: list[str], client: str, bcrypts: list[tuple[bytes, bytes]]
) -> None:
    """It waits for the password that is being verified, and for no other.

    The same applies to its next password while the flood continues.
    """
    one = authenticator()

    async def work() -> list[int]:
        positions = []
        tasks: list[asyncio.Task[AuthResult]] = []
        for hash_ in (HASH, OTHER_HASH):
            one.replace_users(users(prometheus=hash_))
            tasks += [
                asyncio.ensure_future(one.authenticate(wrong(number), address))
                for number, address in enumerate(flood, len(tasks))
            ]
            await asyncio.sleep(0)
            before = len(bcrypts)
            assert await one.authenticate(VALID, client) is GRANTED
            passwords = [password for password, _ in bcrypts[before:]]
            positions.append(passwords.index(VALID.password))
        results = await asyncio.gather(*tasks)
        assert set(results) == {REFUSED, BUSY}
        return positions

    assert max(asyncio.run(work())) <= 1


def test_an_address_that_sent_many_passwords_waits_for_one_that_sent_few(
    bcrypts: list[tuple[bytes, bytes]],
) -> None:
    """Although the latter was refused before, and although it came first."""
    one = authenticator()
    few, many = "192.0.2.1", "192.0.2.2"

    async def work() -> None:
        sent = [one.authenticate(wrong(number), few) for number in range(3)]
        sent += [one.authenticate(wrong(number), many) for number in range(3, 12)]
        await asyncio.gather(*sent)

    asyncio.run(work())

    order = [password for password, _ in bcrypts]
    assert order[:3] == [wrong(number).password for number in (2, 1, 0)]


@given(st.text() | st.ip_addresses().map(str))
def test_any_address_of_a_client_has_an_origin(client: str) -> None:
    origin = origin_of(client)

    assert origin.host.prefixlen > origin.network.prefixlen
    assert origin.host.version == origin.network.version


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


def test_a_disconnecting_client_does_not_affect_others() -> None:
    one = authenticator()

    async def work() -> list[AuthResult]:
        leaving = asyncio.ensure_future(one.authenticate(VALID))
        staying = asyncio.ensure_future(one.authenticate(VALID))
        await asyncio.sleep(0)
        leaving.cancel()
        return [await staying, await one.authenticate(wrong(1))]

    assert asyncio.run(work()) == [GRANTED, REFUSED]


def test_a_client_that_left_is_served_at_once_when_it_comes_again(
    bcrypts: list[tuple[bytes, bytes]],
) -> None:
    """A scrape may time out while its password waits."""
    one = authenticator()

    async def work() -> AuthResult:
        sent = [asyncio.ensure_future(one.authenticate(wrong(n))) for n in range(3)]
        leaving = asyncio.ensure_future(one.authenticate(VALID, "192.0.2.1"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(*sent)
        return await one.authenticate(VALID, "192.0.2.1")

    assert asyncio.run(work()) is GRANTED
    assert len(bcrypts) == 4


def test_the_cache_stays_valid_for_unchanged_hashes(
    bcrypts: list[tuple[bytes, bytes]],
) -> None:
    one = authenticator()
    guessed = bcrypt.hashpw(wrong(1).password, bcrypt.gensalt(4)).decode()
    expected = [
        (users(), VALID, GRANTED, 1),
        (users(prometheus=HASH, grafana=OTHER_HASH), VALID, GRANTED, 1),
        (users(prometheus=OTHER_HASH), VALID, GRANTED, 2),
        (users(grafana=HASH), VALID, REFUSED, 3),
        (users(prometheus=OTHER_HASH), VALID, GRANTED, 4),
        (users(prometheus=guessed), VALID, REFUSED, 5),
        (users(prometheus=guessed), wrong(1), GRANTED, 6),
    ]

    for new_users, sent, result, verifications in expected:
        one.replace_users(new_users)

        assert results(one, sent) == [result]
        assert len(bcrypts) == verifications


def test_users_may_change_during_a_verification() -> None:
    one = authenticator()

    async def work() -> list[AuthResult]:
        running = asyncio.ensure_future(one.authenticate(VALID))
        await asyncio.sleep(0)
        one.replace_users(users(grafana=HASH))
        concurrent = await asyncio.gather(running, one.authenticate(VALID))
        return [*concurrent, await one.authenticate(VALID)]

    assert asyncio.run(work()) == [REFUSED] * 3


def test_an_unknown_user_takes_as_long_as_the_most_expensive_hash(
    bcrypts: list[tuple[bytes, bytes]],
) -> None:
    """The response time does not disclose which names exist."""
    one = authenticator(cheap=HASH, expensive=HASH.replace("$04$", "$06$"))

    assert results(one, Credentials(b"unknown", b"guess")) == [REFUSED]
    [(_, hash_)] = bcrypts
    assert hash_.startswith(b"$2b$06$")

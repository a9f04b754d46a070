"""Basic authentication: who is let in, and what it costs us to tell."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import bcrypt
import pytest
from exporter.system.api_key import Secret
from exporter.web.basic_auth import Authenticator, AuthResult, Credentials, credentials
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import HASH, PASSWORD

GRANTED, REFUSED, BUSY = AuthResult.GRANTED, AuthResult.REFUSED, AuthResult.BUSY
RIGHT = Credentials(b"prometheus", PASSWORD.encode())
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop of its own."""
    return asyncio.run(work)


def authenticator(**users: str) -> Authenticator:
    """Return one with these users, or with the one who is right."""
    made = Authenticator()
    hashes = users or {"prometheus": HASH}
    made.replace({name: Secret(hash_) for name, hash_ in hashes.items()})
    return made


def wrong(number: int) -> Credentials:
    """Return credentials that nobody has."""
    return Credentials(b"prometheus", b"guess %d" % number)


def header(text: bytes) -> str:
    """Return the header that carries a name and a password."""
    return f"Basic {base64.b64encode(text).decode()}"


def test_the_header_carries_a_name_and_a_password() -> None:
    """The scheme has any case, and a password may hold colons and any bytes."""
    said = header(b"J\xc3\xbcrgen:a:b\0\xff")

    for text in (said, said.replace("Basic", "bAsIc"), said.replace(" ", "   ")):
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
def test_anything_else_says_nothing(text: str) -> None:
    """Neither is there an exception."""
    assert credentials(text) is None


@given(st.text())
def test_any_header_at_all_is_read(text: str) -> None:
    """Whatever a client sends, there are credentials or none."""
    for said in (text, f"Basic {text}"):
        found = credentials(said)

        assert found is None or isinstance(found, Credentials)


def test_credentials_do_not_show_themselves() -> None:
    """Not even in a traceback."""
    assert PASSWORD not in repr(RIGHT)


def test_only_the_right_password_of_a_user_is_granted() -> None:
    """A stranger with a right password is refused, and so is nobody."""

    async def work() -> list[AuthResult]:
        one = authenticator()
        stranger = Credentials(b"grafana", RIGHT.password)
        return [
            await one.judge(asked, peer="a")
            for asked in (RIGHT, wrong(1), stranger, None)
        ]

    assert run(work()) == [GRANTED, REFUSED, REFUSED, REFUSED]


@pytest.mark.parametrize("scheme", ["$2a$", "$2b$", "$2y$"])
def test_hashes_of_all_tools_are_understood(scheme: str) -> None:
    """Their prefixes differ, their sense does not."""
    one = authenticator(prometheus=HASH.replace("$2b$", scheme))

    assert run(one.judge(RIGHT, peer="a")) is GRANTED


@pytest.mark.parametrize("password", [b"x" * 73, b"x" * 10_000, b"\0", b"", b"\xff"])
def test_odd_passwords_are_wrong(password: bytes) -> None:
    """Too long for bcrypt, empty, with NUL, in no encoding: refused like any other."""
    asked = Credentials(b"prometheus", password)

    assert run(authenticator().judge(asked, peer="a")) is REFUSED


def test_a_password_of_72_bytes_is_right() -> None:
    """And with one byte more it is not, although bcrypt would not see it."""
    password = b"x" * 72
    one = authenticator(a=bcrypt.hashpw(password, bcrypt.gensalt(4)).decode())

    async def work() -> list[AuthResult]:
        return [
            await one.judge(Credentials(b"a", text), peer="a")
            for text in (password, password + b"x")
        ]

    assert run(work()) == [GRANTED, REFUSED]


def test_the_same_credentials_are_worked_on_once() -> None:
    """Right or wrong, at the same time or later: one bcrypt each."""
    one = authenticator()
    worked: list[bytes] = []
    matches = one._matches

    def counting(password: bytes, hash_: bytes) -> bool:
        worked.append(password)
        return bool(matches(password, hash_))

    one._matches = counting

    async def work() -> list[AuthResult]:
        verdicts: list[AuthResult] = []
        for asked in (RIGHT, wrong(1)):
            both = (one.judge(asked, peer="a") for _ in range(10))
            verdicts += await asyncio.gather(*both)
            verdicts.append(await one.judge(asked, peer="a"))
        return verdicts

    assert run(work()) == [GRANTED] * 11 + [REFUSED] * 11
    assert worked == [RIGHT.password, b"guess 1"]


def test_few_may_wait_and_fewer_of_one_peer() -> None:
    """Two passwords of a peer, eight of all; the rest is told so."""
    one = authenticator()

    async def work() -> tuple[list[AuthResult], list[AuthResult]]:
        few = (one.judge(wrong(n), peer=f"{n // 3}") for n in range(12))
        many = (one.judge(wrong(n), peer=f"{n}") for n in range(100, 150))
        return await asyncio.gather(*few), await asyncio.gather(*many)

    few, many = run(work())

    assert few == [REFUSED, REFUSED, BUSY] * 4
    assert (many.count(REFUSED), many.count(BUSY)) == (8, 42)


def test_neighbours_are_one_peer() -> None:
    """Who has one IPv6 address has the 2**64 around it, too."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        peers = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8:0:1::1"]
        asked = (one.judge(wrong(n), peer=peer) for n, peer in enumerate(peers))
        return await asyncio.gather(*asked)

    assert run(work()) == [REFUSED, REFUSED, BUSY, REFUSED]


def test_a_newcomer_replaces_one_who_waits() -> None:
    """When all places are taken; the one who has to go is told to come again."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        flood = [one.judge(wrong(n), peer=f"{n}") for n in range(8)]
        return await asyncio.gather(*flood, one.judge(RIGHT, peer="a"))

    *flood, newcomer = run(work())

    assert newcomer is GRANTED
    assert (flood.count(REFUSED), flood.count(BUSY)) == (7, 1)
    assert flood[0] is REFUSED


def test_who_was_wrong_lately_has_to_go_first() -> None:
    """And replaces nobody."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        assert await one.judge(wrong(99), peer="bad") is REFUSED
        jobs = [one.judge(wrong(n), peer=f"{n}") for n in range(7)]
        jobs.insert(4, one.judge(wrong(7), peer="bad"))
        late = one.judge(wrong(8), peer="bad")
        return await asyncio.gather(*jobs, late, one.judge(RIGHT, peer="a"))

    verdicts = run(work())

    assert verdicts == [*[REFUSED] * 4, BUSY, *[REFUSED] * 3, BUSY, GRANTED]


def test_a_right_password_gets_through_a_flood() -> None:
    """Of twenty addresses that never stop guessing, within three tries."""
    one = authenticator()
    known_wrong: set[str] = set()

    async def guess(peer: str) -> None:
        number = 0
        while True:
            number += 1
            asked = Credentials(b"prometheus", f"{peer} {number}".encode())
            if await one.judge(asked, peer=peer) is REFUSED:
                known_wrong.add(peer)
            await asyncio.sleep(0)

    async def work() -> list[AuthResult]:
        flood = [asyncio.ensure_future(guess(f"{n % 20}")) for n in range(80)]
        while len(known_wrong) < 20:
            await asyncio.sleep(0)
        tries = [await one.judge(RIGHT, peer="a") for _ in range(3)]
        for each in flood:
            each.cancel()
        return tries

    assert GRANTED in run(work())


def test_places_become_free_again() -> None:
    """A peer may be wrong as often as it likes, one after the other."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        return [await one.judge(wrong(n), peer="a") for n in range(20)]

    assert run(work()) == [REFUSED] * 20


def test_new_users_hold_at_once() -> None:
    """Who was granted is asked again, and so is who was refused."""
    other = bcrypt.hashpw(b"guess 1", bcrypt.gensalt(4)).decode()
    one = authenticator()

    async def work() -> list[AuthResult]:
        before = [await one.judge(asked, peer="a") for asked in (RIGHT, wrong(1))]
        one.replace({"prometheus": Secret(other)})
        after = [await one.judge(asked, peer="a") for asked in (RIGHT, wrong(1))]
        return before + after

    assert run(work()) == [GRANTED, REFUSED, REFUSED, GRANTED]


def test_who_keeps_his_hash_stays_known() -> None:
    """Others cost him nothing; with another hash or after a pause he is asked."""
    one = authenticator()
    other = bcrypt.hashpw(RIGHT.password, bcrypt.gensalt(4)).decode()
    worked: list[str] = []
    matches = one._matches

    def counting(password: bytes, hash_: bytes) -> bool:
        worked.append(hash_.decode())
        return bool(matches(password, hash_))

    async def judge_after(**users: str) -> AuthResult:
        one.replace({name: Secret(hash_) for name, hash_ in users.items()})
        one._matches = counting
        return await one.judge(RIGHT, peer="a")

    async def work() -> list[AuthResult]:
        return [
            await judge_after(prometheus=HASH),
            await judge_after(prometheus=HASH, grafana=other),
            await judge_after(prometheus=other),
            await judge_after(grafana=HASH),
            await judge_after(prometheus=other),
        ]

    assert run(work()) == [GRANTED] * 3 + [REFUSED, GRANTED]
    assert worked == [HASH, other, one._nobody.decode(), other]


def test_nobody_joins_what_is_verified_by_a_former_hash() -> None:
    """Who asks after the change is judged by the new users."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        under_way = asyncio.ensure_future(one.judge(RIGHT, peer="a"))
        await asyncio.sleep(0)
        one.replace({"somebody": Secret(HASH)})
        late = one.judge(RIGHT, peer="a")
        return list(await asyncio.gather(under_way, late))

    assert run(work()) == [GRANTED, REFUSED]


def test_what_was_being_verified_while_users_changed_is_verified_again() -> None:
    """The one request that was under way gets its answer, the next one is asked."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        under_way = asyncio.ensure_future(one.judge(RIGHT, peer="a"))
        await asyncio.sleep(0)
        one.replace({"somebody": Secret(HASH)})
        return [await under_way, await one.judge(RIGHT, peer="a")]

    assert run(work()) == [GRANTED, REFUSED]


def test_a_client_that_leaves_disturbs_nobody() -> None:
    """Who waits for the same credentials gets the answer, and then the next."""
    one = authenticator()

    async def work() -> list[AuthResult]:
        leaving = asyncio.ensure_future(one.judge(RIGHT, peer="a"))
        staying = asyncio.ensure_future(one.judge(RIGHT, peer="b"))
        await asyncio.sleep(0)
        leaving.cancel()
        return [await staying, await one.judge(wrong(1), peer="a")]

    assert run(work()) == [GRANTED, REFUSED]


def test_memory_is_bounded() -> None:
    """The last thousand wrong credentials are remembered, and whose they were."""
    one = authenticator()
    one._matches = lambda _password, _hash: False

    async def work() -> None:
        for number in range(1100):
            await one.judge(wrong(number), peer=f"{number}")

    run(work())

    assert len(one._refused) == len(one._refused_at) == 1024
    assert not one._jobs
    assert not one._queue


def test_a_stranger_costs_what_the_dearest_user_costs() -> None:
    """So that the time of an answer does not tell which names exist."""
    dear = HASH.replace("$04$", "$08$")
    one = authenticator(cheap=HASH, dear=dear)
    seconds: dict[bytes, float] = {}

    async def work() -> None:
        for name in (b"nobody", b"dear"):
            began = time.perf_counter()
            for number in range(3):
                asked = Credentials(name, b"%d" % number)
                assert await one.judge(asked, peer="a") is REFUSED
            seconds[name] = time.perf_counter() - began

    run(work())

    assert one._nobody.startswith(b"$2b$08$")
    assert 0.2 < seconds[b"nobody"] / seconds[b"dear"] < 5


def test_a_hash_that_bcrypt_does_not_take_blocks_nobody() -> None:
    """The fault comes to who asked; the next one is verified."""
    one = authenticator(broken="$2b$04$" + "a" * 53, prometheus=HASH)

    async def work() -> AuthResult:
        with pytest.raises(ValueError, match="Invalid salt"):
            await one.judge(Credentials(b"broken", b"x"), peer="a")
        return await one.judge(RIGHT, peer="a")

    assert run(work()) is GRANTED


def test_who_is_known_waits_for_nobody() -> None:
    """While wrong passwords are worked on, a right one of before is let in at once."""
    one = authenticator(prometheus=HASH, dear=HASH.replace("$04$", "$11$"))

    async def work() -> tuple[list[AuthResult], list[bool]]:
        await one.judge(RIGHT, peer="a")
        flood = [
            asyncio.ensure_future(one.judge(wrong(n), peer=f"{n}")) for n in range(8)
        ]
        await asyncio.sleep(0)
        known = [await one.judge(RIGHT, peer="a") for _ in range(1000)]
        are_done = [each.done() for each in flood]
        for each in flood:
            each.cancel()
        return known, are_done

    known, are_done = run(work())

    assert set(known) == {GRANTED}
    assert not all(are_done)


def test_wrong_passwords_take_a_quarter_of_one_processor() -> None:
    """After each there is a rest of three times the work."""
    one = authenticator(prometheus=HASH.replace("$04$", "$08$"))

    async def work() -> tuple[float, float]:
        began, used = time.perf_counter(), time.process_time()
        for number in range(8):
            await one.judge(wrong(number), peer="a")
        await one.judge(wrong(9), peer="a")
        return time.perf_counter() - began, time.process_time() - used

    elapsed, used = run(work())

    assert used / elapsed < 0.5

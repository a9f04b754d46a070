"""What exporters share in Redis, tried on a real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import pytest
from exporter.model.errors import SharedStateError
from exporter.polling.sharding import PARTITIONS
from exporter.sharing.ledger import Ledger

from tests.support.daemon_process import until
from tests.support.redis_server import RedisServer, Way

ALL = frozenset(range(PARTITIONS))
CLAIM_ALL = "w" * PARTITIONS
NOTHING = "-" * PARTITIONS
WHOLE = Fraction(1)


def every(_: str) -> bool:
    """Want all records."""
    return True


def read(ledger: Ledger, cursor: int = 0) -> tuple[dict[str, bytes], int]:
    """Return all that is new, and where to go on."""
    found: dict[str, bytes] = {}
    for news in ledger.news(cursor, every):
        found |= news.records
        cursor = news.cursor
    return found, cursor


def test_who_beats_is_there_until_he_leaves(redis_server: RedisServer) -> None:
    """All see the same members, and one that says that it goes is gone at once."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")

    alone = one.beat(NOTHING)
    both = two.beat(NOTHING)
    two.leave()
    after = one.beat(NOTHING)

    assert (alone.live, alone.vanished) == (("one",), 0)
    assert (both.live, both.vanished) == (("one", "two"), 0)
    assert (after.live, after.vanished) == (("one",), 0)


def test_whoever_is_alone_says_so(redis_server: RedisServer) -> None:
    """Until he shares again, or leaves."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")
    one.beat(NOTHING, is_alone=True)

    alone = two.beat(NOTHING).alone
    one.beat(NOTHING)

    assert (alone, two.beat(NOTHING).alone) == (1, 0)


def test_who_may_not_be_asked_after_may_be_alive(redis_server: RedisServer) -> None:
    """Where Redis does not tell who is connected, all that are silent count."""
    redis_server.client().acl_setuser(
        "default",
        enabled=True,
        nopass=True,
        keys="*",
        commands=["+@all", "-client|list"],
    )
    gone, one = Ledger(redis_server.url, "gone"), Ledger(redis_server.url, "one")
    gone.beat(NOTHING)
    gone.close()

    until(lambda: one.beat(NOTHING).live == ("one",))

    assert one.beat(NOTHING).vanished == 1


def test_a_lease_has_one_holder(redis_server: RedisServer) -> None:
    """Whoever claims first; given back or left, others may have it."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")

    first = one.beat(CLAIM_ALL).leased
    refused = two.beat(CLAIM_ALL).leased
    halved = one.beat("r" + "h" * (PARTITIONS - 1)).leased
    taken = two.beat(CLAIM_ALL).leased
    one.leave()
    rest = two.beat(CLAIM_ALL).leased

    assert (first, refused) == (ALL, frozenset())
    assert (halved, taken) == (ALL - {0}, frozenset({0}))
    assert rest == ALL


def test_nobody_holds_what_he_does_not_have(redis_server: RedisServer) -> None:
    """To hold is to keep, not to take; to release another's changes nothing."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")
    one.beat(CLAIM_ALL)

    two.beat("r" * PARTITIONS)
    held = two.beat("h" * PARTITIONS).leased

    assert held == frozenset()
    assert one.beat("h" * PARTITIONS).leased == ALL


def test_a_lease_ends_by_itself(redis_server: RedisServer) -> None:
    """Of one that says nothing for five seconds; it counts while it is connected."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")
    one.beat(CLAIM_ALL)
    began_at = time.monotonic()

    until(lambda: two.beat(CLAIM_ALL).leased == ALL)

    seconds = time.monotonic() - began_at
    roll = two.beat(CLAIM_ALL)
    assert 4.9 < seconds < 7
    assert (roll.live, roll.vanished) == (("two",), 1)
    one.close()
    assert two.beat(CLAIM_ALL).vanished == 0


def test_what_is_published_is_read_once(redis_server: RedisServer) -> None:
    """Each reader has a cursor of its own, and the latest of each record."""
    writer, reader = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")
    writer.publish({str(number): b"old" for number in range(500)})
    writer.publish({"7": b"new"})

    everything, cursor = read(reader)
    nothing, _ = read(reader, cursor)
    writer.publish({"8": b"newer"})
    news, _ = read(reader, cursor)

    assert len(everything) == 500
    assert (everything["7"], everything["8"]) == (b"new", b"old")
    assert nothing == {}
    assert news == {"8": b"newer"}


def test_only_what_is_wanted_is_fetched(redis_server: RedisServer) -> None:
    """And what is forgotten is gone."""
    ledger = Ledger(redis_server.url, "one")
    ledger.publish({"a": b"1", "b": b"2", "c": b"3"})
    ledger.forget(["c"])

    (news, _) = ledger.news(0, lambda name: name != "b")

    assert news.records == {"a": b"1"}
    assert read(ledger)[0] == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("score", [float("inf"), 1e300, 1.5, -1.0])
def test_what_is_numbered_oddly_is_passed_over(
    redis_server: RedisServer, score: float
) -> None:
    """Somebody else wrote it: what we published is read, and the reading ends."""
    one = Ledger(redis_server.url, "one")
    one.publish({"a": b"1", "b": b"2"})
    redis_server.client().zadd("{braze-exporter}:changes", {"odd": score})

    found, cursor = read(one)

    assert found == {"a": b"1", "b": b"2"}
    assert cursor == one.beat(NOTHING).sequence == 2
    assert read(one, cursor) == ({}, cursor)


def test_a_clock_that_was_set_back_keeps_nobody_alive(
    redis_server: RedisServer,
) -> None:
    """Who is dead is so, and what he held is free, whenever he is said to have beaten.

    Redis's clock is set, or another server of it takes over.
    """
    one = Ledger(redis_server.url, "one")
    in_an_hour = round((time.time() + 3600) * 1000)
    client = redis_server.client()
    client.zadd("{braze-exporter}:members", {"dead": in_an_hour})
    client.zadd("{braze-exporter}:alone", {"dead": in_an_hour})
    client.hset("{braze-exporter}:leases", "1", f"{in_an_hour} dead")

    roll = one.beat(CLAIM_ALL)

    assert (roll.live, roll.alone, roll.vanished) == (("one",), 0, 0)
    assert roll.leased == ALL


def test_a_redis_that_is_full_is_none(redis_server: RedisServer) -> None:
    """Who could only beat would wait for permits for ever."""
    one = Ledger(redis_server.url, "one")
    one.beat(CLAIM_ALL)
    redis_server.client().config_set("maxmemory", "1")

    with pytest.raises(SharedStateError, match="OutOfMemory"):
        one.beat(CLAIM_ALL)

    redis_server.client().config_set("maxmemory", "0")
    assert one.beat(CLAIM_ALL).leased == ALL


def test_an_emptied_redis_is_known_by_its_sequence(redis_server: RedisServer) -> None:
    """It counts all that was ever published, and began anew."""
    ledger = Ledger(redis_server.url, "one")
    ledger.publish({str(number): b"old" for number in range(9)})
    _, cursor = read(ledger)
    before = ledger.beat(NOTHING).sequence
    empty(redis_server)

    after = ledger.beat(NOTHING).sequence

    assert (cursor, before, after) == (9, 9, 0)


def test_a_ceiling_is_shared(redis_server: RedisServer) -> None:
    """Two in a second are all, whoever asks; the third is told how long to wait."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")

    first = one.permit("shop", 120, WHOLE)
    second = two.permit("shop", 120, WHOLE)
    third = one.permit("shop", 120, WHOLE)
    other = one.permit("other", 120, WHOLE)

    assert (first, second, other) == (None, None, None)
    assert third is not None
    assert 0 < third <= 1


def test_a_ceiling_of_no_whole_number_is_shared_evenly(
    redis_server: RedisServer,
) -> None:
    """Of 61 a minute two may start at once and no more, however many ask."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")

    waits = [each.permit("shop", 61, WHOLE) for each in (one, two, one, two)]

    assert waits[:2] == [None, None]
    assert all(wait is not None and 0 < wait <= 1 for wait in waits[2:])


def test_words_are_for_the_others(redis_server: RedisServer) -> None:
    """Whatever stands there that is no document is left out."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")
    one.say({"shop": '{"a": 1}', "club": '{"b": 2}'})
    redis_server.client().hset("{braze-exporter}:words:shop", "x", b"\xff{")
    redis_server.client().hset("{braze-exporter}:words:shop", "y", b"[" * 4000)
    redis_server.client().hset("{braze-exporter}:words:shop", "z", b"1" * 5000)

    assert two.words(("shop", "other", "club")) == (({"a": 1},), (), ({"b": 2},))
    assert one.words(("shop",)) == ((),)
    assert one.words(()) == ()


@pytest.mark.parametrize("fault", ["stopped", "hanging", "cut", "of another kind"])
def test_whatever_redis_does_is_one_error(
    redis_server: RedisServer, fault: str
) -> None:
    """Within some seconds; and all is well when it is back."""
    with Way(redis_server) as way:
        ledger = Ledger(way.url, "one")
        ledger.beat(NOTHING)
        ways: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "stopped": (redis_server.stop, redis_server.start),
            "hanging": (redis_server.hang, redis_server.go_on),
            "cut": (way.cut, way.mend),
            "of another kind": (
                partial(spoil, redis_server),
                partial(empty, redis_server),
            ),
        }
        begin, end = ways[fault]
        begin()
        began_at = time.monotonic()

        with pytest.raises(SharedStateError):
            ledger.beat(NOTHING)

        assert time.monotonic() - began_at < 5
        end()
        until(lambda: beats(ledger))


def spoil(server: RedisServer) -> None:
    """Put something else in the place of what exporters share."""
    server.client().set("{braze-exporter}:leases", "x")


def empty(server: RedisServer) -> None:
    """Remove all that is there."""
    server.client().flushall()


def beats(ledger: Ledger) -> bool:
    """Tell whether Redis answers."""
    try:
        return ledger.beat(NOTHING).live == ("one",)
    except SharedStateError:
        return False


@pytest.mark.parametrize(
    "url",
    [
        "http://user:a-secret@redis",
        "redis://user:a-sec/ret@redis:6379",
        "redis://user:a-secret@redis:port",
        "redis://user:a-secret@redis?socket_timeout=a-secret",
        "",
    ],
)
def test_what_is_no_url_is_told_without_its_password(url: str) -> None:
    """The message says what was expected, and nothing of what was given."""
    with pytest.raises(ValueError, match="expected redis://HOST") as caught:
        Ledger(url, "one")

    assert "ret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_catalogue_is_read_when_it_is_another_one(redis_server: RedisServer) -> None:
    """Whoever has seen its version is not sent it again."""
    one, two = Ledger(redis_server.url, "one"), Ledger(redis_server.url, "two")
    before = list(two.posted({"shop": "", "app": ""}))
    one.post("shop", b"old")
    one.post("shop", b"new")

    ((name, version, content),) = two.posted({"shop": "", "app": ""})

    assert before == []
    assert (name, content) == ("shop", b"new")
    assert list(two.posted({"shop": version, "app": ""})) == []
    assert list(two.posted({})) == []


@pytest.mark.parametrize("part", ["catalogues", "versions"])
def test_a_catalogue_that_redis_dropped_is_missed(
    redis_server: RedisServer, part: str
) -> None:
    """Whole or in part: it is to be posted again."""
    ledger = Ledger(redis_server.url, "one")
    ledger.post("shop", b"content")
    was_there = ledger.has_post("shop")

    redis_server.client().delete(f"{{braze-exporter}}:{part}")

    assert was_there
    assert not ledger.has_post("shop")

"""Several exporters that share their work by a real Redis, as real processes.

Requests are counted where they arrive: at the simulator.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings
from exporter.simulator.request_log import LoggedRequest

from tests.support.daemon_process import (
    Process,
    Running,
    configuration,
    run,
    until,
    written,
)
from tests.support.redis_server import RedisServer, Way

FREE = "--web.listen-address=127.0.0.1:0"
LIST = "/campaigns/list"
DETAILS = "/campaigns/details"
DATA_SERIES = "/campaigns/data_series"
INTERVAL_SECONDS = 10.0
CAMPAIGNS = 30
CEILING = 240.0
"""Requests a minute: more than the 180 that are wanted."""
AWAY_SECONDS = 8.0
"""After so long without Redis everybody knows."""


@dataclass
class Replica:
    """One exporter with its own way to Redis."""

    process: Process
    way: Way

    @property
    def running(self) -> Running:
        """What it serves."""
        return Running(self.process.url)

    def shows_all(self, braze: Simulator) -> bool:
        """Tell whether it serves values of every campaign."""
        samples = self.running.scrape().get(
            "braze_campaign_daily_timestamp_seconds", {}
        )
        return len(samples) == len(braze.campaigns)


class Fleet:
    """Exporters that share one configuration and one Redis."""

    def __init__(self, braze: Simulator, server: RedisServer, file: str) -> None:
        self.braze = braze
        self._server = server
        self._file = file
        self._stack = ExitStack()

    def add(self) -> Replica:
        """Start one more."""
        way = self._stack.enter_context(Way(self._server))
        process = Process(
            *("--config.file", self._file, FREE),
            environment={
                "BRAZE_API_KEY": self.braze.api_key,
                "BRAZE_EXPORTER_STATE_URL": way.url,
            },
        )
        return Replica(self._stack.enter_context(process), way)

    def add_settled(self, count: int) -> list[Replica]:
        """Start some and wait until all know of each other and show all campaigns."""
        replicas = [self.add() for _ in range(count)]
        for one in replicas:
            one.running.wait_for("braze_exporter_replicas", count)
            until(partial(one.shows_all, self.braze))
        self.wait(INTERVAL_SECONDS)
        return replicas

    def wait(self, seconds: float) -> None:
        """Let Braze be asked for so long."""
        end_at = time.monotonic() + seconds
        until(
            lambda: self.braze.requests[-1].monotonic_seconds > end_at,
            seconds=seconds + 30,
        )

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextmanager
def fleet(server: RedisServer, folder: Path, **changes: object) -> Iterator[Fleet]:
    """Run a Braze, and exporters as they are added."""
    with Simulator(SimulatorSettings(campaigns=CAMPAIGNS)) as braze:
        document = configuration(
            braze,
            **{
                "interval": f"{INTERVAL_SECONDS:g}s",
                "idle_interval": f"{INTERVAL_SECONDS:g}s",
                "requests_per_minute": CEILING,
                **changes,
            },
        )
        file = written(folder / "config.yaml", document)
        with Fleet(braze, server, file) as made:
            yield made


def between(braze: Simulator, start: float, end: float) -> list[LoggedRequest]:
    """Return what arrived in between."""
    return [one for one in braze.requests if start <= one.monotonic_seconds < end]


def gaps(requests: list[LoggedRequest], start: float, end: float) -> dict[str, float]:
    """Return the longest time in which each campaign was not asked for."""
    times: dict[str, list[float]] = defaultdict(lambda: [start])
    for one in requests:
        times[one.campaign_id or ""].append(one.monotonic_seconds)
    return {
        campaign: max(later - sooner for sooner, later in pairwise([*at, end]))
        for campaign, at in times.items()
    }


Scenario = Callable[[RedisServer, Path], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(tell: Scenario) -> Scenario:
    """Note a story that takes a minute, most of it waiting: all are told at once."""
    SCENARIOS[tell.__name__] = tell
    return tell


@pytest.fixture(scope="module")
def outcomes(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], None]]:
    """Run all scenarios side by side, each with a Redis of its own."""
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        started: dict[str, Future[None]] = {}

        def play(tell: Scenario, folder: Path) -> None:
            with RedisServer(program("redis-server"), folder) as server:
                tell(server, folder)

        def outcome(name: str) -> None:
            for number, each in enumerate(() if started else SCENARIOS):
                # Short: the path of a socket has hardly more than 100 characters.
                folder = tmp_path_factory.mktemp(f"s{number}")
                started[each] = pool.submit(play, SCENARIOS[each], folder)
            started[name].result()

        yield outcome
        for future in started.values():
            future.cancel()


def per_minute(requests: list[LoggedRequest], seconds: float = 10.0) -> float:
    """Return how many requests a minute came in the busiest ten seconds."""
    times = [one.monotonic_seconds for one in requests]
    return max(sum(at <= other < at + seconds for other in times) for at in times) * (
        60 / seconds
    )


def tell(what: str, requests: list[LoggedRequest], found: dict[str, float]) -> None:
    """Print the figures, for whoever runs this with -s."""
    sys.stdout.write(
        f"\n{what}: {len(requests)} requests, busiest {per_minute(requests):.0f} a "
        f"minute, longest gap {max(found.values()):.1f} s\n"
    )


def assert_nobody_waits(
    what: str,
    asked: list[LoggedRequest],
    start: float,
    end: float,
    *,
    interval: float = INTERVAL_SECONDS,
) -> None:
    """No campaign is left out for two intervals, and all keep to one ceiling."""
    found = gaps(asked, start, end)
    tell(f"{what} in {end - start:.0f} s", asked, found)
    assert len(found) == CAMPAIGNS
    assert max(found.values()) < 2 * interval
    assert per_minute(asked) <= CEILING * 1.1


@scenario
def replicas_share_the_polls_and_serve_all(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Two ask as often as one would, and each shows every campaign."""
    with fleet(redis_server, tmp_path) as shared:
        replicas = shared.add_settled(2)
        start = time.monotonic()
        shared.wait(2 * INTERVAL_SECONDS)
        end = time.monotonic()
        asked = between(shared.braze, start, end)
        polls = [
            one.running.value("braze_exporter_polls_total", result="stored")
            for one in replicas
        ]

    found = gaps(asked, start, end)
    tell("two replicas, two intervals", asked, found)
    each = Counter(one.campaign_id for one in asked)
    assert len(each) == CAMPAIGNS
    assert set(each.values()) <= {2, 3}
    assert len(asked) <= 2 * CAMPAIGNS * 1.1
    assert all(count and count > CAMPAIGNS / 3 for count in polls), polls


@scenario
def a_replica_that_is_killed_loses_no_campaign(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Let the other take over within two intervals, and nothing be asked twice."""
    with fleet(redis_server, tmp_path) as shared:
        first, second = shared.add_settled(2)
        start = time.monotonic()
        first.process.send(signal.SIGKILL)
        shared.wait(3 * INTERVAL_SECONDS)
        end = time.monotonic()
        asked = between(shared.braze, start - INTERVAL_SECONDS, end)
        second.running.wait_for("braze_exporter_replicas", 1)
        up = second.running.scrape()["braze_campaign_up"]

    found = gaps(asked, start - INTERVAL_SECONDS, end)
    tell("kill -9 after one of four intervals", asked, found)
    assert set(up.values()) == {1.0}
    assert len(found) == CAMPAIGNS
    assert max(found.values()) < 2 * INTERVAL_SECONDS
    assert len(asked) <= 4 * CAMPAIGNS * 1.1
    assert per_minute(asked) <= CEILING * 1.1


@scenario
def a_replica_that_is_stopped_is_replaced_at_once(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Give all back: nobody waits for its leases to end."""
    with fleet(redis_server, tmp_path) as shared:
        first, _ = shared.add_settled(2)
        start = time.monotonic()
        code = first.process.end(signal.SIGTERM, seconds=8)
        shared.add()
        shared.wait(3 * INTERVAL_SECONDS)
        end = time.monotonic()
        asked = between(shared.braze, start - INTERVAL_SECONDS, end)

    found = gaps(asked, start - INTERVAL_SECONDS, end)
    tell("SIGTERM and another after one of four intervals", asked, found)
    assert code == 0
    assert len(found) == CAMPAIGNS
    assert max(found.values()) < INTERVAL_SECONDS + 5
    assert len(asked) <= 4 * CAMPAIGNS * 1.1


@scenario
def without_redis_each_polls_its_part(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Say so, ask for no campaign twice, and share again when Redis is back."""
    without_redis(redis_server, tmp_path, fault="stopped")


@scenario
def beside_a_hanging_redis_each_polls_its_part(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """As without one: it takes connections, and answers nothing."""
    without_redis(redis_server, tmp_path, fault="hanging")


def without_redis(redis_server: RedisServer, tmp_path: Path, *, fault: str) -> None:
    """Take Redis away and give it back, and look at what is asked meanwhile."""
    with fleet(redis_server, tmp_path) as shared:
        replicas = shared.add_settled(2)
        start = time.monotonic()
        if fault == "stopped":
            redis_server.stop()
        else:
            redis_server.hang()
        for one in replicas:
            one.process.wait_for_line(r"level=warn event=redis\.away .*share=1/2")
            one.running.wait_for("braze_exporter_shared_state_up", 0)
        shared.wait(2 * INTERVAL_SECONDS)
        if fault == "stopped":
            redis_server.start()
        else:
            redis_server.go_on()
        for one in replicas:
            one.process.wait_for_line(r"level=info event=redis\.back")
            one.running.wait_for("braze_exporter_shared_state_up", 1)
        shared.wait(2 * INTERVAL_SECONDS)
        end = time.monotonic()
        asked = between(shared.braze, start, end)
        shows_all = [one.shows_all(shared.braze) for one in replicas]

    assert all(shows_all)
    assert_nobody_waits(f"Redis {fault} and back", asked, start, end)
    assert len(asked) <= CAMPAIGNS * ((end - start) / INTERVAL_SECONDS + 1)


@scenario
def beside_a_slow_redis_each_polls_its_part(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """As without one: before all is heard, the leases have ended."""
    interval = 1.5 * INTERVAL_SECONDS
    rhythm = dict.fromkeys(("interval", "idle_interval"), f"{interval:g}s")
    with fleet(redis_server, tmp_path, **rhythm) as shared:
        replicas = shared.add_settled(2)
        start = time.monotonic()
        for one in replicas:
            one.way.lag_seconds = 0.9
        for one in replicas:
            one.process.wait_for_line(r"level=warn event=redis\.away ")
        shared.wait(2 * interval)
        for one in replicas:
            one.way.lag_seconds = 0.0
            one.process.wait_for_line(r"level=info event=redis\.back")
        shared.wait(2 * interval)
        end = time.monotonic()
        asked = between(shared.braze, start, end)

    assert_nobody_waits("Redis slow for a while", asked, start, end, interval=interval)


@scenario
def odd_texts_in_redis_cost_themselves(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Whoever wrote them: all else is shared on."""
    record = zlib.compress(json.dumps(odd_record()).encode())
    with fleet(redis_server, tmp_path) as shared, redis_server.client() as client:
        first, second = shared.add_settled(2)
        (words,) = client.keys("*:words:*")
        client.hset(words, "odd", json.dumps({"reset_at": 10**400, "limit": 10**400}))
        names = client.hkeys("{braze-exporter}:records")
        client.hset("{braze-exporter}:records", mapping=dict.fromkeys(names, record))
        client.zadd("{braze-exporter}:changes", {"odd": float("inf")})
        late = shared.add()
        for one in (first, second, late):
            one.running.wait_for("braze_exporter_replicas", 3)
        until(partial(late.shows_all, shared.braze))
        lines = [line for one in (first, second, late) for line in one.process.lines]

    assert not [line for line in lines if "redis.crashed" in line]
    assert not [line for line in lines if "redis.away" in line]


@scenario
def who_cannot_hear_all_polls_its_part(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Leases are renewed, but of no use to who cannot hear what goes with them."""
    with fleet(redis_server, tmp_path) as shared, redis_server.client() as client:
        (first,) = shared.add_settled(1)
        (words,) = client.keys("*:words:*")
        start = time.monotonic()
        client.delete(words)
        client.set(words, "of another type")
        second = shared.add()
        for one in (first, second):
            one.process.wait_for_line(r"event=redis\.away .*WRONGTYPE.* share=1/2")
        shared.wait(2 * INTERVAL_SECONDS)
        client.delete(words)
        for one in (first, second):
            one.process.wait_for_line(r"event=redis\.back")
        shared.wait(INTERVAL_SECONDS)
        end = time.monotonic()
        asked = between(shared.braze, start, end)

    assert_nobody_waits("words of another type for a while", asked, start, end)


def odd_record() -> dict[str, object]:
    """Return a record of no campaign that ever was."""
    instants = ("last_success_at", "failed_at", "interval_seconds")
    others = {"version": 1, "failure": None, "error": "", "snapshot": None}
    return {**others, **dict.fromkeys(instants, 10**400)}


@scenario
def one_that_is_cut_off_never_breaks_the_ceiling(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Let the other take over all, and leave it its part of the budget meanwhile."""
    with fleet(redis_server, tmp_path) as shared:
        first, second = shared.add_settled(2)
        start = time.monotonic()
        first.way.cut()
        first.process.wait_for_line(r"event=redis\.away")
        second.running.wait_for("braze_exporter_replicas", 1)
        shared.wait(2 * INTERVAL_SECONDS)
        first.way.mend()
        first.process.wait_for_line(r"event=redis\.back")
        shared.wait(3 * INTERVAL_SECONDS)
        end = time.monotonic()
        asked = between(shared.braze, start, end)
        after = between(shared.braze, end - INTERVAL_SECONDS, end)

    assert_nobody_waits("cut off and mended", asked, start, end)
    assert len(after) <= CAMPAIGNS * 1.2


@scenario
def who_never_found_redis_polls_all_in_its_part(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Of as many parts as the flag says; and shares when it finds it."""
    redis_server.stop()
    discover = {"labels": {"kind": "channels"}, "requests_per_minute": CEILING}
    with fleet(redis_server, tmp_path, discover=discover) as shared:
        one = shared.add()
        one.process.wait_for_line(r"event=redis\.away .*share=1/2")
        until(lambda: one.shows_all(shared.braze))
        until(lambda: asked_at(shared.braze, DETAILS)[CAMPAIGNS // 2 :])
        alone = [one for one in shared.braze.requests if one.path == DATA_SERIES]
        details = asked_at(shared.braze, DETAILS)
        redis_server.start()
        one.process.wait_for_line(r"event=redis\.back")
        one.running.wait_for("braze_exporter_replicas", 1)

    assert per_minute(alone) <= CEILING / 2 * 1.1
    apart = (details[-1] - details[0]) / (len(details) - 1)
    assert apart > 60 / (CEILING / 2) * 0.9


def asked_at(braze: Simulator, path: str) -> list[float]:
    """Return when requests for a path arrived."""
    return [one.monotonic_seconds for one in braze.requests if one.path == path]


@scenario
def a_429_stops_all(redis_server: RedisServer, tmp_path: Path) -> None:
    """Let what Braze tells one be known to the other within a second or two."""
    with fleet(redis_server, tmp_path) as shared:
        shared.add_settled(2)
        reset_at = time.time() + 15
        fault = Fault(status=429, headers={"X-RateLimit-Reset": str(round(reset_at))})
        shared.braze.set_fault(fault, count=1)
        until(lambda: any(one.status == 429 for one in shared.braze.requests))
        told_at = time.monotonic()
        shared.wait(20)
        quiet = between(shared.braze, told_at + 2.5, told_at + 12)

    assert quiet == []


@scenario
def one_of_all_reads_the_list(redis_server: RedisServer, tmp_path: Path) -> None:
    """Let the others know of every campaign by it, and take over when it is gone."""
    discover = {"include_drafts": True, "list_interval": "5m"}
    catalogues = [f"{{braze-exporter}}:{one}" for one in ("catalogues", "versions")]
    with (
        fleet(redis_server, tmp_path, campaigns=[], discover=discover) as shared,
        redis_server.client() as client,
    ):
        ids = {one.id for one in shared.braze.campaigns if not one.is_archived}
        replicas = [shared.add() for _ in range(3)]
        for one in replicas:
            until(partial(shows, one, ids))
        lists = [one for one in shared.braze.requests if one.path == LIST]
        client.delete(*catalogues)  # as a Redis does that needs room
        until(lambda: client.exists(*catalogues) == len(catalogues))
        replicas[0].process.end(signal.SIGTERM, seconds=8)
        late = shared.add()
        until(partial(shows, late, ids))
        later = [one for one in shared.braze.requests if one.path == LIST]

    assert len({one.query for one in lists}) == len(lists), lists
    assert len(later) == len(lists)


def shows(replica: Replica, ids: set[str]) -> bool:
    """Tell whether an exporter knows all of these and has values of them."""
    scrape = replica.running.scrape()
    infos = scrape.get("braze_campaign_info", {})
    ups = scrape.get("braze_campaign_up", {})
    known = {dict(labels)["campaign_id"] for labels in infos}
    return known == ids and len(ups) == len(ids)


@pytest.mark.parametrize("name", SCENARIOS)
def test_several_exporters_are_as_one(
    outcomes: Callable[[str], None], name: str
) -> None:
    """What is expected of each scenario is said where it is told."""
    outcomes(name)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--state.path=kept",), "expected --state.url or --state.path, not both"),
        (
            ("--shard=0", "--total-shards=2"),
            "expected --state.url or --shard, not both",
        ),
        (("--state.replicas=0",), "--state.replicas is '0', expected 1 to 100"),
        (("--state.replicas=two",), "--state.replicas is 'two', expected 1 to 100"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    flags: tuple[str, ...], complaint: str
) -> None:
    """Before anything starts."""
    url = "redis://:a-secret@127.0.0.1:1/0"

    ended = run(
        *("--config.file", "config.example.yaml", *flags),
        environment={"BRAZE_EXPORTER_STATE_URL": url},
    )

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "a-secret" not in ended.stderr


def test_a_password_is_in_no_line_of_the_log(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Neither of Redis's refusal of it."""
    redis_server.client().config_set("requirepass", "a-real-secret")
    with Simulator() as braze:
        file = written(tmp_path / "config.yaml", configuration(braze))
        url = f"unix://:a-wrong-secret@{redis_server.path}"
        environment = {
            "BRAZE_API_KEY": braze.api_key,
            "BRAZE_EXPORTER_STATE_URL": url,
        }
        flags = ("--config.file", file, FREE, "--log.level=debug")
        with Process(*flags, environment=environment) as one:
            line = one.wait_for_line(r"event=redis\.away .*").string
            pages = "".join(
                Running(one.url).get(path)[1] for path in ("/", "/config", "/metrics")
            )
            one.end(signal.SIGTERM, seconds=8)

    assert "AuthenticationError" in line
    assert "secret" not in "\n".join(one.lines)
    assert "secret" not in pages

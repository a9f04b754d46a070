"""Polls of series of the workspace: each endpoint has its permission and bucket."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from exporter.braze.responses import Body, BrazeResponse
from exporter.model.config import Config
from exporter.model.errors import FetchError, KeyRefused, ObjectRefused, Unavailable
from exporter.polling.kinds import KINDS, SERIES, Kind
from exporter.polling.plan import plan
from exporter.polling.sharding import Shard, divide_ceilings
from exporter.series.kept import Kept
from exporter.storage.sqlite_state import SqliteState

from tests.support.bodies import body_of
from tests.support.fake_clock import NOW, FakeClock
from tests.support.object_keys import key
from tests.support.polling_world import (
    WRONG_KEY,
    FakeBraze,
    PollingWorld,
    config,
    failure,
    workspace,
)

HOUR = 3600.0
FORBIDDEN = failure(KeyRefused, "forbidden", status=403)
NOT_TRACKED = failure(ObjectRefused, "bad_request", status=400)
DOWN = failure(Unavailable, "server_error", status=503)
VIP = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"
ALL: dict[str, Any] = {
    "kpi": ["dau", "mau", "new_users", "uninstalls"],
    "sessions": True,
    "purchases": ["revenue", "quantity"],
    "segments": [{"id": VIP, "name": "VIP"}],
    "events": [{"name": "order"}, {"name": "order", "unit": "day"}],
    "broadcasts": True,
    "data_ingestion": True,
}
TITLES = {
    *("dau", "mau", "new_users", "uninstalls", "sessions", "purchase_revenue"),
    *("purchases", "segment VIP", "event order hour", "event order day"),
    *("broadcasts", "data_ingestion"),
}
DAYS = [{"time": f"2025-06-{day:02}"} for day in range(1, 16)]
"""Until the day of `NOW`."""


def counted(field: str) -> dict[str, object]:
    return {"message": "success", "data": [{**day, field: 3} for day in DAYS]}


def integrations(*names: str) -> dict[str, object]:
    return {
        "results": [
            {
                "integration_id": f"id of {name}",
                "integration_name": name,
                "last_job_status": "success",
                "last_job_start_time": "2025-06-15T12:00:00Z",
                "contact_emails": "team@example.com",
            }
            for name in names
        ]
    }


DOCUMENTS: Mapping[str, object] = {
    "kpi/dau/data_series": counted("dau"),
    "kpi/mau/data_series": counted("mau"),
    "kpi/new_users/data_series": counted("new_users"),
    "kpi/uninstalls/data_series": counted("uninstalls"),
    "sessions/data_series": counted("sessions"),
    "purchases/revenue_series": counted("revenue"),
    "purchases/quantity_series": counted("purchase_quantity"),
    "segments/data_series": counted("size"),
    "events/data_series": {
        "data": [{"time": "2025-06-15T14:00:00Z", "count": 3}, {**DAYS[13], "count": 3}]
    },
    "messages/scheduled_broadcasts": {
        "scheduled_broadcasts": [
            {
                "id": "c",
                "name": "Sale",
                "type": "Campaign",
                "next_send_time": "2025-06-16T09:00:00Z",
            }
        ]
    },
    "cdi/integrations": integrations("Users"),
}


class SeriesBraze(FakeBraze):
    """Returns the document of each endpoint, or what a test puts in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.now: Callable[[], float] = lambda: NOW
        self.by_path: dict[str, object] = {**DOCUMENTS}
        self.asked: list[tuple[float, str, Mapping[str, str | int]]] = []
        """(time, path, parameters) of each request."""
        self.pages: list[object] = []
        """Those of the list of integrations, in place of its only one."""

    def fetch(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Any = Body.document,
        cached: Any = lambda _: None,
    ) -> BrazeResponse:
        name = path.strip("/")
        self.asked.append((self.now(), name, params))
        if name in {"campaigns/data_series", "canvas/data_series"}:
            return super().fetch(path, params, parse, cached)
        response, cursor = self.by_path[name], ""
        if name == "cdi/integrations" and self.pages:
            number = int(params.get("cursor", 0))
            response = self.pages[number]
            cursor = f"{number + 1}" if number + 1 < len(self.pages) else ""
        during, self.during = self.during, lambda: None
        during()
        if isinstance(response, FetchError):
            raise response
        digest = hash(repr(response))
        document = cached(digest) or parse(body_of(response))
        return BrazeResponse(
            document, 200, self.headers, digest=digest, next_cursor=cursor
        )

    def paths(self, since: float = 0.0) -> Counter[str]:
        return Counter(path for at, path, _ in self.asked if at >= since)


class SeriesWorld(PollingWorld):
    """A workspace with all series, unless others are given."""

    braze: SeriesBraze

    def __init__(
        self,
        series: Mapping[str, Any] | None = None,
        *,
        kept: Mapping[Any, Kept] | None = None,
        clock: FakeClock | None = None,
        **changes: object,
    ) -> None:
        super().__init__(clock=clock)
        self.braze = SeriesBraze()
        self.braze.now = lambda: self.clock.time
        self.apply(with_series(series or ALL, **changes), kept)

    def lines(self, begin: str = "braze_") -> dict[str, float]:
        """Return the samples of series by their text."""
        rows = (
            line.rpartition(" ")
            for line in self.page().splitlines()
            if line.startswith(begin) and "exporter" not in line
        )
        return {name: float(value) for name, _, value in rows}

    def up(self) -> dict[str, float]:
        """Return the state of the polls by series."""
        states = self.lines("braze_workspace_series_up")
        return {name.split('"')[-2]: value for name, value in states.items()}


def with_series(series: Mapping[str, Any], **changes: object) -> Config:
    return config(workspace("", campaigns=[], series=dict(series), **changes))


def failing(world: SeriesWorld) -> set[str]:
    return {name for name, state in world.up().items() if not state}


def test_each_named_series_is_requested_as_braze_wants_it() -> None:
    world = SeriesWorld()

    world.run(until=NOW + 60)

    queries = {
        (path, tuple(sorted(query.items()))) for _, path, query in world.braze.asked
    }
    days = (("length", 30),)
    assert queries == {
        ("kpi/dau/data_series", days),
        ("kpi/mau/data_series", days),
        ("kpi/new_users/data_series", days),
        ("kpi/uninstalls/data_series", days),
        ("sessions/data_series", days),
        ("purchases/revenue_series", days),
        ("purchases/quantity_series", days),
        ("segments/data_series", (("length", 3), ("segment_id", VIP))),
        ("events/data_series", (("event", "order"), ("length", 48), ("unit", "hour"))),
        ("events/data_series", (("event", "order"), ("length", 7), ("unit", "day"))),
        ("messages/scheduled_broadcasts", (("end_time", "2025-07-15T00:00:00Z"),)),
        ("cdi/integrations", ()),
    }
    assert world.up() == dict.fromkeys(TITLES, 1)


@pytest.mark.parametrize("windows", [[], ["7d"], ["98d"]])
def test_days_are_requested_for_the_longest_window(windows: list[str]) -> None:
    world = SeriesWorld({"sessions": True})
    found = config(
        workspace("", campaigns=[], series={"sessions": True}), windows=windows
    )

    world.apply(found)
    world.run(until=NOW + 1000)

    length = int(windows[0][:-1]) + 2 if windows else 2
    assert world.braze.asked[-1][2] == {"length": length}


def test_what_is_served_of_each_series() -> None:
    world = SeriesWorld()
    world.run(until=NOW + 60)

    found = world.lines()

    head = 'workspace="shop"'
    for metric in ("dau", "new_users", "uninstalls", "sessions", "purchases"):
        labels = f'{head},metric="{metric}"'
        assert found[f"braze_workspace_daily{{{labels}}}"] == 3
        assert found[f"braze_workspace_last_complete_day{{{labels}}}"] == 3
        assert found[f'braze_workspace_trailing{{{labels},window="7d"}}'] == 21
    assert found[f'braze_workspace_daily{{{head},metric="mau"}}'] == 3
    assert not [one for one in found if "trailing" in one and "mau" in one]
    assert found[f'braze_segment_size{{{head},segment="VIP"}}'] == 3
    for unit in ("hour", "day"):
        labels = f'{head},event="order",unit="{unit}"'
        assert found[f"braze_event_count{{{labels}}}"] == 3
    family = "braze_broadcast_next_send_timestamp_seconds"
    labels = f'{head},kind="campaign",name="Sale"'
    assert found[f"{family}{{{labels}}}"] == 1750064400
    labels = f'{head},integration="Users"'
    family = "braze_data_ingestion_last_sync_timestamp_seconds"
    assert found[f"{family}{{{labels}}}"] == 1749988800
    labels = f'{head},integration="Users",status="success"'
    assert found[f"braze_data_ingestion_status_info{{{labels}}}"] == 1
    assert not [one for one in found if "_info{" in one and "status_info" not in one]
    assert "example.com" not in world.page()


@pytest.mark.parametrize("kind", SERIES, ids=[one.name for one in SERIES])
def test_a_missing_permission_stops_its_series_alone(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """The others go on; the pause is logged once, and ends when Braze answers again."""
    caplog.set_level(logging.INFO, logger="exporter")
    world = SeriesWorld()
    world.braze.by_path[kind.path] = FORBIDDEN
    world.run(until=NOW + 2 * HOUR)
    titles = {kind.title(one) for one in world.group(kind).objects.values()}
    reasons = world.lines("braze_workspace_series_failure_info")
    paused = [one for one in caplog.records if one.getMessage() == "workspace.paused"]
    asked = world.braze.paths()

    world.braze.by_path[kind.path] = DOCUMENTS[kind.path]
    world.run(until=NOW + 4 * HOUR)

    assert {name.split('"')[3] for name in reasons} == titles
    assert all('reason="forbidden"' in name for name in reasons)
    assert len(paused) == 1
    assert vars(paused[0])["fields"]["kind"] == kind.name
    assert all(
        asked[path] >= (4 if "purchases" in path else 8)
        for path in set(DOCUMENTS) - {kind.path}
    )
    assert failing(world) == set()


def test_a_refused_key_stops_all_of_them() -> None:
    world = SeriesWorld()
    world.run(until=NOW + 60)
    world.braze.by_path = dict.fromkeys(DOCUMENTS, WRONG_KEY)

    world.run(until=NOW + HOUR)

    assert failing(world) == TITLES
    assert world.lines("braze_segment_size")


def test_a_segment_without_analytics_tracking_is_logged_once_and_fails_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is polled at the slow rate, in case that tracking is turned on."""
    caplog.set_level(logging.INFO, logger="exporter")
    segments = [{"id": VIP, "name": "VIP"}, {"id": VIP[::-1], "name": "Others"}]
    world = SeriesWorld({"segments": segments, "kpi": ["dau"]})
    sizes = world.braze.by_path["segments/data_series"]
    fetch = world.braze.fetch

    def fetch_tracked(path: str, params: Any, *others: Any) -> BrazeResponse:
        is_tracked = params.get("segment_id") != VIP
        world.braze.by_path["segments/data_series"] = (
            sizes if is_tracked else NOT_TRACKED
        )
        return fetch(path, params, *others)

    world.braze.fetch = fetch_tracked  # type: ignore[assignment, method-assign]  # of one object
    world.run(until=NOW + 24 * HOUR)

    failed = [one for one in caplog.records if one.getMessage() == "poll.failed"]
    requests = Counter(query.get("segment_id") for _, _, query in world.braze.asked)
    assert failing(world) == {"segment VIP"}
    assert len(failed) == 1
    assert vars(failed[0])["fields"]["series"] == "segment VIP"
    assert 24 <= requests[VIP] <= 26
    assert 95 <= requests[VIP[::-1]] <= 97


def test_requests_of_an_hour_are_those_of_the_plan() -> None:
    """Purchases are polled every 30 minutes at most, all else at the interval."""
    world = SeriesWorld({**ALL, "interval": "10m"})
    world.run(until=NOW + 12 * HOUR)

    asked = world.braze.paths(since=NOW + HOUR)

    for group in world.workspaces.groups.values():
        planned = group.plan.planned_per_minute * 60 * 11
        assert asked[group.kind.path] == pytest.approx(planned, abs=2)
    assert asked["purchases/revenue_series"] == pytest.approx(22, abs=1)
    assert asked["kpi/dau/data_series"] == pytest.approx(66, abs=1)


CANVASES = [{"id": f"c{number}", "name": f"Canvas {number}"} for number in range(60)]


def test_canvases_and_series_of_one_bucket_are_stretched_alike() -> None:
    """They want 4.6 requests a minute and share 2 of them."""
    events = [{"name": f"event {number}"} for number in range(8)]
    world = SeriesWorld(
        {"events": events, "kpi": ["dau"]},
        canvases=CANVASES,
        shared_requests_per_minute=2,
    )
    world.run(until=NOW + 12 * HOUR)

    asked = world.braze.paths(since=NOW + 2 * HOUR)
    plans = {one.kind.name: one.idle.plan for one in world.workspaces.groups_of("shop")}
    hourly = {path: number / 10 for path, number in asked.items()}

    stretches = [plans[name].stretch for name in ("canvas", "event", "dau")]
    assert stretches == pytest.approx([stretches[0]] * 3)
    assert sum(hourly.values()) == pytest.approx(2 * 60 / 1.01, rel=0.05)
    assert hourly["events/data_series"] == pytest.approx(8 * 4 / stretches[0], rel=0.1)
    assert world.metric("series_interval_stretch", kind="dau") == pytest.approx(
        stretches[0]
    )
    assert not plans["event"].can_detect_idle


def test_what_is_alone_in_its_bucket_has_all_of_its_ceiling() -> None:
    """Canvases have what they had without series if there are none in their bucket."""
    both = with_series({"purchases": ["revenue"]}, canvases=CANVASES)
    alone = config(workspace("", campaigns=[], canvases=CANVASES))

    found = {one.kind.name: one for one in plan(both)}
    (canvases,) = (one for one in plan(alone) if one.kind.name == "canvas")

    assert found["canvas"].ceiling_per_minute == canvases.ceiling_per_minute == 60
    assert found["canvas"].needed_per_minute == canvases.needed_per_minute
    assert found["canvas"].spacing_seconds == canvases.spacing_seconds


def test_the_ceilings_without_an_option_are_divided_among_processes() -> None:
    found = with_series(ALL)
    whole, part = (
        {one.kind.name: one.ceiling_per_minute for one in plan(each)}
        for each in (found, divide_ceilings(found, 4))
    )

    assert {name: 4 * rate for name, rate in part.items()} == pytest.approx(whole)


def test_each_series_is_of_one_shard() -> None:
    (shop,) = with_series(ALL).workspaces
    parts = [Shard(number, 3).part(shop) for number in range(3)]

    counts = Counter(
        (kind.name, one.id)
        for part in parts
        for kind in KINDS
        for one in kind.objects(part)
    )

    assert set(counts.values()) == {1}
    assert len(counts) == len(TITLES)


PAGES: list[object] = [integrations("A", "B"), integrations("C"), integrations("D")]


def served_integrations(world: SeriesWorld) -> list[str]:
    found = world.lines("braze_data_ingestion_status_info")
    return sorted(name.split('"')[3] for name in found)


def test_all_pages_of_integrations_are_read_before_any_is_served() -> None:
    """Each page is one request, after the one before and not too soon."""
    world = SeriesWorld({"data_ingestion": True})
    world.braze.pages = list(PAGES)
    world.run(until=NOW + 7)
    early = served_integrations(world)

    world.run(until=NOW + 60)

    cursors = [query.get("cursor") for _, _, query in world.braze.asked]
    times = [at for at, _, _ in world.braze.asked]
    assert early == []
    assert cursors == [None, "1", "2"]
    assert all(after - before >= 6 for before, after in pairwise(times))
    assert served_integrations(world) == ["A", "B", "C", "D"]
    assert world.metric("polls_total", result="stored") == 1
    assert world.metric("polls_total", result="deferred") == 0


@pytest.mark.parametrize("fault", [NOT_TRACKED, {"results": None}, DOWN])
def test_a_page_that_fails_keeps_what_all_pages_had(fault: object) -> None:
    world = SeriesWorld({"data_ingestion": True})
    world.braze.pages = list(PAGES)
    world.run(until=NOW + 60)

    world.braze.pages = [PAGES[0], fault, PAGES[2]]
    world.run(until=NOW + 1100)
    during = served_integrations(world), failing(world)
    world.braze.pages = PAGES[1:]
    world.run(until=NOW + 2 * HOUR)

    assert during == (["A", "B", "C", "D"], {"data_ingestion"})
    assert (served_integrations(world), failing(world)) == (["C", "D"], set())


def test_pages_without_end_are_a_failed_poll() -> None:
    world = SeriesWorld({"data_ingestion": True})
    world.braze.pages = [integrations(f"N{number}") for number in range(200)]

    world.run(until=NOW + 600)

    assert world.up() == {"data_ingestion": 0}
    assert world.braze.paths()["cdi/integrations"] == 50
    assert world.metric("polls_total", result="malformed") == 1


def test_series_survive_a_restart(tmp_path: Path) -> None:
    """What was served is served at once, with the same labels."""
    world = SeriesWorld()
    world.run(until=NOW + 60)
    kept = {
        entry.key: Kept(NOW + 60, None, entry.last_read)
        for entry in world.store.entries()
        if entry.last_read
    }
    path = tmp_path / "state.sqlite"
    SqliteState(path).save(kept, [])

    clock = FakeClock(NOW + 120)
    again = SeriesWorld(kept=SqliteState(path).load(), clock=clock)

    before, after = (
        {name: value for name, value in one.lines().items() if "success" not in name}
        for one in (world, again)
    )
    assert again.braze.asked == []
    assert after == before


def test_a_renamed_segment_has_its_new_label_at_once() -> None:
    world = SeriesWorld({"segments": [{"id": VIP, "name": "VIP"}]})
    world.run(until=NOW + 60)

    world.apply(with_series({"segments": [{"id": VIP, "name": "Best"}]}))

    sizes = 'braze_segment_size{workspace="shop",segment="Best"}'
    assert list(world.lines("braze_segment")) == [sizes]
    assert world.up() == {"segment Best": 1}


def test_series_that_leave_the_configuration_leave_whole() -> None:
    world = SeriesWorld()
    world.run(until=NOW + 60)

    world.apply(with_series({"sessions": True}))

    assert world.up() == {"sessions": 1}
    assert all('"sessions"' in name for name in world.lines())
    assert re.findall(r'braze_exporter_series_\w+{kind="(\w+)"', world.page()) == [
        *("sessions", "sessions")
    ]


def test_values_leave_when_they_are_stale() -> None:
    world = SeriesWorld({"segments": [{"id": VIP, "name": "VIP"}]})
    world.run(until=NOW + 60)
    world.braze.by_path["segments/data_series"] = DOWN

    world.run(until=NOW + 2 * HOUR)
    world.store.expire(now=world.clock.now())

    assert world.lines("braze_segment") == {}
    assert world.up() == {"segment VIP": 0}


def test_an_hour_that_ended_is_counted_even_if_the_document_is_the_same() -> None:
    """A document that is known is not read again for campaigns."""
    world = SeriesWorld({"events": [{"name": "order"}]})
    rows = [
        {"time": "2025-06-15T14:00:00Z", "count": 14},
        {"time": "2025-06-15T15:00:00Z", "count": 15},
    ]
    world.braze.by_path["events/data_series"] = {"data": rows}
    world.run(until=NOW + 60)
    before = list(world.lines("braze_event_count").values())

    world.run(until=NOW + 2 * HOUR)

    assert before == [14]
    assert list(world.lines("braze_event_count").values()) == [15]
    assert key("hour/order", kind="event") in {one.key for one in world.store.entries()}

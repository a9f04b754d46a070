"""`braze-exporter backfill`: from a simulated Braze into a real Prometheus."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest
from exporter.backfill import openmetrics
from exporter.commands.backfill import step_advice
from exporter.metrics.families import BY_KIND, CAMPAIGN
from exporter.metrics.series_families import WITH_HISTORY
from exporter.simulator import (
    ALL_PERMISSIONS,
    Campaign,
    Canvas,
    Simulator,
    SimulatorSettings,
)

from tests.dashboards import dashboard_json
from tests.support import naive_canvas_oracle, naive_oracle
from tests.support.command_line import invoke
from tests.support.daemon_process import (
    PATIENCE_SECONDS,
    Process,
    clean_environment,
    configuration,
    daemon,
    get,
    listed,
    parsed,
    until,
    written,
)
from tests.support.naive_oracle import first_instant
from tests.support.prometheus import configuration as scraping
from tests.support.prometheus import prometheus
from tests.support.scripted_peer import closed_port
from tests.system.test_workspace_series import every_series, shown, simulated
from tests.unit.backfill.test_openmetrics import Series, read

NEW_YORK = ZoneInfo("America/New_York")
FAMILIES = {family.name for family in openmetrics.families_of(CAMPAIGN)}
SERIES_FAMILIES = {family.name for family in WITH_HISTORY}
BEGAN = "braze_campaign_last_complete_day_timestamp_seconds"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def braze() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(timezone=NEW_YORK.key)) as simulator:
        yield simulator


class BackfillRun:
    """A directory with a configuration, and the command that uses it."""

    def __init__(self, directory: Path, braze: Simulator, count: int = 3) -> None:
        self.braze = braze
        self.campaigns = braze.campaigns[:count]
        self.output = directory / "history.om"
        self.cache = directory / "history.om.pages"
        self._directory = directory
        self.key = braze.api_key
        self.configure()

    def configure(
        self,
        *campaigns: Campaign,
        unknown: bool = False,
        windows: Sequence[str] = ("7d", "28d"),
        **changes: Any,
    ) -> None:
        """Write a configuration of some campaigns, and of one that does not exist."""
        listed = [{"id": UNKNOWN_ID, "name": "Gone"}] if unknown else []
        listed += [
            {"id": one.id, "name": one.name} for one in campaigns or self.campaigns
        ]
        timezone = self.braze.settings.timezone
        options = {
            "campaigns": listed,
            "timezone": timezone,
            "shared_requests_per_minute": 4000,
            **changes,
        }
        document = configuration(self.braze, **options) | {"windows": list(windows)}
        self._file = written(self._directory / "config.yaml", document)

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("backfill", "--config.file", self._file, "--output", str(self.output))

    @property
    def environment(self) -> dict[str, str]:
        return {"BRAZE_API_KEY": self.key}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return invoke(*self.arguments, *arguments, environment=self.environment)

    def series(self) -> Series:
        return read(self.output.read_text(encoding="utf-8"))

    def files(self) -> set[str]:
        """Return the names of files beside the configuration."""
        return {one.name for one in self._directory.iterdir()} - {"config.yaml"}

    def requests(self) -> list[tuple[str | None, str]]:
        """Return campaign id and end of each request to Braze."""
        return [
            (one.campaign_id, parse_qs(one.query).get("ending_at", [""])[0])
            for one in self.braze.requests
        ]

    def create_blocks(self, promtool: str) -> None:
        flags = ("tsdb", "create-blocks-from", "openmetrics")
        paths = (str(self.output), str(self._directory / "data"))
        command = (promtool, *flags, "--max-block-duration=1458h", *paths)
        loaded = subprocess.run(command, capture_output=True, text=True, check=False)
        assert loaded.returncode == 0, loaded.stderr


@pytest.fixture
def backfill(tmp_path: Path, braze: Simulator) -> BackfillRun:
    return BackfillRun(tmp_path, braze)


def last_complete_day(at: float) -> date:
    return datetime.fromtimestamp(at, NEW_YORK).date() - timedelta(days=1)


def stored(url: str, query: str) -> Series:
    """Return the stored samples of each series that a selector matches."""
    _, _, body = get(f"{url}/api/v1/query?{urlencode({'query': query})}")
    found: Series = {}
    for series in json.loads(body)["data"]["result"]:
        labels = dict(series["metric"])
        key = (labels.pop("__name__"), frozenset(labels.items()))
        found[key] = [(float(at), float(value)) for at, value in series["values"]]
    return found


@pytest.mark.slow
def test_a_year_in_prometheus_equals_the_file(
    backfill: BackfillRun, program: Callable[[str], str], tmp_path: Path
) -> None:
    """Every sample of every day, in a zone with summer time."""
    promtool, server = program("promtool"), program("prometheus")

    ended = backfill.run("--days=365", "--step=6h")

    assert ended.returncode == 0, ended.stderr
    backfill.create_blocks(promtool)
    keep = "--storage.tsdb.retention.time=100y"
    target = f"127.0.0.1:{closed_port()}"
    written_ = backfill.series()
    with prometheus(server, scraping(target), where=tmp_path, flags=[keep]) as url:
        for name in {name for name, _ in written_}:
            expected = {key: each for key, each in written_.items() if key[0] == name}
            assert stored(url, f"{name}[400d]") == expected
    # Yesterday has samples from three hours after midnight on.
    newest = last_complete_day(time.time() - 3 * 3600)
    late = last_complete_day(time.time()) - newest
    days = {newest - timedelta(days=n) for n in range(365 - late.days)}
    began = [each for (name, _), each in written_.items() if name == BEGAN]
    assert len(began) == len(backfill.campaigns)
    for samples in began:
        assert {last_complete_day(at) for at, _ in samples} == days


@pytest.mark.slow
def test_the_dashboards_show_the_history(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    """Every query of families in the file has a result for a past day, 28 days too."""
    promtool, server = program("promtool"), program("prometheus")
    queries = [
        one.expression
        for name in dashboard_json.NAMES
        for one in dashboard_json.queries(name)
        if is_in_history(one.expression)
    ]
    with Simulator() as braze:
        backfill = BackfillRun(tmp_path, braze, len(braze.campaigns))
        backfill.configure(
            requests_per_minute=60_000,
            canvases=[one | {"steps": True} for one in listed(braze.canvases)],
            series=every_series(braze),
        )
        ended = backfill.run("--days=34", "--step=1h")
    backfill.create_blocks(promtool)
    target = f"127.0.0.1:{closed_port()}"
    at = (time.time() // 3600 - 3 * 24) * 3600

    with prometheus(server, scraping(target), where=tmp_path) as url:
        empty = []
        for query in queries:
            parameters = {
                "query": dashboard_json.filled(query, {"__to": str(int(at))}),
                "time": at,
            }
            _, _, body = get(f"{url}/api/v1/query?{urlencode(parameters)}")
            if not json.loads(body)["data"]["result"]:
                empty.append(query)

    assert ended.returncode == 0, ended.stderr
    assert len(queries) > 100
    assert empty == []


def is_in_history(expression: str) -> bool:
    """Return whether a query is of families in the file, and of nothing else."""
    kinds = BY_KIND.values()
    every = {family.name for kind in kinds for family in kind.all}
    written_ = {one.name for kind in kinds for one in openmetrics.families_of(kind)}
    named = [
        {family for family in every if re.fullmatch(one.name, family)}
        for one in dashboard_json.selectors(expression)
    ]
    return bool(named) and all(found and found <= written_ for found in named)


def test_a_few_days_have_no_gap(backfill: BackfillRun) -> None:
    """A sample every five minutes, up to three hours ago."""
    now = time.time()
    backfill.configure(windows=["1d", "2d"])

    ended = backfill.run("--days", "3", "--campaign", backfill.campaigns[1].name)

    assert ended.returncode == 0, ended.stderr
    found = backfill.series()
    assert {name for name, _ in found} == FAMILIES
    first = last_complete_day(now) - timedelta(days=1)
    for (_, labels), samples in found.items():
        times = [at for at, _ in samples]
        # The window of two days needs both of them.
        late = timedelta(days=("window", "2d") in labels)
        assert times[0] == first_instant(first + late, NEW_YORK)
        assert {b - a for a, b in pairwise(times)} == {300.0}
        assert now - 3 * 3600 - 310 < times[-1] <= time.time() - 3 * 3600
        assert ("job", "braze-exporter") in labels
    assert backfill.files() == {"history.om"}


def test_a_killed_run_is_resumed(backfill: BackfillRun) -> None:
    """Cached pages are not requested again."""
    backfill.configure(requests_per_minute=120)
    with Process(
        *(*backfill.arguments, "--days=365", "--step=1d"),
        environment=backfill.environment,
    ) as process:
        until(lambda: len(list(backfill.cache.glob("*.json"))) > 4)
        assert not backfill.output.exists()
        process.end(signal.SIGKILL, seconds=PATIENCE_SECONDS)
    before = backfill.requests()
    cached = len(list(backfill.cache.glob("*.json"))) - 1
    backfill.configure()

    ended = backfill.run("--days=365", "--step=1d")

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("resuming the run that started ")
    assert "pages downloaded: 12 of 12 (100 %)\n" in ended.stderr
    after = backfill.requests()[len(before) :]
    assert len(after) == 12 - cached
    assert len(set(before + after)) == 12
    assert len(before) - cached in {0, 1}  # one may have been in flight
    assert backfill.files() == {"history.om"}


def test_a_coarse_step_has_advice() -> None:
    """With the size of an hourly file; at 6 h a day has 8 samples."""
    advice = step_advice(10**9, step_seconds=21600)

    assert "--step 1h shows more" in advice
    assert advice.endswith("about 3.0 GB")


def test_a_refused_key_keeps_the_previous_file(backfill: BackfillRun) -> None:
    """Exit code 1 after one request; the key is not printed."""
    backfill.output.write_text("of last week")
    backfill.key = "secret-api-key"

    ended = backfill.run()

    assert ended.returncode == 1
    assert "HTTP 401" in ended.stderr
    assert ended.stderr.endswith("stopped: run the command again to resume\n")
    assert "environment variable BRAZE_API_KEY" in ended.stderr
    assert backfill.key not in ended.stderr
    assert len(backfill.braze.requests) == 1
    assert backfill.output.read_text() == "of last week"


def test_a_missing_permission_of_discovery_is_reported(tmp_path: Path) -> None:
    missing = "campaigns.details"
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        backfill = BackfillRun(tmp_path, braze)
        backfill.configure(campaigns=[], discover={})

        ended = backfill.run("--days", "2")

    assert ended.returncode == 1
    assert f"needs the permission {missing}" in ended.stderr
    assert ended.stderr.endswith("stopped: run the command again to resume\n")
    assert not backfill.output.exists()


def test_missing_campaigns_are_retried_by_the_next_run(backfill: BackfillRun) -> None:
    """One is unknown to Braze, then a cached page of another is damaged."""
    first, second = backfill.campaigns[:2]
    backfill.configure(first, second, unknown=True)

    unknown = backfill.run("--days=2", "--step=1h")
    page = next(one for one in backfill.cache.glob("*.json") if one.stem != "begun")
    page.write_text("{")
    backfill.configure(first, second)
    damaged = backfill.run("--days=2", "--step=1h")
    repaired = backfill.run("--days=2", "--step=1h")

    codes = [one.returncode for one in (unknown, damaged, repaired)]
    assert codes == [1, 1, 0]
    line = f"workspace production, campaign Gone ({UNKNOWN_ID}): HTTP 400"
    assert line in unknown.stderr
    assert "1 of 3 campaigns are missing" in unknown.stderr
    assert unknown.stderr.endswith("within 12 h to retry only these\n")
    assert "a cached page cannot be read" in damaged.stderr
    assert "1 of 2 campaigns are missing" in damaged.stderr
    found = {dict(labels)["campaign"] for _, labels in backfill.series()}
    assert found == {first.name, second.name}
    assert len(backfill.requests()) == 4
    assert backfill.files() == {"history.om"}


def documents(braze: Simulator, canvas: Canvas, days: int) -> list[Any]:
    """Return the rows of the days up to today, newest first, without overlap."""
    rows = []
    flags = ("variant_breakdown", "step_breakdown", "deleted_step_data")
    for done in range(0, days, 14):
        end = datetime.now(NEW_YORK) - timedelta(days=done, minutes=1)
        query = {"canvas_id": canvas.id, "length": 14, "ending_at": end.isoformat()}
        query |= dict.fromkeys((f"include_{one}" for one in flags), "true")
        _, _, body = get(
            f"{braze.url}/canvas/data_series?{urlencode(query)}",
            headers={"Authorization": f"Bearer {braze.api_key}"},
        )
        rows += reversed(json.loads(body)["data"]["stats"])
    return rows


def test_the_history_of_canvases_has_their_days_and_sums(
    backfill: BackfillRun, braze: Simulator
) -> None:
    """As the naive oracle reads the simulator's documents; steps where configured.

    The 40 days are in four requests.
    """
    canvases = braze.canvases[:3]
    (stepless, *others) = listed(canvases)
    with_steps = [one | {"steps": True} for one in others]
    backfill.configure(canvases=[stepless, *with_steps], campaigns=[])

    ended = backfill.run("--days=40", "--step=1d")

    assert ended.returncode == 0, ended.stderr
    asked = [one.object_id for one in braze.requests]
    assert {one: asked.count(one) for one in asked} == {one.id: 4 for one in canvases}
    written_ = backfill.series()
    yesterday = last_complete_day(time.time())
    for canvas in canvases:
        rows = {
            date.fromisoformat(one["time"]): one for one in documents(braze, canvas, 56)
        }
        for age in (0, 3, 12, 13, 33, 34, 39):
            day = yesterday - timedelta(days=age)
            windows = tuple(one for one in (7, 28) if age + one <= 40)
            expected = naive_canvas_oracle.expected(
                {"data": {"stats": [one for at, one in rows.items() if at <= day]}},
                today=day + timedelta(days=1),
                timezone=NEW_YORK,
                windows=windows,
                subject={
                    "workspace": "production",
                    "canvas": canvas.name,
                    "job": "braze-exporter",
                },
                has_steps=canvas is not canvases[0],
            )
            at = first_instant(day + timedelta(days=1), NEW_YORK)
            if at > time.time() - 3 * 3600:
                continue  # in the head block of Prometheus
            found = {
                key: dict(samples)[at]
                for key, samples in written_.items()
                if ("canvas", canvas.name) in key[1] and at in dict(samples)
            }
            info = next(key for key in found if key[0] == "braze_canvas_info")
            del found[info]
            assert found == {
                key: value for key, value in expected.items() if "_daily" not in key[0]
            }


STEADY: dict[str, Any] = {
    "timezone": NEW_YORK.key,
    "has_incidents": False,
    # Those that begin a few days before the start would change the figures.
    "campaigns": 3,
    "canvases": 3,
}


@pytest.fixture
def shop() -> Iterator[Simulator]:
    """Return a simulated Braze with the same figures whenever it is started."""
    settings = SimulatorSettings(**STEADY)
    with Simulator(settings) as simulator:
        yield simulator


def test_the_history_of_series_is_what_the_daemon_served(
    tmp_path: Path, shop: Simulator
) -> None:
    """What was so far, planned or synced is left out, and the size of today."""
    backfill = BackfillRun(tmp_path, shop)
    some = every_series(shop, purchases=["revenue"])
    backfill.configure(campaigns=[], series=some, windows=["1d", "2d"])

    ended = backfill.run("--days=6", "--step=30m")

    assert ended.returncode == 0, ended.stderr
    written_ = backfill.series()
    assert {name for name, _ in written_} == SERIES_FAMILIES
    assert not [one for one in shop.requests if re.search("broadcast|cdi", one.path)]
    half_hour = time.time() // 1800 * 1800
    for hours in (5, 60):
        at = half_hour - hours * 3600
        found = {
            (name, labels - {("job", "braze-exporter")}): dict(samples)[at]
            for (name, labels), samples in written_.items()
            if at in dict(samples)
        }
        expected = served(datetime.fromtimestamp(at, UTC), some)
        if last_complete_day(at) == last_complete_day(time.time()):
            expected = {
                key: value
                for key, value in expected.items()
                if key[0] != "braze_segment_size"
            }
        assert found == expected
    assert backfill.files() == {"history.om"}


def served(at: datetime, some: dict[str, Any]) -> dict[Any, float]:
    """Return the samples of complete days and hours that the daemon serves."""
    with simulated(at, **STEADY) as (braze, world):
        document = configuration(
            braze, campaigns=[], timezone=NEW_YORK.key, series=some
        )
        world.apply(parsed({**document, "windows": ["1d", "2d"]}, key="key"))
        world.run(until=at.timestamp() + 60)
    samples = naive_oracle.parsed(shown(world))
    return {key: value for key, value in samples.items() if key[0] in SERIES_FAMILIES}


def test_pages_of_series_overlap_and_flags_select_them(
    backfill: BackfillRun, braze: Simulator
) -> None:
    """By the text of the label series; the hours of 6 days are in two requests."""
    backfill.configure(series=every_series(braze))
    event, segment = braze.events[0].name, braze.segments[0]

    ended = backfill.run(
        *("--days=110", "--step=1d", "--series=dau", f"--series={segment.id}")
    )
    by_hour = backfill.run("--days=6", f"--series=event {event} *")
    unknown = backfill.run("--series=broadcasts")

    assert (ended.returncode, by_hour.returncode) == (0, 0)
    asked = Counter((one.path, parameter(one.query, "unit")) for one in braze.requests)
    assert asked == {
        ("/kpi/dau/data_series", ""): 2,
        ("/segments/data_series", ""): 2,
        ("/events/data_series", "hour"): 2,
        ("/events/data_series", "day"): 1,
    }
    assert unknown.returncode == 2
    assert "--series 'broadcasts' matches no series id" in unknown.stderr


def parameter(query: str, name: str) -> str:
    return parse_qs(query).get(name, [""])[0]


def test_a_missing_permission_leaves_out_one_series_alone(tmp_path: Path) -> None:
    """And a segment without analytics tracking only itself."""
    missing = "kpi.mau.data_series"
    settings = SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})
    with Simulator(settings) as braze:
        untracked = next(one for one in braze.segments if not one.is_tracked)
        segments = [{"id": one.id, "name": one.name} for one in braze.segments]
        backfill = BackfillRun(tmp_path, braze)
        some = {"kpi": ["dau", "mau"], "segments": segments}
        backfill.configure(campaigns=[], series=some)
        ended = backfill.run("--days=3", "--step=1h")

    assert ended.returncode == 1
    assert f"needs the permission {missing}" in ended.stderr
    name = f"series segment {untracked.name} ({untracked.id})"
    assert f"workspace production, {name}: HTTP 400" in ended.stderr
    assert f"2 of {len(segments) + 2} series are missing" in ended.stderr
    found = {dict(labels).get("metric") for _, labels in backfill.series()}
    assert found == {"dau", None}


def test_a_missing_permission_leaves_out_canvases_alone(tmp_path: Path) -> None:
    """Campaigns are written; the exit code is 1, and the next run completes it."""
    missing = "canvas.data_series"
    settings = SimulatorSettings(
        permissions=ALL_PERMISSIONS - {missing},
        other_keys={"complete-key-0123456789": ALL_PERMISSIONS},
    )
    with Simulator(settings) as braze:
        backfill = BackfillRun(tmp_path, braze)
        backfill.configure(canvases=listed(braze.canvases[:2]))
        without = backfill.run("--days=3", "--step=1h")
        kinds = {name.split("_")[1] for name, _ in backfill.series()}
        backfill.key = "complete-key-0123456789"
        complete = backfill.run("--days=3", "--step=1h")
        paths = [one.path for one in braze.requests]

    assert (without.returncode, complete.returncode) == (1, 0), complete.stderr
    assert f"needs the permission {missing}" in without.stderr
    assert "2 of 5 campaigns and canvases are missing" in without.stderr
    assert kinds == {"campaign"}
    assert {name.split("_")[1] for name, _ in backfill.series()} == {
        "campaign",
        "canvas",
    }
    assert paths.count("/campaigns/data_series") == 3
    assert paths.count("/canvas/data_series") == 3
    assert backfill.files() == {"history.om"}


def test_flags_select_the_objects_of_each_kind(
    backfill: BackfillRun, braze: Simulator
) -> None:
    """A flag of one kind leaves out the other one."""
    one, two = braze.canvases[:2]
    campaign = backfill.campaigns[0]
    backfill.configure(canvases=listed([one, two]))

    runs = []
    for flags in ([f"--canvas={two.id}"], [f"--campaign={campaign.id}"], []):
        start = len(braze.requests)
        assert backfill.run(*flags, "--days=2", "--step=1h").returncode == 0
        runs.append({each.object_id for each in braze.requests[start:]})

    everything = {each.id for each in (*backfill.campaigns, one, two)}
    assert runs == [{two.id}, {campaign.id}, everything]


def test_discovered_campaigns_have_the_labels_of_the_daemon(
    backfill: BackfillRun, braze: Simulator
) -> None:
    """And its names; tags and channels are labels."""
    one, two, own = braze.campaigns[:3]
    for each in (one, two):
        braze.change(each.id, name="Sale", tags=("spring", "b,c"))
    changes: dict[str, Any] = {
        "campaigns": [{"id": own.id, "name": "Mine", "labels": {"tagged": "by us"}}],
        "discover": {
            "labels": {"tagged": "tags", "channel": "channels"},
            "names": {"include": ["Sale", "Wel*", own.name]},
        },
    }
    backfill.configure(**changes)

    ended = backfill.run("--days", "2", "--step", "1d")

    assert ended.returncode == 0, ended.stderr
    assert "workspace production: 4 campaigns\n" in ended.stderr
    info = "braze_campaign_info"
    in_file = {labels for name, labels in backfill.series() if name == info}
    with daemon(braze, **changes) as exporter:
        until(lambda: len(exporter.scrape().get(info, {})) == 4)
        until(lambda: all("channel" in dict(one) for one in exporter.scrape()[info]))
        scraped = exporter.scrape()[info]
    assert {labels - {("job", "braze-exporter")} for labels in in_file} == set(scraped)
    assert backfill.files() == {"history.om"}


def test_flags_select_campaigns_labels_and_step(backfill: BackfillRun) -> None:
    ids = {one.id for one in backfill.campaigns[:2]}
    labels = ("--label=instance=braze:10417", "--label=job=other")
    selected = (f"--campaign={one}" for one in ids)

    ended = backfill.run(*selected, *labels, "--days=2", "--step=1h")

    assert ended.returncode == 0, ended.stderr
    found = backfill.series()
    for (_, each), samples in found.items():
        assert {("job", "other"), ("instance", "braze:10417")} <= each
        assert {at % 3600 for at, _ in samples} == {0}
    assert {dict(each).get("campaign_id") for _, each in found} - {None} == ids
    assert {one.campaign_id for one in backfill.braze.requests} == ids


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--days=0", "--days is '0', expected a number from 1 to 3650"),
        ("--days=9999", "expected a number from 1 to 3650"),
        ("--days=x", "expected a number from 1 to 3650"),
        ("--step=5", "--step is '5', expected auto or a duration from 1m to 1d"),
        ("--step=2d", "expected auto or a duration from 1m to 1d"),
        ("--label=job", "--label is 'job', expected NAME=VALUE such as job="),
        ("--label=a-b=1", "expected NAME=VALUE"),
        ("--label=__name__=x", "expected NAME=VALUE"),
        ("--label=metric=x", "--label metric: the samples already have a label"),
        ("--output=/nowhere/x.om", "expected a file in an existing directory"),
        ("--output=/", "expected a file in an existing directory"),
        ("--label=window=x", "--label window: the samples already have a label"),
        ("--campaign=zz*", "--campaign 'zz*' matches no campaign id and no name"),
        ("--canvas=zz*", "--canvas 'zz*' matches no canvas id and no name"),
        ("--series=dau", "--series 'dau' matches no series id and no name"),
        ("--label=unit=x", "--label unit: the samples already have a label"),
    ],
)
def test_invalid_flags_are_usage_errors(
    backfill: BackfillRun, flag: str, message: str
) -> None:
    ended = backfill.run(flag)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(backfill.braze.requests) == 0


def test_campaigns_configuration_and_key_are_required(backfill: BackfillRun) -> None:
    no_file = invoke("backfill")
    no_key = invoke(*backfill.arguments)
    backfill.configure(campaigns=[], discover={"names": {"include": ["zz*"]}})
    no_campaign = backfill.run("--days", "2")

    ended = (no_file, no_key, no_campaign)
    assert [one.returncode for one in ended] == [2, 2, 2]
    assert "give --config.file FILE" in no_file.stderr
    assert "BRAZE_API_KEY" in no_key.stderr
    missing = "no campaign, canvas or series with a history is configured, and"
    assert missing in no_campaign.stderr


def test_an_unusable_cache_directory_is_reported(backfill: BackfillRun) -> None:
    """Exit code 1, with its path."""
    backfill.cache.write_text("a file")

    ended = backfill.run("--days", "2")

    assert ended.returncode == 1
    line = r"braze-exporter: .*history\.om\.pages.*: \w.*\n"
    assert re.fullmatch(line, ended.stderr), ended.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_days_and_campaigns(tmp_path: Path) -> None:
    """Thirty times as many campaign days take at most 8 MiB more."""
    code = (
        "import resource; from exporter.cli import main; code = main();"
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    with Simulator(SimulatorSettings(campaigns=60)) as braze:
        for count, days in ((20, 10), (60, 100)):
            directory = tmp_path / f"{count}"
            directory.mkdir()
            backfill = BackfillRun(directory, braze, count)
            backfill.configure(requests_per_minute=600_000)
            command = [*backfill.arguments, f"--days={days}", "--step=12h"]
            ended = subprocess.run(
                [sys.executable, "-c", code, *command],
                capture_output=True,
                text=True,
                check=True,
                env={**clean_environment(), **backfill.environment},
            )
            exit_code, kilobytes = ended.stdout.split()
            assert exit_code == "0"
            peaks.append(int(kilobytes))

    assert peaks[1] - peaks[0] < 8 * 1024, peaks


class ScriptedBraze(BaseHTTPRequestHandler):
    """Answers with rows of `sent` up to an end, which it reads in one of four ways.

    An end in the future is refused, and so is a canvas without an end.
    """

    zone: ZoneInfo
    is_read_in_utc: bool
    is_inclusive: bool

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        is_canvas = url.path.startswith("/canvas")
        now = datetime.now(self.zone)
        end = (
            datetime.fromisoformat(query["ending_at"][0])
            if (is_canvas or "ending_at" in query)
            else now
        )
        assert end <= now
        last = now.date()
        if "ending_at" in query:
            last = end.astimezone(UTC if self.is_read_in_utc else self.zone).date()
            last -= timedelta(days=not self.is_inclusive)
        length = int(query["length"][0])
        assert length <= (14 if is_canvas else 100)
        days = (last - timedelta(days=n) for n in range(length))
        messages = {day: {"email": [{"sent": day.toordinal()}]} for day in days}
        data: Any = [{"time": str(day), "messages": messages[day]} for day in messages]
        if is_canvas:
            data = {
                "stats": [
                    {
                        "time": str(day),
                        "step_stats": {"s": {"name": "S", "messages": messages[day]}},
                    }
                    for day in messages
                ]
            }
        body = json.dumps({"message": "success", "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("zone", ["Etc/GMT-14", "Asia/Tokyo", "UTC", "Etc/GMT+11"])
@pytest.mark.parametrize("is_read_in_utc", [True, False])
@pytest.mark.parametrize("is_inclusive", [True, False])
def test_a_history_holds_every_complete_day(
    tmp_path: Path, zone: str, *, is_read_in_utc: bool, is_inclusive: bool
) -> None:
    """The newest too, whichever way Braze reads `ending_at`; and its windows.

    For canvases Braze may return no row of yesterday where the date is ahead of UTC:
    then nothing is written for that day, and no window is a sum over six days.
    """
    script = {
        "zone": ZoneInfo(zone),
        "is_read_in_utc": is_read_in_utc,
        "is_inclusive": is_inclusive,
    }
    handler = type("Handler", (ScriptedBraze,), script)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    workspace = {
        "name": "w",
        "endpoint": f"http://127.0.0.1:{server.server_port}",
        "api_key_env": "BRAZE_API_KEY",
        "timezone": zone,
        "requests_per_minute": 6000,
        "shared_requests_per_minute": 4000,
        "campaigns": [{"id": UNKNOWN_ID, "name": "A"}],
        "canvases": [{"id": UNKNOWN_ID, "name": "A"}],
    }
    document = {"windows": ["7d"], "workspaces": [workspace]}
    file = written(tmp_path / "config.yaml", document)
    output = tmp_path / "history.om"
    files = ("--config.file", file, "--output", str(output))
    flags = (*files, "--days", "120", "--step", "1h")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        # Up to four of the newest hours are left out, and with them maybe a day.
        began = datetime.now(ZoneInfo(zone))
        ended = invoke("backfill", *flags, environment={"BRAZE_API_KEY": "key"})
    finally:
        server.shutdown()
        server.server_close()

    assert ended.returncode == 0, ended.stderr
    last = (began - timedelta(hours=4)).date() - timedelta(days=1)
    samples = read(output.read_text(encoding="utf-8"))
    for kind in ("campaign", "canvas"):
        found = values_of(samples, f"braze_{kind}_last_complete_day")
        days = {date.fromordinal(int(value)) for value in found}
        is_behind = kind == "canvas" and began.astimezone(UTC).date() < began.date()
        sure = last - timedelta(days=is_behind)
        assert days >= {sure - timedelta(days=n) for n in range(119 - is_behind)}
        # Seven days in a row end three days after their mean.
        ends = {
            date.fromordinal(int(value / 7) + 3)
            for value in values_of(samples, f"braze_{kind}_trailing")
        }
        assert ends == {one for one in days if one - timedelta(days=6) in days}


def values_of(samples: Series, family: str) -> set[float]:
    """Return the values of a family in which all series have a channel."""
    return {
        value
        for (name, _), values in samples.items()
        if name == family
        for _, value in values
    }

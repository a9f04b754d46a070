"""`braze-exporter backfill`: from a simulated Braze into a real Prometheus."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import pytest
from exporter.backfill import openmetrics
from exporter.commands.backfill import advice
from exporter.simulator import (
    ALL_PERMISSIONS,
    Campaign,
    Fault,
    Simulator,
    SimulatorSettings,
)
from exporter.storage.sqlite_state import SqliteState

from tests.dashboards import dashboard_json
from tests.support.daemon_process import (
    Process,
    clean_environment,
    configuration,
    daemon,
    get,
    run,
    until,
    written,
)
from tests.support.naive_oracle import first_instant
from tests.support.prometheus import ask, prometheus
from tests.support.prometheus import configuration as scraping
from tests.support.scripted_peer import closed_port
from tests.unit.backfill.test_openmetrics import Series, read

NEW_YORK = ZoneInfo("America/New_York")
LAST = "braze_campaign_last_complete_day"
OVERALL = "braze_campaign_overall_last_complete_day"
BEGAN = "braze_campaign_last_complete_day_timestamp_seconds"


@pytest.fixture
def braze() -> Iterator[Simulator]:
    """Run a Braze whose days are New York's."""
    with Simulator(SimulatorSettings(timezone=NEW_YORK.key)) as simulator:
        yield simulator


class Workplace:
    """A directory with a configuration in it, and the command run there."""

    def __init__(self, where: Path, braze: Simulator, count: int = 3) -> None:
        self.braze = braze
        self.campaigns = braze.campaigns[:count]
        self.output = where / "history.om"
        self._where = where
        self.key = braze.api_key
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Write a configuration of the campaigns."""
        campaigns = [{"id": one.id, "name": one.name} for one in self.campaigns]
        document = configuration(
            self.braze,
            **{
                "campaigns": campaigns,
                "timezone": self.braze.settings.timezone,
                **changes,
            },
        )
        self._file = written(self._where / "config.yaml", document)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the command is always given."""
        return ("backfill", "--config.file", self._file, "--output", str(self.output))

    @property
    def environment(self) -> dict[str, str]:
        """Where the key is."""
        return {"BRAZE_API_KEY": self.key}

    def backfill(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return run(*self.arguments, *arguments, environment=self.environment)

    def series(self) -> Series:
        """Read the file back."""
        return read(self.output.read_text(encoding="utf-8"))

    def left(self) -> set[str]:
        """Tell which files there are."""
        return {one.name for one in self._where.iterdir()} - {"config.yaml"}

    def asked(self) -> list[tuple[str | None, str]]:
        """Return (campaign id, end) of each request that Braze got."""
        return [
            (one.campaign_id, parse_qs(one.query)["ending_at"][0])
            for one in self.braze.requests
        ]


@pytest.fixture
def workplace(tmp_path: Path, braze: Simulator) -> Workplace:
    """Return a place to work."""
    return Workplace(tmp_path, braze)


def rows(braze: Simulator, campaign: Campaign, days: int) -> dict[date, dict[str, Any]]:
    """Ask Braze itself, day by day of the pages."""
    found: dict[date, dict[str, Any]] = {}
    end = datetime.now(NEW_YORK)
    for back in range(0, days + 2, 90):
        query = urlencode(
            {
                "campaign_id": campaign.id,
                "length": 100,
                "ending_at": (end - timedelta(days=back)).isoformat(),
            }
        )
        _, _, body = get(
            f"{braze.url}/campaigns/data_series?{query}",
            headers={"Authorization": f"Bearer {braze.api_key}"},
        )
        for row in json.loads(body)["data"]:
            found[date.fromisoformat(row["time"])] = row
    return found


def the_day(at: float) -> date:
    """Return the day that was the last complete one at an instant."""
    return datetime.fromtimestamp(at, NEW_YORK).date() - timedelta(days=1)


def test_a_year_is_loaded_into_prometheus_and_is_what_braze_says(
    workplace: Workplace, program: Callable[[str], str], tmp_path: Path
) -> None:
    """Every sample of every day, in a zone whose clocks go back and forth."""
    promtool, server = program("promtool"), program("prometheus")

    ended = workplace.backfill("--days=365", "--step=6h")
    loaded = subprocess.run(
        [
            promtool,
            *("tsdb", "create-blocks-from", "openmetrics"),
            "--max-block-duration=1458h",
            str(workplace.output),
            str(tmp_path / "data"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert loaded.returncode == 0, loaded.stderr
    keep = "--storage.tsdb.retention.time=100y"
    target = f"127.0.0.1:{closed_port()}"
    with prometheus(server, scraping(target), where=tmp_path, flags=[keep]) as url:
        for campaign in workplace.campaigns:
            expected = rows(workplace.braze, campaign, 365)
            days = set()
            for query, value_of in (
                (f'{BEGAN}{{campaign="{campaign.name}"}}[400d]', began),
                (f'{OVERALL}{{campaign="{campaign.name}"}}[400d]', overall_of),
                (f'{LAST}{{campaign="{campaign.name}"}}[400d]', stat_of(campaign)),
            ):
                for labels, at, value in matrix(url, query):
                    row = expected[the_day(at)]
                    assert value == value_of(labels, row), (labels, row["time"])
                    days.add(the_day(at))
            # Yesterday shows for the first time three hours after midnight.
            newest = the_day(time.time() - 3 * 3600)
            assert max(days) == newest
            assert len(days) == 365 - (the_day(time.time()) - newest).days
        # What a dashboard asks: the value at noon, of a day in March and of yesterday.
        noon = first_instant(the_day(time.time()), NEW_YORK) + 12 * 3600
        shown = ask(url, f'count by (job) ({LAST}{{job="braze-exporter"}} @ {noon})')
        assert shown[0][1] > 50
        # What Grafana asks for a year, with New York's offset in winter or in summer.
        for hours in (5, 4):
            end = int(noon) // 86400 * 86400 + hours * 3600 - 86400
            range_ = {"start": end - 360 * 86400, "end": end, "step": "6h"}
            query = urlencode({"query": f"count({BEGAN})", **range_})
            _, _, body = get(f"{url}/api/v1/query_range?{query}")
            (course,) = json.loads(body)["data"]["result"]
            assert len(course["values"]) == 4 * 360 + 1


def began(_: dict[str, str], row: dict[str, Any]) -> float:
    """Return when the row's day began."""
    return first_instant(date.fromisoformat(row["time"]), NEW_YORK)


def overall_of(labels: dict[str, str], row: dict[str, Any]) -> float:
    """Return what the row says of the campaign as a whole."""
    return float(row[labels["metric"]])


def stat_of(
    campaign: Campaign,
) -> Callable[[dict[str, str], dict[str, Any]], float | None]:
    """Return what finds the number of a sample in a row."""
    names = {one.id: one.name or "default" for one in campaign.messages}

    def find(labels: dict[str, str], row: dict[str, Any]) -> float | None:
        (entry,) = (
            entry
            for entry in row["messages"][labels["channel"]]
            if names[entry["variation_api_id"]] == labels["variation"]
        )
        value = entry[labels["metric"]]
        return None if value is None else float(value)

    return find


def matrix(url: str, query: str) -> Iterator[tuple[dict[str, str], float, float]]:
    """Yield labels, timestamp and value of every sample that is stored."""
    _, _, body = get(f"{url}/api/v1/query?{urlencode({'query': query})}")
    result = json.loads(body)["data"]["result"]
    assert result, query
    for series in result:
        times = [at for at, _ in series["values"]]
        assert times == sorted(set(times))
        for at, value in series["values"]:
            yield series["metric"], at, float(value)


def test_the_dashboards_show_the_history(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    """Whatever they ask of the families that are in it, some days ago."""
    promtool, server = program("promtool"), program("prometheus")
    families = {family.name for family in openmetrics.FAMILIES}
    asked = [
        one
        for name in dashboard_json.NAMES
        for one in dashboard_json.queries(name)
        if {each.name for each in dashboard_json.selectors(one.expression)} <= families
        and any(dashboard_json.selectors(one.expression))
    ]
    with Simulator() as braze:
        workplace = Workplace(tmp_path, braze, len(braze.campaigns))
        workplace.configure(requests_per_minute=60_000)
        ended = workplace.backfill("--days=6")
    subprocess.run(
        [
            promtool,
            *("tsdb", "create-blocks-from", "openmetrics"),
            "--max-block-duration=1458h",
            str(workplace.output),
            str(tmp_path / "data"),
        ],
        capture_output=True,
        check=True,
    )
    target = f"127.0.0.1:{closed_port()}"
    at = time.time() - 3 * 86400

    with prometheus(server, scraping(target), where=tmp_path) as url:
        empty = [
            one
            for one in asked
            if not answered(url, dashboard_json.filled(one.expression, {}), at=at)
        ]

    assert ended.returncode == 0, ended.stderr
    assert len(asked) > 100
    assert empty == []


def answered(url: str, query: str, *, at: float) -> bool:
    """Tell whether an instant query has an answer at that time."""
    asked = urlencode({"query": query, "time": at})
    _, _, body = get(f"{url}/api/v1/query?{asked}")
    return bool(json.loads(body)["data"]["result"])


def test_a_few_days_have_no_gap(workplace: Workplace) -> None:
    """A sample each five minutes, whole days of them, and none of the last hours."""
    now = time.time()

    ended = workplace.backfill("--days", "3")

    assert ended.returncode == 0, ended.stderr
    found = workplace.series()
    assert {name for name, _ in found} == {
        LAST,
        OVERALL,
        BEGAN,
        "braze_campaign_variation_info",
        "braze_campaign_info",
    }
    for (name, labels), samples in found.items():
        times = [at for at, _ in samples]
        assert times[0] == first_instant(the_day(now) - timedelta(days=1), NEW_YORK)
        assert {b - a for a, b in pairwise(times)} == {300.0}
        assert now - 3 * 3600 - 310 < times[-1] <= time.time() - 3 * 3600
        assert ("job", "braze-exporter") in labels, name
    text = workplace.output.read_text(encoding="utf-8")
    assert text.endswith("\n# EOF\n")
    assert text.count("# TYPE ") == 5
    assert workplace.left() == {"history.om"}


def test_a_run_that_was_killed_goes_on(workplace: Workplace) -> None:
    """What was read by then is not asked for again, and the file is the same."""
    workplace.configure(requests_per_minute=120)
    place = workplace.output.with_name("history.om.pages")
    with Process(
        *(*workplace.arguments, "--days=365", "--step=1d"),
        environment=workplace.environment,
    ) as process:
        until(lambda: len(list(place.glob("*.json"))) > 4)
        assert not workplace.output.exists()
        assert process.end(signal.SIGKILL, seconds=10) == -signal.SIGKILL
    before = workplace.asked()
    kept = len(list(place.glob("*.json"))) - 1
    workplace.configure()

    ended = workplace.backfill("--days=365", "--step=1d")

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("going on with what was begun ")
    after = workplace.asked()[len(before) :]
    assert len(after) == 12 - kept
    assert len(set(before + after)) == 12
    assert len(before) - kept in {0, 1}  # one may have been on its way
    assert workplace.left() == {"history.om"}


def test_a_coarse_history_comes_with_an_advice() -> None:
    """How large the file is of which one sees more: a day has 8 samples at 6 h."""
    assert "--step 1h shows more" in advice(10**9, step_seconds=21600)
    assert advice(10**9, step_seconds=21600).endswith("about 3.0 GB")


def test_a_refused_key_is_told_and_leaves_what_was_there(workplace: Workplace) -> None:
    """Exit 1 after one request; the key itself is in no line."""
    workplace.output.write_text("of last week")
    workplace.key = "a-key-that-nobody-may-see"

    ended = workplace.backfill()

    assert ended.returncode == 1
    assert "HTTP 401" in ended.stderr
    assert "environment variable BRAZE_API_KEY" in ended.stderr
    assert workplace.key not in ended.stderr
    assert len(workplace.braze.requests) == 1
    assert workplace.output.read_text() == "of last week"


def test_a_missing_permission_is_told(tmp_path: Path) -> None:
    """It is named."""
    with Simulator(SimulatorSettings(permissions=frozenset())) as braze:
        ended = Workplace(tmp_path, braze).backfill()

    assert ended.returncode == 1
    assert "needs the permission campaigns.data_series" in ended.stderr


def test_a_campaign_that_braze_does_not_know_is_left_out(workplace: Workplace) -> None:
    """It is named, the others are written, exit 1; without it all is well."""
    first, second = workplace.campaigns[:2]
    unknown = "00000000-0000-4000-8000-000000000000"
    workplace.configure(
        campaigns=[
            {"id": unknown, "name": "Gone"},
            {"id": first.id, "name": first.name},
            {"id": second.id, "name": second.name},
        ]
    )

    ended = workplace.backfill("--days", "2")
    again = workplace.backfill("--days", "2", "--campaign", first.name)

    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "run it again within 12 h to ask for these once more\n"
    )
    line = f"workspace production, campaign Gone ({unknown}): HTTP 400"
    assert line in ended.stderr
    assert "1 of 3 campaigns are missing" in ended.stderr
    assert again.returncode == 0
    assert {dict(labels)["campaign"] for _, labels in workplace.series()} == {
        first.name
    }
    assert len(workplace.braze.requests) == 3


def test_a_kept_page_that_is_damaged_is_asked_for_again(workplace: Workplace) -> None:
    """By the next run, which is told of."""
    first, second = workplace.campaigns[:2]
    unknown = {"id": "00000000-0000-4000-8000-000000000000", "name": "Gone"}
    good = [{"id": one.id, "name": one.name} for one in (first, second)]
    workplace.configure(campaigns=[unknown, *good])
    workplace.backfill("--days", "2")
    place = workplace.output.with_name("history.om.pages")
    page = next(one for one in place.glob("*.json") if one.stem != "begun")
    page.write_text("{")
    workplace.configure(campaigns=good)

    told = workplace.backfill("--days", "2")
    ended = workplace.backfill("--days", "2")

    assert told.returncode == 1
    assert "a kept page cannot be read" in told.stderr
    assert "1 of 2 campaigns are missing" in told.stderr
    assert ended.returncode == 0, ended.stderr
    assert len(workplace.asked()) == 4
    assert workplace.left() == {"history.om"}


def test_a_braze_that_is_down_for_a_moment_costs_a_moment(workplace: Workplace) -> None:
    """Tries go on within the minute."""
    workplace.braze.set_fault(Fault(status=503), count=2)

    ended = workplace.backfill("--days", "2")

    assert ended.returncode == 0, ended.stderr
    assert len(workplace.braze.requests) == 5


DISCOVERY = {"labels": {"tagged": "tags", "channel": "channels"}}


def test_discovered_campaigns_are_those_of_the_daemon(
    workplace: Workplace, braze: Simulator
) -> None:
    """Under the names, and with the labels of tags and channels, that it gives them."""
    one, two, own = braze.campaigns[:3]
    for each in (one, two):
        braze.change(each.id, name="Sale", tags=("spring", "b,c"))
    changes: dict[str, Any] = {
        "campaigns": [{"id": own.id, "name": "Mine", "labels": {"tagged": "by us"}}],
        "discover": DISCOVERY | {"names": {"include": ["Sale", "Wel*", own.name]}},
    }
    workplace.configure(**changes)

    ended = workplace.backfill("--days", "2", "--step", "1d")

    assert ended.returncode == 0, ended.stderr
    assert "workspace production: 4 campaigns\n" in ended.stderr
    info = "braze_campaign_info"
    written_ = {labels for name, labels in workplace.series() if name == info}
    with daemon(braze, **changes) as exporter:
        until(lambda: len(exporter.scrape().get(info, {})) == 4)
        until(lambda: all("channel" in dict(one) for one in exporter.scrape()[info]))
        polled = exporter.scrape()[info]
    assert {labels - {("job", "braze-exporter")} for labels in written_} == set(polled)
    assert workplace.left() == {"history.om"}


def test_a_killed_run_does_not_ask_again_which_campaigns_there_are(
    tmp_path: Path,
) -> None:
    """The list and the details that were read by then are kept with the pages."""
    with Simulator(SimulatorSettings(campaigns=130)) as braze:
        workplace = Workplace(tmp_path, braze)
        wishes = {"requests_per_minute": 1000}
        workplace.configure(campaigns=[], discover=wishes, requests_per_minute=600)
        place = workplace.output.with_name("history.om.pages")
        with Process(
            *workplace.arguments, "--days=150", environment=workplace.environment
        ) as process:
            process.wait_for_line("details of 100 read, of ")
            process.end(signal.SIGKILL, seconds=10)
        (document,) = SqliteState(place).load_catalogues().values()
        kept = len(json.loads(document)["details"])
        before = len(braze.requests)

        ended = workplace.backfill("--days=1", "--campaign", braze.campaigns[0].name)

        asked = Counter(one.path for one in braze.requests[before:])
    assert ended.returncode == 0, ended.stderr
    assert kept >= 100
    assert asked["/campaigns/list"] == 0
    assert asked["/campaigns/details"] == 129 - kept  # one is archived
    assert asked["/campaigns/data_series"] == 1
    assert workplace.left() == {"history.om"}


def test_a_failing_discovery_is_told(tmp_path: Path) -> None:
    """With the permission that is missing; the next run goes on."""
    settings = SimulatorSettings(permissions=ALL_PERMISSIONS - {"campaigns.details"})
    with Simulator(settings) as braze:
        workplace = Workplace(tmp_path, braze)
        workplace.configure(campaigns=[], discover={})

        ended = workplace.backfill("--days", "2")

    assert ended.returncode == 1
    assert "needs the permission campaigns.details" in ended.stderr
    assert ended.stderr.endswith("run it again, and it goes on where it stopped\n")
    assert not workplace.output.exists()


def test_where_discovery_selects_nothing_it_is_told(workplace: Workplace) -> None:
    """Exit 2: the configuration asks for nothing."""
    workplace.configure(campaigns=[], discover={"names": {"include": ["zz*"]}})

    ended = workplace.backfill("--days", "2")

    assert ended.returncode == 2
    assert "no campaign is listed, and discovery selects none" in ended.stderr


def test_a_refused_campaign_does_not_stop_the_calendar(workplace: Workplace) -> None:
    """The next day's run counts its days from then, whatever failed the day before."""
    first = workplace.campaigns[0]
    unknown = "00000000-0000-4000-8000-000000000000"
    workplace.configure(
        campaigns=[
            {"id": unknown, "name": "Gone"},
            {"id": first.id, "name": first.name},
        ]
    )
    workplace.backfill("--days", "2")
    begun = workplace.output.with_name("history.om.pages") / "begun.json"
    then = {name: at - 86400 for name, at in json.loads(begun.read_text()).items()}
    begun.write_text(json.dumps(then))

    ended = workplace.backfill("--days", "2")

    assert ended.returncode == 1
    assert "going on with" not in ended.stderr
    assert len(workplace.asked()) == 4


def test_flags_choose_campaigns_labels_and_step(workplace: Workplace) -> None:
    """By id, name or pattern; labels that a scrape would add; any even step."""
    ids = {one.id for one in workplace.campaigns[:2]}
    chosen = [f"--campaign={workplace.campaigns[0].id}", "--campaign=zz*"]

    nothing = workplace.backfill(*chosen)
    ended = workplace.backfill(
        *(f"--campaign={one}" for one in ids),
        "--days=2",
        "--label=instance=braze:10417",
        "--label=job=other",
        "--step=1h",
    )

    assert nothing.returncode == 2
    assert "--campaign 'zz*': no campaign" in nothing.stderr
    assert ended.returncode == 0, ended.stderr
    found = workplace.series()
    for (_, labels), samples in found.items():
        assert {("job", "other"), ("instance", "braze:10417")} <= labels
        assert {at % 3600 for at, _ in samples} == {0}
    told = {dict(labels).get("campaign_id") for _, labels in found} - {None}
    assert told == ids
    assert {one.campaign_id for one in workplace.braze.requests} == ids


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
        ("--label=metric=x", "--label metric: the samples have a label of that name"),
        ("--output=/nowhere/x.om", "expected a file in a directory that exists"),
        ("--output=/", "expected a file in a directory that exists"),
    ],
)
def test_wrong_flags_are_told(workplace: Workplace, flag: str, message: str) -> None:
    """Exit 2, before Braze is asked for anything."""
    ended = workplace.backfill(flag)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(workplace.braze.requests) == 0


def test_without_a_configuration_or_a_key_nothing_begins(workplace: Workplace) -> None:
    """Exit 2, with what is missing."""
    no_file = run("backfill")
    no_key = run(*workplace.arguments)

    assert (no_file.returncode, no_key.returncode) == (2, 2)
    assert "give --config.file FILE" in no_file.stderr
    assert "BRAZE_API_KEY" in no_key.stderr


def test_a_disk_that_refuses_is_told(workplace: Workplace) -> None:
    """Exit 1, with the file; no traceback."""
    workplace.output.with_name("history.om.pages").write_text("in the way")

    ended = workplace.backfill("--days", "2")

    assert ended.returncode == 1
    assert re.fullmatch(
        r"braze-exporter: .*history\.om\.pages.*: \w.*\n", ended.stderr
    ), ended.stderr


def test_memory_does_not_grow_with_days_and_campaigns(
    tmp_path: Path,
) -> None:
    """Thirty times as many campaign days take next to nothing more."""
    with Simulator(SimulatorSettings(campaigns=60)) as braze:
        most = []
        for count, days in ((20, 10), (60, 100)):
            place = tmp_path / f"{count}"
            place.mkdir()
            workplace = Workplace(place, braze, count)
            workplace.configure(requests_per_minute=600_000)
            command = [*workplace.arguments, f"--days={days}", "--step=12h"]
            code = (
                "import resource, sys; from exporter.cli import main; code = main();"
                "most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
                "print(code, most)"
            )
            ended = subprocess.run(
                [sys.executable, "-c", code, *command],
                capture_output=True,
                text=True,
                check=True,
                env={**clean_environment(), **workplace.environment},
            )
            exit_code, kilobytes = ended.stdout.split()
            assert exit_code == "0"
            most.append(int(kilobytes))

    assert most[1] - most[0] < 8 * 1024, most

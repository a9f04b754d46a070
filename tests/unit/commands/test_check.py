"""`braze-exporter check`: all problems of a configuration, or its plan."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from exporter.simulator import Simulator

from tests.paths import ROOT
from tests.support.command_line import invoke
from tests.support.daemon_process import configuration, until, written

EXAMPLE = ROOT / "config.example.yaml"
KEY = {"BRAZE_API_KEY": "k-1"}


def check(
    directory: Path, *, top_level: dict[str, Any] | None = None, **workspace: Any
) -> Any:
    """Check a configuration with one workspace of four campaigns."""
    with Simulator() as braze:
        campaigns = [{"id": one.id, "name": one.name} for one in braze.campaigns[:4]]
        document = configuration(braze, **{"campaigns": campaigns, **workspace})
    file = written(directory / "config.yaml", {**document, **(top_level or {})})
    return invoke("check", file, environment=KEY)


def test_the_plan_of_the_example() -> None:
    ended = invoke("check", str(EXAMPLE), environment=KEY)

    assert (ended.returncode, ended.stderr) == (0, "")
    for line in (
        r"campaigns +2$",
        r"requests per minute +0\.4 wanted, 120 allowed",
        r"days per request +30$",
        r"series expected +about \d+$",
    ):
        assert re.search(line, ended.stdout, re.MULTILINE), line


@pytest.mark.parametrize(
    ("workspace", "windows", "expected"),
    [
        (
            {"idle_interval": "30m"},
            ["28d"],
            "1800 s, for campaigns without activity in 14 days",
        ),
        ({"idle_interval": "30m"}, ["7d"], "off: it requires a window of 13d or more"),
        (
            {"idle_interval": "30m"},
            ["12d", "1d"],
            "off: it requires a window of 13d or more",
        ),
        (
            {"idle_interval": "30m"},
            ["13d"],
            "1800 s, for campaigns without activity in 14 days",
        ),
        (
            {"idle_interval": "30m", "discover": {}},
            [],
            "1800 s, for draft and archived campaigns; for others it requires a "
            "window of 13d or more",
        ),
        (
            {"idle_interval": "1s", "interval": "5m"},
            ["28d"],
            "off: 1 s is not longer than the shortest interval",
        ),
    ],
)
def test_windows_and_discovery_limit_the_idle_interval(
    tmp_path: Path, workspace: dict[str, Any], windows: list[str], expected: str
) -> None:
    ended = check(tmp_path, top_level={"windows": windows}, **workspace)

    assert f"\n  idle interval        {expected}\n" in ended.stdout


def test_a_stretched_plan_names_the_required_ceiling(tmp_path: Path) -> None:
    ended = check(tmp_path, interval="10s", idle_interval="50s", requests_per_minute=6)

    assert ended.returncode == 0
    assert "24 wanted, 6 allowed, 5.988 planned" in ended.stdout
    assert "stretched 4.008 times" in ended.stdout
    assert "set requests_per_minute to 24.48 or more" in ended.stdout
    shown = re.search(r"\n  interval +(\S+) s\n  idle interval +(\S+) s,", ended.stdout)
    assert shown
    assert 10 < float(shown[1]) == pytest.approx(float(shown[2]) / 5, rel=0.001)


def test_the_requests_of_discovery_are_planned_separately(tmp_path: Path) -> None:
    discover = {"campaigns": {"max": 300}, "list_interval": "2h"}

    ended = check(tmp_path, campaigns=[], discover=discover, interval="5m")

    assert (ended.returncode, ended.stderr) == (0, "")
    for text in (
        "campaigns            0",
        "first round          0 s",
        "discovery            up to 300 more campaigns",
        "60 requests per minute wanted",
        "at most 60 per minute",
        "up to 348 requests a day",
        "48 for the list (every 2h), 300 for details (daily)",
    ):
        assert text in ended.stdout, text


@pytest.mark.parametrize(
    ("discover", "details", "extended"),
    [
        ({"sent_within": "30d"}, "500 for details (daily)", ""),
        ({"sent_within": "2d"}, "1000 for details (every 12h)", ""),
        ({"sent_within": "6h"}, "8000 for details (every 1h30m)", ""),
        ({"sent_within": "2h"}, "24000 for details (every 30m)", ""),
        (
            {"sent_within": "1h", "max": 10_000},
            "43200 for details (every 5h33m20s)",
            "sent_within is extended from 1h to 8h20m: details of 10000 campaigns "
            "take that long;",
        ),
    ],
)
def test_the_requests_of_sent_within_are_planned(
    tmp_path: Path, discover: dict[str, Any], details: str, extended: str
) -> None:
    ended = check(tmp_path, campaigns=[], discover={"campaigns": discover})

    assert f", {details}\n" in ended.stdout
    assert extended in ended.stdout
    assert ("extended" in ended.stdout) == bool(extended)


def test_the_plan_of_500_canvases(tmp_path: Path) -> None:
    """Requests an hour in Braze's shared limit: 500 × 4, and 1,000 in six hours."""
    canvases = [{"id": str(UUID(int=n)), "name": str(n)} for n in range(500)]
    windows = {"windows": ["7d", "28d"]}

    ended = check(tmp_path, top_level=windows, campaigns=[], canvases=canvases)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "valid, 1 workspace, 0 campaigns, 500 canvases\n" in ended.stdout
    for text in (
        "canvases             500",
        "requests per minute  36.11 wanted, 60 allowed, 36.11 planned",
        "older days           2 requests per canvas every 6 hours, 2.778 per minute",
        "1000 requests at the first start",
        "requests per hour    rate limit shared with live sends, 250,000 an hour: "
        "2167 for canvases\n",
        "series expected      about 37500\n",
        "series expected: about 37500, at most 5000 per canvas\n",
        "assumed: each canvas sends one email message in one step of one variant\n",
    ):
        assert text in ended.stdout, text
    assert "campaign" not in ended.stdout.partition("\nworkspace ")[2]


def hourly(ended: Any) -> list[str]:
    """Return the requests an hour in each limit of Braze, and their sums."""
    lines = ended.stdout.splitlines()
    titles = ("requests per hour    rate limit ", "in all ")
    return [
        text.removeprefix(titles[0])
        for text in map(str.strip, lines)
        if text.startswith(titles)
    ]


def test_requests_are_summed_by_the_limits_of_braze(tmp_path: Path) -> None:
    """Discovery of both kinds counts towards the limit of canvases."""
    discover: dict[str, Any] = {"campaigns": {"max": 300}, "canvases": {"max": 40}}

    ended = check(
        tmp_path, discover=discover, interval="5m", series={"kpi": ["dau", "mau"]}
    )

    assert hourly(ended) == [
        "of campaigns/data_series: 48 for campaigns, up to 3600 for 300 more campaigns",
        "in all 48, up to 3648 with discovery",
        "shared with live sends, 250,000 an hour: 0 for canvases, up to 173 for 40 "
        "more canvases, 8 for series of the workspace, up to 19 for discovery",
        "in all 8, up to 200 with discovery",
    ]


def test_requests_of_series_are_those_of_their_limits(tmp_path: Path) -> None:
    """Without campaigns, of which nothing is assumed."""
    some = {
        "kpi": ["dau", "mau"],
        "purchases": ["revenue", "quantity"],
        "events": [{"name": "log_in"}],
        "data_ingestion": True,
    }

    ended = check(tmp_path, campaigns=[], series=some)

    assert hourly(ended) == [
        "shared with live sends, 250,000 an hour: 12 for series of the workspace",
        "of purchases and lists of events, 1,000 an hour: 4 for series of the "
        "workspace",
        "of cdi/integrations, 50 a minute: 4 for series of the workspace per 10 "
        "integrations",
    ]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (
        "valid, 1 workspace, 0 campaigns, 6 series of the workspace\n" in ended.stdout
    )
    assert "at most 5000 per series of the workspace\n" in ended.stdout
    assert "assumed: there are 5 integrations\n" in ended.stdout
    for line in (
        "    dau                1 every 900 s, 4 requests per hour, about 9 series",
        "    mau                1 every 900 s, 4 requests per hour, about 7 series",
        "    purchase_revenue   1 every 1800 s, 2 requests per hour, about 9 series",
        "    event              1 every 900 s, 4 requests per hour, about 5 series",
    ):
        assert f"\n{line} expected\n" in ended.stdout, line


def test_series_that_are_stretched_name_the_required_ceiling(tmp_path: Path) -> None:
    """Once for all of them; ingestion has a ceiling that no option sets."""
    some = {"interval": "2s", "kpi": ["dau", "mau"], "data_ingestion": True}

    ended = check(tmp_path, campaigns=[], series=some, shared_requests_per_minute=30)

    assert ended.stdout.count("set shared_requests_per_minute to ") == 1
    assert re.findall(r"\d times: raise series.interval\n", ended.stdout)


def test_warnings_are_counted_and_do_not_fail_the_check(tmp_path: Path) -> None:
    ended = check(tmp_path, campaigns=[{"id": "no-uuid", "name": "Welcome"}])

    assert ended.returncode == 0
    assert "campaigns[0].id: warning: " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "valid, 1 workspace, 1 campaign, 1 warning" in ended.stdout


def test_the_configuration_may_come_from_a_pipe() -> None:
    """As in `check <(generate)`."""
    reader, writer = os.pipe()
    os.write(writer, b"workspaces: 1\n")
    os.close(writer)

    ended = invoke("check", f"/dev/fd/{reader}")

    os.close(reader)
    assert "/dev/fd/" in ended.stderr
    assert ":1: workspaces: expected a list of workspaces" in ended.stderr


def test_a_pipe_without_a_writer_does_not_block_the_check(tmp_path: Path) -> None:
    """It is an empty file."""
    pipe = tmp_path / "config.yaml"
    os.mkfifo(pipe)

    ended = invoke("check", str(pipe))

    assert ended.returncode == 2
    assert f"{pipe}:1: " in ended.stderr


def test_a_named_pipe_may_get_its_writer_later(tmp_path: Path) -> None:
    pipe = tmp_path / "config.yaml"
    os.mkfifo(pipe)

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(invoke, "check", str(pipe))
        until(ended.running)
        pipe.write_text("workspaces: text\n")

    assert "expected a list of workspaces" in ended.result().stderr


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("".join(f"unknown{number}: 1\n" for number in range(1000)))

    ended = invoke("check", str(file))

    lines = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert len(lines) == 1001
    assert sum("unknown key" in line for line in lines) == 1000


@pytest.mark.parametrize(
    ("environment", "code"),
    [({}, 0), ({"BRAZE_API_KEY": ""}, 2), ({"BRAZE_API_KEY": "  \n"}, 2)],
)
def test_a_missing_key_is_a_warning_and_an_empty_one_a_problem(
    environment: dict[str, str], code: int
) -> None:
    ended = invoke("check", str(EXAMPLE), environment=environment)

    place = rf"{re.escape(str(EXAMPLE))}:\d+: workspaces\[0\]\.api_key_env: "
    severity = "" if code else "warning: "
    assert (ended.returncode, ended.stdout == "") == (code, code == 2)
    assert re.match(rf"{place}{severity}.*(BRAZE_API_KEY|empty)", ended.stderr)


def test_series_are_expected_of_each_kind(tmp_path: Path) -> None:
    """Of what is listed, and of the most that discovery may find.

    With discovery each has the time of its last edit, too.
    """
    canvases = [{"id": str(UUID(int=1)), "name": "Onboarding"}]
    discover: dict[str, Any] = {"campaigns": {"max": 300}, "canvases": {"max": 1}}

    ended = check(tmp_path, canvases=canvases, discover=discover)

    assert re.findall(r"series expected[ :]+(.+)", ended.stdout) == [
        "about 328, up to 24600 for 300 more campaigns",
        "about 76, up to 76 for 1 more canvas",
        "about 404, up to 25080 with discovery, at most 5000 per campaign or canvas",
    ]

"""What the commands say and do, each as a process of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from exporter.commands.demo import early_afternoon
from exporter.simulator import Delivery, Fault, Simulator

from tests.paths import ROOT
from tests.support.daemon_process import (
    Process,
    configuration,
    get,
    parse,
    run,
    until,
    written,
)

EXAMPLE = ROOT / "config.example.yaml"
KEY = "a-key-that-nobody-may-see"
FREE = "--web.listen-address=127.0.0.1:0"


def config_file(
    tmp_path: Path, braze: Simulator, *, count: int = 4, **changes: object
) -> str:
    """Write a configuration that polls some of the campaigns."""
    campaigns = [{"id": one.id, "name": one.name} for one in braze.campaigns[:count]]
    document = configuration(braze, **{"campaigns": campaigns, **changes})
    return written(tmp_path / "config.yaml", document)


def test_check_shows_the_plan_of_the_example() -> None:
    """Campaigns, requests a minute wanted and allowed, days, series; exit 0."""
    ended = run("check", str(EXAMPLE), environment={"BRAZE_API_KEY": KEY})

    assert (ended.returncode, ended.stderr) == (0, "")
    for fact in (
        r"campaigns +2$",
        r"requests per minute +0\.4 wanted, 120 allowed",
        r"days per request +30$",
        r"series expected +about \d+$",
    ):
        assert re.search(fact, ended.stdout, re.MULTILINE), fact


def test_check_shows_how_idle_campaigns_are_polled(tmp_path: Path) -> None:
    """And that windows of some days tell nothing of two weeks."""
    with Simulator() as braze:
        document = configuration(braze, idle_interval="30m")
        found = configuration(braze, idle_interval="30m", discover={})
        never = configuration(braze, idle_interval="1s", interval="5m")
    by_default = run("check", written(tmp_path / "a.yaml", document))
    short = written(tmp_path / "b.yaml", {**document, "windows": ["7d"]})
    dormant = written(tmp_path / "c.yaml", {**found, "windows": []})

    by_windows = run("check", short)
    by_discovery = run("check", dormant)
    off = run("check", written(tmp_path / "d.yaml", never))

    assert "idle interval        off: 1 s is no longer than an interval" in off.stdout
    idle = "idle interval        1800 s, for campaigns without a count in 14 days"
    assert idle in by_default.stdout
    assert "idle interval        off: it needs a window of 14d" in by_windows.stdout
    told = "idle interval        1800 s, for what Braze calls archived or a draft; for"
    assert f"{told} others it needs a window of 14d or more\n" in by_discovery.stdout


def test_check_stretches_the_idle_interval_as_all_others(tmp_path: Path) -> None:
    """It stands beside the workspace's own, both as the daemon polls."""
    with Simulator() as braze:
        document = configuration(
            braze, interval="1m", idle_interval="5m", requests_per_minute=10
        )

    ended = run("check", written(tmp_path / "config.yaml", document))

    shown = re.search(r"\n  interval +(\S+) s\n  idle interval +(\S+) s,", ended.stdout)
    assert shown
    assert 60 < float(shown[1]) == pytest.approx(float(shown[2]) / 5, rel=0.001)


def test_a_variable_that_is_of_no_flag_is_told(tmp_path: Path) -> None:
    """By `check` and by the daemon; it may be the one in which a key is."""
    key = "BRAZE_EXPORTER_MY_KEY"
    with Simulator() as braze:
        document = configuration(braze, api_key_env=key)
        file = written(tmp_path / "c.yaml", document)
        environment = {key: braze.api_key, "BRAZE_EXPORTER_LOG_LEVLE": "debug"}
        checked = run("check", file, environment=environment)
        with Process("--config.file", file, FREE, environment=environment) as daemon:
            daemon.wait_for_line(
                r"level=warn event=environment\.warning problem=.*LOG_LEVLE is of no"
            )
            daemon.wait_for_line("event=web.listening")
            log = "\n".join(daemon.lines)

    told = (
        "warning: the environment variable BRAZE_EXPORTER_LOG_LEVLE is of no flag; "
        "did you mean BRAZE_EXPORTER_LOG_LEVEL?\n"
    )
    assert (checked.returncode, checked.stderr) == (0, told)
    assert "22 campaigns, 1 warning" in checked.stdout
    assert log.count("environment.warning") == 1


def test_check_shows_a_stretched_plan(tmp_path: Path) -> None:
    """When the ceiling is too low it says by how much, and what would be enough."""
    with Simulator() as braze:
        file = config_file(tmp_path, braze, interval="10s", requests_per_minute=6)

    ended = run("check", file, environment={"BRAZE_API_KEY": KEY})

    assert ended.returncode == 0
    assert "24 wanted, 6 allowed, 5.988 planned" in ended.stdout
    assert "stretched 4.008 times" in ended.stdout
    assert "set requests_per_minute to 24.48 or more" in ended.stdout


def test_check_shows_what_discovery_may_ask(tmp_path: Path) -> None:
    """By itself, and for what it may bring to be polled; none need be listed."""
    with Simulator() as braze:
        discover = {"max_campaigns": 300, "list_interval": "2h"}
        file = config_file(
            tmp_path, braze, campaigns=[], discover=discover, interval="5m"
        )

    ended = run("check", file, environment={"BRAZE_API_KEY": KEY})

    assert (ended.returncode, ended.stderr) == (0, "")
    for fact in (
        "campaigns            0",
        "first round          0 s",
        "discovery            up to 300 more campaigns",
        "60 requests per minute wanted",
        "at most 120 requests per minute",
        "up to 348 requests a day",
        "48 for the list, each 2h; 300 for details, daily",
    ):
        assert fact in ended.stdout, fact


def test_warnings_do_not_fail_a_check(tmp_path: Path) -> None:
    """A warning goes to standard error, the plan to standard output, the code is 0."""
    with Simulator() as braze:
        campaigns = [{"id": "no-uuid", "name": "Welcome"}]
        file = config_file(tmp_path, braze, campaigns=campaigns)

    ended = run("check", file, environment={"BRAZE_API_KEY": KEY})

    assert ended.returncode == 0
    assert "campaigns[0].id: warning: " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "valid, 1 workspace, 1 campaign" in ended.stdout


def test_a_configuration_that_is_no_file_is_a_problem(tmp_path: Path) -> None:
    """A pipe that nobody writes to is told at once."""
    pipe = tmp_path / "config.yaml"
    os.mkfifo(pipe)

    ended = run("check", str(pipe))

    assert ended.returncode == 2
    assert f"{pipe}:1: the file cannot be read: it is not a regular file" in (
        ended.stderr
    )


def test_a_thousand_problems_are_all_told(tmp_path: Path) -> None:
    """Whoever checks a file corrects it once, and not a hundred lines at a time."""
    file = tmp_path / "config.yaml"
    file.write_text("".join(f"unknown{number}: 1\n" for number in range(1000)))

    ended = run("check", str(file))

    lines = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert len(lines) == 1001
    assert sum("unknown key" in line for line in lines) == 1000


def test_config_check_is_check() -> None:
    """Flag and command say and do the same, however the file is named."""
    ways = [
        run("--config.check", "--config.file", str(EXAMPLE)),
        run("check", str(EXAMPLE)),
        run("check", "--config.file", str(EXAMPLE)),
    ]

    assert {(one.returncode, one.stdout, one.stderr) for one in ways} == {
        (0, ways[0].stdout, ways[0].stderr)
    }
    assert "valid, 1 workspace, 2 campaigns, 1 warning" in ways[0].stdout


def test_a_missing_key_fails_the_daemon_and_not_the_check() -> None:
    """Both name the variable, the line and the path."""
    checked = run("check", str(EXAMPLE))
    refused = run("--config.file", str(EXAMPLE))

    place = rf"{re.escape(str(EXAMPLE))}:\d+: workspaces\[0\]\.api_key_env: "
    assert checked.returncode == 0
    assert re.match(rf"{place}warning: .*BRAZE_API_KEY", checked.stderr)
    assert refused.returncode == 2
    assert re.match(rf"{place}.*BRAZE_API_KEY", refused.stderr)
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_key_fails_both(empty: str) -> None:
    """It is a mistake wherever it stands."""
    for arguments in (("check", str(EXAMPLE)), ("--config.file", str(EXAMPLE))):
        ended = run(*arguments, environment={"BRAZE_API_KEY": empty})

        assert ended.returncode == 2
        assert "workspaces[0].api_key_env" in ended.stderr
        assert ended.stdout == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "", "localhost"])  # noqa: S104 - what is tested
def test_the_health_check_finds_the_daemon(tmp_path: Path, host: str) -> None:
    """It asks where and under which prefix the same flags make the daemon listen."""
    prefix = "--web.route-prefix=/the re"
    with Simulator() as braze:
        file = config_file(tmp_path, braze)
        arguments = ("--config.file", file, prefix, f"--web.listen-address={host}:0")
        with Process(*arguments, environment={"BRAZE_API_KEY": KEY}) as daemon:
            port = daemon.url.rpartition(":")[2]
            address = f"--web.listen-address={host}:{port}"

            found = run("healthcheck", prefix, address)
            lost = run("healthcheck", address)

            daemon.end(signal.SIGTERM, seconds=5)
            gone = run("healthcheck", prefix, address)

    assert (found.returncode, found.stdout) == (0, "healthy\n")
    assert lost.returncode == 1
    told = f"unhealthy: {host}:{port}/-/healthy returned 404; use the --web.* flags "
    assert lost.stderr.startswith(told)
    assert gone.returncode == 1


def test_the_health_check_asks_for_readiness_if_told_to(tmp_path: Path) -> None:
    """`--ready`, or its twin, fails a daemon that lives and has polled nothing yet."""
    with Simulator() as braze:
        file = config_file(tmp_path, braze)
        arguments, environment = ("--config.file", file, FREE), {"BRAZE_API_KEY": KEY}
        braze.set_fault(Fault(delivery=Delivery.HANG))
        with Process(*arguments, environment=environment) as daemon:
            address = daemon.url.removeprefix("http://")
            flag = f"--web.listen-address={address}"
            alive = run("healthcheck", flag)
            unready = run("healthcheck", "--ready", flag)
        braze.clear_faults()
        with Process(*arguments, environment=environment) as daemon:
            flag = f"--web.listen-address={daemon.url.removeprefix('http://')}"
            until(lambda: run("healthcheck", "--ready", flag).returncode == 0)
            twin = {"BRAZE_EXPORTER_READY": "true"}
            ready = run("healthcheck", flag, environment=twin)
            alive_again = run("healthcheck", "--no-ready", flag, environment=twin)

    assert (alive.returncode, alive.stdout) == (0, "healthy\n")
    assert unready.returncode == 1
    assert unready.stderr == (
        f"unready: {address}/-/ready returned 503; some campaigns have not been polled "
        "yet; retry within 30 s of the start\n"
    )
    assert (ready.returncode, ready.stdout) == (0, "ready\n")
    assert alive_again.stdout == "healthy\n"


def test_simulate_serves_until_it_is_told_to_stop() -> None:
    """It prints where it is and its key; SIGTERM ends it with 0."""
    with Process("simulate", "--listen-address", "127.0.0.1:0") as braze:
        match = braze.wait_for_line(r"simulated Braze at (\S+), API key (\S+)")
        campaign = braze.wait_for_line(r"^      - id: ([0-9a-f-]{36})")
        path = f"/campaigns/data_series?length=1&campaign_id={campaign[1]}"
        headers = {"Authorization": f"Bearer {match[2]}"}

        status, _, body = get(f"{match[1]}{path}", headers=headers)
        code = braze.end(signal.SIGTERM, seconds=5)

    assert status == 200
    assert json.loads(body)["message"] == "success"
    assert code == 0


@pytest.mark.parametrize("where", ["127.0.0.1:0", ":0"])
def test_what_simulate_prints_is_a_configuration_to_paste(
    tmp_path: Path, where: str
) -> None:
    """`check` finds nothing wrong with it, and it reaches the simulator."""
    flags = ("--listen-address", where, "--campaigns=30", "--timezone=Asia/Tokyo")
    with Process("simulate", *flags) as braze:
        variable = braze.wait_for_line(r"export (BRAZE_API_KEY)=(\S+)")
        braze.wait_for_line(
            r"# and 10 more; `braze-exporter discover` prints all but drafts and "
            "archived ones"
        )
        start = braze.lines.index("workspaces:")
        file = tmp_path / "config.yaml"
        file.write_text("\n".join(braze.lines[start:]), encoding="utf-8")
        environment = {variable[1]: variable[2]}
        checked = run("check", str(file), environment=environment)
        asked = run("doctor", "--config.file", str(file), environment=environment)

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "20 campaigns" in checked.stdout
    assert (asked.returncode, asked.stderr) == (0, "")


@pytest.mark.parametrize("count", ["1", "3", "30"])
def test_a_demo_of_any_size_shows_where_to_look(count: str) -> None:
    """It says where the page is and what is wrong in it, and serves figures."""
    with Process("demo", FREE, "--campaigns", count) as demo:
        url = demo.wait_for_line(r"Metrics +(http://\S+)$")[1]
        demo.wait_for_line("Stop +Ctrl-C")

        until(lambda: "braze_campaign_daily" in parse(get(url)[2].decode()))
        code = demo.end(signal.SIGINT, seconds=5)

    assert code == 0
    assert any("'Spring sale 🌷' bounces" in line for line in demo.lines)


@pytest.mark.parametrize("hour", range(24))
def test_somewhere_it_is_early_afternoon(hour: int) -> None:
    """For every hour there is a zone."""
    now = datetime(2026, 6, 3, hour, 30, tzinfo=UTC)

    zone = ZoneInfo(early_afternoon(now.timestamp()))

    assert now.astimezone(zone).hour == 13


def test_a_demo_begins_in_the_afternoon() -> None:
    """Its day has enough messages to show what is wrong, whenever it is started."""
    with Process("demo", FREE) as demo:
        began = datetime.now(UTC)
        status = json.loads(get(f"{demo.url}/api/v1/status")[2])

    (shown,) = status["workspaces"]
    assert began.astimezone(ZoneInfo(shown["timezone"])).hour in {13, 14}


def fields(line: str) -> dict[str, str]:
    """Read a line of logfmt; ValueError: it is none."""
    return dict(part.split("=", 1) for part in shlex.split(line))


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_the_log_is_one_event_a_line_without_secrets(
    tmp_path: Path, log_format: str
) -> None:
    """Whatever Braze does, at debug every line parses, and none holds a key or body."""
    with Simulator() as braze:
        file = config_file(tmp_path, braze, count=6, timeout="1s", concurrency=6)
        for campaign, fault in zip(
            braze.campaigns,
            (
                Fault.html(200),
                Fault(status=500, body=b"SECRET-BODY\nlevel=error"),
                Fault(status=400, headers={"X-Note": "SECRET-HEADER"}),
                Fault(delivery=Delivery.RESET_IN_BODY),
                Fault(body=b'{"message": "success", "data": "SECRET-BODY"}'),
            ),
            strict=False,
        ):
            braze.set_fault(fault, campaign_id=campaign.id)
        flags = (f"--log.format={log_format}", "--log.level=debug", FREE)
        environment = {"BRAZE_API_KEY": braze.api_key}
        with Process("--config.file", file, *flags, environment=environment) as daemon:
            assert braze.wait_for_requests(20)
            message = f"no: {KEY} {braze.api_key}".encode()
            body = b'{"message": "%b"}' % message
            braze.clear_faults()
            braze.set_fault(Fault(status=401, body=body))
            daemon.wait_for_line(r"workspace\.paused")
            daemon.end(signal.SIGTERM, seconds=5)

    events = [
        (json.loads if log_format == "json" else fields)(line) for line in daemon.lines
    ]
    names = {event["event"] for event in events}
    output = "\n".join(daemon.lines)
    assert {"time", "level", "event"} <= set.intersection(*map(set, events))
    assert {"web.listening", "workspace.planned", "braze.answered"} <= names
    assert {"poll.failed", "workspace.paused", "exporter.stopping"} <= names
    assert "poll.crashed" not in names
    assert braze.api_key not in output
    for secret in ("SECRET", "Backend fetch failed", "Bearer"):
        assert secret not in output


def test_a_wrong_key_is_told_with_its_source_and_endpoint(tmp_path: Path) -> None:
    """The line of the pause names the variable, the endpoint and the status."""
    with Simulator() as braze:
        file = config_file(tmp_path, braze)
        environment = {"BRAZE_API_KEY": KEY}
        with Process("--config.file", file, FREE, environment=environment) as daemon:
            line = daemon.wait_for_line(r"event=workspace\.paused .*").string
        endpoint = braze.url

    assert fields(line).items() >= {
        ("level", "warn"),
        ("key", "environment variable BRAZE_API_KEY"),
        ("endpoint", endpoint),
        ("status", "401"),
    }
    assert KEY not in "\n".join(daemon.lines)


def test_warnings_of_the_configuration_are_logged(tmp_path: Path) -> None:
    """The daemon starts in spite of them."""
    with Simulator() as braze:
        campaigns = [{"id": "no-uuid", "name": "Welcome"}]
        file = config_file(tmp_path, braze, campaigns=campaigns)
        environment = {"BRAZE_API_KEY": braze.api_key}
        with Process("--config.file", file, FREE, environment=environment) as daemon:
            line = daemon.wait_for_line(r"event=config\.warning .*").string

            assert get(f"{daemon.url}/-/healthy")[0] == 200

    assert "campaigns[0].id" in line

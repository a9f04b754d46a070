"""Commands and the daemon as processes: output, logs, exit codes."""

from __future__ import annotations

import json
import re
import signal
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from exporter.commands.demo import early_afternoon
from exporter.simulator import Delivery, Fault, Simulator

from tests.paths import ROOT
from tests.support.command_line import invoke
from tests.support.daemon_process import (
    FREE_PORT,
    PATIENCE_SECONDS,
    Process,
    exporter,
    get,
    run,
    until,
)

EXAMPLE = str(ROOT / "config.example.yaml")


def test_config_check_is_the_same_as_check() -> None:
    """However the file is named; a missing key is only a warning."""
    flag = run("--config.check", "--config.file", EXAMPLE)
    command = invoke("check", "--config.file", EXAMPLE)

    assert flag.returncode == command.returncode == 0
    assert (flag.stdout, flag.stderr) == (command.stdout, command.stderr)
    assert "valid, 1 workspace, 2 campaigns, 1 warning" in flag.stdout


@pytest.mark.parametrize("environment", [{}, {"BRAZE_API_KEY": ""}])
def test_the_daemon_requires_the_key(environment: dict[str, str]) -> None:
    refused = run("--config.file", EXAMPLE, environment=environment)

    place = rf"{re.escape(EXAMPLE)}:\d+: workspaces\[0\]\.api_key_env: "
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(rf"{place}.*(BRAZE_API_KEY|is empty).*\n", refused.stderr)


def test_warnings_are_printed_by_check_and_logged_by_the_daemon(tmp_path: Path) -> None:
    """Of the configuration, and of unknown variables that it does not read."""
    key = "BRAZE_EXPORTER_MY_KEY"
    with Simulator() as braze:
        environment = {key: braze.api_key, "BRAZE_EXPORTER_LOG_LEVLE": "debug"}
        campaigns = [{"id": "no-uuid", "name": "Welcome"}]
        with exporter(
            braze,
            tmp_path,
            environment=environment,
            api_key_env=key,
            campaigns=campaigns,
        ) as daemon:
            daemon.wait_for_line("event=web.listening")
            logged = daemon.log(r"level=warn event=(environment|config)\.warning")
        checked = invoke(
            "check", str(tmp_path / "config.yaml"), environment=environment
        )

    printed = checked.stderr.splitlines()
    assert checked.returncode == 0
    assert "1 campaign, 2 warnings" in checked.stdout
    assert len(printed) == len(logged) == 2
    for lines in (sorted(printed), sorted(logged)):
        assert sum("campaigns[0].id" in line for line in lines) == 1
        assert (
            sum("did you mean BRAZE_EXPORTER_LOG_LEVEL?" in one for one in lines) == 1
        )


def test_the_health_check_finds_the_daemon(tmp_path: Path) -> None:
    """On the address and under the prefix of the daemon's flags."""
    prefix = "--web.route-prefix=/the re"
    hosts = ("127.0.0.1", "0.0.0.0", "", "localhost")  # noqa: S104 - what is tested
    listen = [f"--web.listen-address={host}:0" for host in hosts]
    with Simulator() as braze, exporter(braze, tmp_path, prefix, *listen) as daemon:
        until(lambda: len(daemon.log("web.listening")) == 1 + len(hosts))
        # The first one is that of all daemons in these tests.
        ports = [line.rpartition(":")[2] for line in daemon.log("web.listening")][1:]
        ports = [re.findall(r"\d+", port)[0] for port in ports]
        flags = [
            f"--web.listen-address={host}:{port}"
            for host, port in zip(hosts, ports, strict=True)
        ]
        healthy = [run("healthcheck", prefix, flags[0])]
        healthy += [invoke("healthcheck", prefix, flag) for flag in flags[1:]]
        wrong_prefix = invoke("healthcheck", flags[0])

        daemon.stop()
        stopped = run("healthcheck", prefix, flags[0])

    assert {(one.returncode, one.stdout) for one in healthy} == {(0, "healthy\n")}
    assert wrong_prefix.returncode == 1
    assert f"127.0.0.1:{ports[0]}/-/healthy" in wrong_prefix.stderr
    assert "404" in wrong_prefix.stderr
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert re.fullmatch(
        r"unhealthy: request to 127\.0\.0\.1:\d+/the%20re/-/healthy failed: "
        r".+ check that .+\n",
        stopped.stderr,
    )


def test_the_health_check_can_require_readiness(tmp_path: Path) -> None:
    """`--ready` or its variable; a daemon without a finished poll is not ready."""
    variable = {"BRAZE_EXPORTER_READY": "true"}
    with Simulator() as braze:
        braze.set_fault(Fault(delivery=Delivery.HANG))  # no poll ends
        with exporter(braze, tmp_path, timeout="10m") as daemon:
            flag = f"--web.listen-address={daemon.url.removeprefix('http://')}"
            unready = invoke("healthcheck", "--ready", flag)
            healthy = invoke("healthcheck", flag)
        braze.clear_faults()
        with exporter(braze, tmp_path) as daemon:
            flag = f"--web.listen-address={daemon.url.removeprefix('http://')}"
            until(lambda: invoke("healthcheck", "--ready", flag).returncode == 0)
            ready = invoke("healthcheck", flag, environment=variable)
            not_required = invoke(
                "healthcheck", "--no-ready", flag, environment=variable
            )

    assert (healthy.returncode, healthy.stdout) == (0, "healthy\n")
    assert (unready.returncode, unready.stdout) == (1, "")
    assert "/-/ready" in unready.stderr
    assert "503" in unready.stderr
    assert (ready.returncode, ready.stdout) == (0, "ready\n")
    assert not_required.stdout == "healthy\n"


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0"])
def test_simulate_prints_a_configuration(tmp_path: Path, address: str) -> None:
    fleet = ("--campaigns=30", "--canvases=25", "--timezone=Asia/Tokyo")
    with Process("simulate", "--listen-address", address, *fleet) as braze:
        variable = braze.wait_for_line(r"export (BRAZE_API_KEY)=(\S+)")
        braze.wait_for_line("# and 10 more; .* all except draft and archived ones")
        braze.wait_for_line("# and 5 more; .* draft, stopped and archived ones")
        start = braze.lines.index("workspaces:")
        file = tmp_path / "config.yaml"
        file.write_text("\n".join(braze.lines[start:]), encoding="utf-8")
        environment = {variable[1]: variable[2]}
        checked = invoke("check", str(file), environment=environment)
        reached = invoke("doctor", "--config.file", str(file), environment=environment)
        braze.stop()

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "20 campaigns, 20 canvases" in checked.stdout
    assert (reached.returncode, reached.stderr) == (0, "")


@pytest.mark.parametrize("count", ["1", "30"])
def test_the_demo_prints_url_and_incidents(count: str) -> None:
    with Process("demo", FREE_PORT, "--campaigns", count) as demo:
        began = datetime.now(UTC)
        url = demo.wait_for_line(r"Metrics +(http://\S+)$")[1]
        demo.wait_for_line("Stop +Ctrl-C")
        demo.wait_for_line("'Spring sale 🌷' bounces")

        until(lambda: b"braze_campaign_daily{" in get(url)[2])
        demo.wait_for_line("'Abandoned checkout' sends nothing, although users enter")
        status = json.loads(demo.get("/api/v1/status")[1])
        assert demo.end(signal.SIGINT, seconds=PATIENCE_SECONDS) == 0

    (workspace,) = status["workspaces"]
    assert began.astimezone(ZoneInfo(workspace["timezone"])).hour in {13, 14}


def test_the_demo_shows_the_active_canvases_by_step() -> None:
    """Drafts, stopped and archived canvases are left out; deleted steps are not."""
    dormant = {"Summer festival", "Advent calendar", "Birthday journey (draft)"}
    active = {one.name for one in Simulator().canvases} - dormant
    silent, entered = {"canvas": "Abandoned checkout"}, {"metric": "entries"}
    with Process("demo", FREE_PORT) as demo:
        demo.wait_for_samples("braze_canvas_daily_timestamp_seconds", len(active))
        scrape = demo.wait_for_samples("braze_canvas_up", len(active))
        users = demo.value("braze_canvas_overall_daily", **silent, **entered)
        demo.stop()

    def values(family: str, label: str) -> set[str]:
        return {dict(labels)[label] for labels in scrape[family]}

    assert values("braze_canvas_up", "canvas") == active
    assert "Voucher by post" in values("braze_canvas_step_info", "step")
    assert "Control Group" in values("braze_canvas_variant_info", "variant")
    sent = [
        value
        for labels, value in scrape["braze_canvas_step_daily"].items()
        if labels >= {*silent.items(), ("metric", "sent")}
    ]
    assert users
    assert sent == [0, 0, 0]
    assert demo.log(r"level=(warn|error)") == []


def test_the_demo_shows_an_event_a_segment_and_an_ingestion_that_failed() -> None:
    """All other series are healthy, and all of them are polled."""
    braze = Simulator()
    sizes = {one.name: one.size for one in braze.segments if one.is_tracked}
    others = 9  # four of users, two of purchases, sessions, broadcasts, ingestion
    count = others + len(sizes) + len(braze.events)
    with Process("demo", FREE_PORT) as demo:
        for name in ("event 'basket_abandoned'", "segment 'Loyalty", "'Loyalty tiers'"):
            demo.wait_for_line(f"^  the .*{name}")
        demo.wait_for_samples(
            "braze_workspace_series_last_success_timestamp_seconds", count
        )
        scrape = demo.scrape()
        demo.stop()

    events = {dict(key)["event"]: n for key, n in scrape["braze_event_count"].items()}
    segments = scrape["braze_segment_size"].items()
    parts = {
        dict(key)["segment"]: n / sizes[dict(key)["segment"]] for key, n in segments
    }
    syncs = [dict(key) for key in scrape["braze_data_ingestion_status_info"]]
    assert [name for name, n in events.items() if not n] == ["basket_abandoned"]
    assert [name for name, part in parts.items() if part < 0.5] == ["Loyalty members"]
    assert [one["integration"] for one in syncs if one["status"] != "success"] == [
        "Loyalty tiers"
    ]
    assert (len(events), len(parts)) == (len(braze.events), len(sizes))
    assert len(syncs) == len(braze.integrations)
    assert list(scrape["braze_workspace_series_up"].values()) == [1] * count


@pytest.mark.parametrize("hour", range(24))
def test_there_is_a_zone_of_early_afternoon_for_every_hour(hour: int) -> None:
    now = datetime(2026, 6, 3, hour, 30, tzinfo=UTC)

    zone = ZoneInfo(early_afternoon(now.timestamp()))

    assert now.astimezone(zone).hour == 13

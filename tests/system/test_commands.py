"""Commands and the daemon as processes: output, logs, exit codes."""

from __future__ import annotations

import json
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
from tests.support.command_line import invoke
from tests.support.daemon_process import (
    PATIENCE_SECONDS,
    Process,
    configuration,
    get,
    parse,
    run,
    until,
    written,
)

EXAMPLE = ROOT / "config.example.yaml"
KEY = "secret-api-key"
FREE_PORT = "--web.listen-address=127.0.0.1:0"


def config_file(
    tmp_path: Path, braze: Simulator, *, count: int = 4, **changes: object
) -> str:
    """Write a configuration that polls some of the campaigns."""
    campaigns = [{"id": one.id, "name": one.name} for one in braze.campaigns[:count]]
    document = configuration(braze, **{"campaigns": campaigns, **changes})
    return written(tmp_path / "config.yaml", document)


def test_config_check_is_the_same_as_check() -> None:
    """However the file is named; a missing key is only a warning."""
    flag = run("--config.check", "--config.file", str(EXAMPLE))
    command = invoke("check", "--config.file", str(EXAMPLE))

    assert flag.returncode == command.returncode == 0
    assert (flag.stdout, flag.stderr) == (command.stdout, command.stderr)
    assert "valid, 1 workspace, 2 campaigns, 1 warning" in flag.stdout


@pytest.mark.parametrize("environment", [{}, {"BRAZE_API_KEY": ""}])
def test_the_daemon_requires_the_key(environment: dict[str, str]) -> None:
    """The error names line and path."""
    refused = run("--config.file", str(EXAMPLE), environment=environment)

    place = rf"{re.escape(str(EXAMPLE))}:\d+: workspaces\[0\]\.api_key_env: "
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.match(rf"{place}.*(BRAZE_API_KEY|is empty)", refused.stderr)
    assert len(refused.stderr.splitlines()) == 1


def test_unknown_variables_are_reported(tmp_path: Path) -> None:
    """By `check` and by the daemon, unless the configuration reads them."""
    key = "BRAZE_EXPORTER_MY_KEY"
    with Simulator() as braze:
        file = written(tmp_path / "c.yaml", configuration(braze, api_key_env=key))
        environment = {key: braze.api_key, "BRAZE_EXPORTER_LOG_LEVLE": "debug"}
        checked = invoke("check", file, environment=environment)
        arguments = ("--config.file", file, FREE_PORT)
        with Process(*arguments, environment=environment) as daemon:
            daemon.wait_for_line(
                r"level=warn event=environment\.warning problem=.*LOG_LEVLE.*LOG_LEVEL"
            )
            daemon.wait_for_line("event=web.listening")
            log = "\n".join(daemon.lines)

    assert checked.returncode == 0
    assert checked.stderr.startswith("warning: the environment variable BRAZE_EXPORTER")
    assert checked.stderr.endswith("did you mean BRAZE_EXPORTER_LOG_LEVEL?\n")
    assert "22 campaigns, 1 warning" in checked.stdout
    assert log.count("environment.warning") == 1


def test_the_health_check_finds_the_daemon(tmp_path: Path) -> None:
    """On the address and under the prefix of the daemon's flags."""
    prefix = "--web.route-prefix=/the re"
    hosts = ("127.0.0.1", "0.0.0.0", "", "localhost")  # noqa: S104 - what is tested
    listen = [f"--web.listen-address={host}:0" for host in hosts]
    with Simulator() as braze:
        arguments = ("--config.file", config_file(tmp_path, braze), prefix, *listen)
        with Process(*arguments, environment={"BRAZE_API_KEY": KEY}) as daemon:
            address = r'event=web\.listening address="?\S+:(\d+)'
            until(lambda: len(daemon.lines) and daemon.url)
            until(lambda: sum("web.listening" in line for line in daemon.lines) == 4)
            ports = [
                found[1] for line in daemon.lines if (found := re.search(address, line))
            ]
            flags = [
                f"--web.listen-address={host}:{port}"
                for host, port in zip(hosts, ports, strict=True)
            ]
            healthy = [run("healthcheck", prefix, flags[0])]
            healthy += [invoke("healthcheck", prefix, flag) for flag in flags[1:]]
            wrong_prefix = invoke("healthcheck", flags[0])

            daemon.end(signal.SIGTERM, seconds=PATIENCE_SECONDS)
            stopped = invoke("healthcheck", prefix, flags[0])

    assert {(one.returncode, one.stdout) for one in healthy} == {(0, "healthy\n")}
    assert wrong_prefix.returncode == 1
    assert f"127.0.0.1:{ports[0]}/-/healthy" in wrong_prefix.stderr
    assert "404" in wrong_prefix.stderr
    assert stopped.returncode == 1


def test_the_health_check_can_require_readiness(tmp_path: Path) -> None:
    """`--ready` or its variable; a daemon without a finished poll is not ready."""
    variable = {"BRAZE_EXPORTER_READY": "true"}
    with Simulator() as braze:
        # No poll ends while the readiness is requested.
        braze.set_fault(Fault(delivery=Delivery.HANG))
        file = config_file(tmp_path, braze, timeout="60s")
        arguments, environment = (
            ("--config.file", file, FREE_PORT),
            {"BRAZE_API_KEY": KEY},
        )
        with Process(*arguments, environment=environment) as daemon:
            flag = f"--web.listen-address={daemon.url.removeprefix('http://')}"
            unready = invoke("healthcheck", "--ready", flag)
            healthy = invoke("healthcheck", flag)
        braze.clear_faults()
        with Process(*arguments, environment=environment) as daemon:
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


def test_simulate_serves_until_a_signal() -> None:
    """It prints its address and key; SIGTERM ends it with exit code 0."""
    with Process("simulate", "--listen-address", "127.0.0.1:0") as braze:
        match = braze.wait_for_line(r"simulated Braze at (\S+), API key (\S+)")
        campaign = braze.wait_for_line(r"^      - id: ([0-9a-f-]{36})")
        path = f"/campaigns/data_series?length=1&campaign_id={campaign[1]}"
        headers = {"Authorization": f"Bearer {match[2]}"}

        status, _, body = get(f"{match[1]}{path}", headers=headers)
        code = braze.end(signal.SIGTERM, seconds=PATIENCE_SECONDS)

    assert status == 200
    assert json.loads(body)["message"] == "success"
    assert code == 0


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0"])
def test_simulate_prints_a_configuration(tmp_path: Path, address: str) -> None:
    """It is valid, without warnings, and reaches the simulator."""
    flags = ("--listen-address", address, "--campaigns=30", "--timezone=Asia/Tokyo")
    with Process("simulate", *flags) as braze:
        variable = braze.wait_for_line(r"export (BRAZE_API_KEY)=(\S+)")
        braze.wait_for_line("# and 10 more; `braze-exporter discover` prints all")
        start = braze.lines.index("workspaces:")
        file = tmp_path / "config.yaml"
        file.write_text("\n".join(braze.lines[start:]), encoding="utf-8")
        environment = {variable[1]: variable[2]}
        checked = invoke("check", str(file), environment=environment)
        reached = invoke("doctor", "--config.file", str(file), environment=environment)

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "20 campaigns" in checked.stdout
    assert (reached.returncode, reached.stderr) == (0, "")


@pytest.mark.parametrize("count", ["1", "30"])
def test_the_demo_shows_where_to_look(count: str) -> None:
    """It prints the URL and the incidents, and serves figures of an afternoon."""
    with Process("demo", FREE_PORT, "--campaigns", count) as demo:
        began = datetime.now(UTC)
        url = demo.wait_for_line(r"Metrics +(http://\S+)$")[1]
        demo.wait_for_line("Stop +Ctrl-C")

        until(lambda: "braze_campaign_daily" in parse(get(url)[2].decode()))
        status = json.loads(get(f"{demo.url}/api/v1/status")[2])
        code = demo.end(signal.SIGINT, seconds=PATIENCE_SECONDS)

    assert code == 0
    assert any("'Spring sale 🌷' bounces" in line for line in demo.lines)
    (workspace,) = status["workspaces"]
    assert began.astimezone(ZoneInfo(workspace["timezone"])).hour in {13, 14}


@pytest.mark.parametrize("hour", range(24))
def test_there_is_a_zone_of_early_afternoon_for_every_hour(hour: int) -> None:
    """It is between 13:00 and 14:00 there."""
    now = datetime(2026, 6, 3, hour, 30, tzinfo=UTC)

    zone = ZoneInfo(early_afternoon(now.timestamp()))

    assert now.astimezone(zone).hour == 13


def fields(line: str) -> dict[str, str]:
    """Parse a line of logfmt. ValueError: it is not logfmt."""
    return dict(part.split("=", 1) for part in shlex.split(line))


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_the_log_has_one_event_a_line_and_no_secrets(
    tmp_path: Path, log_format: str
) -> None:
    """At level debug, with faulty responses: every line parses."""
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
        flags = (f"--log.format={log_format}", "--log.level=debug", FREE_PORT)
        environment = {"BRAZE_API_KEY": braze.api_key}
        with Process("--config.file", file, *flags, environment=environment) as daemon:
            assert braze.wait_for_requests(20, timeout_seconds=PATIENCE_SECONDS)
            message = f"no: {KEY} {braze.api_key}".encode()
            braze.clear_faults()
            braze.set_fault(Fault(status=401, body=b'{"message": "%b"}' % message))
            daemon.wait_for_line(r"workspace\.paused")
            daemon.end(signal.SIGTERM, seconds=PATIENCE_SECONDS)

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


def test_warnings_and_refused_keys_are_logged(tmp_path: Path) -> None:
    """The pause names the source of the key, the endpoint and the status."""
    with Simulator() as braze:
        campaigns = [{"id": "no-uuid", "name": "Welcome"}]
        file = config_file(tmp_path, braze, campaigns=campaigns)
        environment = {"BRAZE_API_KEY": KEY}
        arguments = ("--config.file", file, FREE_PORT)
        with Process(*arguments, environment=environment) as daemon:
            warning = daemon.wait_for_line(r"event=config\.warning .*").string
            pause = daemon.wait_for_line(r"event=workspace\.paused .*").string

            assert get(f"{daemon.url}/-/healthy")[0] == 200
        endpoint = braze.url

    assert "campaigns[0].id" in warning
    assert fields(pause).items() >= {
        ("level", "warn"),
        ("key", "environment variable BRAZE_API_KEY"),
        ("endpoint", endpoint),
        ("status", "401"),
    }
    assert KEY not in "\n".join(daemon.lines)

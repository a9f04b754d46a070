"""`braze-exporter doctor`: problems of keys, hosts, permissions and networks.

tests/unit/braze/test_diagnosis.py has all keys and failures.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from exporter.commands.simulate import series
from exporter.config.options import CONFIG
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings

from tests.support.certificates import Certificates
from tests.support.command_line import invoke
from tests.support.daemon_process import configuration, listed, run, workspace, written

SECRET = "simulated-braze-key"
KEY = {"BRAZE_API_KEY": SECRET}
DATA_SERIES, LIST, DETAILS = (
    f"campaigns.{name}" for name in ("data_series", "list", "details")
)


Checks = dict[str, dict[str, Any]]


def checks_of(
    tmp_path: Path,
    braze: Simulator,
    *,
    environment: dict[str, str] | None = None,
    **changes: object,
) -> Checks:
    """Return the checks of the only workspace; the exit code is consistent."""
    options = {"campaigns": listed(braze.campaigns[:1]), "timeout": "1m", **changes}
    file = written(tmp_path / "c.yaml", configuration(braze, **options))
    arguments = (f"--config.file={file}", "--output=json")
    ended = invoke("doctor", *arguments, environment=environment or KEY)
    report = json.loads(ended.stdout)
    (workspace,) = report["workspaces"]
    assert report["version"] == 1
    assert report["healthy"] is workspace["healthy"] is (ended.returncode == 0)
    assert ended.returncode in (0, 1)
    assert SECRET not in ended.stdout + ended.stderr
    return {one["check"]: one for one in workspace["checks"]}


def problems(checks: Checks) -> dict[str, str]:
    """Return the codes of the failed checks; each has a message and advice."""
    wrong = {name: one for name, one in checks.items() if one["ok"] is False}
    assert all(one["advice"] and one["message"] for one in wrong.values())
    return {name: one["problem"] for name, one in wrong.items()}


def test_one_request_is_sent_for_each_permission(tmp_path: Path) -> None:
    with Simulator() as braze:
        plain = checks_of(tmp_path, braze)
        requests = [(one.path, one.query) for one in braze.requests]
        found = checks_of(tmp_path, braze, campaigns=[], discover={})
        by_list = checks_of(tmp_path, braze, discover={"include_drafts": True})
        paths = [one.path for one in braze.requests][1:4]

    query = f"campaign_id={braze.campaigns[0].id}&length=1"
    assert requests == [("/campaigns/data_series", query)]
    assert list(plain) == ["key", DATA_SERIES, "clock"]
    assert list(found) == ["key", DATA_SERIES, LIST, DETAILS, "clock"]
    assert list(by_list) == ["key", DATA_SERIES, LIST, "clock"]
    assert all(one["ok"] for one in (*plain.values(), *found.values()))
    assert sorted(paths) == [
        f"/campaigns/{one}" for one in ("data_series", "details", "list")
    ]


@pytest.mark.parametrize("missing", [DATA_SERIES, LIST, DETAILS])
def test_a_missing_permission(missing: str, tmp_path: Path) -> None:
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        checks = checks_of(tmp_path, braze, discover={})

    assert problems(checks) == {missing: "permission_missing"}
    assert f"{DATA_SERIES}, {LIST}, {DETAILS}" in checks[missing]["advice"]
    assert checks[missing]["status"] == 403


def test_canvases_have_permissions_of_their_own(tmp_path: Path) -> None:
    """The request for the series ends a minute ago, as those of the daemon."""
    names = [f"canvas.{name}" for name in ("data_series", "list", "details")]
    with Simulator() as braze:
        canvas = [{"id": braze.canvases[0].id, "name": "A"}]
        plain = checks_of(tmp_path, braze, campaigns=[], canvases=canvas)
        (request,) = braze.requests
        found = checks_of(tmp_path, braze, campaigns=[], discover={"canvases": {}})
        both = checks_of(tmp_path, braze, canvases=canvas)

    assert list(plain) == ["key", names[0], "clock"]
    assert request.path == "/canvas/data_series"
    assert "&length=1&ending_at=20" in request.query
    assert list(found) == ["key", *names, "clock"]
    assert list(both) == ["key", DATA_SERIES, names[0], "clock"]
    assert all(one["ok"] for one in (*plain.values(), *found.values(), *both.values()))


@pytest.mark.parametrize("name", ["data_series", "list", "details"])
def test_a_missing_permission_for_canvases(name: str, tmp_path: Path) -> None:
    missing = f"canvas.{name}"
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        checks = checks_of(tmp_path, braze, discover={"canvases": {}})

    assert problems(checks) == {missing: "permission_missing"}
    assert missing in checks[missing]["advice"]


EVERY_SERIES = (
    *("kpi.dau.data_series", "kpi.mau.data_series", "kpi.new_users.data_series"),
    *("kpi.uninstalls.data_series", "sessions.data_series"),
    *("purchases.revenue_series", "purchases.quantity_series"),
    *("segments.data_series", "events.data_series"),
    *("messages.schedule_broadcasts", "cdi.integration_list"),
)


def test_series_have_permissions_of_their_own(tmp_path: Path) -> None:
    """As Braze spells them; each segment and event is requested once."""
    with Simulator() as braze:
        some = series(braze)
        checks = checks_of(tmp_path, braze, campaigns=[], series=some)
        paths = Counter(one.path for one in braze.requests)
        few = checks_of(tmp_path, braze, series={"broadcasts": True})

    assert list(checks) == ["key", *EVERY_SERIES, "clock"]
    assert list(few) == ["key", DATA_SERIES, "messages.schedule_broadcasts", "clock"]
    assert problems(checks) == problems(few) == {}
    assert paths.pop("/segments/data_series") == len(some["segments"])
    assert paths.pop("/events/data_series") == len(some["events"])
    assert set(paths.values()) == {1}


@pytest.mark.parametrize("missing", EVERY_SERIES)
def test_a_missing_permission_for_series(missing: str, tmp_path: Path) -> None:
    """It is the problem of that series alone."""
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        checks = checks_of(tmp_path, braze, series=series(braze))

    assert problems(checks) == {missing: "permission_missing"}
    assert missing in checks[missing]["message"]
    assert missing in checks[missing]["advice"]


def test_refused_segments_and_events_are_named(tmp_path: Path) -> None:
    """Contact addresses of integrations appear nowhere."""
    with Simulator() as braze:
        some = series(braze)
        listed = [{"id": one.id, "name": one.name} for one in braze.segments]
        misspelled = [{"name": "order placed"}, {"name": "log_in", "unit": "day"}]
        some |= {"segments": listed, "events": [*misspelled, *some["events"]]}
        document = configuration(braze, campaigns=[], series=some, timeout="1m")
        file = written(tmp_path / "c.yaml", document)
        arguments = ("doctor", f"--config.file={file}", "--output")
        as_text, as_json = (
            invoke(*arguments, output, environment=KEY) for output in ("text", "json")
        )

    (untracked,) = (one.name for one in braze.segments if not one.is_tracked)
    (workspace,) = json.loads(as_json.stdout)["workspaces"]
    checks = {one["check"]: one for one in workspace["checks"]}
    assert problems(checks) == {
        "segments.data_series": "segment_refused",
        "events.data_series": "event_refused",
    }
    assert f"segment {untracked}: HTTP 400" in checks["segments.data_series"]["message"]
    assert "Analytics Tracking" in checks["segments.data_series"]["advice"]
    message = checks["events.data_series"]["message"]
    assert message.startswith("event order placed hour: HTTP 400")
    assert message.endswith("; the same for event log_in day")
    assert "example.com" not in as_text.stdout + as_json.stdout
    assert as_text.stdout.endswith("\n2 problems.\n")
    assert max(map(len, as_text.stdout.splitlines())) <= 88


def test_a_clock_that_is_ahead_is_named(tmp_path: Path) -> None:
    """By the refusal of canvases too; requests of campaigns have no end of days."""
    settings = SimulatorSettings(clock=lambda: time.time() - 600)
    with Simulator(settings) as braze:
        canvas = [{"id": braze.canvases[0].id, "name": "A"}]
        checks = checks_of(tmp_path, braze, canvases=canvas)

    wrong = {"canvas.data_series": "clock_ahead", "clock": "clock_skew"}
    assert problems(checks) == wrong
    for name in wrong:
        assert "time daemon" in checks[name]["advice"]
    assert "clock is 6" in checks["canvas.data_series"]["message"]


def test_a_wrong_key_or_host_skips_other_requests(tmp_path: Path) -> None:
    with Simulator() as braze:
        wrong = {"BRAZE_API_KEY": "another-key"}
        checks = checks_of(tmp_path, braze, environment=wrong, discover={})

        assert len(braze.requests) == 1
    assert problems(checks) == {DATA_SERIES: "key_or_host"}
    assert "rest.kr-01.braze.com" in checks[DATA_SERIES]["advice"]
    assert checks[LIST]["ok"] is None


@pytest.mark.parametrize(
    ("environment", "problem"),
    [({"OTHER": ""}, "key_missing"), ({"BRAZE_API_KEY": f'"{SECRET}'}, "key_quoted")],
)
def test_a_malformed_key_is_not_sent(
    environment: dict[str, str], problem: str, tmp_path: Path
) -> None:
    with Simulator() as braze:
        checks = checks_of(tmp_path, braze, environment=environment)

        assert braze.requests == ()
    assert problems(checks) == {"key": problem}


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(status=503), "server_error"),
        (Fault.redirect("https://elsewhere.example"), "redirect"),
        (Fault(body=b"{}"), "malformed"),
        (Fault(status=403, body=b'{"message": "IP not allowed"}'), "ip_not_allowed"),
        (Fault(status=400), "campaign_refused"),
    ],
)
def test_failures_of_braze(fault: Fault, problem: str, tmp_path: Path) -> None:
    with Simulator() as braze:
        braze.set_fault(fault)

        assert problems(checks_of(tmp_path, braze)) == {DATA_SERIES: problem}


def test_a_workspace_without_campaigns_is_checked_too(tmp_path: Path) -> None:
    """With a placeholder id: its refusal is expected."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        braze.remove(braze.campaigns[0].id)
        checks = checks_of(tmp_path, braze, campaigns=[], discover={})

    assert problems(checks) == {}
    assert checks[DATA_SERIES]["status"] == 400


def test_clock_skew_is_computed_from_the_date_header(tmp_path: Path) -> None:
    """Also of failed requests."""
    date = formatdate(time.time() + 3600, usegmt=True)
    with Simulator() as braze:
        braze.set_fault(Fault(headers={"Date": date}), count=1)
        good = checks_of(tmp_path, braze)
        braze.set_fault(Fault(status=503, headers={"Date": date}))
        failed = checks_of(tmp_path, braze)
        braze.set_fault(Fault(headers={"Date": "soon"}))
        without_date = checks_of(tmp_path, braze)

    assert problems(good) == {"clock": "clock_skew"}
    assert good["clock"]["seconds"] == pytest.approx(3600, abs=300)
    assert set(problems(failed)) == {DATA_SERIES, "clock"}
    assert without_date["clock"]["ok"] is None


CLOSED = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("problem", "changes"),
    [
        ("connection", {"endpoint": CLOSED}),
        ("dns", {"endpoint": "https://rest.nowhere.invalid"}),
        ("proxy", {"proxy": CLOSED}),
    ],
)
def test_network_problems(
    tmp_path: Path, problem: str, changes: dict[str, Any]
) -> None:
    with Simulator() as braze:
        checks = checks_of(tmp_path, braze, discover={}, **changes)

    assert problems(checks) == {DATA_SERIES: problem}
    assert checks[LIST]["ok"] is None


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    variables = {**KEY, "SSL_CERT_FILE": str(tmp_path / "missing.pem")}
    with Simulator() as braze:
        checks = checks_of(tmp_path, braze, environment=variables, discover={})

    assert problems(checks) == {DATA_SERIES: "tls"}
    assert "SSL_CERT_FILE" in checks[DATA_SERIES]["message"]
    assert "Correct the path" in checks[DATA_SERIES]["advice"]
    assert checks[LIST]["ok"] is None


def test_a_renamed_option_has_the_advice_of_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict(CONFIG)
    options["days"] = options.pop("windows")._replace(renamed_from="windows")
    monkeypatch.setattr("exporter.config.schema.CONFIG", options)
    with Simulator() as braze:
        document = {**configuration(braze), "windows": ["3d"]}
        file = written(tmp_path / "c.yaml", document)
        doctor = invoke("doctor", f"--config.file={file}", environment=KEY)
        check = invoke("check", file, environment=KEY)

    assert (doctor.returncode, check.returncode) == (0, 0)
    assert "`windows` was renamed to `days`; rename it here, too" in check.stderr
    assert doctor.stderr == check.stderr


def test_a_port_without_tls(tmp_path: Path) -> None:
    ca_file = str(Certificates(tmp_path / "certificates").directory / "ca.pem")
    with Simulator() as braze:
        endpoint = braze.url.replace("http:", "https:")
        checks = checks_of(tmp_path, braze, endpoint=endpoint, ca_file=ca_file)

    assert problems(checks) == {DATA_SERIES: "tls"}


def test_the_report_as_text() -> None:
    """Lines fit a terminal; flags replace the configuration."""
    with Simulator(SimulatorSettings(permissions=frozenset({LIST}))) as braze:
        flags = (f"--endpoint={braze.url}", "--api-key-env=BRAZE_API_KEY")
        ended = run("doctor", *flags, environment=KEY)

    assert ended.returncode == 1
    assert "ok     key" in ended.stdout
    assert "WRONG  campaigns.data_series" in ended.stdout
    assert "what to do: Braze fixes" in ended.stdout
    assert ended.stdout.endswith("\n1 problem.\n")
    assert max(map(len, ended.stdout.splitlines())) <= 88


def test_equal_advice_is_printed_once(tmp_path: Path) -> None:
    """The list is requested without a campaign id."""
    with Simulator() as braze:
        braze.set_fault(Fault(status=400, body=b"<html>", headers={}))
        document = configuration(braze, campaigns=[], discover={}, timeout="1m")
        file = written(tmp_path / "c.yaml", document)
        ended = invoke("doctor", f"--config.file={file}", environment=KEY)

    report = " ".join(ended.stdout.split())
    assert report.count("please report this response") == 1
    assert ended.stdout.count("what to do: see above") == 2
    assert report.count("is the campaign id the campaign's API identifier?") == 2
    assert "for campaigns/list: the request is refused what to do" in report


def test_workspaces_are_reported_in_order(tmp_path: Path) -> None:
    with Simulator() as braze:
        healthy = workspace(braze, timeout="1m")
        wrong = healthy | {"name": "second", "api_key_env": "MISSING"}
        reports = []
        for workspaces in ([wrong, healthy], [healthy]):
            file = written(tmp_path / "c.yaml", {"workspaces": workspaces})
            environment = {**KEY, "BRAZE_EXPORTER_CONFIG_FILE": file}
            reports.append(invoke("doctor", environment=environment))

    both, good = reports
    assert re.findall("^workspace (\\S+)", both.stdout, re.MULTILINE) == [
        "second",
        "production",
    ]
    assert "environment variable MISSING is not set" in both.stdout
    assert (both.returncode, good.returncode) == (1, 0)
    assert good.stdout.endswith("\nNo problems found.\n")

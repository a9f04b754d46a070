"""`braze-exporter doctor`: problems of keys, hosts, permissions and networks."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings

from tests.support.certificates import Certificates
from tests.support.command_line import invoke
from tests.support.daemon_process import configuration, run, written
from tests.support.scripted_peer import closed_port

SECRET = "simulated-braze-key"
KEY = {"BRAZE_API_KEY": SECRET}
DATA_SERIES, LIST, DETAILS = (
    f"campaigns.{name}" for name in ("data_series", "list", "details")
)
UNKNOWN_ID = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"


def checks_of(
    tmp_path: Path,
    braze: Simulator,
    *,
    environment: dict[str, str] | None = None,
    **changes: object,
) -> dict[str, Any]:
    """Return the checks of the only workspace; the exit code is consistent."""
    listed = [{"id": one.id, "name": one.name} for one in braze.campaigns[:1]]
    document = configuration(braze, **{"campaigns": listed, **changes})
    file = written(tmp_path / "c.yaml", document)
    ended = invoke(
        "doctor",
        f"--config.file={file}",
        "--output=json",
        environment=environment or KEY,
    )
    report: dict[str, Any] = json.loads(ended.stdout)
    assert report["version"] == 1
    assert report["healthy"] is (ended.returncode == 0)
    assert ended.returncode in (0, 1)
    assert SECRET not in ended.stdout + ended.stderr
    (workspace,) = report["workspaces"]
    assert workspace["healthy"] is report["healthy"]
    checks: dict[str, Any] = {one["check"]: one for one in workspace["checks"]}
    return checks


def problems(checks: dict[str, Any]) -> dict[str, str]:
    """Return the codes of the failed checks; each has a message and advice."""
    wrong = {name: one for name, one in checks.items() if one["ok"] is False}
    assert all(one["advice"] and one["message"] for one in wrong.values())
    return {name: one["problem"] for name, one in wrong.items()}


def test_one_request_is_sent_for_each_permission(tmp_path: Path) -> None:
    """Without discovery for data series only."""
    with Simulator() as braze:
        plain = checks_of(tmp_path, braze)
        requests = [(one.path, one.query) for one in braze.requests]
        found = checks_of(tmp_path, braze, campaigns=[], discover={})
        by_list = checks_of(tmp_path, braze, discover={"include_drafts": True})
        paths = [one.path for one in braze.requests][1:4]

    campaign_id = braze.campaigns[0].id
    assert requests == [
        ("/campaigns/data_series", f"campaign_id={campaign_id}&length=1")
    ]
    assert list(plain) == ["key", DATA_SERIES, "clock"]
    assert list(found) == ["key", DATA_SERIES, LIST, DETAILS, "clock"]
    assert list(by_list) == ["key", DATA_SERIES, LIST, "clock"]
    assert all(one["ok"] for one in (*plain.values(), *found.values()))
    assert set(paths) == {
        f"/campaigns/{one}" for one in ("list", "details", "data_series")
    }


@pytest.mark.parametrize("missing", [DATA_SERIES, LIST, DETAILS])
def test_a_missing_permission(missing: str, tmp_path: Path) -> None:
    """The advice names all that a new key needs."""
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        checks = checks_of(tmp_path, braze, discover={})

    assert problems(checks) == {missing: "permission_missing"}
    assert f"{DATA_SERIES} and {LIST} and {DETAILS}" in checks[missing]["advice"]
    assert checks[missing]["status"] == 403


def test_a_wrong_key_or_host_skips_other_requests(tmp_path: Path) -> None:
    """The advice lists the hosts."""
    with Simulator() as braze:
        wrong = {"BRAZE_API_KEY": "another-key"}
        checks = checks_of(tmp_path, braze, environment=wrong, discover={})

        assert len(braze.requests) == 1
    assert problems(checks) == {DATA_SERIES: "key_or_host"}
    assert "rest.kr-01.braze.com" in checks[DATA_SERIES]["advice"]
    assert checks[LIST]["ok"] is None


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"OTHER": ""}, "key_missing"),
        ({"BRAZE_API_KEY": ""}, "key_empty"),
        ({"BRAZE_API_KEY": " \n"}, "key_empty"),
        ({"BRAZE_API_KEY": f'"{SECRET}'}, "key_quoted"),
        ({"BRAZE_API_KEY": "a b"}, "key_unsendable"),
    ],
)
def test_a_malformed_key_is_not_sent(
    environment: dict[str, str], problem: str, tmp_path: Path
) -> None:
    """No request is sent."""
    with Simulator() as braze:
        checks = checks_of(tmp_path, braze, environment=environment)

        assert braze.requests == ()
    assert problems(checks) == {"key": problem}


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(status=429), "rate_limited"),
        (Fault(status=503), "server_error"),
        (Fault(status=404), "wrong_endpoint"),
        (Fault(status=418), "refused"),
        (Fault.redirect("https://elsewhere.example"), "redirect"),
        (Fault.html(200), "malformed"),
        (Fault(body=b"{}"), "malformed"),
        (Fault(status=403, body=b'{"message": "IP not allowed"}'), "ip_not_allowed"),
        (Fault(status=403), "forbidden"),
    ],
)
def test_failures_of_braze(fault: Fault, problem: str, tmp_path: Path) -> None:
    """Each has its own code."""
    with Simulator() as braze:
        braze.set_fault(fault)

        assert problems(checks_of(tmp_path, braze)) == {DATA_SERIES: problem}


def test_an_unknown_campaign_id(tmp_path: Path) -> None:
    """Key, host and permission are right."""
    with Simulator() as braze:
        listed = [{"id": UNKNOWN_ID, "name": "Unknown"}]
        checks = checks_of(tmp_path, braze, campaigns=listed)

    assert problems(checks) == {DATA_SERIES: "campaign_refused"}


def test_a_workspace_without_campaigns_is_checked_too(tmp_path: Path) -> None:
    """With a placeholder id: its refusal is expected."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        braze.remove(braze.campaigns[0].id)
        checks = checks_of(tmp_path, braze, campaigns=[], discover={})

    assert problems(checks) == {}
    assert checks[DATA_SERIES]["status"] == 400


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_clock_skew(seconds: int, tmp_path: Path) -> None:
    """By the Date header, also of failed requests."""
    date = formatdate(time.time() + seconds, usegmt=True)
    with Simulator() as braze:
        braze.set_fault(Fault(headers={"Date": date}), count=1)
        good = checks_of(tmp_path, braze)
        braze.set_fault(Fault(status=503, headers={"Date": date}))
        failed = checks_of(tmp_path, braze)
        braze.set_fault(Fault(headers={"Date": "soon"}))
        without_date = checks_of(tmp_path, braze)

    assert problems(good) == {"clock": "clock_skew"}
    assert good["clock"]["seconds"] == pytest.approx(seconds, abs=60)
    assert set(problems(failed)) == {DATA_SERIES, "clock"}
    assert without_date["clock"]["ok"] is None


def test_network_problems(tmp_path: Path) -> None:
    """A closed port, an unknown name, an unreachable proxy, a port without TLS."""
    certificates = Certificates(tmp_path / "certificates")
    closed = closed_port()
    with Simulator() as braze:
        cases: dict[str, dict[str, Any]] = {
            "connection": {"endpoint": f"http://127.0.0.1:{closed}"},
            "dns": {"endpoint": "https://rest.nowhere.invalid"},
            "proxy": {"proxy": f"http://127.0.0.1:{closed}"},
            "tls": {
                "endpoint": braze.url.replace("http:", "https:"),
                "ca_file": str(certificates.directory / "ca.pem"),
            },
        }
        for problem, changes in cases.items():
            checks = checks_of(tmp_path, braze, discover={}, **changes)

            assert problems(checks) == {DATA_SERIES: problem}
            assert checks[LIST]["ok"] is None


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
        document = configuration(braze, campaigns=[], discover={})
        file = written(tmp_path / "c.yaml", document)
        ended = invoke("doctor", f"--config.file={file}", environment=KEY)

    report = " ".join(ended.stdout.split())
    assert report.count("please report this response") == 1
    assert ended.stdout.count("what to do: see above") == 2
    assert report.count("is the campaign id the campaign's API identifier?") == 2
    assert "for campaigns/list: the request is refused what to do" in report


def test_workspaces_are_reported_in_order(tmp_path: Path) -> None:
    """A problem of one does not affect the others."""
    with Simulator() as braze:
        document: dict[str, Any] = configuration(braze)
        (first,) = document["workspaces"]
        second = first | {"name": "second", "api_key_env": "MISSING"}
        file = written(tmp_path / "c.yaml", {"workspaces": [second, first]})
        both = invoke("doctor", f"--config.file={file}", environment=KEY)
        file = written(tmp_path / "c.yaml", document)
        healthy = invoke(
            "doctor", environment={**KEY, "BRAZE_EXPORTER_CONFIG_FILE": file}
        )

    lines = both.stdout.splitlines()
    starts = [line.split()[1] for line in lines if line.startswith("workspace ")]
    assert both.returncode == 1
    assert starts == ["second", "production"]
    assert "environment variable MISSING is not set" in both.stdout
    assert healthy.returncode == 0
    assert healthy.stdout.endswith("\nNo problems found.\n")

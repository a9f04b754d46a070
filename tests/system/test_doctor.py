"""`braze-exporter doctor`: what is wrong is told, and what is well is not."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings

from tests.support.certificates import Papers
from tests.support.daemon_process import configuration, run, written
from tests.support.scripted_peer import closed_port

SECRET = "simulated-braze-key"
KEY = {"BRAZE_API_KEY": SECRET}
DATA_SERIES, LIST, DETAILS = (
    "campaigns.data_series",
    "campaigns.list",
    "campaigns.details",
)
NOBODY = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"


def examine(
    tmp_path: Path,
    braze: Simulator,
    *,
    environment: dict[str, str] | None = None,
    **changes: object,
) -> dict[str, Any]:
    """Return what is told of the only workspace; the exit code agrees with it."""
    listed = [{"id": one.id, "name": one.name} for one in braze.campaigns[:1]]
    document = configuration(braze, **{"campaigns": listed, **changes})
    file = written(tmp_path / "c.yaml", document)
    ended = run(
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
    """Return the codes of what is wrong; each has an advice."""
    wrong = {name: one for name, one in checks.items() if one["ok"] is False}
    assert all(one["advice"] and one["message"] for one in wrong.values())
    return {name: one["problem"] for name, one in wrong.items()}


def test_all_is_well(tmp_path: Path) -> None:
    """One question a permission; without discovery data series alone are asked for."""
    with Simulator() as braze:
        plain = examine(tmp_path, braze)
        asked = [(one.path, one.query) for one in braze.requests]
        found = examine(tmp_path, braze, campaigns=[], discover={})
        by_list = examine(tmp_path, braze, discover={"include_drafts": True})
        paths = [one.path for one in braze.requests][1:4]

    campaign_id = braze.campaigns[0].id
    assert asked == [("/campaigns/data_series", f"campaign_id={campaign_id}&length=1")]
    assert list(plain) == ["key", DATA_SERIES, "clock"]
    assert list(found) == ["key", DATA_SERIES, LIST, DETAILS, "clock"]
    assert list(by_list) == ["key", DATA_SERIES, LIST, "clock"]
    assert all(one["ok"] for one in (*plain.values(), *found.values()))
    assert set(paths) == {
        f"/campaigns/{one}" for one in ("list", "details", "data_series")
    }


@pytest.mark.parametrize("missing", [DATA_SERIES, LIST, DETAILS])
def test_a_missing_permission_is_told(missing: str, tmp_path: Path) -> None:
    """And which a new key needs."""
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        checks = examine(tmp_path, braze, discover={})

    assert problems(checks) == {missing: "permission_missing"}
    assert f"{DATA_SERIES} and {LIST} and {DETAILS}" in checks[missing]["advice"]
    assert checks[missing]["status"] == 403


def test_a_wrong_key_or_host_is_told_once(tmp_path: Path) -> None:
    """With the list of hosts; what else would be asked is not."""
    with Simulator() as braze:
        wrong = {"BRAZE_API_KEY": "another-key"}
        checks = examine(tmp_path, braze, environment=wrong, discover={})

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
        ({"BRAZE_API_KEY": f'"{SECRET}"'}, "key_quoted"),
        ({"BRAZE_API_KEY": "a b"}, "key_unsendable"),
    ],
)
def test_a_bad_key_is_told_before_it_is_sent(
    environment: dict[str, str], problem: str, tmp_path: Path
) -> None:
    """Nobody is asked."""
    with Simulator() as braze:
        checks = examine(tmp_path, braze, environment=environment)

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
def test_what_braze_answers_is_told(fault: Fault, problem: str, tmp_path: Path) -> None:
    """Each with a code of its own."""
    with Simulator() as braze:
        braze.set_fault(fault)

        assert problems(examine(tmp_path, braze)) == {DATA_SERIES: problem}


def test_an_id_that_braze_does_not_know_is_told(tmp_path: Path) -> None:
    """Key, host and permission are right then."""
    with Simulator() as braze:
        listed = [{"id": NOBODY, "name": "Nobody"}]
        checks = examine(tmp_path, braze, campaigns=listed)

    assert problems(checks) == {DATA_SERIES: "campaign_refused"}


def test_a_workspace_without_campaigns_is_examined_too(tmp_path: Path) -> None:
    """By an id that is made up: to be refused is to be let in."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        braze.remove(braze.campaigns[0].id)
        checks = examine(tmp_path, braze, campaigns=[], discover={})

    assert problems(checks) == {}
    assert checks[DATA_SERIES]["status"] == 400


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_off_is_told(seconds: int, tmp_path: Path) -> None:
    """By the header `Date`, whatever else is wrong."""
    date = formatdate(time.time() + seconds, usegmt=True)
    with Simulator() as braze:
        braze.set_fault(Fault(headers={"Date": date}), count=1)
        well = examine(tmp_path, braze)
        braze.set_fault(Fault(status=503, headers={"Date": date}))
        ill = examine(tmp_path, braze)
        braze.set_fault(Fault(headers={"Date": "soon"}))
        untold = examine(tmp_path, braze)

    assert problems(well) == {"clock": "clock_skew"}
    assert well["clock"]["seconds"] == pytest.approx(seconds, abs=10)
    assert set(problems(ill)) == {DATA_SERIES, "clock"}
    assert untold["clock"]["ok"] is None


def test_the_network_is_told_apart(tmp_path: Path) -> None:
    """Nobody there, no such name, a proxy that is not there, no TLS."""
    papers = Papers(tmp_path / "papers")
    closed = closed_port()
    with Simulator() as braze:
        cases: dict[str, dict[str, Any]] = {
            "connection": {"endpoint": f"http://127.0.0.1:{closed}"},
            "dns": {"endpoint": "https://rest.nowhere.invalid"},
            "proxy": {"proxy": f"http://127.0.0.1:{closed}"},
            "tls": {
                "endpoint": braze.url.replace("http:", "https:"),
                "ca_file": str(papers.directory / "ca.pem"),
            },
        }
        for problem, changes in cases.items():
            checks = examine(tmp_path, braze, discover={}, **changes)

            assert problems(checks) == {DATA_SERIES: problem}
            assert checks[LIST]["ok"] is None


def test_it_is_told_in_words() -> None:
    """A verdict at the end; lines fit a terminal; no configuration is needed."""
    with Simulator(SimulatorSettings(permissions=frozenset({LIST}))) as braze:
        flags = (f"--endpoint={braze.url}", "--api-key-env=BRAZE_API_KEY")
        ill = run("doctor", *flags, environment=KEY)
        well = run("doctor", *flags, environment={"BRAZE_API_KEY": "x"})

    assert ill.returncode == 1
    assert "WRONG  campaigns.data_series" in ill.stdout
    assert "what to do: Permissions" in ill.stdout
    assert ill.stdout.endswith("\n1 problem.\n")
    assert max(map(len, ill.stdout.splitlines())) <= 88
    assert "ok     key" in well.stdout


def test_an_advice_is_given_once(tmp_path: Path) -> None:
    """What holds for several answers is not repeated, and the list was sent no id."""
    with Simulator() as braze:
        braze.set_fault(Fault(status=400, body=b"<html>", headers={}))
        document = configuration(braze, campaigns=[], discover={})
        file = written(tmp_path / "c.yaml", document)
        ended = run("doctor", f"--config.file={file}", environment=KEY)

    report = " ".join(ended.stdout.split())
    assert ended.stdout.count("please report this answer") == 1
    assert ended.stdout.count("what to do: as above") == 2
    assert report.count("is the campaign id the campaign's API identifier?") == 2
    assert "for campaigns/list: the request is refused what to do" in report


def test_workspaces_are_told_in_their_order(tmp_path: Path) -> None:
    """Each on its own, whatever is wrong with another."""
    with Simulator() as braze:
        document: dict[str, Any] = configuration(braze)
        (first,) = document["workspaces"]
        second = first | {"name": "second", "api_key_env": "MISSING"}
        file = written(tmp_path / "c.yaml", {"workspaces": [second, first]})
        ended = run("doctor", f"--config.file={file}", environment=KEY)

    lines = ended.stdout.splitlines()
    starts = [line.split()[1] for line in lines if line.startswith("workspace ")]
    assert ended.returncode == 1
    assert starts == ["second", "production"]
    assert "environment variable MISSING is not set" in ended.stdout


def test_all_is_well_in_words(tmp_path: Path) -> None:
    """Exit code 0."""
    with Simulator() as braze:
        file = written(tmp_path / "c.yaml", configuration(braze))
        ended = run("doctor", environment={**KEY, "BRAZE_EXPORTER_CONFIG_FILE": file})

    assert ended.returncode == 0
    assert ended.stdout.endswith("\nAll is well.\n")

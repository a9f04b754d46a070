"""`braze-exporter discover` prints an equivalent configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml
from exporter.config import schema
from exporter.config.load import load
from exporter.config.yaml_tree import in_comment, quoted
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings
from hypothesis import given
from hypothesis import strategies as st

from tests.support.command_line import invoke
from tests.support.daemon_process import configuration, run, written
from tests.support.scripted_peer import answer, serving

KEY = {"BRAZE_API_KEY": "simulated-braze-key"}
FAST = "--requests-per-minute=6000"
HOSTILE = ('a: "b" # c', "line\nline", "👩\u200d💻", "yes", "*a &b !c", "{{ x }}")


def discover(
    braze: Simulator, environment: Mapping[str, str] = KEY, *, only: str = "all"
) -> subprocess.CompletedProcess[str]:
    """Run the command without a configuration file."""
    endpoint = (f"--endpoint={braze.url}", "--api-key-env=BRAZE_API_KEY")
    kind = f"--kind={only}"
    return invoke("discover", *endpoint, kind, FAST, environment=environment)


def listed(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the workspaces of a configuration."""
    workspaces: list[dict[str, Any]] = document["workspaces"]
    return workspaces


def names(text: str) -> dict[str, str]:
    """Return the campaigns of a configuration, which has no warnings."""
    parsed = schema.parse(
        text, file="x", read_key=lambda _: "key", is_file=lambda _: False
    )
    assert parsed.warnings == ()
    (workspace,) = parsed.config.workspaces
    return {one.id: one.name for one in (*workspace.campaigns, *workspace.canvases)}


def key_file(path: Path) -> None:
    """Write the key, readable by its owner only."""
    path.write_text(f"{KEY['BRAZE_API_KEY']}\n")
    path.chmod(0o600)


def test_the_printed_configuration_is_valid_and_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without drafts, archived campaigns and defaults; the key file is absolute."""
    monkeypatch.chdir(tmp_path)
    key_file(tmp_path / "key")
    with Simulator() as braze:
        endpoint = f"--endpoint={braze.url}"
        ended = run("discover", endpoint, "--api-key-file=key", FAST)
        Path("found.yaml").write_text(ended.stdout)
        checked = run("check", "found.yaml")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert (checked.returncode, checked.stderr) == (0, "")
    stopped = {one.id for one in braze.canvases if one.stopped_on}
    active = [
        one
        for one in (*braze.campaigns, *braze.canvases)
        if not (one.is_draft or one.is_archived or one.id in stopped)
    ]
    assert names(ended.stdout) == {one.id: one.name for one in active}
    assert "        # android_push, email, in-app_message, ios_push, sms; tags: " in (
        ended.stdout
    )
    assert "; last entered 20" in ended.stdout
    comment = "        # email, sms, whats_app; tags: transactional; last sent "
    assert comment in ended.stdout
    document = yaml.safe_load(ended.stdout)
    (workspace,) = document["workspaces"]
    assert document.keys() == {"workspaces"}
    assert set(workspace) - {"campaigns", "canvases"} == {
        "name",
        "endpoint",
        "api_key_file",
    }
    assert workspace["api_key_file"] == str(tmp_path / "key")


def test_all_names_are_quoted() -> None:
    """For other YAML parsers too; equal names get an id suffix."""
    settings = SimulatorSettings(campaigns=3 + len(HOSTILE), canvases=0)
    with Simulator(settings) as braze:
        ids = [one.id for one in braze.campaigns]
        given_names = (*HOSTILE, "\u2028\ufeff\x85\x00", "Same", "Same")
        for id_, name in zip(ids, given_names, strict=True):
            changes = {"is_draft": False, "is_archived": False}
            braze.change(id_, name=name, tags=(name, None), **changes)
        ended = discover(braze)

    found = names(ended.stdout)
    cleaned = [*HOSTILE, "\u2028\ufeff\ufffd\ufffd"]
    assert [found[id_] for id_ in ids[:-2]] == cleaned
    assert found[ids[-1]] == f"Same ({ids[-1][:8]})"
    (workspace,) = yaml.safe_load(ended.stdout)["workspaces"]
    assert {one["id"]: one["name"] for one in workspace["campaigns"]} == found


def test_names_and_filters_of_the_configuration_apply(tmp_path: Path) -> None:
    """Listed campaigns keep name and interval; a name selects the workspace."""
    with Simulator() as braze:
        own = {"id": braze.campaign("Password reset").id, "name": "Mine"}
        own["interval"] = "5m"
        rules = {"names": {"include": ["Welcome*"]}, "labels": {"by": "channels"}}
        filters = {"campaigns": rules}
        first, second = (
            configuration(braze, campaigns=[own], discover=filters, name=name)
            for name in ("production", "other")
        )
        both = {"workspaces": [*listed(first), *listed(second)]}
        file = written(tmp_path / "c.yaml", both)
        command = ("discover", f"--config.file={file}", FAST)
        ended = invoke(*command, "--workspace=production", environment=KEY)
        refused = [
            invoke(*command, *more, environment=KEY)
            for more in ((), ("--workspace=x",))
        ]

    assert ended.returncode == 0
    (workspace,) = yaml.safe_load(ended.stdout)["workspaces"]
    mine, welcome = workspace["campaigns"]
    assert mine == own
    assert welcome["name"] == "Welcome series"
    assert welcome["labels"] == {"by": "android_push,content_card,email,ios_push"}
    assert [one.returncode for one in refused] == [2, 2]
    assert all("with one of 'production', 'other'" in one.stderr for one in refused)


def test_all_options_are_printed(tmp_path: Path) -> None:
    """With absolute paths and without the key."""
    given_in = tmp_path / "given"
    given_in.mkdir()
    shutil.copy(certifi.where(), given_in / "ca.pem")
    key_file(given_in / "key")
    with Simulator() as braze:
        document = configuration(
            braze,
            timezone="America/New_York",
            interval="7m",
            idle_interval="3h",
            requests_per_minute=33.5,
            reserve="35%",
            concurrency=2,
            timeout="11s",
            ca_file="ca.pem",
            allow_http=True,
            campaigns=[],
            canvas_interval="20m",
            canvas_steps=True,
            shared_requests_per_minute=3,
            series={"interval": "1h", "kpi": ["dau"], "events": [{"name": "log_in"}]},
            discover={
                kind: {"names": {"include": ["W*"]}, "labels": {"by": "tags"}}
                for kind in ("campaigns", "canvases")
            },
        )
        (settings,) = listed(document)
        settings["api_key_file"] = "key"
        del settings["api_key_env"]
        document |= {
            "windows": ["14d"],
            "channels": {"include": ["email", "*_push"], "exclude": []},
            "stale_after": "2h",
            "metrics": {"include": [], "exclude": ["re*"]},
            "limits": {"series_per_campaign": 77, "response_bytes": "1MiB"},
        }
        given = load(written(given_in / "c.yaml", document), {}).config
        ended = invoke("discover", f"--config.file={given_in / 'c.yaml'}", FAST)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert KEY["BRAZE_API_KEY"] not in ended.stdout
    (tmp_path / "found.yaml").write_text(ended.stdout)
    found = load(str(tmp_path / "found.yaml"), {})
    assert found.warnings == ()
    (before,), (after,) = given.workspaces, found.config.workspaces
    assert {one.interval_seconds for one in after.campaigns} == {420.0}
    (canvas,) = after.canvases
    assert (canvas.interval_seconds, canvas.has_steps) == (1200, True)
    assert all(one.labels["by"] for one in (*after.campaigns, canvas))
    same = replace(after, campaigns=(), canvases=(), discover=before.discover)
    assert same == before
    assert found.config._replace(workspaces=()) == given._replace(workspaces=())


def test_the_password_of_a_proxy_is_masked(tmp_path: Path) -> None:
    found = {"id": "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064", "name": "A"}
    page = json.dumps({"message": "success", "campaigns": [found]}).encode()
    with serving(answer(page)) as proxy, Simulator() as braze:
        address = proxy.url.removeprefix("http://")
        document = configuration(
            braze,
            campaigns=[],
            discover={"campaigns": {"include_drafts": True}},
            proxy=f"http://me:hunter2@{address}",
        )
        file = written(tmp_path / "c.yaml", document)
        ended = invoke("discover", f"--config.file={file}", FAST, environment=KEY)

    assert ended.returncode == 0
    assert "hunter2" not in f"{ended.stdout}{ended.stderr}"
    assert f"    proxy: http://***@{address}\n" in ended.stdout
    assert "password are not printed: fill in the ***" in ended.stderr


@pytest.mark.parametrize("kind", ["campaigns", "canvas"])
@pytest.mark.parametrize("name", ["list", "details"])
def test_a_missing_permission_is_named(kind: str, name: str) -> None:
    """Exit code 1, and no configuration is printed; a flag leaves canvases out."""
    missing = f"{kind}.{name}"
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        ended = discover(braze)
        others = discover(
            braze, only="canvases" if kind == "campaigns" else "campaigns"
        )

    assert (ended.returncode, ended.stdout) == (1, "")
    message, *advice = ended.stderr.splitlines()
    assert f"needs the permission {missing}" in message
    leave_out = ["braze-exporter: --kind=campaigns leaves canvases out"]
    assert advice == (leave_out if kind == "canvas" else [])
    assert others.returncode == 0
    (workspace,) = yaml.safe_load(others.stdout)["workspaces"]
    assert ("canvases" in workspace) is (kind == "campaigns")
    assert ("campaigns" in workspace) is (kind == "canvas")


def test_an_empty_selection_is_an_error() -> None:
    """With the reason: here, no details are usable."""
    with Simulator(SimulatorSettings(campaigns=2, canvases=0)) as braze:
        braze.set_fault(Fault(status=400), path="/campaigns/details")
        ended = discover(braze)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no usable details of 2 campaigns" in ended.stderr
    assert "the filters select none of 2 campaigns and 0 canvases" in ended.stderr


@pytest.mark.parametrize("rate", ["0", "x", "1e9"])
def test_an_invalid_rate_is_a_usage_error(rate: str) -> None:
    ended = invoke("discover", "--endpoint=x", f"--requests-per-minute={rate}")

    assert ended.returncode == 2
    assert "expected a number from 0.1 to 10000" in ended.stderr


def test_a_missing_key_is_an_error() -> None:
    """Exit code 2, without a request."""
    with Simulator() as braze:
        ended = discover(braze, {})

        assert braze.requests == ()
    assert ended.returncode == 2
    assert "BRAZE_API_KEY cannot be read" in ended.stderr


@given(st.text())
def test_quoted_texts_and_comments_are_one_line_of_yaml(text: str) -> None:
    """Lone surrogates cannot be written to a file."""
    text = text.encode(errors="replace").decode()

    assert len(quoted(text).splitlines()) == 1
    assert yaml.safe_load(quoted(text)) == text
    assert yaml.safe_load(f"# {in_comment(text)}\na: 1") == {"a": 1}

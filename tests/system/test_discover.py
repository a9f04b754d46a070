"""`braze-exporter discover` prints an equivalent configuration."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import certifi
import pytest
import yaml
from exporter.config import schema
from exporter.config.load import load
from exporter.config.yaml_tree import in_comment, quoted
from exporter.simulator import ALL_PERMISSIONS, Fault, Simulator, SimulatorSettings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.command_line import invoke
from tests.support.daemon_process import configuration, run, written
from tests.support.scripted_peer import answer, serving

KEY = {"BRAZE_API_KEY": "simulated-braze-key"}
FAST = "--requests-per-minute=6000"
HOSTILE = (
    'a: "b" # c',
    "- x",
    "'",
    "\\",
    "line\nline",
    "\u2028\ufeff\x85\x00",
    "👩\u200d💻",
    "yes",
    "*a &b !c",
    "{}",
    "{{ x }}",
)


def direct(braze: Simulator, *more: str) -> tuple[str, ...]:
    """Return a command line without a configuration file."""
    endpoint = (f"--endpoint={braze.url}", "--api-key-env=BRAZE_API_KEY")
    return ("discover", *endpoint, FAST, *more)


def names(text: str) -> dict[str, str]:
    """Return the campaigns of a configuration, which has no warnings."""
    parsed = schema.parse(
        text, file="x", read_key=lambda _: "key", is_file=lambda _: False
    )
    assert parsed.warnings == ()
    (workspace,) = parsed.config.workspaces
    return {one.id: one.name for one in workspace.campaigns}


def test_it_prints_a_configuration(tmp_path: Path) -> None:
    """Of all campaigns except drafts and archived ones; `check` accepts it."""
    with Simulator() as braze:
        ended = run(*direct(braze), environment=KEY)
        file = tmp_path / "found.yaml"
        file.write_text(ended.stdout)
        checked = run("check", str(file), environment=KEY)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert names(ended.stdout) == {
        one.id: one.name
        for one in braze.campaigns
        if not (one.is_draft or one.is_archived)
    }
    assert "        # email, sms, whats_app; tags: transactional; last sent " in (
        ended.stdout
    )


def test_all_names_are_quoted() -> None:
    """For other YAML parsers too; equal names get an id suffix."""
    with Simulator(SimulatorSettings(campaigns=2 + len(HOSTILE))) as braze:
        ids = [one.id for one in braze.campaigns]
        for id_, name in zip(ids, (*HOSTILE, "Same", "Same"), strict=True):
            changes = {"is_draft": False, "is_archived": False}
            braze.change(id_, name=name, tags=(name, None), **changes)
        ended = run(*direct(braze), environment=KEY)

    found = names(ended.stdout)
    assert [found[id_] for id_ in ids[:5]] == list(HOSTILE[:5])
    assert found[ids[5]] == "\u2028\ufeff\ufffd\ufffd"
    assert [found[id_] for id_ in ids[6:11]] == list(HOSTILE[6:])
    assert found[ids[-1]] == f"Same ({ids[-1][:8]})"
    (workspace,) = yaml.safe_load(ended.stdout)["workspaces"]
    assert {one["id"]: one["name"] for one in workspace["campaigns"]} == found


def test_names_and_filters_of_the_configuration_apply(tmp_path: Path) -> None:
    """Listed campaigns keep name and interval; a name selects the workspace."""
    with Simulator() as braze:
        own = braze.campaign("Password reset")
        document = configuration(
            braze,
            campaigns=[{"id": own.id, "name": "Mine", "interval": "5m"}],
            discover={
                "names": {"include": ["Welcome*"]},
                "labels": {"by": "channels"},
            },
        )
        second = {**document["workspaces"][0], "name": "other"}  # type: ignore[index]  # it is a list
        file = written(
            tmp_path / "c.yaml",
            {"workspaces": [*document["workspaces"], second]},  # type: ignore[misc]  # it is a list
        )
        command = ("discover", "--config.file", file, FAST)
        ended = run(*command, "--workspace=production", environment=KEY)
        unnamed = run(*command, environment=KEY)
        wrong = run(*command, "--workspace=nope", environment=KEY)

    assert ended.returncode == 0
    (workspace,) = yaml.safe_load(ended.stdout)["workspaces"]
    mine, welcome = workspace["campaigns"]
    assert mine == {"id": own.id, "name": "Mine", "interval": "5m"}
    assert welcome["name"] == "Welcome series"
    assert welcome["labels"] == {"by": "android_push,content_card,email,ios_push"}
    for refused in (unnamed, wrong):
        assert refused.returncode == 2
        assert "with one of 'production', 'other'" in refused.stderr


def test_all_options_are_printed(tmp_path: Path) -> None:
    """With absolute paths and without the key."""
    given_in, other = tmp_path / "given", tmp_path / "other"
    for directory in (given_in, other):
        directory.mkdir()
    shutil.copy(certifi.where(), given_in / "ca.pem")
    (given_in / "key").write_text(f"{KEY['BRAZE_API_KEY']}\n")
    (given_in / "key").chmod(0o600)
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
            discover={"names": {"include": ["W*"]}, "labels": {"by": "tags"}},
        )
        settings = document["workspaces"][0]  # type: ignore[index]  # it is a list
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
        ended = run("discover", "--config.file", f"{given_in / 'c.yaml'}", FAST)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert KEY["BRAZE_API_KEY"] not in ended.stdout
    (other / "found.yaml").write_text(ended.stdout)
    found = load(str(other / "found.yaml"), {})
    assert found.warnings == ()
    (before,), (after,) = given.workspaces, found.config.workspaces
    assert {one.interval_seconds for one in after.campaigns} == {420.0}
    assert all(one.labels["by"] for one in after.campaigns)
    assert replace(after, campaigns=(), discover=before.discover) == before
    assert found.config._replace(workspaces=()) == given._replace(workspaces=())


def test_defaults_are_not_printed() -> None:
    """Only endpoint, key source and campaigns."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        ended = run(*direct(braze), environment=KEY)

    document = yaml.safe_load(ended.stdout)
    assert document.keys() == {"workspaces"}
    assert document["workspaces"][0].keys() == {
        *("name", "endpoint", "api_key_env", "campaigns")
    }


def test_the_password_of_a_proxy_is_masked(tmp_path: Path) -> None:
    """A hint is printed; a proxy without a password is not changed."""
    found = {"id": "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064", "name": "A"}
    listed = json.dumps({"message": "success", "campaigns": [found]}).encode()
    ended = []
    with serving(answer(listed)) as proxy, Simulator() as braze:
        address = proxy.url.removeprefix("http://")
        for url in (f"http://me:hunter2@{address}", proxy.url):
            discover = {"include_drafts": True}
            document = configuration(braze, campaigns=[], discover=discover, proxy=url)
            file = written(tmp_path / "c.yaml", document)
            ended.append(run("discover", "--config.file", file, FAST, environment=KEY))
    with_password, without = ended

    assert (with_password.returncode, without.returncode) == (0, 0)
    assert "hunter2" not in f"{with_password.stdout}{with_password.stderr}"
    assert f"    proxy: http://***@{address}\n" in with_password.stdout
    assert "password are not printed: fill in the ***" in with_password.stderr
    assert f"    proxy: {proxy.url}\n" in without.stdout
    assert without.stderr == ""


def test_a_relative_key_file_is_printed_as_absolute(tmp_path: Path) -> None:
    """The printed configuration may be stored elsewhere."""
    (tmp_path / "key").write_text("simulated-braze-key\n")
    (tmp_path / "key").chmod(0o600)
    with Simulator() as braze:
        ended = run(
            "discover",
            f"--endpoint={braze.url}",
            f"--api-key-file={os.path.relpath(tmp_path / 'key')}",
            FAST,
        )

    (workspace,) = yaml.safe_load(ended.stdout)["workspaces"]
    printed = Path(workspace["api_key_file"])
    assert printed.is_absolute()
    assert printed.samefile(tmp_path / "key")


@pytest.mark.parametrize("missing", ["campaigns.list", "campaigns.details"])
def test_a_missing_permission_is_named(missing: str) -> None:
    """Exit code 1, and no configuration is printed."""
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        ended = run(*direct(braze), environment=KEY)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"needs the permission {missing}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_transient_failures_are_retried() -> None:
    """Permanent ones are reported."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        braze.set_fault(Fault(status=503), path="/campaigns/list", count=1)
        transient = run(*direct(braze), environment=KEY)
        braze.set_fault(Fault.redirect("https://elsewhere.example"))
        permanent = run(*direct(braze), environment=KEY)

    assert transient.returncode == 0
    assert permanent.returncode == 1
    assert "redirects are not followed" in permanent.stderr


def test_progress_is_printed(tmp_path: Path) -> None:
    """After a thousand listed campaigns, and after a hundred details."""
    with Simulator(SimulatorSettings(campaigns=130)) as braze:
        detailed = run(*direct(braze), environment=KEY)
    with Simulator(SimulatorSettings(campaigns=1230)) as braze:
        discover = {"include_drafts": True}
        document = configuration(braze, campaigns=[], discover=discover)
        file = written(tmp_path / "c.yaml", document)
        listed = run("discover", f"--config.file={file}", FAST, environment=KEY)

    assert (detailed.returncode, listed.returncode) == (0, 0)
    assert detailed.stderr == (
        "braze-exporter: details of 100 read, of 129 campaigns\n"
    )
    assert listed.stderr.startswith(
        "braze-exporter: 1000 campaigns in the list so far\n"
    )


def test_skipped_campaigns_are_reported() -> None:
    """Exit code 1 if none remain."""
    with Simulator(SimulatorSettings(campaigns=2)) as braze:
        first = braze.campaigns[0].id
        path = "/campaigns/details"
        braze.set_fault(Fault(status=400), path=path, campaign_id=first)
        one = run(*direct(braze), environment=KEY)
        braze.set_fault(Fault(status=400), path=path)
        none = run(*direct(braze), environment=KEY)

    assert one.returncode == 0
    assert "no usable details of 1 campaigns" in one.stderr
    assert (none.returncode, none.stdout) == (1, "")
    assert "the filters select none of 2 campaigns" in none.stderr


def test_more_than_max_campaigns_are_reported(tmp_path: Path) -> None:
    """Those beyond it are left out."""
    with Simulator() as braze:
        document = configuration(braze, campaigns=[], discover={"max_campaigns": 2})
        file = written(tmp_path / "c.yaml", document)
        ended = run("discover", "--config.file", file, FAST, environment=KEY)

    assert len(names(ended.stdout)) == 2
    assert "max_campaigns (2) leaves campaigns out" in ended.stderr


@pytest.mark.parametrize("rate", ["0", "x", "1e9"])
def test_an_invalid_rate_is_a_usage_error(rate: str) -> None:
    """Exit code 2."""
    ended = invoke("discover", "--endpoint=x", f"--requests-per-minute={rate}")

    assert ended.returncode == 2
    assert "expected a number from 0.1 to 10000" in ended.stderr


def test_a_missing_key_is_an_error() -> None:
    """Exit code 2, without a request."""
    with Simulator() as braze:
        ended = run(*direct(braze))

        assert braze.requests == ()
    assert ended.returncode == 2
    assert "BRAZE_API_KEY cannot be read" in ended.stderr


@settings(deadline=None)
@given(st.text())
def test_quoted_text_is_parsed_back(text: str) -> None:
    """In one line; lone surrogates cannot be written to a file."""
    text = text.encode(errors="replace").decode()

    written_ = quoted(text)

    assert len(written_.splitlines()) == 1
    assert yaml.safe_load(written_) == text


@settings(deadline=None)
@given(st.text())
def test_a_comment_is_one_line(text: str) -> None:
    """Line breaks of any kind are removed."""
    written_ = f"# {in_comment(text)}\na: 1"

    assert yaml.safe_load(written_) == {"a": 1}

"""`braze-exporter discover`: what it prints is a configuration that means the same."""

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
from hypothesis import given
from hypothesis import strategies as st

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
    """Return a command line without a configuration."""
    where = (f"--endpoint={braze.url}", "--api-key-env=BRAZE_API_KEY")
    return ("discover", *where, FAST, *more)


def names(text: str) -> dict[str, str]:
    """Return the campaigns of a document as our own configuration reads it."""
    parsed = schema.parse(
        text, file="x", read_key=lambda _: "key", is_file=lambda _: False
    )
    assert parsed.warnings == ()
    (workspace,) = parsed.config.workspaces
    return {one.id: one.name for one in workspace.campaigns}


def test_it_prints_a_configuration(tmp_path: Path) -> None:
    """Of all campaigns but drafts and archived ones; `check` finds nothing wrong."""
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


def test_any_name_is_quoted_right() -> None:
    """As other readers of YAML see it, too; equal ones get their ids."""
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


def test_a_configuration_says_where_and_which(tmp_path: Path) -> None:
    """The listed ones keep name and interval; labels and selection are its own."""
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


def test_it_behaves_as_the_configuration_it_was_given(tmp_path: Path) -> None:
    """Every option of it counts, wherever the printed one is put; no key is in it."""
    place, other = tmp_path / "given", tmp_path / "other"
    for directory in (place, other):
        directory.mkdir()
    shutil.copy(certifi.where(), place / "ca.pem")
    (place / "key").write_text(f"{KEY['BRAZE_API_KEY']}\n")
    (place / "key").chmod(0o600)
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
        given = load(written(place / "c.yaml", document), {}).config
        ended = run("discover", "--config.file", f"{place / 'c.yaml'}", FAST)

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


def test_what_is_as_by_default_is_not_printed() -> None:
    """A newcomer reads where, which key and which campaigns, and nothing else."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        ended = run(*direct(braze), environment=KEY)

    document = yaml.safe_load(ended.stdout)
    assert document.keys() == {"workspaces"}
    assert document["workspaces"][0].keys() == {
        *("name", "endpoint", "api_key_env", "campaigns")
    }


def test_a_proxys_password_is_not_repeated(tmp_path: Path) -> None:
    """Where to write it is said; a proxy without one is printed as it is."""
    found = {"id": "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064", "name": "A"}
    listed = json.dumps({"message": "success", "campaigns": [found]}).encode()
    ended = []
    with serving(answer(listed)) as proxy, Simulator() as braze:
        place = proxy.url.removeprefix("http://")
        for url in (f"http://me:hunter2@{place}", proxy.url):
            wishes = {"include_drafts": True}
            document = configuration(braze, campaigns=[], discover=wishes, proxy=url)
            file = written(tmp_path / "c.yaml", document)
            ended.append(run("discover", "--config.file", file, FAST, environment=KEY))
    with_password, without = ended

    assert (with_password.returncode, without.returncode) == (0, 0)
    assert "hunter2" not in f"{with_password.stdout}{with_password.stderr}"
    assert f"    proxy: http://***@{place}\n" in with_password.stdout
    assert "password are not repeated: fill in the ***" in with_password.stderr
    assert f"    proxy: {proxy.url}\n" in without.stdout
    assert without.stderr == ""


def test_a_key_file_is_named_as_it_was(tmp_path: Path) -> None:
    """By flag, without a configuration; and found wherever the printed one is put."""
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
    """Exit code 1, and nothing is printed that could be taken for all."""
    with Simulator(SimulatorSettings(permissions=ALL_PERMISSIONS - {missing})) as braze:
        ended = run(*direct(braze), environment=KEY)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"needs the permission {missing}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_passing_failure_is_waited_out() -> None:
    """One that stays is told."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        braze.set_fault(Fault(status=503), path="/campaigns/list", count=1)
        passing = run(*direct(braze), environment=KEY)
        braze.set_fault(Fault.redirect("https://elsewhere.example"))
        staying = run(*direct(braze), environment=KEY)

    assert passing.returncode == 0
    assert staying.returncode == 1
    assert "redirects are not followed" in staying.stderr


def test_a_long_search_says_how_far_it_has_come(tmp_path: Path) -> None:
    """After a thousand campaigns in the list, and after a hundred with details."""
    with Simulator(SimulatorSettings(campaigns=130)) as braze:
        detailed = run(*direct(braze), environment=KEY)
    with Simulator(SimulatorSettings(campaigns=1230)) as braze:
        wishes = {"include_drafts": True}
        document = configuration(braze, campaigns=[], discover=wishes)
        file = written(tmp_path / "c.yaml", document)
        listed = run("discover", f"--config.file={file}", FAST, environment=KEY)

    assert (detailed.returncode, listed.returncode) == (0, 0)
    assert detailed.stderr == (
        "braze-exporter: details of 100 read, of 129 campaigns\n"
    )
    assert listed.stderr.startswith(
        "braze-exporter: 1000 campaigns in the list so far\n"
    )


def test_what_is_left_out_is_told() -> None:
    """Campaigns without details; nothing at all is a failure."""
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
    assert "no campaign is selected, of 2 listed" in none.stderr


def test_too_many_are_told(tmp_path: Path) -> None:
    """As `max_campaigns` says."""
    with Simulator() as braze:
        document = configuration(braze, campaigns=[], discover={"max_campaigns": 2})
        file = written(tmp_path / "c.yaml", document)
        ended = run("discover", "--config.file", file, FAST, environment=KEY)

    assert len(names(ended.stdout)) == 2
    assert "max_campaigns (2) keeps campaigns out" in ended.stderr


@pytest.mark.parametrize("rate", ["0", "x", "1e9"])
def test_a_rate_is_a_number(rate: str) -> None:
    """Wrong usage is 2."""
    ended = run("discover", "--endpoint=x", f"--requests-per-minute={rate}")

    assert ended.returncode == 2
    assert "expected a number from 0.1 to 10000" in ended.stderr


def test_a_key_that_is_not_there_is_2() -> None:
    """Before anything is asked."""
    with Simulator() as braze:
        ended = run(*direct(braze))

        assert braze.requests == ()
    assert ended.returncode == 2
    assert "BRAZE_API_KEY cannot be read" in ended.stderr


@given(st.text())
def test_quoted_text_reads_back(text: str) -> None:
    """In one line; but for lone surrogates, which no file can hold."""
    text = text.encode(errors="replace").decode()

    written_ = quoted(text)

    assert len(written_.splitlines()) == 1
    assert yaml.safe_load(written_) == text


@given(st.text())
def test_a_comment_stays_in_its_line(text: str) -> None:
    """Whatever is in it."""
    written_ = f"# {in_comment(text)}\na: 1"

    assert yaml.safe_load(written_) == {"a": 1}

"""Example configuration, dependencies, locks, and names that no file may contain."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.support.daemon_process import run
from tests.unit.test_architecture import OURS, TREES, imports

LOCKS = ("requirements.lock", "requirements-dev.lock")
# Distribution → what it is imported as.
PRESCRIBED = {
    "prometheus-client": "prometheus_client",
    "requests": "requests",
    "PyYAML": "yaml",
    "APScheduler": "apscheduler",
}
CHOSEN = {"urllib3": "urllib3", "h11": "h11", "isal": "isal", "orjson": "orjson"}
ON_DEMAND = {"Jinja2": "jinja2", "MarkupSafe": "markupsafe"}
"""Imported by the first request of the status page."""
UNIMPORTED = {"tzdata", "bcrypt"}
"""tzdata is read by zoneinfo; bcrypt is imported if passwords are configured."""

# Split, because this file is searched too.
PLACES = [
    *(rf"/{name}/[a-z]" for name in ("work", "root", "home")),
    *(rf"\b{host}\b" for host in (r"pypi\.org", r"files\.pythonhosted\.org")),
    *(rf"\b{host}\b" for host in (r"registry\.npmjs\.org", r"test\.pypi\.org")),
    r"index-url\s*=?\s*https?:",
]


def tracked() -> list[Path]:
    """Return the files of the repository; an empty list outside of a checkout."""
    ended = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    return [ROOT / name for name in ended.stdout.decode().split("\0") if name]


def dependencies() -> dict[str, str]:
    """Return the run-time packages of pyproject.toml with their versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pairs = (
        re.split(r"(?=[<>=~!])", each, maxsplit=1) for each in project["dependencies"]
    )
    return {name: "".join(version) for name, *version in pairs}


def test_the_example_configuration_is_valid() -> None:
    """Its only warning is the missing key."""
    ended = run("check", str(ROOT / "config.example.yaml"))

    assert ended.returncode == 0
    assert "valid, 1 workspace, 2 campaigns" in ended.stdout
    assert len(ended.stderr.splitlines()) == 1
    assert "BRAZE_API_KEY is not set" in ended.stderr


def test_every_dependency_is_known_and_used() -> None:
    """Each has a minimum version and is imported by the package."""
    used = {each.partition(".")[0] for name in OURS for each in imports(TREES[name])}

    assert set(dependencies()) == {*PRESCRIBED, *CHOSEN, *ON_DEMAND, *UNIMPORTED}
    assert {*PRESCRIBED.values(), *CHOSEN.values(), *ON_DEMAND.values()} <= used
    assert all(">=" in version for version in dependencies().values())


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_contain_hashes_and_no_hosts(lock: str) -> None:
    """Every package is pinned by hash; no line contains a host."""
    text = (ROOT / lock).read_text()

    packages = re.findall(
        r"^[A-Za-z0-9._-]+==\S+.*(?:\n    --hash=sha256:.*)*", text, re.MULTILINE
    )
    pinned = {package.partition("==")[0].lower() for package in packages}
    assert {name.lower() for name in dependencies()} <= pinned
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in text


def test_no_file_contains_paths_or_hosts_of_a_machine() -> None:
    """No home directory and no host of a package index."""
    files = tracked()
    if not files:
        pytest.skip("needs a git checkout")

    pattern = re.compile("|".join(PLACES))
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in files
        if file.is_file()
        and (match := pattern.search(file.read_bytes().decode(errors="replace")))
    ]
    assert not found

"""Dependencies, locks, and names that no file may contain."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from tests.paths import ROOT
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


def dependencies() -> dict[str, str]:
    """Return the run-time packages of pyproject.toml with their versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pairs = (
        re.split(r"(?=[<>=~!])", each, maxsplit=1) for each in project["dependencies"]
    )
    return {name: "".join(version) for name, *version in pairs}


def test_every_dependency_is_known_and_used() -> None:
    used = {each.partition(".")[0] for name in OURS for each in imports(TREES[name])}

    assert set(dependencies()) == {*PRESCRIBED, *CHOSEN, *ON_DEMAND, *UNIMPORTED}
    assert {*PRESCRIBED.values(), *CHOSEN.values(), *ON_DEMAND.values()} <= used
    assert all(">=" in version for version in dependencies().values())


def test_locks_contain_hashes_and_no_hosts() -> None:
    """The tests run with the run-time packages of the image."""
    pins = []
    for lock in LOCKS:
        text = (ROOT / lock).read_text()
        packages = re.findall(
            r"^[A-Za-z0-9._-]+==\S+.*(?:\n    --hash=sha256:.*)*", text, re.MULTILINE
        )
        assert all("--hash=sha256:" in package for package in packages)
        assert "://" not in text
        pins.append({package.split(" ")[0] for package in packages})

    run_time, development = pins
    pinned = {pin.partition("==")[0].lower() for pin in run_time}
    assert {name.lower() for name in dependencies()} <= pinned
    assert run_time <= development


def test_no_file_contains_paths_or_hosts_of_a_machine() -> None:
    arguments = ["git", "grep", "--untracked", "-n", "-I", "-P", "|".join(PLACES)]
    found = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, check=False
    )

    if found.returncode == 128:
        pytest.skip("needs a git checkout")
    assert found.stdout == ""

"""The workflows of GitHub, checked without running them, and the scripts of `.ci`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import yaml

from tests.paths import ROOT
from tests.support.checkers import complaints

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
SCRIPTS = [path for path in sorted((ROOT / ".ci").iterdir()) if path.suffix != ".py"]
RELEASE: dict[str, Any] = run_path(str(ROOT / ".ci" / "release.py"))
CHART_SBOM: dict[str, Any] = run_path(str(ROOT / ".ci" / "chart_sbom.py"))


def named(path: Path) -> str:
    """Return the id of a parametrised test."""
    return path.name


@pytest.mark.parametrize("file", WORKFLOWS, ids=named)
def test_a_workflow_follows_the_schema(file: Path) -> None:
    """It is valid for GitHub."""
    schema = ("--builtin-schema", "vendor.github-workflows")

    assert complaints("check-jsonschema", *schema, str(file)) == ""


def test_the_configuration_of_updates_follows_the_schema() -> None:
    """Dependabot accepts it."""
    schema = ("--builtin-schema", "vendor.dependabot")

    assert complaints("check-jsonschema", *schema, ".github/dependabot.yml") == ""


def test_zizmor_finds_no_vulnerability() -> None:
    """No finding is ignored by a comment."""
    assert complaints("zizmor", "--offline", "--quiet", ".github") == ""
    assert all("zizmor:" not in file.read_text() for file in WORKFLOWS)


def test_a_release_publishes_the_package_before_image_and_chart() -> None:
    """A version on the package index is final: nothing may refer to a failed one."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())["jobs"]

    assert "package" in jobs["image"]["needs"]
    assert {"package", "image"} <= set(jobs["chart"]["needs"])


@pytest.mark.parametrize("file", WORKFLOWS, ids=named)
def test_actions_are_pinned_and_permissions_are_per_job(file: Path) -> None:
    """Pins are commits with the version in a comment; no workflow has permissions."""
    text = file.read_text()
    workflow = yaml.safe_load(text)

    for used in re.findall(r"uses: (.*)$", text, re.MULTILINE):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"] <= 60
    assert "GitHub only" in text


def test_every_supported_python_is_tested() -> None:
    """The matrix is the list of the package's classifiers."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yaml").read_text())
    supported = re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"',
        (ROOT / "pyproject.toml").read_text(),
    )

    assert workflow["jobs"]["python"]["strategy"]["matrix"]["python"] == supported


def test_an_image_and_a_chart_are_released_with_sbom_and_provenance() -> None:
    """Both are attestations that users can verify."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())["jobs"]

    build = next(step for step in jobs["image"]["steps"] if step.get("id") == "image")
    assert build["with"]["sbom"] is True
    assert build["with"]["provenance"] == "mode=max"
    for name in ("package", "chart"):
        attested = [
            step["with"]
            for step in jobs[name]["steps"]
            if step.get("uses", "").startswith("actions/attest@")
        ]
        assert len(attested) == 2
        assert sum("sbom-path" in one for one in attested) == 1


def test_the_release_page_contains_all_artifacts() -> None:
    """All uploads are downloaded; build records, which cannot be, are disabled."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    uploaded = {
        step["with"]["name"]
        for step in steps
        if step.get("uses", "").startswith("actions/upload-artifact@")
    }

    (build,) = (step for step in steps if step.get("id") == "image")
    assert build["env"]["DOCKER_BUILD_RECORD_UPLOAD"] == "false"
    (downloads,) = (
        step["with"]["pattern"]
        for step in jobs["announce"]["steps"]
        if step.get("uses", "").startswith("actions/download-artifact@")
    )
    assert set(downloads.strip("{}").split(",")) == uploaded


@pytest.mark.parametrize("file", SCRIPTS, ids=named)
def test_shellcheck_accepts_the_scripts(file: Path) -> None:
    """They are executable bash scripts."""
    assert complaints("shellcheck", str(file)) == ""
    assert file.read_text().startswith("#!/usr/bin/env bash\n")
    assert file.stat().st_mode & 0o111


def test_release_notes_are_the_changelogs_section() -> None:
    """The section of the version, without its heading and other sections."""
    changelog = "# Changelog\n\n## [Unreleased]\n\n## [2.0.0] - 2026-01-01\n\nNew.\n\n"
    changelog += "## [1.0.0] - 2025-01-01\n\nOld.\n"

    notes = RELEASE["notes"]

    assert notes("2.0.0", changelog) == "New."
    assert notes("1.0.0", changelog) == "Old."
    assert notes("3.0.0", changelog) == ""


def test_a_tag_with_a_different_version_is_rejected() -> None:
    """All places with another version are printed at once."""
    places = RELEASE["PLACES"]

    assert len(list(RELEASE["disagreements"]("99.0.0"))) == len(places)


def test_the_sbom_of_the_chart_contains_chart_and_image(tmp_path: Path) -> None:
    """Every related element exists, and every package has its digest."""
    chart = tmp_path / "braze-exporter-1.2.3.tgz"
    chart.write_bytes(b"a chart")
    digest = f"sha256:{'0' * 64}"
    image = "registry.example/crm/braze-exporter"

    made = CHART_SBOM["document"](
        chart, image=image, digest=digest, now=datetime(2026, 1, 2, tzinfo=UTC)
    )

    packages = {one["name"]: one for one in made["packages"]}
    sums = {name: one["checksums"][0] for name, one in packages.items()}
    assert packages["braze-exporter"]["versionInfo"] == "1.2.3"
    assert sums["braze-exporter"]["checksumValue"] == sha256(b"a chart").hexdigest()
    assert sums[image]["checksumValue"] == "0" * 64
    assert made["creationInfo"]["created"] == "2026-01-02T00:00:00Z"
    known = {made["SPDXID"], *(one["SPDXID"] for one in made["packages"])}
    for relation in made["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= known

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
from tests.support import programs

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
SCRIPTS = [path for path in sorted((ROOT / ".ci").iterdir()) if path.suffix != ".py"]
RELEASE: dict[str, Any] = run_path(str(ROOT / ".ci" / "release.py"))
CHART_SBOM: dict[str, Any] = run_path(str(ROOT / ".ci" / "chart_sbom.py"))


@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-workflows", WORKFLOWS), ("dependabot", [".github/dependabot.yml"])],
)
def test_files_follow_the_schema_of_github(schema: str, files: list[object]) -> None:
    arguments = ("--builtin-schema", f"vendor.{schema}", *map(str, files))

    programs.checked(programs.SCRIPTS / "check-jsonschema", *arguments)


def test_zizmor_finds_no_vulnerability() -> None:
    programs.checked(programs.SCRIPTS / "zizmor", "--offline", "--quiet", ".github")
    assert all("zizmor:" not in file.read_text() for file in WORKFLOWS)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_permissions_are_per_job(file: Path) -> None:
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
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yaml").read_text())
    supported = re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"',
        (ROOT / "pyproject.toml").read_text(),
    )

    assert workflow["jobs"]["python"]["strategy"]["matrix"]["python"] == supported


def release_jobs() -> dict[str, Any]:
    file = ROOT / ".github/workflows/release.yaml"
    jobs: dict[str, Any] = yaml.safe_load(file.read_text())["jobs"]
    return jobs


def steps_of(action: str, *jobs: Any) -> list[dict[str, Any]]:
    """Return the inputs of all steps of an action."""
    steps = (step for job in jobs for step in job["steps"])
    return [
        one["with"] for one in steps if one.get("uses", "").startswith(f"{action}@")
    ]


def test_a_release_publishes_the_package_before_image_and_chart() -> None:
    """A version on the package index is final: nothing may refer to a failed one."""
    jobs = release_jobs()

    assert "package" in jobs["image"]["needs"]
    assert {"package", "image"} <= set(jobs["chart"]["needs"])


def test_an_image_and_a_chart_are_released_with_sbom_and_provenance() -> None:
    """Both are attestations that users can verify."""
    jobs = release_jobs()

    (build,) = steps_of("docker/build-push-action", jobs["image"])
    assert build["sbom"] is True
    assert build["provenance"] == "mode=max"
    for name in ("package", "chart"):
        attested = steps_of("actions/attest", jobs[name])
        assert len(attested) == 2
        assert sum("sbom-path" in one for one in attested) == 1


def test_the_release_page_contains_all_artifacts() -> None:
    """All uploads are downloaded; build records, which cannot be, are disabled."""
    jobs = release_jobs()
    uploads = steps_of("actions/upload-artifact", *jobs.values())
    (download,) = steps_of("actions/download-artifact", jobs["announce"])
    (build,) = (one for one in jobs["image"]["steps"] if one.get("id") == "image")

    assert build["env"]["DOCKER_BUILD_RECORD_UPLOAD"] == "false"
    names = set(download["pattern"].strip("{}").split(","))
    assert names == {one["name"] for one in uploads}


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_accepts_the_scripts(file: Path) -> None:
    programs.checked(programs.SCRIPTS / "shellcheck", str(file))
    assert file.read_text().startswith("#!/usr/bin/env bash\n")
    assert file.stat().st_mode & 0o111


def test_release_notes_are_the_changelogs_section() -> None:
    changelog = "# Changelog\n\n## [Unreleased]\n\n## [2.0.0] - 2026-01-01\n\nNew.\n\n"
    changelog += "## [1.0.0] - 2025-01-01\n\nOld.\n"

    notes = RELEASE["notes"]

    assert notes("2.0.0", changelog) == "New."
    assert notes("1.0.0", changelog) == "Old."
    assert notes("3.0.0", changelog) == ""


def test_a_tag_with_a_different_version_is_rejected() -> None:
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

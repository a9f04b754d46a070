"""The package of a release: built, checked, installed and tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from exporter import __version__

from tests.paths import ROOT
from tests.support.daemon_process import clean_environment
from tests.support.programs import SCRIPTS, checked, run_program
from tests.unit.test_architecture import PACKAGE

SMOKE = (
    "tests/system/test_cli.py",
    "tests/system/test_commands.py",
    "tests/system/test_process.py",
    "tests/unit/commands/test_flags.py",
)
"""Tests that start the installed commands and the daemon."""


@dataclass(frozen=True)
class Built:
    """The files of a release."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist, and the wheel from it, with the locked build backend."""
    directory = tmp_path_factory.mktemp("dist")
    arguments = ("-m", "build", "--no-isolation", "--outdir", str(directory))
    checked(SCRIPTS / "python", *arguments)
    (sdist,) = directory.glob("*.tar.gz")
    (wheel,) = directory.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a new environment with the wheel and without the source.

    Its other packages are those of this environment, so nothing is downloaded.
    """
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=False)
    python = directory / "bin" / "python"
    install = ("--quiet", "--no-deps", "--no-index", str(built.wheel))
    pip = ("-m", "pip", "--python", str(python), "install", *install)
    checked(SCRIPTS / "python", *pip)
    (site,) = (directory / "lib").glob("python*/site-packages")
    (site / "locked.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    return python


def outside(
    python: Path, *arguments: str, at: Path
) -> subprocess.CompletedProcess[str]:
    """Run an installed Python in a directory without the source of the package."""
    settings = clean_environment()
    del settings["PYTHONPATH"]
    settings["PATH"] = f"{python.parent}:{os.environ['PATH']}"
    return run_program(python, *arguments, environment=settings, directory=at)


def test_the_package_index_accepts_both_files(built: Built) -> None:
    files = (str(built.sdist), str(built.wheel))

    checked(SCRIPTS / "twine", "check", "--strict", *files)
    assert f"-{__version__}" in built.wheel.name
    assert f"-{__version__}" in built.sdist.name


def test_the_wheel_contains_the_package_only(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}

    suffixes = {".py", ".typed", ".html", ".css", ".js"}
    sources = (path for path in PACKAGE.rglob("*") if path.suffix in suffixes)
    assert names == {path.relative_to(ROOT).as_posix() for path in sources}


def test_the_sdist_contains_the_configured_files_only(built: Built) -> None:
    """The files needed to build it: no tests, which read the rest of the repository."""
    with tarfile.open(built.sdist) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames() if "/" in name}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    always = {".gitignore", "PKG-INFO", "pyproject.toml"}
    assert tops == {*always, *(name.removeprefix("/") for name in included)}
    assert "tests" not in tops


def test_the_readme_links_to_the_repository_on_a_package_index(built: Built) -> None:
    """A package index has no files beside the README; anchors stay in the page."""
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (one for one in wheel.namelist() if one.endswith("/METADATA"))
        metadata = wheel.read(name).decode()

    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert len(links) == len(
        re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    )
    assert all(link.startswith(("https://", "#")) for link in links)
    assert f"/blob/v{__version__}/docs/getting-started.md#find" in metadata
    assert f"/v{__version__}/docs/images/status-page.png" in metadata
    assert "\nProject-URL: Documentation, https://" in metadata


@pytest.mark.slow
def test_the_tests_pass_against_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The tests run without the source of the package beside them."""
    for name in ("tests", "helm", "grafana", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "config.example.yaml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)

    ended = outside(
        installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SMOKE, at=tmp_path
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout


def test_the_installed_command_prints_its_version(
    installed: Path, tmp_path: Path
) -> None:
    place = "import exporter; print(exporter.__file__)"

    command = checked(installed.parent / "braze-exporter", "--version").stdout
    module = outside(installed, "-m", "exporter", "--version", at=tmp_path)
    where = outside(installed, "-c", place, at=tmp_path)

    assert command == module.stdout == f"braze-exporter {__version__}\n"
    assert where.stdout.startswith(str(installed.parent.parent))

"""The documentation site: `make docs` builds it, and dead links are errors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.support.programs import run_program

SOURCES = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"),
    *("mkdocs.yml", "config.example.yaml", "compose.yaml", "docs", ".ci", "grafana"),
    "helm/braze-exporter",
)
"""Files that the site is made of or links to."""


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does; proxies make each network request fail."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site)
    environment = {**os.environ, **proxies, "NO_MKDOCS_2_WARNING": "true"}
    return run_program(*command, environment=environment, directory=root)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    ended = build(ROOT, directory)
    assert ended.returncode == 0, ended.stderr
    assert "WARNING" not in ended.stderr
    assert not ended.stdout
    return directory


def test_every_document_is_a_page(site: Path) -> None:
    pages = {path.parent.relative_to(site).as_posix() for path in site.rglob("*.html")}

    runbooks = (path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md"))
    assert {".", "contributing", "security", "changelog", "helm-chart"} <= pages
    assert {f"runbooks/{name}" for name in runbooks} <= pages


def test_a_page_loads_nothing_from_other_hosts(site: Path) -> None:
    loaded = re.compile(
        r"<(?:script|img|link rel=.?stylesheet)[^>]*(?:https?:)?//[^>]*>"
    )

    found = {
        match
        for page in site.rglob("*.html")
        for match in loaded.findall(page.read_text(encoding="utf-8"))
    }

    assert found == set()


def test_dead_links_fail(tmp_path: Path) -> None:
    """Missing pages, headings and files of the repository, and absolute paths."""
    links = ("nowhere.md", "metrics.md#nowhere", "/metrics", "../nowhere.yaml")
    for name in SOURCES:
        target = tmp_path / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, symlinks=True)
        else:
            shutil.copy(ROOT / name, target)
    with (tmp_path / "docs" / "queries.md").open("a", encoding="utf-8") as page:
        page.writelines(f"\n[dead]({link})\n" for link in links)

    ended = build(tmp_path, tmp_path / "site")

    assert ended.returncode == 1
    for link in links:
        assert link.removeprefix("../") in ended.stderr

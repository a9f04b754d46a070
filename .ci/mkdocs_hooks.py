"""Hooks of mkdocs: documents outside of docs/ become pages, and links follow them.

Documents link to each other by relative paths, as GitHub shows them. A link to a file
that is no page of the site leads to that file on GitHub. A link to nothing is left to
mkdocs, which reports it as an error.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SOURCES = {
    "index.md": ROOT / "README.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "security.md": ROOT / "SECURITY.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "helm-chart.md": ROOT / "helm" / "braze-exporter" / "README.md",
}
"""Page of the site → the document it is made of."""
PAGES = {source: page for page, source in SOURCES.items()}
BLOB = "https://github.com/braze-exporter/braze-exporter/blob/main"

_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[#)])")


def on_files(files: Files, config: Any) -> Files:
    """Add the documents outside of docs/."""
    for page, source in SOURCES.items():
        files.append(File.generated(config, page, content=source.read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite the links that lead out of docs/ or come from there."""
    uri = page.file.src_uri
    source = SOURCES.get(uri, DOCS / uri)
    return _LINK.sub(lambda link: _target(link[1], source, uri), markdown)


def _target(link: str, source: Path, uri: str) -> str:
    """Return what a relative link of a document leads to on the site."""
    target = (source.parent / link).resolve()
    if target in PAGES:
        path = PAGES[target]
    elif target.is_relative_to(DOCS) and "systemd" not in target.parts:
        path = target.relative_to(DOCS).as_posix()
    elif target.is_relative_to(ROOT) and target.exists():
        return f"{BLOB}/{target.relative_to(ROOT).as_posix()}"
    else:
        return link
    return Path(os.path.relpath(path, Path(uri).parent)).as_posix()

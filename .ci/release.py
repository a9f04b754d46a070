"""Check that a tag agrees with package, image, chart and changelog; print notes.

    python3 .ci/release.py v0.1.0

Prints every difference and exits with 1. Needs Python only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = {
    "exporter/__init__.py": r'^__version__ = "(.+)"$',
    "Dockerfile": r"^ARG VERSION=(.+)$",
    "helm/braze-exporter/Chart.yaml": r'^version: "?([^"\s]+)"?$',
    "helm/braze-exporter/Chart.yaml (appVersion)": r'^appVersion: "?([^"\s]+)"?$',
}


def disagreements(version: str) -> Iterator[str]:
    """Yield every place with a different version."""
    for place, pattern in PLACES.items():
        file = ROOT / place.partition(" ")[0]
        text = file.read_text() if file.exists() else ""
        found = re.search(pattern, text, re.MULTILINE)
        named = found[1] if found else "nothing"
        if named != version:
            yield f"{place} contains {named}, expected {version}"


def notes(version: str, changelog: str) -> str:
    """Return the section of a version in the changelog, or an empty string."""
    _, _, rest = changelog.partition(f"\n## [{version}]")
    return rest.partition("\n## [")[0].partition("\n")[2].strip()


def main(tag: str) -> int:
    """Print the differences, or the release notes if there are none."""
    version = tag.removeprefix("v")
    wrong = list(disagreements(version))
    section = notes(version, (ROOT / "CHANGELOG.md").read_text())
    if not section:
        wrong.append(f"CHANGELOG.md has no section [{version}]")
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    print(section)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

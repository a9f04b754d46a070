"""What a tag has to agree with before it becomes a release; prints the release's notes.

    python3 .ci/release.py v0.1.0

Ends with 1 and every disagreement. Needs nothing but Python.
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
    """Yield every place that names another version."""
    for place, pattern in PLACES.items():
        file = ROOT / place.partition(" ")[0]
        text = file.read_text() if file.exists() else ""
        found = re.search(pattern, text, re.MULTILINE)
        named = found[1] if found else "nothing"
        if named != version:
            yield f"{place} says {named}, the tag {version}"


def notes(version: str, changelog: str) -> str:
    """Return the changelog's section of a version, empty if it has none."""
    _, _, rest = changelog.partition(f"\n## [{version}]")
    return rest.partition("\n## [")[0].partition("\n")[2].strip()


def main(tag: str) -> int:
    """Compare, and print the notes if there is nothing to complain of."""
    version = tag.removeprefix("v")
    wrong = list(disagreements(version))
    told = notes(version, (ROOT / "CHANGELOG.md").read_text())
    if not told:
        wrong.append(f"CHANGELOG.md has no section [{version}]")
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

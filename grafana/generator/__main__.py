"""Writes the dashboards into `grafana/dashboards`, which Grafana provisions."""

from __future__ import annotations

from pathlib import Path

from grafana.generator.pages import PAGES
from grafana.generator.shell import by_file

FOLDER = Path(__file__).parent.parent / "dashboards"


def main() -> None:
    """Write all dashboards, and remove files that are no longer generated."""
    files = by_file(page() for page in PAGES)
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

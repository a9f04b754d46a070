"""Writes the dashboards into `grafana/dashboards`, and copies them into the chart.

The chart has copies of the dashboards and of the rules, because tools that package it,
and checkouts on Windows, do not follow symbolic links.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grafana.generator.pages import PAGES
from grafana.generator.shell import by_file

GRAFANA = Path(__file__).parent.parent
CHART = GRAFANA.parent / "helm" / "braze-exporter"


def main() -> None:
    """Write dashboards and copies, and remove files that are no longer generated."""
    dashboards = by_file(page() for page in PAGES)
    rules = {
        path.name: path.read_text(encoding="utf-8")
        for path in (GRAFANA / "rules").glob("*.yaml")
    }
    _write(GRAFANA / "dashboards", dashboards)
    _write(CHART / "dashboards", dashboards)
    _write(CHART / "rules", rules)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Writes the dashboards into the folder that is provisioned, `grafana/dashboards`."""

from __future__ import annotations

from pathlib import Path

from grafana.generator.pages import PAGES
from grafana.generator.shell import by_file

FOLDER = Path(__file__).parent.parent / "dashboards"


def main() -> None:
    """Write all, and leave nothing behind that is none of ours any more."""
    files = by_file(page() for page in PAGES)
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

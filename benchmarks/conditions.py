"""Under what conditions a run took place: cores, versions, load."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from benchmarks.tables import Table

TABLE = "conditions"
_PACKAGES = (
    "prometheus-client",
    "requests",
    "urllib3",
    "APScheduler",
    "orjson",
    "isal",
)


def table() -> Table:
    """Return what matters of this machine, and which libraries were measured."""
    rows = [
        ("Cores", f"{os.cpu_count()}, {platform.machine()}"),
        ("Load over 15 minutes, this run included", f"{os.getloadavg()[2]:.1f}"),
        ("Python", platform.python_version()),
    ]
    for package in _PACKAGES:
        try:
            rows.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return Table(
        name=TABLE,
        caption="Where this run took place.",
        header=("What", "Which"),
        rows=rows,
    )

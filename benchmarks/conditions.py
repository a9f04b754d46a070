"""Under what conditions a run took place: cores, versions, load."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata

from benchmarks import nginx
from benchmarks.tables import Table

TABLE = "conditions"
_PACKAGES = (
    *("prometheus-client", "requests", "urllib3", "APScheduler", "h11"),
    *("orjson", "msgspec", "isal", "zlib-ng"),
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
    if version := _nginx_version():
        rows.append(("nginx", version))
    return Table(
        name=TABLE,
        caption="Where this run took place.",
        header=("What", "Which"),
        rows=rows,
    )


def _nginx_version() -> str:
    program = nginx.program()
    if program is None:
        return ""
    ended = subprocess.run(  # noqa: S603 - our own command
        [program, "-v"], capture_output=True, text=True, check=True
    )
    return ended.stderr.strip().rpartition("/")[2]

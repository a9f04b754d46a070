"""The unit for systemd: valid and hardened, with settings that exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from exporter.commands import healthcheck
from exporter.commands.flags import OF_DAEMON

from tests.paths import ROOT

UNIT = ROOT / "docs" / "systemd" / "braze-exporter.service"
SETTINGS = ROOT / "docs" / "systemd" / "braze-exporter.default"
MOST_EXPOSURE = 1.5
"""Of 10; what is left is the network, which an exporter is for."""


def test_systemd_accepts_the_unit(program: Callable[[str], str]) -> None:
    analyze = program("systemd-analyze")
    verified = subprocess.run(
        [analyze, "verify", str(UNIT)], capture_output=True, text=True, check=False
    )
    rated = subprocess.run(
        [analyze, "security", "--offline=true", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )

    exposure = re.search(r"exposure level for \S+: ([\d.]+)", rated.stdout)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_every_setting_is_a_known_variable() -> None:
    known = {flag.variable for flag in (*OF_DAEMON, *healthcheck.FLAGS)}
    named = re.findall(
        r"^(?:Environment=|#)([A-Z_]+)=",
        f"{UNIT.read_text()}\n{SETTINGS.read_text()}",
        re.MULTILINE,
    )

    assert set(named) - known == {"PATH", "BRAZE_API_KEY", "HTTPS_PROXY"}
    assert len(named) > 5

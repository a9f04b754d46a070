"""The unit for systemd: taken by systemd itself, and hardened as far as it goes."""

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


def test_systemd_finds_nothing_wrong(program: Callable[[str], str]) -> None:
    """`systemd-analyze verify` succeeds without output, wherever it is installed."""
    ended = subprocess.run(
        [program("systemd-analyze"), "verify", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_little_is_left_to_take_away(program: Callable[[str], str]) -> None:
    """By systemd's own measure of what a service could do to its machine."""
    ended = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )

    found = re.search(
        r"exposure level for braze-exporter.service: ([\d.]+)", ended.stdout
    )
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSURE


def test_every_setting_is_a_variable_we_read() -> None:
    """Those of the unit and those of its file; all others belong to the network."""
    known = {flag.variable for flag in (*OF_DAEMON, *healthcheck.FLAGS)}
    named = re.findall(
        r"^(?:Environment=|#)([A-Z_]+)=",
        f"{UNIT.read_text()}\n{SETTINGS.read_text()}",
        re.MULTILINE,
    )

    assert set(named) - known == {"PATH", "BRAZE_API_KEY", "HTTPS_PROXY"}
    assert len(named) > 5


def test_the_document_installs_what_is_here() -> None:
    """It names both files and the places the unit reads."""
    text = (ROOT / "docs" / "install.md").read_text()

    assert f"docs/systemd/{UNIT.name}" in text
    assert f"docs/systemd/{SETTINGS.name}" in text
    for place in ("/etc/braze-exporter/config.yaml", "/etc/braze-exporter/keys"):
        assert place in UNIT.read_text()
        assert place in text

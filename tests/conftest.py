"""What several tests start: programs that pip cannot bring, and the daemon."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Find a program, or skip the test; with everything required, fail instead."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        if os.environ.get("BRAZE_EXPORTER_REQUIRE_ALL") == "1":
            pytest.fail(f"{name} is required and not installed")
        pytest.skip(f"needs {name}")

    return find

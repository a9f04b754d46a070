"""What several tests start: programs that pip cannot bring, and the daemon."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.chart.helm import Helm


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


@pytest.fixture(scope="session")
def helm() -> Iterator[Helm]:
    """Start Helm, or skip the test where there is no wheel of it."""
    if importlib.util.find_spec("helm_python") is None:
        if os.environ.get("BRAZE_EXPORTER_REQUIRE_ALL") == "1":
            pytest.fail("helm-python-sdk is required and not installed")
        pytest.skip("needs helm-python-sdk, which has wheels for Linux on x86_64")
    with Helm() as started:
        yield started

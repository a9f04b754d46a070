"""Shared fixtures, and the rule for tests that are marked slow."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.chart.helm import Helm

# No test counts on being fast.
settings.register_profile(
    "any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any speed")


def _requires_all() -> bool:
    """Return whether no test may be skipped, as in CI."""
    return os.environ.get("BRAZE_EXPORTER_REQUIRE_ALL") == "1"


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skip slow tests unless all are required or `-m` names them."""
    if _requires_all() or "slow" in config.getoption("markexpr"):
        return
    reason = "slow; runs with BRAZE_EXPORTER_REQUIRE_ALL=1 or -m slow"
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """Reset the log level, which commands set when they run in this process."""
    logging.getLogger("exporter").setLevel(logging.NOTSET)
    yield
    logging.getLogger("exporter").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Return the path of a program; skip the test, or fail if all are required."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        if _requires_all():
            pytest.fail(f"{name} is required and not installed")
        pytest.skip(f"needs {name}")

    return find


@pytest.fixture(scope="session")
def helm() -> Iterator[Helm]:
    """Start Helm; skip the test on platforms without a wheel of it."""
    if importlib.util.find_spec("helm_python") is None:
        if _requires_all():
            pytest.fail("helm-python-sdk is required and not installed")
        pytest.skip("needs helm-python-sdk, which has wheels for Linux on x86_64")
    with Helm() as started:
        yield started

"""A simulator at a fixed time, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exporter.simulator import Simulator, SimulatorSettings

from tests.unit.simulator.simulator_client import FixedClock, HttpClient


@pytest.fixture
def clock() -> FixedClock:
    """Return a clock that shows noon."""
    return FixedClock()


@pytest.fixture
def braze(clock: FixedClock) -> Iterator[Simulator]:
    """Serve the named campaigns in UTC."""
    with Simulator(SimulatorSettings(clock=clock)) as simulator:
        yield simulator


@pytest.fixture
def client(braze: Simulator) -> Iterator[HttpClient]:
    """Connect to `braze`."""
    with HttpClient(braze) as connection:
        yield connection

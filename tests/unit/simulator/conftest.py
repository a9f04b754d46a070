"""A simulator at a fixed time, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exporter.simulator import Simulator

from tests.unit.simulator.simulator_client import Client, FixedClock, simulator


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def braze(clock: FixedClock) -> Iterator[Simulator]:
    """Serve the named campaigns in UTC."""
    with simulator(clock) as started:
        yield started


@pytest.fixture
def client(braze: Simulator) -> Iterator[Client]:
    with Client(braze) as connection:
        yield connection

"""The simulator's server: connections, the request log, start and stop."""

from __future__ import annotations

import ast
import sys
import time
from pathlib import Path

import exporter.simulator
import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings

from tests.unit.simulator.simulator_client import (
    DATA_SERIES,
    LIST,
    NOON,
    FixedClock,
    HttpClient,
)


def test_a_connection_serves_many_requests(
    braze: Simulator, client: HttpClient
) -> None:
    """HTTP/1.1 keep-alive, also after an error."""
    client.request("/nowhere")
    socket = client.connection.sock
    client.request(LIST)

    assert socket is not None
    assert client.connection.sock is socket
    assert len(braze.requests) == 2


def test_a_request_is_logged_before_its_response_is_sent(
    braze: Simulator, client: HttpClient
) -> None:
    """A client that has the response finds its request."""
    client.series(braze.campaigns[0], length=7)

    [request] = braze.requests

    id_ = braze.campaigns[0].id
    assert (request.method, request.path, request.status) == ("GET", DATA_SERIES, 200)
    assert request.query == f"campaign_id={id_}&length=7"
    assert request.campaign_id == id_
    assert request.epoch_seconds == NOON.timestamp()
    assert request.monotonic_seconds <= time.monotonic()
    assert request.is_authorized


def test_waiting_for_requests(braze: Simulator, client: HttpClient) -> None:
    """Of one campaign or of all, up to a timeout."""
    first, second = braze.campaigns[:2]
    client.series(first)
    client.series(second)

    assert braze.wait_for_requests(2)
    assert braze.wait_for_requests(1, campaign_id=first.id)
    assert not braze.wait_for_requests(2, campaign_id=first.id, timeout_seconds=0)


def test_the_log_is_bounded_and_its_counts_are_not(clock: FixedClock) -> None:
    """The newest requests are kept."""
    settings = SimulatorSettings(clock=clock, request_log_size=2)
    with Simulator(settings) as braze, HttpClient(braze) as client:
        for path in ("/a", "/b", "/c"):
            client.request(path)

        assert [request.path for request in braze.requests] == ["/b", "/c"]
        assert braze.wait_for_requests(3, timeout_seconds=0)


def test_concurrent_requests_are_counted_per_campaign(braze: Simulator) -> None:
    """Sequential requests count as one at a time."""
    sequential, concurrent = braze.campaigns[:2]
    braze.set_fault(Fault(delivery=Delivery.HANG), campaign_id=concurrent.id)
    with HttpClient(braze) as client:
        for _ in range(50):
            client.series(sequential)
    hanging = [HttpClient(braze), HttpClient(braze)]

    for client in hanging:
        headers = {"Authorization": f"Bearer {braze.api_key}"}
        target = f"{DATA_SERIES}?campaign_id={concurrent.id}&length=1"
        client.connection.request("GET", target, headers=headers)
    assert braze.wait_for_requests(2, campaign_id=concurrent.id, timeout_seconds=30)

    assert braze.in_flight(concurrent.id) == 2
    assert braze.most_in_flight(concurrent.id) == 2
    assert braze.most_in_flight(sequential.id) == 1
    for client in hanging:
        client.connection.close()


def test_requests_are_summarized_over_http(client: HttpClient) -> None:
    """By path and status, without those of control paths."""
    client.request(LIST)
    client.request(LIST)
    client.request(DATA_SERIES, key="wrong")
    client.request("/-/nowhere", key=None)

    summary = client.request("/-/requests", key=None)

    assert summary.document == {
        "total": 3,
        "in_flight": 0,
        "most_in_flight": 1,
        "answers": [
            {"path": DATA_SERIES, "status": 401, "count": 1},
            {"path": LIST, "status": 200, "count": 2},
        ],
    }


def test_there_is_a_url_only_between_start_and_stop(clock: FixedClock) -> None:
    """Stopping twice does no harm."""
    braze = Simulator(SimulatorSettings(clock=clock))
    braze.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = braze.url

    with braze:
        assert braze.url.startswith("http://127.0.0.1:")

    braze.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = braze.url


def test_only_the_standard_library_is_imported() -> None:
    """Shared code would hide the exporter's misunderstandings of the API."""
    [folder] = exporter.simulator.__path__
    imported = set()

    for path in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "a relative import")

    assert {
        name
        for name in imported
        if name != "exporter.simulator"
        and not name.startswith("exporter.simulator.")
        and name.partition(".")[0] not in sys.stdlib_module_names
    } == set()

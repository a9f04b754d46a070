"""The simulator's server: connections, the request log, start and stop."""

from __future__ import annotations

import time

import pytest
from exporter.simulator import Delivery, Fault

from tests.unit.simulator.simulator_client import (
    CANVAS_DETAILS,
    CANVAS_SERIES,
    DATA_SERIES,
    LIST,
    NOON,
    Client,
    serving,
)


def test_a_connection_serves_many_requests_even_after_an_error(client: Client) -> None:
    client.request("/nowhere")
    socket = client.connection.sock
    client.request(LIST)

    assert socket is not None
    assert client.connection.sock is socket
    assert len(client.braze.requests) == 2


def test_a_request_is_logged_before_its_response_is_sent(client: Client) -> None:
    first, second = client.braze.campaigns[:2]
    client.series(first, length=7)

    [request] = client.braze.requests

    assert (request.method, request.path, request.status) == ("GET", DATA_SERIES, 200)
    assert request.query == f"campaign_id={first.id}&length=7"
    assert request.campaign_id == first.id
    assert request.epoch_seconds == NOON.timestamp()
    assert request.monotonic_seconds <= time.monotonic()
    assert request.is_authorized
    client.series(second)
    assert client.braze.wait_for_requests(2)
    assert client.braze.wait_for_requests(1, campaign_id=first.id)
    assert not client.braze.wait_for_requests(
        2, campaign_id=first.id, timeout_seconds=0
    )


def test_requests_for_canvases_are_logged_and_counted(client: Client) -> None:
    canvas = client.braze.canvases[0]
    client.canvas_series(canvas)
    client.canvas_series(canvas, length=15)
    client.canvas_details(canvas)

    assert {one.canvas_id for one in client.braze.requests} == {canvas.id}
    assert {one.campaign_id for one in client.braze.requests} == {None}
    assert client.braze.wait_for_requests(3, canvas_id=canvas.id)
    assert not client.braze.wait_for_requests(4, canvas_id=canvas.id, timeout_seconds=0)
    assert client.braze.most_in_flight(canvas.id) == 1
    assert client.control("/-/requests").document["answers"] == [
        {"path": CANVAS_SERIES, "status": 200, "count": 1},
        {"path": CANVAS_SERIES, "status": 400, "count": 1},
        {"path": CANVAS_DETAILS, "status": 200, "count": 1},
    ]


def test_requests_are_counted_in_all_and_per_campaign(client: Client) -> None:
    """Sequential requests count as one at a time."""
    sequential, concurrent = client.braze.campaigns[:2]
    client.braze.set_fault(Fault(delivery=Delivery.HANG), campaign_id=concurrent.id)
    for _ in range(50):
        client.series(sequential)
    hanging = [Client(client.braze), Client(client.braze)]

    for one in hanging:
        headers = {"Authorization": f"Bearer {client.braze.api_key}"}
        target = f"{DATA_SERIES}?campaign_id={concurrent.id}&length=1"
        one.connection.request("GET", target, headers=headers)
    assert client.braze.wait_for_requests(
        2, campaign_id=concurrent.id, timeout_seconds=30
    )

    client.control("/-/nowhere")
    assert client.control("/-/requests").document == {
        "total": 52,
        "in_flight": 2,
        "most_in_flight": 2,
        "answers": [{"path": DATA_SERIES, "status": 200, "count": 52}],
        "buckets": {"campaigns": 52},
    }
    assert client.braze.most_in_flight(concurrent.id) == 2
    assert client.braze.most_in_flight(sequential.id) == 1
    for one in hanging:
        one.connection.close()


def test_there_is_a_url_only_between_start_and_stop() -> None:
    with serving() as client:
        assert client.braze.url.startswith("http://127.0.0.1:")
        client.braze.stop()
        with pytest.raises(RuntimeError, match="not started"):
            _ = client.braze.url

"""Faults of the simulator, set in Python and over HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import time
import zlib
from typing import Any

import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings

from tests.unit.simulator.simulator_client import (
    DATA_SERIES,
    DETAILS,
    LIST,
    FixedClock,
    HttpClient,
)


def put_fault(client: HttpClient, content: Any) -> Any:
    """Set a fault over HTTP, without a key."""
    body = content if isinstance(content, str) else json.dumps(content)
    return client.request("/-/faults", method="PUT", key=None, body=body)


# Which requests have a fault.


def test_a_fault_applies_to_one_campaign_and_expires(
    braze: Simulator, client: HttpClient
) -> None:
    """After `count` requests."""
    faulty, other = braze.campaigns[:2]
    braze.set_fault(Fault(status=503), campaign_id=faulty.id, count=2)

    statuses = [
        client.series(campaign).status for campaign in (faulty, other, faulty, faulty)
    ]

    assert statuses == [503, 200, 503, 200]


def test_the_most_specific_fault_wins(braze: Simulator, client: HttpClient) -> None:
    """Id and path, then id, then path, then everything; clearing removes all."""
    one, other = braze.campaigns[:2]
    braze.set_fault(Fault(status=500))
    braze.set_fault(Fault(status=502), path=LIST)
    braze.set_fault(Fault(status=503), campaign_id=one.id)
    braze.set_fault(Fault(status=504), campaign_id=one.id, path=DETAILS)

    def statuses() -> list[int]:
        return [
            client.request(DETAILS, campaign_id=one.id).status,
            client.series(one).status,
            client.request(LIST).status,
            client.series(other).status,
        ]

    before = statuses()
    braze.clear_faults()

    assert before == [504, 503, 502, 500]
    assert statuses() == [200] * 4


def test_a_count_is_positive(braze: Simulator) -> None:
    """Zero is an error."""
    with pytest.raises(ValueError, match="at least 1"):
        braze.set_fault(Fault(status=500), count=0)


# Changed responses.


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504, 418, 599])
def test_a_status_has_a_json_body(
    braze: Simulator, client: HttpClient, status: int
) -> None:
    """Also an unknown status; the rate-limit headers are kept."""
    braze.set_fault(Fault(status=status))

    reply = client.request(LIST)

    assert reply.status == status
    assert reply.document["message"]
    assert reply.headers["X-RateLimit-Limit"] == "250000"
    assert (reply.headers["X-RateLimit-Remaining"] == "0") is (status == 429)


BODY = b'{"data": [' + b" " * 5000 + b'], "sent": NaN}'


@pytest.mark.parametrize(
    ("fault", "status", "headers", "body"),
    [
        (Fault.html(200), 200, {"Content-Type": "text/html"}, b"<!DOCTYPE html>"),
        (Fault.html(502), 502, {"Content-Type": "text/html"}, b"<!DOCTYPE html>"),
        (Fault.empty(), 200, {"Content-Length": "0"}, None),
        (
            Fault.redirect("https://elsewhere.example/"),
            302,
            {"Location": "https://elsewhere.example/"},
            None,
        ),
        (
            Fault(body=BODY, headers={"content-type": "text/plain"}),
            200,
            {"Content-Type": "text/plain", "Content-Encoding": None},
            BODY,
        ),
        (Fault.wrong_encoding(), 200, {"Content-Encoding": "gzip"}, b'{"message": '),
        (
            Fault(
                status=429, headers={"x-ratelimit-reset": "0", "Retry-After": "7"}
            ),
            429,
            {"X-RateLimit-Reset": "0", "Retry-After": "7"},
            b'{"message": ',
        ),
        (
            Fault(status=429, has_rate_limit_headers=False),
            429,
            {
                "X-RateLimit-Limit": None,
                "X-RateLimit-Remaining": None,
                "X-RateLimit-Reset": None,
            },
            b'{"message": ',
        ),
    ],
)  # fmt: skip
def test_status_headers_and_body_can_be_changed(
    braze: Simulator,
    client: HttpClient,
    fault: Fault,
    status: int,
    headers: dict[str, str | None],
    body: bytes | None,
) -> None:
    """A given body is not compressed; header names are case-insensitive."""
    braze.set_fault(fault)

    reply = client.request(LIST, headers={"Accept-Encoding": "gzip"})

    assert reply.status == status
    for name, value in headers.items():
        assert reply.headers.get_all(name) == (None if value is None else [value])
    assert reply.body.startswith(body) if body else reply.body == b""
    if fault.body is BODY:
        assert reply.body == BODY


def test_a_small_body_may_decompress_to_a_huge_one(
    braze: Simulator, client: HttpClient
) -> None:
    """It is a valid document, sent in chunks."""
    size = 8 << 20
    braze.set_fault(Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=size))

    reply = client.request(LIST)

    body = zlib.decompress(reply.body, wbits=31)
    assert len(reply.body) < size / 100
    assert len(body) > size
    assert json.loads(body) == {"message": "success", "data": []}


# Broken and slow connections.


def test_a_body_may_be_cut_short(braze: Simulator, client: HttpClient) -> None:
    """The connection is closed in order before the end of the body."""
    braze.set_fault(Fault(delivery=Delivery.SHORT_BODY))

    with pytest.raises(http.client.IncompleteRead) as caught:
        client.request(LIST)

    assert len(caught.value.partial) > 0


@pytest.mark.parametrize("delivery", [Delivery.RESET, Delivery.RESET_IN_BODY])
def test_a_connection_may_be_reset(
    braze: Simulator, client: HttpClient, delivery: Delivery
) -> None:
    """Before the headers or within the body; the next connection works."""
    braze.set_fault(Fault(delivery=delivery), count=1)

    with pytest.raises(ConnectionResetError):
        client.request(LIST)

    client.connection.close()
    assert client.request(LIST).status == 200


def test_a_response_may_never_arrive(braze: Simulator) -> None:
    """The request is in flight until the client closes the connection."""
    braze.set_fault(Fault(delivery=Delivery.HANG), count=1)
    with HttpClient(braze, timeout_seconds=0.05) as client:
        with pytest.raises(TimeoutError):
            client.request(LIST)
        assert braze.wait_for_requests(1, timeout_seconds=30)
        in_flight = braze.in_flight()

    with HttpClient(braze) as client:
        assert client.request(LIST).status == 200
    assert in_flight == 1


def test_a_response_may_be_late(braze: Simulator, client: HttpClient) -> None:
    """It is sent whole after the latency."""
    braze.set_fault(Fault(latency_seconds=0.05))

    start = time.monotonic()
    reply = client.request(LIST)

    assert time.monotonic() - start >= 0.05
    assert reply.document["message"] == "success"


@pytest.mark.parametrize("delivery", [Delivery.DRIP_HEADERS, Delivery.DRIP_BODY])
def test_a_response_may_arrive_byte_by_byte(
    braze: Simulator, client: HttpClient, delivery: Delivery
) -> None:
    """A client without a deadline reads all of it."""
    fault = Fault(body=b"slowly", delivery=delivery, drip_seconds=0.0002)
    braze.set_fault(fault)

    assert client.request(LIST).body == b"slowly"


@pytest.mark.parametrize(
    "delivery", [Delivery.HANG, Delivery.DRIP_HEADERS, Delivery.DRIP_BODY]
)
def test_stopping_closes_all_connections(clock: FixedClock, delivery: Delivery) -> None:
    """Those of slow and hanging responses, and idle ones."""
    braze = Simulator(SimulatorSettings(clock=clock))
    braze.start()
    braze.set_fault(Fault(delivery=delivery, drip_seconds=3600), path=LIST)
    closed = threading.Event()

    def request() -> None:
        with HttpClient(braze, timeout_seconds=60) as client:
            try:
                client.request(LIST)
            except TimeoutError:
                return
            except (OSError, http.client.HTTPException):
                closed.set()

    with HttpClient(braze) as idle:
        idle.request("/nowhere")
        thread = threading.Thread(target=request)
        thread.start()
        assert braze.wait_for_requests(2, timeout_seconds=30)
        braze.stop()
        thread.join(60)

        assert closed.is_set()
        assert idle.connection.sock.recv(1) == b""
    assert braze.in_flight() == 0


# Control over HTTP.


def test_faults_are_set_and_cleared_over_http(
    braze: Simulator, client: HttpClient
) -> None:
    """Fields are those of a fault; the body is text."""
    one = braze.campaigns[0]
    content = {
        "campaign_id": one.id,
        "count": 5,
        "status": 503,
        "body": "gone fishing",
        "delivery": "whole",
        "latency_seconds": 0,
    }

    put = put_fault(client, content)
    faulty = client.series(one)
    deleted = client.request("/-/faults", method="DELETE", key=None)
    good = client.series(one)

    assert (put.status, deleted.status) == (200, 200)
    assert (faulty.status, faulty.body) == (503, b"gone fishing")
    assert good.status == 200


def test_active_faults_are_listed_over_http(client: HttpClient) -> None:
    """Each as it can be set again, with its remaining count."""
    put_fault(client, {"status": 503})
    put_fault(
        client,
        {"path": DATA_SERIES, "count": 2, "latency_seconds": 0.01, "body": "ü"},
    )
    client.request(DATA_SERIES)

    reply = client.request("/-/faults", key=None)
    client.request("/-/faults", method="DELETE", key=None)
    for fault in reply.document["faults"]:
        put_fault(client, fault)

    assert reply.document["faults"] == [
        {"status": 503},
        {
            "path": DATA_SERIES,
            "count": 1,
            "latency_seconds": 0.01,
            "body_base64": "w7w=",
        },
    ]
    assert client.request("/-/faults", key=None).document == reply.document
    assert reply.body.endswith(b"}\n")


def test_a_binary_body_is_set_in_base64(client: HttpClient) -> None:
    """It need not be text."""
    put_fault(client, {"body_base64": "/wD/"})

    assert client.request(LIST).body == b"\xff\x00\xff"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "a fault is a JSON object"),
        ('{"statsu": 500}', "unknown field 'statsu'"),
        ('{"status": "500"}', "'status' has a value of the wrong type"),
        ('{"delivery": "pigeon"}', "'pigeon' is not a valid Delivery"),
        ('{"count": 0}', "at least 1"),
        ('{"body_base64": "?"}', "base64"),
    ],
)
def test_an_invalid_fault_is_400(
    client: HttpClient, content: str, message: str
) -> None:
    """With the reason."""
    reply = put_fault(client, content)

    assert reply.status == 400
    assert message in reply.document["message"]

"""Faults of the simulator, set in Python and over HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import time
import zlib
from dataclasses import replace
from typing import Any

import pytest
from exporter.simulator import Delivery, Fault, Simulator

from tests.unit.simulator.simulator_client import (
    DATA_SERIES,
    DETAILS,
    LIST,
    HttpClient,
    simulator,
)

HTML = {"Content-Type": "text/html"}
NO_LIMITS = {f"X-RateLimit-{name}": None for name in ("Limit", "Remaining", "Reset")}
BODY = b'{"data": [' + b" " * 5000 + b'], "sent": NaN}'
JSON = b'{"message": '
URL = "https://elsewhere.example/"


def put_fault(client: HttpClient, content: object) -> Any:
    return client.control("/-/faults", "PUT", json.dumps(content))


def test_a_fault_of_one_campaign_expires_after_count_requests(
    braze: Simulator, client: HttpClient
) -> None:
    faulty, other = braze.campaigns[:2]
    braze.set_fault(Fault(status=503), campaign_id=faulty.id, count=2)

    statuses = [client.series(one).status for one in (faulty, other, faulty, faulty)]

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

    assert statuses() == [504, 503, 502, 500]
    braze.clear_faults()
    assert statuses() == [200] * 4


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 599])
def test_a_status_has_a_json_body_and_keeps_the_rate_limit_headers(
    braze: Simulator, client: HttpClient, status: int
) -> None:
    braze.set_fault(Fault(status=status))

    reply = client.request(LIST)

    assert reply.status == status
    assert reply.document["message"]
    assert reply.headers["X-RateLimit-Limit"] == "250000"
    assert (reply.headers["X-RateLimit-Remaining"] == "0") is (status == 429)


@pytest.mark.parametrize(
    ("fault", "status", "headers", "body"),
    [
        (Fault.html(200), 200, HTML, b"<!DOCTYPE html>"),
        (Fault.html(502), 502, HTML, b"<!DOCTYPE html>"),
        (Fault(body=b""), 200, {"Content-Length": "0"}, b""),
        (Fault.redirect(URL), 302, {"Location": URL}, b""),
        (
            Fault(body=BODY, headers={"content-type": "text/plain"}),
            200,
            {"Content-Type": "text/plain", "Content-Encoding": None},
            BODY,
        ),
        (
            Fault(headers={"Content-Encoding": "gzip"}),
            200,
            {"Content-Encoding": "gzip"},
            JSON,
        ),
        (
            Fault(status=429, headers={"x-ratelimit-reset": "0", "Retry-After": "7"}),
            429,
            {"X-RateLimit-Reset": "0", "Retry-After": "7"},
            JSON,
        ),
        (Fault(status=429, has_rate_limit_headers=False), 429, NO_LIMITS, JSON),
    ],
)
def test_status_headers_and_body_can_be_changed(
    braze: Simulator,
    client: HttpClient,
    fault: Fault,
    status: int,
    headers: dict[str, str | None],
    body: bytes,
) -> None:
    """A given body is not compressed; header names are case-insensitive."""
    braze.set_fault(fault)

    reply = client.request(LIST, accept_encoding="gzip")

    assert reply.status == status
    for name, value in headers.items():
        assert reply.headers.get_all(name) == (None if value is None else [value])
    assert reply.body.startswith(body) if body else reply.body == b""


def test_a_small_body_may_decompress_to_a_huge_valid_document(
    braze: Simulator, client: HttpClient
) -> None:
    size = 8 << 20
    braze.set_fault(Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=size))

    reply = client.request(LIST)

    body = zlib.decompress(reply.body, wbits=31)
    assert len(reply.body) < size / 100
    assert len(body) > size
    assert json.loads(body) == {"message": "success", "data": []}


@pytest.mark.parametrize(
    ("delivery", "error"),
    [
        (Delivery.SHORT_BODY, http.client.IncompleteRead),
        (Delivery.RESET, ConnectionResetError),
        (Delivery.RESET_IN_BODY, ConnectionResetError),
    ],
)
def test_a_connection_may_break_and_the_next_one_works(
    braze: Simulator, client: HttpClient, delivery: Delivery, error: type[Exception]
) -> None:
    braze.set_fault(Fault(delivery=delivery), count=1)

    with pytest.raises(error):
        client.request(LIST)

    client.connection.close()
    assert client.request(LIST).status == 200


@pytest.mark.parametrize(
    "fault", [Fault(delivery=Delivery.HANG), Fault(latency_seconds=3600)]
)
def test_a_request_is_in_flight_until_the_client_closes_the_connection(
    braze: Simulator, client: HttpClient, fault: Fault
) -> None:
    braze.set_fault(fault, count=1)
    with HttpClient(braze, timeout_seconds=0.05) as hanging:
        with pytest.raises(TimeoutError):
            hanging.request(LIST)
        assert braze.wait_for_requests(1, timeout_seconds=30)
        assert client.control("/-/requests").document["in_flight"] == 1

    assert client.request(LIST).status == 200


@pytest.mark.parametrize(
    ("fault", "least_seconds"),
    [
        (Fault(latency_seconds=0.05), 0.05),
        (Fault(delivery=Delivery.DRIP_HEADERS, drip_seconds=0.0002), 0.01),
        (Fault(delivery=Delivery.DRIP_BODY, drip_seconds=0.01), 0.05),
    ],
)
def test_a_response_may_be_late_or_slow(
    braze: Simulator, client: HttpClient, fault: Fault, least_seconds: float
) -> None:
    braze.set_fault(replace(fault, body=b"slowly"))

    start = time.monotonic()
    reply = client.request(LIST)

    assert time.monotonic() - start >= least_seconds
    assert reply.body == b"slowly"


@pytest.mark.parametrize(
    "delivery", [Delivery.HANG, Delivery.DRIP_HEADERS, Delivery.DRIP_BODY]
)
def test_stopping_closes_slow_hanging_and_idle_connections(delivery: Delivery) -> None:
    braze = simulator()
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


def test_faults_are_set_listed_and_cleared_over_http(
    braze: Simulator, client: HttpClient
) -> None:
    """Each is listed as it can be set again, with its remaining count."""
    one, other = braze.campaigns[:2]
    where = {"campaign_id": one.id, "path": DATA_SERIES}
    change = {"status": 503, "latency_seconds": 0.01, "body": "geschloßen"}
    whole = {"delivery": "whole"}

    statuses = [
        put_fault(client, content).status
        for content in ({"status": 500}, {**where, "count": 2, **change, **whole})
    ]
    faulty = client.series(one)
    listed = client.control("/-/faults")
    statuses.append(client.control("/-/faults", "DELETE").status)
    good = client.series(other)
    for fault in listed.document["faults"]:
        put_fault(client, fault)

    assert statuses == [200, 200, 200]
    assert (faulty.status, faulty.body.decode()) == (503, "geschloßen")
    assert good.status == 200
    assert listed.body.endswith(b"}\n")
    assert listed.document["faults"] == [
        {"status": 500},
        {**where, "count": 1, **change},
    ]
    assert client.control("/-/faults").document == listed.document


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "a fault is a JSON object"),
        ('{"statsu": 500}', "unknown field 'statsu'"),
        ('{"status": "500"}', "'status' has a value of the wrong type"),
        ('{"delivery": "pigeon"}', "'pigeon' is not a valid Delivery"),
        ('{"count": 0}', "at least 1"),
        ('{"count": "5"}', "not supported between"),
    ],
)
def test_an_invalid_fault_is_400_with_the_reason(
    client: HttpClient, content: str, message: str
) -> None:
    reply = client.control("/-/faults", "PUT", content)

    assert reply.status == 400
    assert message in reply.document["message"]

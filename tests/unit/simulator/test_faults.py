"""Faults of the simulator, set in Python and over HTTP."""

from __future__ import annotations

import http.client
import json
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from exporter.simulator import Delivery, Fault

from tests.unit.simulator.simulator_client import (
    CANVAS_DETAILS,
    DATA_SERIES,
    DETAILS,
    EVENT_SERIES,
    LIST,
    SEGMENT_SERIES,
    Client,
    serving,
)

LIMIT = {"X-RateLimit-Limit": "250000"}
HTML = {"Content-Type": "text/html"}
GZIP = {"Content-Encoding": "gzip"}
LATER = {"X-RateLimit-Reset": "0", "Retry-After": "7"}
NO_LIMITS = {f"X-RateLimit-{name}": None for name in ("Limit", "Remaining", "Reset")}
BODY = b'{"data": [' + b" " * 5000 + b'], "sent": NaN}'
JSON = b'{"message": '
URL = "https://elsewhere.example/"


def put_fault(client: Client, content: object) -> int:
    return client.control("/-/faults", "PUT", json.dumps(content)).status


def test_the_most_specific_fault_wins(client: Client) -> None:
    """Id and path, then id, then path, then everything; clearing removes all."""
    one, other = client.braze.campaigns[:2]
    client.braze.set_fault(Fault(status=500))
    client.braze.set_fault(Fault(status=502), path=LIST)
    client.braze.set_fault(Fault(status=503), campaign_id=one.id)
    client.braze.set_fault(Fault(status=504), campaign_id=one.id, path=DETAILS)

    def statuses() -> list[int]:
        return [
            client.request(DETAILS, campaign_id=one.id).status,
            client.series(one).status,
            client.request(LIST).status,
            client.series(other).status,
        ]

    assert statuses() == [504, 503, 502, 500]
    client.braze.clear_faults()
    assert statuses() == [200] * 4


def test_a_canvas_may_fail_without_the_others(client: Client) -> None:
    one, other = client.braze.canvases[:2]
    client.braze.set_fault(Fault(status=503), canvas_id=one.id, count=2)
    client.braze.set_fault(Fault(status=504), canvas_id=one.id, path=CANVAS_DETAILS)

    assert client.request(CANVAS_DETAILS, canvas_id=one.id).status == 504
    assert client.canvas_series(one).status == 503
    assert client.canvas_series(other).status == 200
    assert client.series(client.braze.campaigns[0]).status == 200
    assert client.canvas_series(one).status == 503
    assert client.canvas_series(one).status == 200
    assert client.control("/-/faults").document == {
        "faults": [{"canvas_id": one.id, "path": CANVAS_DETAILS, "status": 504}]
    }
    with pytest.raises(ValueError, match="not several"):
        client.braze.set_fault(Fault(), canvas_id=one.id, campaign_id=other.id)


def test_a_segment_and_an_event_may_fail_alone(client: Client) -> None:
    one, other = client.braze.segments[:2]
    stopped, event = client.braze.events[:2]
    client.braze.set_fault(Fault(status=503), segment_id=one.id)
    put_fault(client, {"event": event.name, "status": 504, "count": 1})

    def statuses() -> list[int]:
        queries = [{"segment_id": each.id} for each in (one, other)]
        events = [{"event": each.name} for each in (stopped, event)]
        return [
            *(
                client.request(SEGMENT_SERIES, length=1, **each).status
                for each in queries
            ),
            *(client.request(EVENT_SERIES, length=1, **each).status for each in events),
        ]

    assert statuses() == [503, 200, 200, 504]
    assert statuses() == [503, 200, 200, 200]
    assert {one.id, event.name} < {each.object_id for each in client.braze.requests}


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
        (Fault(headers=GZIP), 200, GZIP, JSON),
        (Fault(status=503), 503, LIMIT, JSON),
        (Fault(status=599), 599, LIMIT, JSON),
        (Fault(status=429), 429, LIMIT | {"X-RateLimit-Remaining": "0"}, JSON),
        (Fault(status=429, headers=LATER), 429, LATER, JSON),
        (Fault(status=429, has_rate_limit_headers=False), 429, NO_LIMITS, JSON),
    ],
)
def test_status_headers_and_body_can_be_changed(
    client: Client,
    fault: Fault,
    status: int,
    headers: dict[str, str | None],
    body: bytes,
) -> None:
    """A given body is not compressed; header names are case-insensitive."""
    client.braze.set_fault(fault)

    reply = client.request(LIST, accept_encoding="gzip")

    assert reply.status == status
    for name, value in headers.items():
        assert reply.headers.get_all(name) == (None if value is None else [value])
    assert reply.body.startswith(body) if body else reply.body == b""


def test_a_small_body_may_decompress_to_a_huge_valid_document(client: Client) -> None:
    size = 8 << 20
    client.braze.set_fault(Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=size))

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
    client: Client, delivery: Delivery, error: type[Exception]
) -> None:
    client.braze.set_fault(Fault(delivery=delivery), count=1)

    with pytest.raises(error):
        client.request(LIST)

    client.connection.close()
    assert client.request(LIST).status == 200


@pytest.mark.parametrize(
    "fault", [Fault(delivery=Delivery.HANG), Fault(latency_seconds=3600)]
)
def test_a_request_is_in_flight_until_the_client_closes_the_connection(
    client: Client, fault: Fault
) -> None:
    client.braze.set_fault(fault, count=1)
    with Client(client.braze, timeout_seconds=0.05) as hanging:
        with pytest.raises(TimeoutError):
            hanging.request(LIST)
        assert client.braze.wait_for_requests(1, timeout_seconds=30)
        assert client.braze.in_flight() == 1

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
    client: Client, fault: Fault, least_seconds: float
) -> None:
    client.braze.set_fault(replace(fault, body=b"slowly"))

    start = time.monotonic()
    reply = client.request(LIST)

    assert time.monotonic() - start >= least_seconds
    assert reply.body == b"slowly"


@pytest.mark.parametrize(
    "delivery", [Delivery.HANG, Delivery.DRIP_HEADERS, Delivery.DRIP_BODY]
)
def test_stopping_closes_slow_hanging_and_idle_connections(delivery: Delivery) -> None:
    fault = Fault(delivery=delivery, drip_seconds=3600)
    with serving() as idle, Client(idle.braze) as slow, ThreadPoolExecutor() as pool:
        idle.braze.set_fault(fault, path=LIST)
        idle.request("/nowhere")
        hanging = pool.submit(slow.request, LIST)
        assert idle.braze.wait_for_requests(2, timeout_seconds=30)
        idle.braze.stop()

        error = hanging.exception(60)
        assert isinstance(error, OSError | http.client.HTTPException)
        assert not isinstance(error, TimeoutError)
        assert idle.connection.sock.recv(1) == b""
        assert idle.braze.in_flight() == 0


def test_faults_are_set_listed_and_cleared_over_http(client: Client) -> None:
    """Each is listed as it can be set again, with its remaining count."""
    one, other = client.braze.campaigns[:2]
    where = {"campaign_id": one.id, "path": DATA_SERIES}
    change = {"status": 503, "latency_seconds": 0.01, "body": "geschloßen"}

    assert put_fault(client, {"status": 500}) == 200
    assert (
        put_fault(client, {**where, "count": 2, **change, "delivery": "whole"}) == 200
    )
    canvas = {"canvas_id": client.braze.canvases[0].id}
    assert put_fault(client, {**canvas, "status": 429}) == 200
    faulty = client.series(one)
    assert client.canvas_series(client.braze.canvases[0]).status == 429
    listed = client.control("/-/faults")
    assert client.control("/-/faults", "DELETE").status == 200
    assert client.series(other).status == 200
    for fault in listed.document["faults"]:
        put_fault(client, fault)

    assert (faulty.status, faulty.body.decode()) == (503, "geschloßen")
    assert listed.body.endswith(b"}\n")
    assert listed.document["faults"] == [
        {"status": 500},
        {**where, "count": 1, **change},
        {**canvas, "status": 429},
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
        ('{"campaign_id": "a", "canvas_id": "b"}', "not several"),
        ('{"count": "5"}', "not supported between"),
    ],
)
def test_an_invalid_fault_is_400_with_the_reason(
    client: Client, content: str, message: str
) -> None:
    reply = client.control("/-/faults", "PUT", content)

    assert reply.status == 400
    assert message in reply.document["message"]

"""HTTP/1.1 connections of well-behaved, idle, slow and hostile clients."""

from __future__ import annotations

import asyncio
import logging
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile
from typing import Any, cast

import pytest
from exporter.web.connection import ClientLimits, Connection, ServerContext
from exporter.web.connection_table import ConnectionTable
from exporter.web.messages import HttpRequest, HttpResponse, Responder
from exporter.web.send_queue import SendQueue

from tests.support.server_in_thread import (
    GET,
    PATIENCE_SECONDS,
    BlockingResponder,
    RawClient,
    hello,
    request_bytes,
    serving,
)

SHORT = 0.2  # a limit that is to be exceeded
SMALL_WINDOW = 64 * 1024
LARGE = (bytes(25_000_000),) * 4


async def path_or_large(request: HttpRequest) -> HttpResponse:
    """Respond with the path, or with a hundred megabytes."""
    is_large = request.path == "/large"
    return HttpResponse(200, (), LARGE if is_large else (request.path.encode(),))


def responding(*chunks: bytes) -> Responder:
    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), chunks)

    return respond


async def connected(
    sock: socket.socket, respond: Responder
) -> tuple[asyncio.Transport, Connection, ConnectionTable]:
    """Serve a socket, without a server that checks deadlines."""
    table = ConnectionTable()
    context = ServerContext(
        respond,
        ClientLimits(),
        clock=lambda: 0.0,
        table=table,
        send_queue=SendQueue(),
        input=memoryview(bytearray(4096)),
    )
    loop = asyncio.get_running_loop()
    transport, connection = await loop.connect_accepted_socket(
        lambda: Connection(context), sock
    )
    return transport, connection, table


def test_a_response_has_status_headers_and_body() -> None:
    """It has a date, and no header names the software."""
    with serving() as server:
        response = server.connect().get()

    assert response.status == 200
    assert response.body == b"hello\n"
    assert response.headers == {
        "content-type": "text/plain",
        "date": "Sun, 09 Sep 2001 01:46:40 GMT",
        "content-length": "6",
    }


def test_pipelined_requests_are_answered_in_order() -> None:
    paths = [f"/{number}" for number in range(200)]
    running: list[str] = []

    async def respond(request: HttpRequest) -> HttpResponse:
        running.append(request.path)
        await asyncio.sleep(0)
        assert running.pop() == request.path
        return HttpResponse(200, (), (request.path.encode(),))

    with serving(respond) as server:
        client = server.connect()
        fill = f"X-Fill: {'x' * 200}"
        client.send(b"".join(request_bytes(path, fill) for path in paths))

        found = [client.receive().body.decode() for _ in paths]

    assert found == paths


def test_input_is_read_only_as_fast_as_it_is_used() -> None:
    """Pipelined requests stay in the kernel's buffers, which have a limit."""
    request = request_bytes("/")
    with serving(hello) as server:
        client = server.connect()
        client.socket.setblocking(False)
        sent_bytes = answered = 0
        block = request * 10_000
        while answered < 2000:
            ready, writable, _ = select.select(
                [client.socket], [client.socket], [], PATIENCE_SECONDS
            )
            if writable:
                sent_bytes += client.socket.send(block[sent_bytes % len(request) :])
            if ready:
                answered += client.socket.recv(65536).count(b"HTTP/1.1 200 ")

    # Linux buffers 4 to 6 MiB at each end of a loopback connection.
    assert sent_bytes - answered * len(request) < 16 * 1024 * 1024


def test_a_request_during_a_response_waits() -> None:
    respond = BlockingResponder()
    with serving(respond) as server:
        client = server.connect()
        respond.block(client)
        client.send(request_bytes("/next"))
        server.connect().get()  # the server has received the second request by then
        server.run(respond.unblock())

        assert [client.receive().body for _ in range(2)] == [b"/blocked", b"/next"]
        assert client.get().status == 200


@pytest.mark.parametrize(
    "sent",
    [
        request_bytes("/", "Connection: close"),
        request_bytes(version="1.0"),
        # Both headers may hide a second request: the rest is not parsed.
        request_bytes(
            "/", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST"
        )
        + b"0\r\n\r\n"
        + GET,
    ],
)
def test_the_connection_closes_after_the_response(sent: bytes) -> None:
    with serving() as server:
        client = server.connect()
        client.send(sent)

        response = client.receive()

        assert (response.status, response.headers["connection"]) == (200, "close")
        assert client.is_closed()


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
def test_a_body_is_read_and_discarded(expect: tuple[str, ...]) -> None:
    with serving() as server:
        client = server.connect()
        client.send(request_bytes("/", "Content-Length: 4", *expect, method="POST"))
        if expect:
            assert client.receive().status == 100
        client.send(b"bo")
        client.send(b"dy")

        assert client.receive().status == 200
        assert client.get().status == 200


def test_100_continue_is_not_buffered_for_a_client_that_does_not_read() -> None:
    ours, theirs = socket.socketpair()
    unread = 0
    ours.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            unread += ours.send(b"unread")

    async def serve() -> None:
        _, _, table = await connected(ours, path_or_large)
        theirs.sendall(
            request_bytes(
                "/", "Content-Length: 4", "Expect: 100-continue", method="POST"
            )
        )
        await table.wait_until_empty()

    asyncio.run(asyncio.wait_for(serve(), PATIENCE_SECONDS))

    with theirs:
        left = b"".join(iter(lambda: theirs.recv(1 << 20), b""))
    assert len(left) == unread


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: 1234567890\r\n" * 400, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 900 + b"\r\n", 431),
        (
            request_bytes("/", "Transfer-Encoding: chunked", method="POST")
            + b"0\r\n"
            + b"a:\r\n" * 900
            + b"\r\n",
            431,
        ),
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (request_bytes("/", "Content-Length: x"), 400),
        (request_bytes("/", "Transfer-Encoding: gzip"), 501),
        (request_bytes("server:80", method="CONNECT"), 501),
        (request_bytes("/", "Content-Length: 99999999", method="HEAD"), 413),
        (request_bytes("/", "Content-Length: 1001", method="POST"), 413),
        (
            request_bytes(
                "/", "Content-Length: 1001", "Expect: 100-continue", method="POST"
            ),
            413,
        ),
        (
            request_bytes("/", "Transfer-Encoding: chunked", method="POST")
            + b"3e9\r\n"
            + b"x" * 1001,
            413,
        ),
        (request_bytes("/", f"X-Long: {'x' * 9000}"), 431),
    ],
)
def test_an_invalid_request_is_refused(sent: bytes, status: int) -> None:
    """Malformed, unsupported or too large: with an error, then the server closes."""
    limits = ClientLimits(body_bytes=1000, header_bytes=4096)
    with serving(limits=limits) as server:
        client = server.connect()
        client.send(sent)

        response = client.receive(has_body=not sent.startswith(b"HEAD"))

        assert response.status == status
        assert response.headers["connection"] == "close"
        assert client.is_closed()


def test_many_headers_and_a_large_body_are_accepted() -> None:
    headers = [f"X-{number}: {'x' * 100}" for number in range(100)]
    size = ClientLimits().body_bytes
    with serving() as server:
        client = server.connect()
        plain = request_bytes("/", *headers, f"Content-Length: {size}", method="POST")
        client.send(plain + bytes(size))
        assert client.receive().status == 200

        headers.append("Transfer-Encoding: chunked")
        chunks = b"%x\r\n%b\r\n" % (size // 4, bytes(size // 4)) * 3
        client.send(request_bytes("/", *headers, method="POST") + chunks + b"0\r\n\r\n")
        assert client.receive().status == 200


def test_a_body_of_many_short_chunks_is_refused() -> None:
    with serving() as server:
        client = server.connect()
        head = request_bytes("/", "Transfer-Encoding: chunked", method="POST")
        client.send(head + b"1\r\nx\r\n" * 100 + b"0\r\n\r\n")

        assert client.receive().status == 413


def test_a_refusal_arrives_although_the_client_goes_on_sending() -> None:
    """The connection is not reset before the client has read it."""
    with serving(limits=ClientLimits(body_bytes=1000)) as server:
        client = server.connect()
        client.send(request_bytes("/", "Content-Length: 3000000", method="POST"))
        client.send(bytes(3_000_000))

        assert client.receive().status == 413


def test_input_is_discarded_after_the_refusal_of_a_pipelined_request() -> None:
    """Else a client that is still sending would be reset."""
    respond = BlockingResponder()
    with serving(respond) as server:
        client = server.connect()
        respond.block(client)
        client.send(b"hello\r\n\r\n")
        server.connect().get()  # the server has received the second request by then
        server.run(respond.unblock())
        client.send(bytes(50_000_000))

        assert [client.receive().status for _ in range(2)] == [200, 400]


@pytest.mark.parametrize(
    ("limits", "requests"),
    [
        (ClientLimits(first_request_seconds=SHORT), 0),
        (ClientLimits(idle_seconds=SHORT), 1),
    ],
)
def test_idle_connections_are_closed(limits: ClientLimits, requests: int) -> None:
    with serving(limits=limits) as server:
        clients = [server.connect() for _ in range(70)]
        for client in clients * requests:
            client.get()

        assert all(client.is_closed() for client in clients)


def test_a_slow_request_is_refused() -> None:
    """The limit applies to the whole request, however steadily its bytes arrive."""
    with serving(limits=ClientLimits(request_seconds=SHORT)) as server:
        client = server.connect()
        client.send(b"GET / HTTP/1.1\r\nX: ")
        while not select.select([client.socket], [], [], 0.01)[0]:
            client.send(b"x")

        assert client.receive().status == 408
        assert client.is_closed()


def leave() -> None:
    """Do nothing more than the client that leaves."""


def fail() -> None:
    raise RuntimeError


@pytest.mark.parametrize(("then", "logged"), [(leave, []), (fail, ["web.failed"])])
def test_a_client_that_leaves_as_it_is_refused_keeps_no_other_from_its_deadline(
    then: Callable[[], None], logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    clients: list[RawClient] = []
    has_left = threading.Event()

    def clock() -> float:  # called for the header Date, just before the 408 is sent
        if not has_left.is_set():
            clients[0].close()
            has_left.set()
            then()
        return 1e9

    limits = ClientLimits(request_seconds=SHORT)
    with serving(limits=limits, clock=clock) as server:
        clients.append(server.connect())
        clients[0].send(b"GET / HTTP/1.1\r\n")
        assert has_left.wait(PATIENCE_SECONDS)
        later = server.connect()
        later.send(b"GET / HTTP/1.1\r\n")

        assert later.receive().status == 408
    assert [record.message for record in caplog.records] == logged


def test_a_client_that_leaves_as_a_pipelined_request_is_refused_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clients: list[RawClient] = []
    received: list[int] = []
    has_left = threading.Event()

    def clock() -> float:  # called for each response, just before it is sent
        if received:
            received.append(clients[0].receive().status)
            clients[0].close()
            has_left.set()
        received.append(0)
        return 1e9

    with serving(clock=clock) as server:
        clients.append(server.connect())
        clients[0].send(GET + b"hello\r\n\r\n")
        assert has_left.wait(PATIENCE_SECONDS)
    assert received == [0, 200, 0]
    assert not caplog.records


def test_a_client_that_reads_slowly_stays_connected() -> None:
    """A deadline applies to the time without progress, not to the whole response."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    stall_seconds = ClientLimits().write_stall_seconds
    passed_seconds = 0.0

    async def serve() -> list[bool]:
        nonlocal passed_seconds
        loop = asyncio.get_running_loop()
        real_time = loop.time
        loop.time = lambda: real_time() + passed_seconds  # type: ignore[method-assign]  # a faster clock
        transport, connection, table = await connected(
            ours, responding(bytes(20_000_000))
        )
        theirs.sendall(GET)
        states = []
        for _ in range(10):
            received = 0
            while received < 1_000_000:  # more than the buffers in between contain
                with suppress(BlockingIOError):
                    received += len(theirs.recv(SMALL_WINDOW))
                await asyncio.sleep(0)
            passed_seconds += 0.8 * stall_seconds
            connection.check_deadline(loop.time())
            states.append(transport.is_closing())
        while not transport.get_write_buffer_size():
            await asyncio.sleep(0)
        connection.check_deadline(loop.time())
        passed_seconds += 1.2 * stall_seconds
        connection.check_deadline(loop.time())
        states.append(transport.is_closing())
        await table.wait_until_empty()
        await table.wait_for_tasks(timeout_seconds=PATIENCE_SECONDS)
        return states

    with theirs:
        states = asyncio.run(serve())

    assert states == [False] * 10 + [True]


@pytest.mark.parametrize(
    ("limits", "is_withdrawn"),
    [
        (ClientLimits(response_seconds=SHORT, least_bytes_per_second=1 << 40), False),
        (ClientLimits(), True),
    ],
    ids=["too slow", "withdrawn"],
)
def test_a_response_is_aborted_although_the_client_reads(
    limits: ClientLimits, *, is_withdrawn: bool
) -> None:
    """A byte now and then must not keep a page in memory for ever."""

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), LARGE, is_withdrawn=lambda: is_withdrawn)

    with serving(respond, limits=limits) as server:
        client = server.connect(window=SMALL_WINDOW)
        client.send(GET)
        received = 0
        with suppress(ConnectionError):
            while data := client.socket.recv(1000):
                received += len(data)
                time.sleep(0.01)  # the client reads slowly

    assert received < sum(map(len, LARGE))


@pytest.mark.parametrize("seed", range(4))
def test_every_byte_of_a_response_arrives(seed: int) -> None:
    dice = random.Random(seed)
    most = [1, 100, 20_000, 300_000]
    chunks = [dice.randbytes(dice.randrange(dice.choice(most))) for _ in range(200)]
    ours, theirs = socket.socketpair()

    def read() -> bytes:
        theirs.sendall(GET * 2 + request_bytes("/", "Connection: close"))
        sizes = iter(lambda: dice.randrange(1, dice.choice(most) + 1), None)
        return b"".join(takewhile(bool, map(theirs.recv, sizes)))

    async def serve() -> bytes:
        await connected(ours, responding(*chunks))
        return await asyncio.to_thread(read)

    with theirs:
        got = asyncio.run(asyncio.wait_for(serve(), PATIENCE_SECONDS))

    bodies = [each.partition(b"\r\n\r\n")[2] for each in got.split(b"HTTP/1.1 ")]
    assert bodies[1:] == [b"".join(chunks)] * 3


END = b"\r\n\r\n"  # of the headers


class AllButOneByte(socket.socket):
    """A socket that accepts all but one byte, while its peer reads."""

    peer: socket.socket
    received: bytes = b""

    def send(self, data: Any, flags: int = 0) -> int:
        self.read()
        return super().send(data[:-1] or data, flags)

    def read(self) -> None:
        with suppress(BlockingIOError):
            self.received += self.peer.recv(SMALL_WINDOW)


def test_a_byte_that_the_kernel_did_not_accept_is_sent_first() -> None:
    body = random.Random(0).randbytes(4_000_000)
    left, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours = AllButOneByte(fileno=left.detach())
    ours.peer = theirs

    async def serve() -> None:
        transport, _, table = await connected(ours, responding(body))
        theirs.sendall(GET)
        while len(ours.received.partition(END)[2]) < len(body):
            ours.read()
            await asyncio.sleep(0)
        transport.abort()
        await table.wait_until_empty()

    with theirs:
        asyncio.run(asyncio.wait_for(serve(), PATIENCE_SECONDS))

    assert ours.received.partition(END)[2] == body


async def failing(request: HttpRequest) -> HttpResponse:
    if request.path == "/raise":
        message = "secret"
        raise RuntimeError(message)
    if request.path == "/header":
        return HttpResponse(200, (("X", "a\nb"),))
    if request.path == "/body":
        return HttpResponse(200, (), cast("tuple[bytes]", ("text",)))
    return await hello(request)


@pytest.mark.parametrize("path", ["/raise", "/header"])
def test_a_failing_responder_is_500(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(failing) as server:
        client = server.connect()

        response = client.get(path)

        assert (response.status, response.body) == (500, b"internal server error\n")
        assert client.get().status == 200
    [record] = caplog.records
    assert (record.getMessage(), record.levelno) == ("web.failed", logging.ERROR)
    assert record.exc_info is not None


def test_a_failure_during_a_response_closes(caplog: pytest.LogCaptureFixture) -> None:
    with serving(failing) as server:
        client = server.connect()
        client.send(request_bytes("/body"))

        assert client.is_closed()
    assert [record.getMessage() for record in caplog.records] == ["web.failed"]


def reset(client: RawClient) -> None:
    at_once = struct.pack("ii", 1, 0)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    client.close()


def half_close(client: RawClient) -> None:
    client.socket.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("leave", [reset, half_close])
def test_a_client_that_leaves_cancels_its_response(
    leave: Callable[[RawClient], None],
) -> None:
    """At once after a reset; after the time of a stall if it only stopped sending."""
    respond = BlockingResponder()
    with serving(respond, limits=ClientLimits(write_stall_seconds=SHORT)) as server:
        client = server.connect()
        respond.block(client)

        leave(client)

        assert respond.is_cancelled.wait(PATIENCE_SECONDS)


def test_a_client_that_stops_sending_receives_the_response() -> None:
    respond = BlockingResponder()
    with serving(respond) as server:
        client = server.connect()
        respond.block(client)
        half_close(client)
        server.connect().get()  # the server has received the end by then
        server.run(respond.unblock())

        response = client.receive()

        assert (response.body, response.headers["connection"]) == (b"/blocked", "close")
        assert client.is_closed()


def test_a_client_that_stops_sending_receives_the_rest_of_a_response() -> None:
    with serving(path_or_large) as server:
        client = server.connect(window=SMALL_WINDOW)
        client.send(request_bytes("/large"))
        client.socket.recv(1)
        half_close(client)

        assert client.read_to_end() > 100_000_000


def test_an_incomplete_request_is_closed_when_the_client_stops_sending() -> None:
    with serving() as server:
        client = server.connect()
        client.send(GET[:-2])
        half_close(client)

        assert client.is_closed()

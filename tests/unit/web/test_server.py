"""The server: addresses, many connections, TLS, stopping."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pytest
from exporter.model.errors import ListenError
from exporter.web.connection import ClientLimits
from exporter.web.messages import HttpRequest, HttpResponse
from exporter.web.server import (
    Address,
    Server,
    raise_descriptor_limit,
    wait_for_input,
)

from tests.support.certificates import Certificates
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
LARGE = (bytes(25_000_000),)


def is_ipv6_here() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not is_ipv6_here(), reason="needs IPv6")


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (Address("", 0), "127.0.0.1"),
        pytest.param(Address("", 0), "::1", marks=needs_ipv6),
        pytest.param(Address("::1", 0), "::1", marks=needs_ipv6),
    ],
)
def test_an_empty_host_listens_on_all_interfaces(address: Address, host: str) -> None:
    with serving(hello, address) as server:
        assert server.connect(host).get().status == 200


def test_without_ipv6_an_empty_host_listens_on_ipv4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "AF_INET6", 9999)  # not supported by any kernel

    with serving(hello, Address("", 0)) as server:
        assert server.connect().get().status == 200
        assert server.bound[0].host == "0.0.0.0"  # noqa: S104 - expected


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "address already in use"),
        ("192.0.2.1", "cannot assign requested address"),
        ("a..b", "label"),
    ],
)
def test_an_unusable_address_raises(host: str, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(host, taken.getsockname()[1])

        with pytest.raises(ListenError) as caught:
            asyncio.run(Server(hello).start([Address("127.0.0.1", 0), address]))

    assert str(caught.value).startswith(f"cannot listen on {address}: ")
    assert reason in str(caught.value)


def test_the_longest_waiting_connection_is_evicted() -> None:
    with serving(limits=ClientLimits(connections=3)) as server:
        first, second, third = (server.connect() for _ in range(3))
        second.get()

        assert server.connect().get().status == 200
        assert first.is_closed()
        assert second.get().status == 200
        assert server.connect().get().status == 200
        assert third.is_closed()


def test_busy_connections_are_not_evicted() -> None:
    respond = BlockingResponder()
    with serving(respond, limits=ClientLimits(connections=2)) as server:
        clients = [server.connect() for _ in range(2)]
        for client in clients:
            respond.block(client)

        assert server.connect().is_closed()
        server.run(respond.unblock())
        assert [client.receive().body for client in clients] == [b"/blocked"] * 2


def test_slow_clients_are_evicted() -> None:
    """A response that waits for its client counts as waiting."""

    async def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), LARGE if request.path == "/large" else ())

    with serving(respond, limits=ClientLimits(connections=2)) as server:
        for _ in range(2):
            slow = server.connect(window=SMALL_WINDOW)
            slow.send(request_bytes("/large"))
            slow.socket.recv(1)

        statuses = [server.connect().get().status for _ in range(4)]

    assert statuses == [200] * 4


def test_connections_may_be_evicted_before_they_are_open() -> None:
    """Of many that are accepted at once, the last ones stay."""
    with serving(limits=ClientLimits(connections=2)) as server:
        are_connected = threading.Event()

        async def block_loop() -> None:
            are_connected.wait(PATIENCE_SECONDS)

        blocked = threading.Thread(target=server.run, args=(block_loop(),))
        blocked.start()
        clients = [server.connect() for _ in range(8)]
        are_connected.set()
        blocked.join(PATIENCE_SECONDS)

        assert all(client.is_closed() for client in clients[:6])
        assert [client.get().status for client in clients[6:]] == [200, 200]


def test_nagles_algorithm_is_disabled() -> None:
    """It would delay the last segment of a response by up to 40 ms."""
    with serving() as server:
        [listening] = server._server._sockets

        # Accepted sockets inherit it.
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/dev/fd"))  # noqa: PTH208 (no paths)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    fillers: list[int] = []
    try:
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


def test_idle_connections_are_evicted_when_descriptors_run_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving() as server, socket.socket() as sock:
        idle = server.connect()
        server.connect().get()  # the idle one is accepted by then
        late = RawClient(sock)
        with no_descriptors_left():
            sock.connect(("127.0.0.1", server.port))
            response = late.get()

        assert response.status == 200
        assert idle.is_closed()
    assert "web.accept_failed" in [record.getMessage() for record in caplog.records]


def test_responses_are_completed_when_the_server_stops() -> None:
    respond = BlockingResponder()
    with serving(respond) as server:
        idle, busy = server.connect(), server.connect()
        respond.block(busy)
        stopping = threading.Thread(target=server.stop, args=(PATIENCE_SECONDS,))
        stopping.start()

        assert idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        server.run(respond.unblock())
        response = busy.receive()
        stopping.join(PATIENCE_SECONDS)

        assert not stopping.is_alive()
        assert (response.body, response.headers["connection"]) == (b"/blocked", "close")
        assert busy.is_closed()


def test_responses_are_aborted_after_the_grace_period() -> None:
    """The server does not wait longer."""
    respond = BlockingResponder()
    with serving(respond) as server:
        client = server.connect()
        respond.block(client)

        server.stop(0.05)

        assert client.is_closed()


def test_a_stopped_server_leaves_no_descriptor_and_no_thread() -> None:
    def in_use() -> tuple[int, int]:
        return len(os.listdir("/dev/fd")), threading.active_count()  # noqa: PTH208

    def serve_once() -> None:
        with serving() as server:
            server.connect()
            server.connect().get()
            server.connect().send(b"GET / HT")
            server.connect().send(b"\0\0\0")
            left = server.connect()
            left.send(GET)
            left.close()

    serve_once()
    before = in_use()
    for _ in range(3):
        serve_once()

    assert in_use() == before


@pytest.fixture(name="certificates", scope="module")
def _certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    "limits", [ClientLimits(first_request_seconds=3.0), ClientLimits(connections=1)]
)
def test_a_client_without_a_handshake_is_disconnected(
    certificates: Certificates, limits: ClientLimits
) -> None:
    with serving(limits=limits, ssl_context=certificates.server_context) as server:
        silent = server.connect()

        assert server.connect_tls(certificates.client_context()).get().status == 200
        assert silent.is_closed()


def test_a_silent_client_of_a_tls_port_occupies_little_memory(
    certificates: Certificates,
) -> None:
    """TLS state is created when its first byte arrives."""
    contexts = []

    class Counting(ssl.SSLObject):
        def __new__(cls, *_: object, **__: object) -> Self:
            contexts.append(1)
            return super().__new__(cls)

    context = certificates.server_context()
    context.sslobject_class = Counting
    with serving(ssl_context=lambda: context) as server:
        for _ in range(50):
            server.connect()
        client = server.connect_tls(certificates.client_context())

        assert client.get().status == 200
        assert len(contexts) == 1


def test_input_of_a_connection_that_is_evicted_at_that_moment_is_ignored() -> None:
    errors: list[dict[str, object]] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        accepted, client = socket.socketpair()
        with accepted, client:
            task = asyncio.create_task(wait_for_input(accepted))
            await asyncio.sleep(0)
            # The loop sees the input, and cancels before it handles it.
            client.send(b"x")
            loop.call_soon(task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(work())

    assert errors == []


def test_plain_http_to_a_tls_port_is_closed(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(ssl_context=certificates.server_context) as server:
        client = server.connect()
        client.send(GET)

        assert client.is_closed()
    assert not caplog.records


def test_requests_under_tls(
    certificates: Certificates,
) -> None:
    body = bytes(range(256)) * 10_000

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), (body,))

    with serving(respond, ssl_context=certificates.server_context) as server:
        client = server.connect_tls(certificates.client_context())

        assert client.get().body == body
        client.send(b"hello\r\n\r\n")
        assert client.receive().status == 400


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_client_that_does_not_read_is_disconnected(
    certificates: Certificates, *, is_encrypted: bool
) -> None:
    is_lost = threading.Event()

    async def respond(_: HttpRequest) -> HttpResponse:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: is_lost.set())
        return HttpResponse(200, (), LARGE)

    context = certificates.server_context() if is_encrypted else None
    limits = ClientLimits(write_stall_seconds=SHORT)
    with serving(respond, limits=limits, ssl_context=lambda: context) as server:
        client = (
            server.connect_tls(certificates.client_context())
            if is_encrypted
            else server.connect()
        )
        client.send(GET)

        assert is_lost.wait(PATIENCE_SECONDS)
        assert client.read_to_end() < len(LARGE[0])


def test_a_failing_ssl_context_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> ssl.SSLContext:
        message = "no certificate"
        raise RuntimeError(message)

    with serving(ssl_context=failing) as server:
        assert server.connect().is_closed()
        assert server.connect().is_closed()
    assert [record.getMessage() for record in caplog.records] == ["web.failed"] * 2


def test_the_descriptor_limit_is_raised() -> None:
    """The soft limit becomes the hard one, and reduces the number of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, soft), hard))
    try:
        few = raise_descriptor_limit(10)
        many = raise_descriptor_limit(10**9)
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert few == 10
    assert raised >= min(soft, 65536)
    assert many == max(raised - 256, raised // 2)

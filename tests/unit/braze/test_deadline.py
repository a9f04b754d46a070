"""Sockets with a deadline, connected to real peers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from exporter.braze.deadline import Deadline, TimedSocket, current, open_socket

from tests.support.scripted_peer import Peer, PeerConnection, closed_port, swallowing


class Clock:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time that was set."""
        return self.now


@contextmanager
def within(
    *, seconds: float = 10.0, received_bytes: int = 1000, clock: Clock | None = None
) -> Iterator[Deadline]:
    """Set the current deadline."""
    deadline = Deadline(
        seconds=seconds, received_bytes=received_bytes, clock=clock or Clock()
    )
    token = current.set(deadline)
    try:
        yield deadline
    finally:
        current.reset(token)


@contextmanager
def pair() -> Iterator[tuple[TimedSocket, socket.socket]]:
    """Yield a connected pair: a timed socket and a plain one."""
    near, far = socket.socketpair()
    with far, TimedSocket(near.family, near.type, near.proto, near.detach()) as timed:
        yield timed, far


def test_the_timeout_of_each_call_is_the_remaining_time() -> None:
    """It decreases from call to call."""
    clock = Clock()
    with pair() as (timed, far), within(seconds=10.0, clock=clock):
        far.sendall(b"ab")
        timed.recv(1)
        first = timed.gettimeout()
        clock.now += 4.0
        timed.recv_into(bytearray(1))
        second = timed.gettimeout()

    assert (first, second) == (10.0, 6.0)


@pytest.mark.parametrize("operation", ["recv", "recv_into", "send", "sendall"])
def test_no_operation_starts_after_the_deadline(operation: str) -> None:
    """Each raises TimeoutError."""
    clock = Clock()
    with pair() as (timed, far), within(seconds=10.0, clock=clock) as deadline:
        far.sendall(b"ready")
        clock.now += 10.0

        with pytest.raises(TimeoutError):
            getattr(timed, operation)(1 if operation == "recv" else bytearray(1))

    assert deadline.is_over


def test_more_bytes_than_allowed_raise() -> None:
    """The limit applies to the sum of all calls."""
    with pair() as (timed, far), within(received_bytes=3) as deadline:
        far.sendall(b"abcd")
        timed.recv(2)
        timed.recv_into(bytearray(1))
        assert not deadline.is_flooded

        with pytest.raises(ConnectionAbortedError):
            timed.recv(1)

    assert deadline.is_flooded


def test_abort_interrupts_a_read() -> None:
    """The reading thread gets the end of the stream."""
    got: list[bytes] = []
    started = threading.Event()
    with pair() as (timed, _), within() as deadline:

        def read() -> None:
            current.set(deadline)
            deadline.guard(timed)
            started.set()
            got.append(timed.recv(1))

        reader = threading.Thread(target=read)
        reader.start()
        started.wait()
        deadline.abort()
        reader.join()

    assert got == [b""]


def test_no_operation_starts_after_abort() -> None:
    """A second abort has no effect."""
    with pair() as (timed, _), within() as deadline:
        deadline.abort()
        deadline.abort()

        with pytest.raises(ConnectionAbortedError):
            timed.send(b"x")

    assert deadline.is_aborted


def test_abort_interrupts_a_connect() -> None:
    """The peer drops all packets."""
    with swallowing() as port, within() as deadline:
        is_connecting = threading.Event()
        guard = deadline.guard

        def recorded(sock: socket.socket, *, share: int = 1) -> None:
            guard(sock, share=share)
            is_connecting.set()

        def abort() -> None:
            is_connecting.wait()
            deadline.abort()

        deadline.guard = recorded  # type: ignore[method-assign]  # signals the start
        aborter = threading.Thread(target=abort)
        aborter.start()

        with pytest.raises(OSError, match=r".*"):
            open_socket("127.0.0.1", port, ())
        aborter.join()


def resolver(*ports: int) -> object:
    """Return a getaddrinfo that resolves to these loopback ports."""
    return lambda *_, **__: [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        for port in ports
    ]


def test_an_unreachable_address_leaves_time_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two addresses the first gets half of the time."""
    with (
        swallowing() as hole,
        Peer(PeerConnection.hang) as peer,
        within(seconds=0.6),
    ):
        monkeypatch.setattr(socket, "getaddrinfo", resolver(hole, peer.port))
        with open_socket("braze.test", 443, ()) as sock:
            reached = sock.getpeername()[1]

    assert reached == peer.port


def test_the_failure_of_the_last_address_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No address is reachable."""
    with within():
        monkeypatch.setattr(socket, "getaddrinfo", resolver(closed_port()))

        with pytest.raises(ConnectionRefusedError):
            open_socket("braze.test", 443, ())


def test_an_unsupported_address_family_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next address is tried."""
    unsupported = (255, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
    with Peer(PeerConnection.hang) as peer, within():
        supported = (
            socket.AF_INET,
            socket.SOCK_STREAM,
            0,
            "",
            ("127.0.0.1", peer.port),
        )
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_, **__: [unsupported, supported]
        )
        with open_socket("braze.test", 443, ()) as sock:
            reached = sock.getpeername()[1]

    assert reached == peer.port


def test_options_are_set_before_connecting() -> None:
    """Urllib3 sets TCP_NODELAY, for example."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with (
        Peer(PeerConnection.hang) as peer,
        within(),
        open_socket("127.0.0.1", peer.port, options) as sock,
    ):
        nodelay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert nodelay

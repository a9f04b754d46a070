"""Sockets under one deadline, connected to real peers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from exporter.braze.deadline import Deadline, TimedSocket, current, open_socket

from tests.support.scripted_peer import Peer, Turn, closed_port, swallowing


class Clock:
    """A monotonic clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the instant it was moved to."""
        return self.now


@contextmanager
def within(
    *, seconds: float = 10.0, received_bytes: int = 1000, clock: Clock | None = None
) -> Iterator[Deadline]:
    """Make a deadline the current one."""
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
    """Yield a timed socket and its plain other end."""
    near, far = socket.socketpair()
    with far, TimedSocket(near.family, near.type, near.proto, near.detach()) as timed:
        yield timed, far


def test_each_wait_gets_what_is_left() -> None:
    """The second call may wait for the rest only, whatever the first one had."""
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
def test_nothing_waits_after_the_end(operation: str) -> None:
    """When the time is used up, each operation fails before it begins."""
    clock = Clock()
    with pair() as (timed, far), within(seconds=10.0, clock=clock) as deadline:
        far.sendall(b"ready")
        clock.now += 10.0

        with pytest.raises(TimeoutError):
            getattr(timed, operation)(1 if operation == "recv" else bytearray(1))

    assert deadline.is_over


def test_more_bytes_than_allowed_end_it() -> None:
    """The byte after the last allowed one raises, in whatever pieces they come."""
    with pair() as (timed, far), within(received_bytes=3) as deadline:
        far.sendall(b"abcd")
        timed.recv(2)
        timed.recv_into(bytearray(1))
        assert not deadline.is_flooded

        with pytest.raises(ConnectionAbortedError):
            timed.recv(1)

    assert deadline.is_flooded


def test_abort_wakes_a_reader() -> None:
    """A thread that waits for bytes gets the end of the stream."""
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


def test_nothing_begins_after_abort() -> None:
    """An aborted deadline refuses every socket, and aborting twice is fine."""
    with pair() as (timed, _), within() as deadline:
        deadline.abort()
        deadline.abort()

        with pytest.raises(ConnectionAbortedError):
            timed.send(b"x")

    assert deadline.is_aborted


def test_abort_wakes_a_connect() -> None:
    """A thread that waits for a peer which swallows packets is woken, too."""
    with swallowing() as port, within() as deadline:
        connecting = threading.Event()
        guard = deadline.guard

        def seen(sock: socket.socket, *, share: int = 1) -> None:
            guard(sock, share=share)
            connecting.set()

        def abort() -> None:
            connecting.wait()
            deadline.abort()

        deadline.guard = seen  # type: ignore[method-assign]  # to know it begins
        aborter = threading.Thread(target=abort)
        aborter.start()

        with pytest.raises(OSError, match=r".*"):
            open_socket("127.0.0.1", port, ())
        aborter.join()


def resolver(*ports: int) -> object:
    """Return a getaddrinfo that knows these loopback ports as addresses."""
    return lambda *_, **__: [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        for port in ports
    ]


def test_a_black_hole_leaves_time_for_the_next_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two addresses the first may use half of the time, and the second answers."""
    with (
        swallowing() as hole,
        Peer(Turn.hang) as peer,
        within(seconds=0.6),
    ):
        monkeypatch.setattr(socket, "getaddrinfo", resolver(hole, peer.port))
        with open_socket("braze.test", 443, ()) as sock:
            reached = sock.getpeername()[1]

    assert reached == peer.port


def test_the_last_address_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no address answers, the last failure is raised."""
    with within():
        monkeypatch.setattr(socket, "getaddrinfo", resolver(closed_port()))

        with pytest.raises(ConnectionRefusedError):
            open_socket("braze.test", 443, ())


def test_a_kind_of_address_this_machine_lacks_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A family the kernel refuses costs nothing but itself."""
    strange = (255, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
    with Peer(Turn.hang) as peer, within():
        known = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", peer.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [strange, known])
        with open_socket("braze.test", 443, ()) as sock:
            reached = sock.getpeername()[1]

    assert reached == peer.port


def test_options_are_set_before_connecting() -> None:
    """What urllib3 asks for, as TCP_NODELAY, is on the socket."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with (
        Peer(Turn.hang) as peer,
        within(),
        open_socket("127.0.0.1", peer.port, options) as sock,
    ):
        nodelay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert nodelay

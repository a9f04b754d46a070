"""Sockets with a deadline, connected to real peers; `test_client` aborts them, too."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from exporter.braze.deadline import Deadline, TimedSocket, current, open_socket

from tests.support.fake_clock import FakeClock
from tests.support.scripted_peer import Peer, PeerConnection, swallowing

Resolve = Callable[..., None]


@contextmanager
def within(*, seconds: float = 10.0, clock: FakeClock | None = None) -> Iterator[None]:
    """Set the current deadline."""
    now = (clock or FakeClock()).now
    token = current.set(Deadline(seconds=seconds, received_bytes=1000, clock=now))
    try:
        yield
    finally:
        current.reset(token)


@contextmanager
def pair() -> Iterator[tuple[TimedSocket, socket.socket]]:
    """Yield a connected pair: a timed socket and a plain one."""
    near, far = socket.socketpair()
    with far, TimedSocket(near.family, near.type, near.proto, near.detach()) as timed:
        yield timed, far


def test_the_timeout_of_each_call_is_the_remaining_time() -> None:
    clock = FakeClock()
    with pair() as (timed, far), within(seconds=10.0, clock=clock):
        far.sendall(b"ab")
        timed.recv(1)
        first = timed.gettimeout()
        clock.advance(4)
        timed.recv_into(bytearray(1))

        assert (first, timed.gettimeout()) == (10.0, 6.0)


@pytest.mark.parametrize("operation", ["recv", "recv_into", "send", "sendall"])
@pytest.mark.parametrize("is_aborted", [False, True])
def test_no_operation_starts_after_the_deadline(
    operation: str, *, is_aborted: bool
) -> None:
    """Or after an abort; a second abort has no effect."""
    clock = FakeClock()
    with pair() as (timed, far), within(seconds=10.0, clock=clock):
        far.sendall(b"ready")
        clock.advance(10)
        if is_aborted:
            current.get().abort()
            current.get().abort()

        with pytest.raises(ConnectionAbortedError if is_aborted else TimeoutError):
            getattr(timed, operation)(1 if operation == "recv" else bytearray(1))


def test_abort_interrupts_a_connect() -> None:
    with swallowing() as port, within():
        aborter = threading.Timer(0.2, current.get().abort)
        aborter.start()

        with pytest.raises(OSError, match=r".*"):
            open_socket("127.0.0.1", port, ())
        aborter.join()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Return a function that sets the family and port of each address of all hosts."""

    def set_addresses(*addresses: tuple[int, int]) -> None:
        found = [
            (family, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
            for family, port in addresses
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return set_addresses


def test_an_unreachable_address_leaves_time_for_the_next_one(resolve: Resolve) -> None:
    with (
        swallowing() as hole,
        Peer(PeerConnection.hang) as peer,
        within(seconds=0.6),
    ):
        resolve((socket.AF_INET, hole), (socket.AF_INET, peer.port))
        with open_socket("braze.test", 443, ()) as sock:
            assert sock.getpeername()[1] == peer.port


def test_an_unsupported_address_family_is_skipped(resolve: Resolve) -> None:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with Peer(PeerConnection.hang) as peer, within():
        resolve((255, 1), (socket.AF_INET, peer.port))
        with open_socket("braze.test", 443, options) as sock:
            assert sock.getpeername()[1] == peer.port
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

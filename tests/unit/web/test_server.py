"""Listening: addresses, crowds, TLS, stopping."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from exporter.model.errors import ListenError
from exporter.web.server import (
    Address,
    ClientLimits,
    HttpRequest,
    HttpResponse,
    Server,
    parse_address,
    raise_descriptor_limit,
)

from tests.support.server_in_thread import (
    GET,
    PATIENCE_SECONDS,
    Inn,
    Visitor,
    greet,
    opened,
)

HASTY = 0.2
SMALL_WINDOW = 64 * 1024
LARGE = (bytes(25_000_000),)
CROWD = 3000


class Kitchen:
    """A responder that answers when told to."""

    def __init__(self) -> None:
        self.orders = threading.Semaphore(0)
        self._ready = asyncio.Event()

    async def respond(self, _: HttpRequest) -> HttpResponse:
        """Wait until dinner is served."""
        self.orders.release()
        await self._ready.wait()
        return HttpResponse(200, (), (b"dinner",))

    def order(self, visitor: Visitor) -> None:
        """Let a visitor ask, and see that it was heard."""
        visitor.say(GET)
        assert self.orders.acquire(timeout=PATIENCE_SECONDS)

    async def serve(self) -> None:
        """Answer all that have asked."""
        self._ready.set()


def is_ipv6_here() -> bool:
    """Whether this machine has ::1."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not is_ipv6_here(), reason="needs IPv6")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10417", Address("", 10417)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("inn.example:65535", Address("inn.example", 65535)),
        ("[::1]:80", Address("::1", 80)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    """An address is host and port, and is shown as it was written."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected host:port, :port or [v6]:port"),
        ("10417", "expected host:port, :port or [v6]:port"),
        ("http://inn:80", "expected host:port, :port or [v6]:port"),
        ("::1:80", "expected an IPv6 address as in [::1]:10417"),
        ("[inn]:80", "expected an IPv6 address as in [::1]:10417"),
        ("[::1]", "expected an IPv6 address as in [::1]:10417"),
        ("[::1]x:80", "expected an IPv6 address as in [::1]:10417"),
        ("inn:", "expected a port from 0 to 65535 after the colon"),
        ("inn:http", "expected a port from 0 to 65535 after the colon"),
        ("inn:-1", "expected a port from 0 to 65535 after the colon"),
        ("inn:65536", "expected a port from 0 to 65535 after the colon"),
    ],
)
def test_a_wrong_address_says_what_was_expected(text: str, expected: str) -> None:
    """The message repeats the text and names the form."""
    with pytest.raises(ValueError, match="address") as caught:
        parse_address(text)

    assert str(caught.value) == f"address {text!r}: {expected}"


def test_all_interfaces_are_all_of_ipv4() -> None:
    """An empty host is reached over IPv4, and the client's address looks like one."""

    async def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), (request.peer.encode(),))

    with opened(respond, Address("", 0)) as inn:
        assert inn.connect("127.0.0.1").get().body == b"127.0.0.1"


@needs_ipv6
def test_all_interfaces_are_all_of_ipv6_too() -> None:
    """An empty host is reached over IPv6 on the same port."""
    with opened(greet, Address("", 0)) as inn:
        assert inn.connect("::1").get().status == 200


def test_without_ipv6_all_interfaces_are_those_of_ipv4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine whose kernel knows no IPv6, an empty host is all of IPv4."""
    monkeypatch.setattr(socket, "AF_INET6", 9999)  # a family no kernel knows

    with opened(greet, Address("", 0)) as inn:
        assert inn.connect().get().status == 200
        assert inn.bound[0].host == "0.0.0.0"  # noqa: S104 (what is expected)


@needs_ipv6
def test_one_ipv6_address() -> None:
    """An IPv6 address is listened on, and the bound one is shown in brackets."""
    with opened(greet, Address("::1", 0)) as inn:
        assert inn.connect("::1").get().status == 200
        assert str(inn.bound[0]) == f"[::1]:{inn.port}"


def test_several_addresses() -> None:
    """Each address serves, and gets the port that was picked for it."""
    address = Address("127.0.0.1", 0)
    with opened(greet, address, address) as inn:
        first, second = inn.bound
        inn.bound = (second,)

        assert first.port != second.port
        assert inn.connect().get().status == 200


def test_a_taken_port_is_told() -> None:
    """A port in use is a ListenError that names it; the free one is given back."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = Address("127.0.0.1", 0)
        listener = Server(greet)

        with pytest.raises(ListenError) as caught:
            asyncio.run(listener.start([free, Address("127.0.0.1", port)]))

    assert (
        str(caught.value)
        == f"cannot listen on 127.0.0.1:{port}: address already in use"
    )


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "cannot assign requested address"), ("a..b", "label")],
)
def test_an_impossible_host_is_told(host: str, reason: str) -> None:
    """An address of another machine and a malformed name are ListenErrors."""
    with pytest.raises(ListenError, match=f"cannot listen on {host}:1: .*{reason}"):
        asyncio.run(Server(greet).start([Address(host, 1)]))


def test_the_longest_silent_makes_room() -> None:
    """At the cap a new client is served, and the one silent longest is closed."""
    with opened(limits=ClientLimits(connections=3)) as inn:
        first, second, third = (inn.connect() for _ in range(3))
        second.get()

        assert inn.connect().get().status == 200
        assert first.is_shown_out()
        assert second.get().status == 200
        assert inn.connect().get().status == 200
        assert third.is_shown_out()


def test_the_busy_do_not_make_room() -> None:
    """When every client has an answer in progress the new one is closed."""
    kitchen = Kitchen()
    with opened(kitchen.respond, limits=ClientLimits(connections=2)) as inn:
        guests = [inn.connect() for _ in range(2)]
        for guest in guests:
            kitchen.order(guest)

        assert inn.connect().is_shown_out()
        inn.run(kitchen.serve())
        assert [guest.answer().body for guest in guests] == [b"dinner"] * 2


def test_slow_readers_make_room() -> None:
    """An answer that waits for its client to read on does not keep others out."""

    async def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), LARGE if request.path == "/large" else ())

    with opened(respond, limits=ClientLimits(connections=2)) as inn:
        for _ in range(2):
            slow = inn.connect(window=SMALL_WINDOW)
            slow.say(b"GET /large HTTP/1.1\r\nHost: inn\r\n\r\n")
            slow.socket.recv(1)

        answers = [inn.connect().get().status for _ in range(4)]

    assert answers == [200] * 4


def test_who_is_shown_out_before_being_let_in_is_closed() -> None:
    """Of a crowd that comes at once, those beyond the cap are closed, the last stay."""
    with opened(limits=ClientLimits(connections=2)) as inn:
        has_come = threading.Event()
        blocked = threading.Thread(target=inn.run, args=(hold_up(has_come),))
        blocked.start()
        crowd = [inn.connect() for _ in range(8)]
        has_come.set()
        blocked.join(PATIENCE_SECONDS)

        assert all(visitor.is_shown_out() for visitor in crowd[:6])
        assert [visitor.get().status for visitor in crowd[6:]] == [200, 200]


async def hold_up(until: threading.Event) -> None:
    """Keep the loop from doing anything else."""
    until.wait(PATIENCE_SECONDS)  # on purpose: it is the loop that has to wait


def our_end(visitor: Visitor) -> socket.socket:
    """Return the socket that was accepted for a visitor: it is one of this process."""
    theirs = visitor.socket.getsockname()
    for descriptor in Path("/proc/self/fd").iterdir():
        if not descriptor.is_socket():
            continue
        found = socket.socket(fileno=os.dup(int(descriptor.name)))
        with suppress(OSError):  # it listens, or is connected to nobody
            if found.getpeername() == theirs:
                return found
        found.close()
    raise LookupError(theirs)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_end_of_an_answer_waits_for_no_acknowledgement(host: str) -> None:
    """Nagle's algorithm is off: it would keep back what fills no segment, for 40 ms."""
    with opened(greet, Address(host, 0)) as inn:
        visitor = inn.connect(host)
        visitor.get()

        with our_end(visitor) as ours:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_crowd_of_silent_clients_delays_nobody() -> None:
    """Beside thousands of silent connections a scrape is answered at once."""
    raise_descriptor_limit(CROWD)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with opened() as inn:
        for _ in range(min(CROWD, (soft - 512) // 2)):
            inn.connect()
        inn.connect().get()
        seconds = []
        for _ in range(21):
            began = time.perf_counter()
            inn.connect().get()
            seconds.append(time.perf_counter() - began)

    assert statistics.median(seconds) < 0.05


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Use up all file descriptors."""
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


def test_without_descriptors_the_silent_make_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A new client takes the descriptor of a silent one, and a warning tells why."""
    with opened() as inn, socket.socket() as sock:
        silent = inn.connect()
        inn.connect().get()  # the silent one is accepted by now
        late = Visitor(sock)
        with no_descriptors_left():
            sock.connect(("127.0.0.1", inn.port))
            answer = late.get()

        assert answer.status == 200
        assert silent.is_shown_out()
    assert "web.accept_failed" in [record.getMessage() for record in caplog.records]


def test_stopping_lets_answers_finish() -> None:
    """An answer in progress is finished, the idle are closed, nobody is accepted."""
    kitchen = Kitchen()
    with opened(kitchen.respond) as inn:
        idle, busy = inn.connect(), inn.connect()
        kitchen.order(busy)
        stopping = threading.Thread(target=inn.stop, args=(PATIENCE_SECONDS,))
        stopping.start()

        assert idle.is_shown_out()
        with pytest.raises(ConnectionRefusedError):
            inn.connect()
        inn.run(kitchen.serve())
        answer = busy.answer()
        stopping.join(PATIENCE_SECONDS)

        assert not stopping.is_alive()
        assert (answer.body, answer.headers["connection"]) == (b"dinner", "close")
        assert busy.is_shown_out()


def test_stopping_does_not_wait_for_ever() -> None:
    """After the grace an answer in progress is given up."""
    kitchen = Kitchen()
    with opened(kitchen.respond) as inn:
        visitor = inn.connect()
        kitchen.order(visitor)

        inn.stop(0.05)

        assert visitor.is_shown_out()


def test_nothing_is_left_behind() -> None:
    """After stopping, no descriptor and no thread remains of many kinds of clients."""

    def in_use() -> tuple[int, int]:
        return len(os.listdir("/dev/fd")), threading.active_count()  # noqa: PTH208

    def once() -> None:
        with opened() as inn:
            inn.connect()
            inn.connect().get()
            inn.connect().say(b"GET / HT")
            inn.connect().say(b"\0\0\0")
            left = inn.connect()
            left.say(GET)
            left.leave()

    once()
    before = in_use()

    for _ in range(5):
        once()

    assert in_use() == before


class Keys:
    """Certificates for 127.0.0.1 that can be exchanged while serving."""

    def __init__(self) -> None:
        self.exchange()

    def exchange(self) -> None:
        """Serve with a certificate of a new authority."""
        authority = trustme.CA()
        self._serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._serving)
        self.trusting = ssl.create_default_context()
        authority.configure_trust(self.trusting)

    def serving(self) -> ssl.SSLContext:
        """Return the context in force."""
        return self._serving


@contextmanager
def opened_with(keys: Keys, limits: ClientLimits | None = None) -> Iterator[Inn]:
    """Run a listener that speaks TLS."""
    with opened(limits=limits, ssl_context=keys.serving) as inn:
        yield inn


def test_tls_certificates_are_exchanged_while_serving() -> None:
    """New connections get the new certificate, old connections go on."""
    keys = Keys()
    with opened_with(keys) as inn:
        old_trust = keys.trusting
        old = inn.connect_tls(old_trust)
        assert old.get().status == 200

        keys.exchange()

        assert inn.connect_tls(keys.trusting).get().status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            inn.connect_tls(old_trust)
        assert old.get().status == 200


def test_silence_instead_of_a_handshake_delays_nobody() -> None:
    """Who does not begin a handshake is closed in time, others are served meanwhile."""
    keys = Keys()
    with opened_with(keys, ClientLimits(first_request_seconds=HASTY)) as inn:
        silent = inn.connect()

        assert inn.connect_tls(keys.trusting).get().status == 200
        assert silent.is_shown_out()


def test_silence_instead_of_a_handshake_makes_room() -> None:
    """At the cap a client without a handshake is closed for one that makes it."""
    keys = Keys()
    with opened_with(keys, ClientLimits(connections=1)) as inn:
        silent = inn.connect()

        assert inn.connect_tls(keys.trusting).get().status == 200
        assert silent.is_shown_out()


def test_plain_http_to_a_tls_port_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """A client that does not speak TLS is closed, and nothing is logged of it."""
    with opened_with(Keys()) as inn:
        visitor = inn.connect()
        visitor.say(GET)

        assert visitor.is_shown_out()
    assert not caplog.records


def test_a_refusal_under_tls() -> None:
    """A malformed request under TLS is told so and closed."""
    keys = Keys()
    with opened_with(keys) as inn:
        visitor = inn.connect_tls(keys.trusting)
        visitor.say(b"hello\r\n\r\n")

        assert visitor.answer().status == 400


def test_a_large_answer_under_tls() -> None:
    """Under TLS a large answer is the same bytes."""
    keys, body = Keys(), bytes(range(256)) * 10_000

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), (body,))

    with opened(respond, ssl_context=keys.serving) as inn:
        assert inn.connect_tls(keys.trusting).get().body == body


def test_who_does_not_read_under_tls_is_shown_out() -> None:
    """A stalled reader is aborted under TLS too, close to where it stopped reading."""
    keys, gone = Keys(), threading.Event()

    async def respond(_: HttpRequest) -> HttpResponse:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: gone.set())
        return HttpResponse(200, (), LARGE)

    limits = ClientLimits(write_stall_seconds=HASTY)
    with opened(respond, limits=limits, ssl_context=keys.serving) as inn:
        visitor = inn.connect_tls(keys.trusting)
        visitor.say(GET)

        assert gone.wait(PATIENCE_SECONDS)
        got = 0
        with suppress(OSError):
            while data := visitor.socket.recv(1 << 20):
                got += len(data)

    assert got < len(LARGE[0])


def test_a_failing_choice_of_context_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If there is no telling how to speak to a client, it is closed and we go on."""

    def broken() -> ssl.SSLContext:
        message = "no certificate"
        raise RuntimeError(message)

    with opened(ssl_context=broken) as inn:
        assert inn.connect().is_shown_out()
        assert inn.connect().is_shown_out()
    assert [record.getMessage() for record in caplog.records] == ["web.failed"] * 2


def test_the_descriptor_limit_is_raised() -> None:
    """The soft limit becomes the hard one, and what is wanted is bounded by it."""
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

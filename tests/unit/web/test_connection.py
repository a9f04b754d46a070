"""What one client gets, be it polite, silent, slow or hostile."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
import threading
import tracemalloc
from contextlib import suppress
from itertools import takewhile
from typing import cast

import pytest
from exporter.web.connection import Connection, ServerContext
from exporter.web.connection_table import ConnectionTable
from exporter.web.server import ClientLimits, HttpRequest, HttpResponse, Responder

from tests.support.server_in_thread import GET, PATIENCE_SECONDS, Visitor, greet, opened

HASTY = 0.2
SMALL_WINDOW = 64 * 1024
LARGE = (bytes(25_000_000),) * 4


def tell(*, large: bool = False) -> Responder:
    """Return a responder that answers with the path, or with a hundred megabytes."""

    async def respond(request: HttpRequest) -> HttpResponse:
        is_large = large and request.path == "/large"
        return HttpResponse(200, (), LARGE if is_large else (request.path.encode(),))

    return respond


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    """Return a request's bytes."""
    lines = [f"{method} {path} HTTP/{version}", "Host: inn", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def met(client: socket.socket, respond: Responder) -> ConnectionTable:
    """Serve a client that is connected already."""
    house = ServerContext(
        respond, ClientLimits(), clock=lambda: 0.0, roster=ConnectionTable()
    )
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: Connection(house), client)
    return house.roster


def test_a_get_is_answered() -> None:
    """Status, headers and body come as given, dated, and without naming software."""
    with opened() as inn:
        answer = inn.connect().get()

    assert answer.status == 200
    assert answer.body == b"welcome\n"
    assert answer.headers == {
        "content-type": "text/plain",
        "date": "Sun, 09 Sep 2001 01:46:40 GMT",
        "content-length": "8",
    }


def test_a_request_says_who_asks() -> None:
    """The responder sees the client's address."""

    async def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), (request.peer.encode(),))

    with opened(respond) as inn:
        assert inn.connect().get().body == b"127.0.0.1"


def test_head_has_the_length_and_no_body() -> None:
    """HEAD gets the headers of GET, and the next answer follows at once."""
    with opened() as inn:
        visitor = inn.connect()
        visitor.say(get("/", method="HEAD"))

        answer = visitor.answer(has_body=False)

        assert answer.headers["content-length"] == "8"
        assert visitor.get().body == b"welcome\n"


def test_a_connection_is_used_again() -> None:
    """Several requests share a connection."""
    with opened(tell()) as inn:
        visitor = inn.connect()
        for path in ("/a", "/b", "/c"):
            visitor.say(get(path))
            assert visitor.answer().body == path.encode()


def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests that came at once are answered one after the other."""
    paths = [f"/{number}" for number in range(200)]
    inside: list[str] = []

    async def respond(request: HttpRequest) -> HttpResponse:
        inside.append(request.path)
        await asyncio.sleep(0)
        assert inside.pop() == request.path
        return HttpResponse(200, (), (request.path.encode(),))

    with opened(respond) as inn:
        visitor = inn.connect()
        visitor.say(b"".join(get(path, f"X-Fill: {'x' * 200}") for path in paths))

        answers = [visitor.answer().body.decode() for _ in paths]

    assert answers == paths


def test_a_request_during_an_answer_has_to_wait() -> None:
    """What comes while an answer is being made is answered after it."""
    has_begun, may_end = threading.Event(), asyncio.Event()

    async def respond(request: HttpRequest) -> HttpResponse:
        if request.path == "/slow":
            has_begun.set()
            await may_end.wait()
        return HttpResponse(200, (), (request.path.encode(),))

    async def end() -> None:
        may_end.set()

    with opened(respond) as inn:
        visitor = inn.connect()
        visitor.say(get("/slow"))
        assert has_begun.wait(PATIENCE_SECONDS)
        visitor.say(get("/next"))
        inn.connect().get()  # so much later that the other request was seen too
        inn.run(end())

        assert [visitor.answer().body for _ in range(2)] == [b"/slow", b"/next"]
        assert visitor.get().status == 200


@pytest.mark.parametrize(
    "request_bytes", [get("/", "Connection: close"), get("/", version="1.0")]
)
def test_who_wants_one_answer_gets_one(request_bytes: bytes) -> None:
    """After `Connection: close`, and to HTTP/1.0, the connection closes."""
    with opened() as inn:
        visitor = inn.connect()
        visitor.say(request_bytes)

        answer = visitor.answer()

        assert answer.headers["connection"] == "close"
        assert visitor.is_shown_out()


def test_a_body_is_read_and_forgotten() -> None:
    """A request with a body is answered once it is whole, and others may follow."""
    with opened() as inn:
        visitor = inn.connect()
        visitor.say(get("/", "Content-Length: 4", method="POST") + b"bo")
        visitor.say(b"dy")

        assert visitor.answer().status == 200
        assert visitor.get().status == 200


def test_a_body_of_two_lengths_is_the_last() -> None:
    """It may hide a request: it is answered, and the rest is not believed."""
    both = ("Content-Length: 4", "Transfer-Encoding: chunked")
    with opened() as inn:
        visitor = inn.connect()
        visitor.say(get("/", *both, method="POST") + b"0\r\n\r\n" + GET)

        answer = visitor.answer()

        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert visitor.is_shown_out()


def test_who_asks_before_sending_a_body_is_told_to_go_on() -> None:
    """`Expect: 100-continue` is answered before the body comes."""
    with opened() as inn:
        visitor = inn.connect()
        expecting = ("Content-Length: 4", "Expect: 100-continue")
        visitor.say(get("/", *expecting, method="POST"))

        assert visitor.answer().status == 100
        visitor.say(b"body")
        assert visitor.answer().status == 200


def test_who_asks_to_go_on_and_does_not_read_is_shown_out() -> None:
    """Nothing is kept for a client that has left answer upon answer unread."""
    ours, theirs = socket.socketpair()
    unread = 0
    ours.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            unread += ours.send(b"unread")
    expecting = ("Content-Length: 4", "Expect: 100-continue")

    async def serve() -> None:
        roster = await met(ours, tell())
        theirs.sendall(get("/", *expecting, method="POST"))
        await roster.emptied()

    asyncio.run(asyncio.wait_for(serve(), PATIENCE_SECONDS))

    with theirs:
        left = b"".join(iter(lambda: theirs.recv(1 << 20), b""))
    assert len(left) == unread


@pytest.mark.parametrize(
    ("header", "start"),
    [
        ("Content-Length: 1001", b""),
        ("Content-Length: 1001\r\nExpect: 100-continue", b""),
        ("Transfer-Encoding: chunked", b"3e9\r\n" + b"x" * 1001),
    ],
)
def test_a_large_body_is_refused(header: str, start: bytes) -> None:
    """A body beyond the limit is refused without waiting for the rest of it."""
    with opened(limits=ClientLimits(body_bytes=1000)) as inn:
        visitor = inn.connect()
        visitor.say(get("/", header, method="POST") + start)

        answer = visitor.answer()

        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert visitor.is_shown_out()


def test_a_refusal_arrives_though_the_client_goes_on_sending() -> None:
    """Closing does not reset what the client has not read yet."""
    with opened(limits=ClientLimits(body_bytes=1000)) as inn:
        visitor = inn.connect()
        visitor.say(get("/", "Content-Length: 3000000", method="POST"))
        visitor.say(bytes(3_000_000))

        assert visitor.answer().status == 413


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"CONNECT inn:80 HTTP/1.1\r\nHost: inn:80\r\n\r\n", 501),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413),
    ],
)
def test_garbage_is_refused(garbage: bytes, status: int) -> None:
    """What is not a request we serve is told so, briefly, and then shown out."""
    with opened() as inn:
        visitor = inn.connect()
        visitor.say(garbage)

        answer = visitor.answer(has_body=not garbage.startswith(b"HEAD"))

        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert visitor.is_shown_out()


def test_a_long_header_is_refused() -> None:
    """A header of more bytes than the limit is 431, though it came at once."""
    with opened(limits=ClientLimits(header_bytes=4096)) as inn:
        visitor = inn.connect()
        visitor.say(get("/", f"X-Long: {'x' * 9000}"))

        assert visitor.answer().status == 431
        assert visitor.is_shown_out()


def test_a_header_without_end_is_refused() -> None:
    """A header that goes on and on is 431 as soon as it is beyond the limit."""
    with opened(limits=ClientLimits(header_bytes=4096)) as inn:
        visitor = inn.connect()
        visitor.say(b"GET / HTTP/1.1\r\n")
        for number in range(50):
            visitor.say(f"X-{number}: {'x' * 90}\r\n".encode())

        assert visitor.answer().status == 431


def test_the_silent_are_shown_out() -> None:
    """Who says nothing after connecting is closed without a word."""
    with opened(limits=ClientLimits(first_request_seconds=HASTY)) as inn:
        assert inn.connect().is_shown_out()


def test_the_idle_are_shown_out() -> None:
    """Who says nothing after an answer is closed without a word."""
    with opened(limits=ClientLimits(idle_seconds=HASTY)) as inn:
        visitor = inn.connect()
        visitor.get()

        assert visitor.is_shown_out()


def test_a_dripping_request_is_shown_out() -> None:
    """A request has a time for all of it, however steadily its bytes come."""
    with opened(limits=ClientLimits(request_seconds=HASTY)) as inn:
        visitor = inn.connect()
        visitor.say(b"GET / HTTP/1.1\r\nX: ")
        answered = threading.Event()

        def drip() -> None:
            while not answered.wait(0.01):
                visitor.say(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = visitor.answer()
        answered.set()
        dripping.join(PATIENCE_SECONDS)

        assert answer.status == 408
        assert visitor.is_shown_out()


def test_who_does_not_read_is_shown_out() -> None:
    """A reader that takes nothing is aborted; others are served meanwhile."""
    is_lost = threading.Event()

    async def respond(request: HttpRequest) -> HttpResponse:
        if request.path != "/large":
            return HttpResponse(200)
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: is_lost.set())
        return HttpResponse(200, (), LARGE)

    limits = ClientLimits(write_stall_seconds=HASTY)
    with opened(respond, limits=limits) as inn:
        stalled = inn.connect(window=SMALL_WINDOW)
        stalled.say(get("/large"))
        assert stalled.socket.recv(1) == b"H"

        assert inn.connect().get().status == 200
        assert is_lost.wait(PATIENCE_SECONDS)
        got = 0
        with suppress(ConnectionError):
            while data := stalled.socket.recv(1 << 20):
                got += len(data)

    assert got < 10_000_000


def test_who_reads_slowly_gets_all() -> None:
    """A reader that makes progress may take much longer than a stall."""
    size = 8_000_000

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), (bytes(size),))

    with opened(respond, limits=ClientLimits(write_stall_seconds=HASTY)) as inn:
        visitor = inn.connect(window=SMALL_WINDOW)
        visitor.say(GET)
        never = threading.Event()
        got = 0
        while got < size:
            got += len(visitor.socket.recv(SMALL_WINDOW))
            never.wait(0.005)

    assert got > size


def test_slow_readers_hold_little_memory() -> None:
    """Of a hundred megabytes not yet read, under one is copied for each reader."""
    readers = 10
    with opened(tell(large=True)) as inn:
        visitors = [inn.connect(window=SMALL_WINDOW) for _ in range(readers)]
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for visitor in visitors:
                visitor.say(get("/large"))
                visitor.socket.recv(1)
            inn.connect().get()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert (peak - before) / readers < 1_000_000


def test_a_large_answer_arrives_whole() -> None:
    """Cut for sending, an answer is the same bytes."""
    chunks = (b"a" * 10, b"b" * 3_000_000, b"c" * 10, b"d" * 262_144)

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), chunks)

    with opened(respond) as inn:
        visitor = inn.connect()

        assert visitor.get().body == b"".join(chunks)
        assert visitor.get().body == b"".join(chunks)


@pytest.mark.parametrize("seed", range(4))
def test_every_byte_arrives_in_its_place(seed: int) -> None:
    """However an answer is cut, and however much of it the reader takes at a time."""
    dice = random.Random(seed)
    most = [1, 100, 20_000, 300_000]
    chunks = [dice.randbytes(dice.randrange(dice.choice(most))) for _ in range(200)]
    ours, theirs = socket.socketpair()

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), tuple(chunks))

    def read() -> bytes:
        theirs.sendall(GET * 2 + get("/", "Connection: close"))
        sizes = iter(lambda: dice.randrange(1, dice.choice(most) + 1), None)
        return b"".join(takewhile(bool, map(theirs.recv, sizes)))

    async def serve() -> bytes:
        await met(ours, respond)
        return await asyncio.to_thread(read)

    with theirs:
        got = asyncio.run(asyncio.wait_for(serve(), PATIENCE_SECONDS))

    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in got.split(b"HTTP/1.1 ")]
    assert bodies[1:] == [b"".join(chunks)] * 3


def test_a_failing_responder_is_500(caplog: pytest.LogCaptureFixture) -> None:
    """A failure is told without its text, logged once, and the connection serves on."""

    async def respond(request: HttpRequest) -> HttpResponse:
        if request.path == "/broken":
            message = "secret"
            raise RuntimeError(message)
        return await greet(request)

    with opened(respond) as inn:
        visitor = inn.connect()
        visitor.say(get("/broken"))

        answer = visitor.answer()

        assert (answer.status, answer.body) == (500, b"internal server error\n")
        assert visitor.get().status == 200
    [record] = caplog.records
    assert record.getMessage() == "web.failed"
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


def test_a_header_that_cannot_be_sent_is_500(caplog: pytest.LogCaptureFixture) -> None:
    """A responder's impossible header is a failure like any other."""

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (("X", "a\nb"),))

    with opened(respond) as inn:
        assert inn.connect().get().status == 500
    assert len(caplog.records) == 1


def test_a_body_that_cannot_be_sent_closes(caplog: pytest.LogCaptureFixture) -> None:
    """A failure in the middle of an answer is logged, and the answer breaks off."""

    async def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), cast("tuple[bytes]", ("text",)))

    with opened(respond) as inn:
        visitor = inn.connect()
        visitor.say(GET)

        assert visitor.is_shown_out()
    assert [record.getMessage() for record in caplog.records] == ["web.failed"]


class Endless:
    """A responder that never answers, and tells what becomes of it."""

    def __init__(self) -> None:
        self.has_begun, self.is_cancelled = threading.Event(), threading.Event()

    async def respond(self, _: HttpRequest) -> HttpResponse:
        """Wait for ever."""
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled.set()
            raise
        return HttpResponse(200)


def reset(visitor: Visitor) -> None:
    """Leave without a farewell."""
    at_once = struct.pack("ii", 1, 0)
    visitor.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    visitor.leave()


def test_a_client_that_leaves_cancels_its_answer() -> None:
    """Nothing goes on being made for a client that is gone."""
    endless = Endless()
    with opened(endless.respond) as inn:
        visitor = inn.connect()
        visitor.say(GET)
        assert endless.has_begun.wait(PATIENCE_SECONDS)

        reset(visitor)

        assert endless.is_cancelled.wait(PATIENCE_SECONDS)


def test_who_stops_sending_is_not_waited_with_for_ever() -> None:
    """Perhaps it left: without a byte of an answer it has the time of a stall."""
    endless = Endless()
    limits = ClientLimits(write_stall_seconds=HASTY)
    with opened(endless.respond, limits=limits) as inn:
        visitor = inn.connect()
        visitor.say(GET)
        visitor.socket.shutdown(socket.SHUT_WR)

        assert visitor.is_shown_out()
        assert endless.is_cancelled.wait(PATIENCE_SECONDS)


def test_who_stops_sending_after_a_request_gets_the_answer() -> None:
    """Although nothing of it was there yet; then the connection closes."""
    may_end = asyncio.Event()

    async def respond(request: HttpRequest) -> HttpResponse:
        if request.path == "/slow":
            await may_end.wait()
        return HttpResponse(200, (), (request.path.encode(),))

    async def end() -> None:
        may_end.set()

    with opened(respond) as inn:
        visitor = inn.connect()
        visitor.say(get("/slow"))
        visitor.socket.shutdown(socket.SHUT_WR)
        inn.connect().get()  # so much later that the end was seen too
        inn.run(end())

        answer = visitor.answer()

        assert (answer.body, answer.headers["connection"]) == (b"/slow", "close")
        assert visitor.is_shown_out()


def test_who_stops_sending_without_a_request_is_shown_out() -> None:
    """Half a request will never be a whole one."""
    with opened() as inn:
        visitor = inn.connect()
        visitor.say(GET[:-2])
        visitor.socket.shutdown(socket.SHUT_WR)

        assert visitor.is_shown_out()


def test_a_client_that_only_stops_sending_gets_the_rest() -> None:
    """Half-closing in the middle of an answer does not cost its end."""
    with opened(tell(large=True)) as inn:
        visitor = inn.connect(window=SMALL_WINDOW)
        visitor.say(get("/large"))
        visitor.socket.recv(1)
        visitor.socket.shutdown(socket.SHUT_WR)

        got = 0
        while data := visitor.socket.recv(1 << 20):
            got += len(data)

    assert got > 100_000_000

"""One client's HTTP/1.1 connection: requests are read and answered strictly in order.

h11 speaks the protocol. What is here hurries the client: it has so long to say
something, to finish a request and to take the next bytes of an answer, of which never
more than a piece or two are copied. It knows nothing of accepting, routes or Braze.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import NamedTuple, cast

import h11

from exporter.web import messages
from exporter.web.connection_table import ConnectionTable
from exporter.web.messages import HttpRequest, HttpResponse, OutgoingResponse, Responder

_log = logging.getLogger(__name__)

# What asyncio may have to copy while the client's window is full.
_PIECE_BYTES = 64 * 1024
# In one system call: a campaign's lines in one family have some 20 KB. More calls, or
# joined chunks, cost a third more.
_CHUNKS_AT_ONCE = 64
# What h11 gets at a time: its limit holds only for what it could make nothing of yet.
_MORSEL_BYTES = 4096
# How long a refused client may go on sending: closing at once would reset the
# connection, and the answer be lost (RFC 9112, section 9.6).
_LINGER_SECONDS = 2.0


class ClientLimits(NamedTuple):
    """How long a client may take, how much it may send, how many there may be."""

    first_request_seconds: float = 10.0
    """From being accepted, through a TLS handshake, to the first byte of a request."""
    request_seconds: float = 10.0
    """From the first to the last byte of a request."""
    idle_seconds: float = 120.0
    """From an answer to the first byte of the next request."""
    write_stall_seconds: float = 30.0
    """Without any progress while there is more to write, or, once the client has
    stopped sending, without an answer to write."""
    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    connections: int = 4096

    @property
    def sweep_seconds(self) -> float:
        """How often to look at deadlines: late by a tenth, and by a second at most."""
        shortest = min(
            self.first_request_seconds,
            self.request_seconds,
            self.idle_seconds,
            self.write_stall_seconds,
        )
        return min(1.0, shortest / 10)


class ServerContext(NamedTuple):
    """What all connections of one listener share; `clock` gives the header Date."""

    respond: Responder
    limits: ClientLimits
    clock: Callable[[], float]
    roster: ConnectionTable


class _Phase(Enum):
    WAITING = auto()
    """For the first byte of a request."""
    READING = auto()
    """A request, of which a byte has come."""
    ANSWERING = auto()
    """A complete request; what else the client says has to wait."""
    LEAVING = auto()
    """What else the client says is thrown away."""


class Connection(asyncio.Protocol):
    """One client, from being accepted until its socket is closed."""

    __slots__ = (
        "_body_bytes",
        "_deadline",
        "_drained",
        "_house",
        "_inbox",
        "_is_last",
        "_is_sending",
        "_loop",
        "_peer",
        "_phase",
        "_request",
        "_task",
        "_transport",
        "_unwritten_bytes",
        "_wire",
    )

    def __init__(self, house: ServerContext) -> None:
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._phase = _Phase.WAITING
        self._deadline = self._loop.time() + house.limits.first_request_seconds
        self._transport: asyncio.Transport | None = None
        self._wire: h11.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._request: h11.Request | None = None
        self._peer = ""
        self._inbox = b""
        self._body_bytes = 0
        self._unwritten_bytes = 0
        self._is_sending = False
        self._is_last = False
        house.roster.admit(self)

    @property
    def is_made(self) -> bool:
        """Whether there is a transport: from then on asyncio sees to the socket."""
        return self._transport is not None

    def opened_by(self, task: asyncio.Task[None]) -> None:
        """Remember the task that makes the transport, by a TLS handshake perhaps."""
        self._task = task

    def hurry(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if self._drained is not None:
            self._watch_progress(now)
        if now < self._deadline:
            return
        if self._phase is _Phase.READING:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.abort()

    def retire(self) -> None:
        """Close after the answer in progress, at once when there is none."""
        self._is_last = True
        if self._phase in {_Phase.WAITING, _Phase.READING}:
            self.abort()

    def abort(self) -> None:
        """Close without another byte to the client; a handshake is given up."""
        self._phase = _Phase.LEAVING
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None:
            self._task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, unless given up meanwhile."""
        self._transport = cast("asyncio.Transport", transport)
        self._task = None
        # Being paused then means: the kernel did not take all.
        self._transport.set_write_buffer_limits(high=1)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0].removeprefix("::ffff:") if peer else ""
        if self._phase is _Phase.LEAVING:
            self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """Give up the answer in progress: nobody would read it."""
        self._phase = _Phase.LEAVING
        self._inbox = b""
        self._house.roster.remove(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Read on, unless an answer is in progress: then the client has to wait."""
        if self._phase is _Phase.LEAVING:
            return
        self._inbox += data
        if self._phase is _Phase.ANSWERING:
            self._out.pause_reading()
            return
        if self._phase is _Phase.WAITING:
            self._start_reading()
        self._read()

    def eof_received(self) -> bool:
        """Close; but a client that has only stopped sending gets the answer it is due.

        It cannot be told from one that left, so it may be closed to make room, and
        an answer that does not begin in time is given up. asyncio's TLS cannot do it.
        """
        self._is_last = True
        if self._phase is not _Phase.ANSWERING or self._is_encrypted:
            return False
        if not self._is_sending:
            self._hurry_writing(self._loop.time())
            self._house.roster.mark_waiting(self)
        return True

    def pause_writing(self) -> None:
        """Let the client read before more is written."""
        if self._phase is _Phase.ANSWERING:
            self._drained = self._loop.create_future()
            self._unwritten_bytes = self._out.get_write_buffer_size()
            self._hurry_writing(self._loop.time())
            self._house.roster.mark_waiting(self)

    def resume_writing(self) -> None:
        """Write on: the kernel has taken all there was."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            self._deadline = math.inf
            self._house.roster.mark_busy(self)
            drained.set_result(None)

    @property
    def _out(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self._transport)

    @property
    def _is_encrypted(self) -> bool:
        return self._out.get_extra_info("sslcontext") is not None

    @property
    def _h11(self) -> h11.Connection:
        # Made with the first byte: it is the larger part of a silent client's memory.
        if self._wire is None:
            self._wire = h11.Connection(
                h11.SERVER, max_incomplete_event_size=self._house.limits.header_bytes
            )
        return self._wire

    def _watch_progress(self, now: float) -> None:
        unwritten_bytes = self._out.get_write_buffer_size()
        if unwritten_bytes != self._unwritten_bytes:
            self._unwritten_bytes = unwritten_bytes
            self._hurry_writing(now)

    def _hurry_writing(self, now: float) -> None:
        self._deadline = now + self._house.limits.write_stall_seconds

    def _start_reading(self) -> None:
        self._phase = _Phase.READING
        self._deadline = self._loop.time() + self._house.limits.request_seconds
        self._house.roster.mark_waiting(self)

    def _read(self) -> None:
        try:
            while self._phase is _Phase.READING and self._read_event():
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(HTTPStatus(error.error_status_hint))

    def _read_event(self) -> bool:
        """Take the next event from h11; False when the client has to send more."""
        event = self._h11.next_event()
        if event is h11.NEED_DATA:
            if not self._inbox:
                return False
            self._h11.receive_data(self._inbox[:_MORSEL_BYTES])
            self._inbox = self._inbox[_MORSEL_BYTES:]
        elif isinstance(event, h11.Request):
            self._begin(event)
        elif isinstance(event, h11.Data):
            self._body_bytes += len(event.data)
            if self._body_bytes > self._house.limits.body_bytes:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._answer()
        return True

    def _begin(self, request: h11.Request) -> None:
        self._request = request
        self._body_bytes = 0
        # What follows may be another's request in disguise (RFC 9112, section 6.3).
        self._is_last |= messages.is_ambiguous(request)
        if request.method == b"CONNECT":
            self._refuse(HTTPStatus.NOT_IMPLEMENTED)
        elif messages.announced_bytes(request) > self._house.limits.body_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self._h11.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._out.write(self._h11.send(go_on) or b"")
            if self._out.get_write_buffer_size():
                self.abort()  # it asks on and on, and reads nothing

    def _answer(self) -> None:
        self._phase = _Phase.ANSWERING
        self._deadline = math.inf
        self._house.roster.mark_busy(self)
        request = messages.request(cast("h11.Request", self._request), peer=self._peer)
        self._task = self._house.roster.run(self._serve(request))
        self._task.add_done_callback(self._served)

    async def _serve(self, request: HttpRequest) -> None:
        try:
            response = await self._house.respond(request)
            head = self._head(response)
        except Exception:  # noqa: BLE001 (the border: whatever it was, the server goes on)
            facts = {"method": request.method, "path": request.path}
            _log.exception("web.failed", extra={"facts": facts})
            response = _INTERNAL_ERROR
            head = self._head(response)
        self._is_sending = True
        self._deadline = math.inf
        outgoing = OutgoingResponse(self._frame(head, response))
        while outgoing:
            if not self._hand_over(outgoing):
                self._out.write(outgoing.take(_PIECE_BYTES))
            if self._drained is not None:
                await self._drained
            elif outgoing:
                await asyncio.sleep(0)  # a large answer lets the others have a turn
        self._is_sending = False
        self._task = None
        self._go_on()

    def _hand_over(self, outgoing: OutgoingResponse) -> bool:
        """Give the kernel the next chunks as they lie there; False if it is full.

        asyncio would join them first (before Python 3.12), which doubles the cost of a
        page of a hundred megabytes. What is to be encrypted goes its way.
        """
        if self._is_encrypted or self._out.get_write_buffer_size():
            return False
        chunks = outgoing.next_chunks(_CHUNKS_AT_ONCE)
        try:
            sent_bytes = os.writev(self._out.get_extra_info("socket").fileno(), chunks)
        except OSError:  # full; or broken, which asyncio will find too and act on
            return False
        outgoing.skip(sent_bytes)
        return True

    def _served(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:  # in the middle of an answer: there is no saying so
            _log.error("web.failed", exc_info=error)
            self.abort()

    def _head(self, response: HttpResponse) -> h11.Response:
        now = self._house.clock()
        return messages.head(response, now=now, is_last=self._is_last)

    def _frame(self, head: h11.Response, response: HttpResponse) -> tuple[bytes, ...]:
        """Return all that is to be written, having told h11 of it."""
        method = self._request.method if self._request is not None else b""
        body = messages.body(response, method=method)
        start = self._h11.send(head) or b""
        if body:
            # h11 only counts: anything with the right length will do.
            counted = cast("bytes", range(sum(map(len, body))))
            self._h11.send_with_data_passthrough(h11.Data(data=counted))
        self._h11.send(h11.EndOfMessage())
        return (start, *body)

    def _go_on(self) -> None:
        """Wait for the next request, or begin with it when it is here already."""
        is_reusable = self._h11.our_state is self._h11.their_state is h11.DONE
        if self._is_last or not is_reusable:
            self._leave()
            self._out.close()
            return
        self._h11.start_next_cycle()
        self._request = None
        self._out.resume_reading()
        if self._inbox or self._h11.trailing_data[0]:
            self._start_reading()
            self._read()
        else:
            self._phase = _Phase.WAITING
            self._deadline = self._loop.time() + self._house.limits.idle_seconds
            self._house.roster.mark_waiting(self)

    def _refuse(self, status: HTTPStatus) -> None:
        """Tell the client why, and close once it has stopped sending."""
        self._is_last = True
        self._leave()
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            response = messages.refusal(status)
            self._out.write(b"".join(self._frame(self._head(response), response)))
        if self._out.can_write_eof():
            self._out.write_eof()

    def _leave(self) -> None:
        self._phase = _Phase.LEAVING
        self._inbox = b""
        self._deadline = self._loop.time() + _LINGER_SECONDS
        self._house.roster.mark_waiting(self)


_INTERNAL_ERROR = messages.refusal(HTTPStatus.INTERNAL_SERVER_ERROR)

"""One HTTP/1.1 connection: requests are read and answered strictly in order.

h11 implements the protocol. Deadlines limit how long a client may take to begin a
request, to complete it, to read more of a response and to read all of it. At most one
piece of a response is copied at a time, and no input is read before it is used.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import h11

from exporter.web import messages
from exporter.web.connection_table import ConnectionTable
from exporter.web.messages import HttpRequest, HttpResponse, OutgoingResponse, Responder
from exporter.web.send_queue import SendQueue

_log = logging.getLogger(__name__)

# Written in one turn: a fraction of a millisecond, so that other clients wait for less.
_SLICE_BYTES = 512 * 1024
# The same under TLS, where asyncio copies and encrypts it.
_TLS_SLICE_BYTES = 64 * 1024
# What asyncio copies, to report when the client's receive window has room again.
_PIECE_BYTES = 4096
# Encrypted input that asyncio buffers while no more of it is used.
_TLS_INPUT_BYTES = 16 * 1024
# Passed to h11 at a time: its size limit applies only to bytes it could not parse yet.
_PARSE_BYTES = 1024
# Of headers, or trailers, that are incomplete: each costs time, however short it is.
_MOST_LINES = 128
# Added to the size of each chunk of a request's body, for the same reason.
_CHUNK_BYTES = 1024
# How long input is discarded after an error response: closing at once would reset the
# connection, and the response would be lost (RFC 9112, section 9.6).
_LINGER_SECONDS = 2.0


class ClientLimits(NamedTuple):
    """Limits on time, request size and number of connections."""

    first_request_seconds: float = 10.0
    """From accept, including a TLS handshake, to the first byte of a request."""
    request_seconds: float = 10.0
    """From the first to the last byte of a request."""
    idle_seconds: float = 120.0
    """From a response to the first byte of the next request."""
    write_stall_seconds: float = 30.0
    """Without any progress of the client while there is more to write. Also the time
    until the first byte of a response, once the client has stopped sending."""
    response_seconds: float = 60.0
    """For a response in all, and a second more per `least_bytes_per_second`."""
    least_bytes_per_second: int = 64 * 1024
    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    connections: int = 4096


class ServerContext(NamedTuple):
    """What all connections of a server share; `clock` gives the header Date."""

    respond: Responder
    limits: ClientLimits
    clock: Callable[[], float]
    table: ConnectionTable
    send_queue: SendQueue
    input: memoryview
    """Where all connections receive: the bytes are used or copied at once."""


class _Phase(Enum):
    WAITING = auto()
    """For the first byte of a request."""
    READING = auto()
    """An incomplete request."""
    RESPONDING = auto()
    """To a complete request; further input is buffered."""
    CLOSING = auto()
    """Further input is discarded."""


class Connection(asyncio.BufferedProtocol):
    """One connection, from accept until its socket is closed."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._phase = _Phase.WAITING
        self._deadline = self._loop.time() + context.limits.first_request_seconds
        self.transport: asyncio.Transport | None = None
        """Once there is one, asyncio closes the socket."""
        self._h11 = h11.Connection(
            h11.SERVER, max_incomplete_event_size=context.limits.header_bytes
        )
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._request: h11.Request | None = None
        self._received = b""
        self._body_bytes = 0
        self._unwritten_bytes = 0
        self._is_sending = False
        self._send_deadline = math.inf
        self._is_withdrawn: Callable[[], bool] = lambda: False
        self._closes_after_response = False
        context.table.add(self)

    def set_opening_task(self, task: asyncio.Task[None] | None) -> None:
        """Set the task that creates the transport; None when it has ended."""
        self._task = task

    def check_deadline(self, now: float) -> None:
        """Send 408 or abort if the deadline has passed."""
        if self._drained is not None:
            unwritten_bytes = self._out.get_write_buffer_size()
            if unwritten_bytes != self._unwritten_bytes:
                self._unwritten_bytes = unwritten_bytes
                self._extend_write_deadline(now)
        if now >= self._send_deadline or self._is_withdrawn():
            self.abort()
        if now < self._deadline:
            return
        if self._phase is _Phase.READING:
            self._send_error(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.abort()

    def close_after_response(self) -> None:
        """Close after the response in progress, at once when there is none."""
        self._closes_after_response = True
        if self._phase in {_Phase.WAITING, _Phase.READING}:
            self.abort()

    def abort(self) -> None:
        """Close without sending another byte, also during a TLS handshake."""
        self._phase = _Phase.CLOSING
        if self.transport is not None:
            self.transport.abort()
        elif self._task is not None:
            self._task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, unless aborted meanwhile."""
        self.transport = cast("asyncio.Transport", transport)
        self._task = None
        self._context.table.end_handshake(self)
        if self._is_encrypted:
            cast("Any", transport).set_read_buffer_limits(high=_TLS_INPUT_BYTES)
        # pause_writing is then called whenever the kernel did not accept all bytes:
        # beyond the limit, or under TLS at the limit.
        self.transport.set_write_buffer_limits(high=int(self._is_encrypted))
        if self._phase is _Phase.CLOSING:
            self.transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """Cancel the response in progress."""
        self._phase = _Phase.CLOSING
        self._received = b""
        self._context.table.remove(self)
        if self._task is not None:
            self._task.cancel()
        # They refer to this connection: memory would wait for the garbage collector.
        self._task = self._drained = self.transport = None

    def get_buffer(self, _: int) -> memoryview:
        """Return where to receive."""
        return self._context.input

    def buffer_updated(self, count: int) -> None:
        """Parse what was received; keep it while a response is in progress."""
        if self._phase is _Phase.CLOSING:
            return
        self._received += self._context.input[:count]
        if self._phase is _Phase.RESPONDING:
            self._out.pause_reading()
            return
        if self._phase is _Phase.WAITING:
            self._start_reading()
        self._read()

    def eof_received(self) -> bool:
        """Close, but after the response in progress: the client may have half-closed.

        A half-closed connection looks like one that the client has left. It may
        therefore be evicted, and a response that does not begin in time is cancelled.
        asyncio does not support half-closed TLS connections.
        """
        self._closes_after_response = True
        if self._phase is not _Phase.RESPONDING or self._is_encrypted:
            return False
        if not self._is_sending:
            self._extend_write_deadline(self._loop.time())
            self._context.table.mark_waiting(self)
        return True

    def pause_writing(self) -> None:
        """Wait until the client has read before more is written."""
        if self._phase is _Phase.RESPONDING:
            self._drained = self._loop.create_future()
            self._unwritten_bytes = self._out.get_write_buffer_size()
            self._extend_write_deadline(self._loop.time())
            self._context.table.mark_waiting(self)

    def resume_writing(self) -> None:
        """Continue writing: the kernel has accepted all bytes."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            self._deadline = math.inf
            self._context.table.mark_busy(self)
            drained.set_result(None)

    @property
    def _out(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.transport)

    @property
    def _is_encrypted(self) -> bool:
        return self._out.get_extra_info("sslcontext") is not None

    def _extend_write_deadline(self, now: float) -> None:
        self._deadline = now + self._context.limits.write_stall_seconds

    def _start_reading(self) -> None:
        self._phase = _Phase.READING
        self._deadline = self._loop.time() + self._context.limits.request_seconds
        self._context.table.mark_waiting(self)

    def _read(self) -> None:
        try:
            while self._phase is _Phase.READING and self._read_event():
                pass
        except h11.RemoteProtocolError as error:
            self._send_error(HTTPStatus(error.error_status_hint))

    def _read_event(self) -> bool:
        """Handle the next event of h11; False if more input is needed."""
        event = self._h11.next_event()
        if event is h11.NEED_DATA:
            if not self._received:
                self._out.resume_reading()
                return False
            if self._h11.trailing_data[0].count(b"\n") > _MOST_LINES:
                self._send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return False
            self._h11.receive_data(self._received[:_PARSE_BYTES])
            self._received = self._received[_PARSE_BYTES:]
        elif isinstance(event, h11.Request):
            self._start_request(event)
        elif isinstance(event, h11.Data):
            # Each chunk costs time, however short it is.
            self._body_bytes += len(event.data) + _CHUNK_BYTES * event.chunk_start
            if self._body_bytes > self._context.limits.body_bytes:
                self._send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._start_response()
        return True

    def _start_request(self, request: h11.Request) -> None:
        self._request = request
        self._body_bytes = 0
        headers = dict(request.headers)
        if {b"content-length", b"transfer-encoding"} <= headers.keys():
            # What follows may be a smuggled request (RFC 9112, section 6.3).
            self._closes_after_response = True
        if request.method == b"CONNECT":
            self._send_error(HTTPStatus.NOT_IMPLEMENTED)
        elif int(headers.get(b"content-length", 0)) > self._context.limits.body_bytes:
            self._send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self._h11.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._out.write(self._h11.send(go_on) or b"")
            if self._out.get_write_buffer_size():
                self.abort()  # the client does not read

    def _start_response(self) -> None:
        self._phase = _Phase.RESPONDING
        self._deadline = math.inf
        self._context.table.mark_busy(self)
        client = (self._out.get_extra_info("peername") or ("",))[0]
        request = messages.request(cast("h11.Request", self._request), client)
        self._task = self._context.table.start_task(self._respond(request))
        self._task.add_done_callback(self._log_failure)

    async def _respond(self, request: HttpRequest) -> None:
        send_queue = self._context.send_queue
        turns = send_queue.turns(0)
        try:
            response = await self._context.respond(request)
            turns = send_queue.turns(response.size)
            async with turns:
                outgoing = self._begin(response)
        except Exception:  # noqa: BLE001 (any error of a handler is a 500)
            facts = {"method": request.method, "path": request.path}
            _log.exception("web.failed", extra={"fields": facts})
            outgoing = self._begin(_INTERNAL_ERROR)
        while outgoing:
            async with turns:
                self._write_slice(outgoing)
            if self._drained is not None:
                await self._drained
            elif outgoing:
                await asyncio.sleep(0)  # other connections are served in between
        self._is_sending = False
        self._is_withdrawn = lambda: False
        self._deadline = self._send_deadline = math.inf
        self._task = None
        self._await_next_request()

    def _begin(self, response: HttpResponse) -> OutgoingResponse:
        """Return all that is to be written, and set the deadline."""
        size = response.size
        outgoing = self._frame(self._head(response), response, size)
        limits = self._context.limits
        self._is_sending = True
        self._is_withdrawn = response.is_withdrawn
        self._deadline = math.inf
        self._send_deadline = (
            self._loop.time()
            + limits.response_seconds
            + size / limits.least_bytes_per_second
        )
        return outgoing

    def _write_slice(self, outgoing: OutgoingResponse) -> None:
        """Pass the next chunks to the kernel uncopied, or let asyncio write under TLS.

        When the kernel accepts no more, asyncio reports that there is room again: after
        it has written some bytes.
        """
        if self._is_encrypted:
            self._out.write(outgoing.take(_TLS_SLICE_BYTES))
            return
        chunks = outgoing.next_chunks(_SLICE_BYTES)
        sent_bytes = 0
        # OSError: the buffer is full, or asyncio finds the same error.
        with suppress(OSError):
            sent_bytes = os.writev(self._out.get_extra_info("socket").fileno(), chunks)
        outgoing.skip(sent_bytes)
        if sent_bytes < sum(map(len, chunks)):
            self._out.write(outgoing.take(_PIECE_BYTES))

    def _log_failure(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:  # part of the response is sent: no status can be sent
            _log.error("web.failed", exc_info=error)
            self.abort()

    def _head(self, response: HttpResponse) -> h11.Response:
        now = self._context.clock()
        return messages.head(response, now=now, closes=self._closes_after_response)

    def _frame(
        self, head: h11.Response, response: HttpResponse, size: int
    ) -> OutgoingResponse:
        """Return all bytes to be written, and register them with h11."""
        is_head = self._request is not None and self._request.method == b"HEAD"
        body = () if is_head else response.body
        start = self._h11.send(head) or b""
        if body:
            # h11 only counts bytes: an object with the right length is sufficient.
            counted = cast("bytes", range(size))
            self._h11.send_with_data_passthrough(h11.Data(data=counted))
        self._h11.send(h11.EndOfMessage())
        return OutgoingResponse(start, body)

    def _await_next_request(self) -> None:
        """Wait for the next request, or parse it if it was received already."""
        is_reusable = self._h11.our_state is self._h11.their_state is h11.DONE
        if self._closes_after_response or not is_reusable:
            self._discard_input()
            self._out.close()
            return
        self._h11.start_next_cycle()
        self._request = None
        # Reading resumes when all buffered input is used: pipelined requests would fill
        # the buffer faster than responses empty it.
        if self._received or self._h11.trailing_data[0]:
            self._start_reading()
            self._read()
        else:
            self._out.resume_reading()
            self._phase = _Phase.WAITING
            self._deadline = self._loop.time() + self._context.limits.idle_seconds
            self._context.table.mark_waiting(self)

    def _send_error(self, status: HTTPStatus) -> None:
        """Send an error response, and close once the client has stopped sending."""
        self._closes_after_response = True
        self._discard_input()
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            response = messages.text_response(status, f"{status.phrase.lower()}\n")
            frame = self._frame(self._head(response), response, response.size)
            self._out.write(frame.take(_TLS_SLICE_BYTES))
        # Not while bytes wait to be written: asyncio would do it after them, and fail
        # there if the client has left meanwhile.
        if self._out.can_write_eof() and not self._out.get_write_buffer_size():
            with suppress(OSError):  # the client has left
                self._out.write_eof()

    def _discard_input(self) -> None:
        self._phase = _Phase.CLOSING
        self._received = b""
        self._out.resume_reading()
        self._deadline = self._loop.time() + _LINGER_SECONDS
        self._context.table.mark_waiting(self)


_INTERNAL_ERROR = messages.text_response(500, "internal server error\n")

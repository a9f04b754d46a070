"""The simulated Braze: start, stop, faults, and the log of requests.

Paths below `/-/` control it: they need no key, have no rate limit and are not logged.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qs

from exporter.simulator.api import Api, bucket_of
from exporter.simulator.canvas_fleet import Canvas
from exporter.simulator.delivery import ResponseWriter, compressed, deliver
from exporter.simulator.faults import Fault, Faults, Scope, SimulatedResponse, document
from exporter.simulator.fleet import Campaign
from exporter.simulator.listener import STOP_SECONDS, HttpServer, ReceivedRequest
from exporter.simulator.objects import Incident
from exporter.simulator.request_log import LoggedRequest, RequestLog
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.workspace_specs import Event, Integration, Segment


class Simulator:
    """A Braze with one workspace; a context manager that serves inside the block."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self._api = Api(self.settings)
        self._faults = Faults()
        self._log = RequestLog()
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start listening. OSError: the address is in use."""
        self._server = HttpServer(
            host=self.settings.host, port=self.settings.port, respond=self._respond
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="simulator",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server.close_connections()
        self._thread.join(STOP_SECONDS)
        self._server = self._thread = None

    @property
    def url(self) -> str:
        """The base URL without a trailing slash. RuntimeError: not started."""
        if self._server is None:
            message = "the simulator is not started"
            raise RuntimeError(message)
        return f"http://{self.settings.host}:{self._server.server_address[1]}"

    @property
    def api_key(self) -> str:
        """A valid key."""
        return self.settings.api_key

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, including drafts and archived ones."""
        return self._api.campaigns

    def campaign(self, name: str) -> Campaign:
        """Return the campaign with this name. KeyError: there is none."""
        return {one.name: one for one in self.campaigns}[name]

    def campaign_with(self, incident: Incident) -> Campaign:
        """Return the campaign with this incident. KeyError: there is none."""
        return {one.incident: one for one in self.campaigns}[incident]

    @property
    def canvases(self) -> tuple[Canvas, ...]:
        """All canvases, including drafts, stopped and archived ones."""
        return self._api.canvases

    def canvas(self, name: str) -> Canvas:
        """Return the canvas with this name. KeyError: there is none."""
        return {one.name: one for one in self.canvases}[name]

    def canvas_with(self, incident: Incident) -> Canvas:
        """Return the canvas with this incident. KeyError: there is none."""
        return {one.incident: one for one in self.canvases}[incident]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, including those without analytics tracking."""
        return self._api.workspace.segments

    @property
    def events(self) -> tuple[Event, ...]:
        """All custom events."""
        return self._api.workspace.events

    @property
    def integrations(self) -> tuple[Integration, ...]:
        """All integrations of Cloud Data Ingestion."""
        return self._api.workspace.integrations

    def change(self, id_: str, **changes: Any) -> None:
        """Edit a campaign or canvas; `changes` are fields of its class.

        KeyError: there is none with this id.
        """
        self._api.change(id_, **changes)

    def remove(self, id_: str) -> None:
        """Delete a campaign or canvas. KeyError: there is none with this id."""
        self._api.remove(id_)

    def delete_step(self, canvas_id: str, step_id: str) -> None:
        """Delete a step of a canvas, which sends until midnight.

        KeyError: there is none with these ids.
        """
        self._api.delete_step(canvas_id, step_id)

    def set_fault(
        self,
        fault: Fault,
        *,
        campaign_id: str | None = None,
        canvas_id: str | None = None,
        segment_id: str | None = None,
        event: str | None = None,
        path: str | None = None,
        count: int | None = None,
    ) -> None:
        """Apply the fault to `count` matching requests, or until it is cleared.

        None matches all. The most specific match wins: id and path, id, path, all. A
        fault replaces the previous one with the same id and path; `event` is the id of
        an event. ValueError: there are several ids, or `count` is below 1.
        """
        scope = Scope(campaign_id, canvas_id, segment_id, event, path)
        self._faults.put(fault, scope, count=count)

    def clear_faults(self) -> None:
        """Remove all faults; requests that hang keep hanging."""
        self._faults.clear()

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The newest requests, oldest first."""
        return self._log.requests()

    def wait_for_requests(
        self,
        count: int,
        *,
        campaign_id: str | None = None,
        canvas_id: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> bool:
        """Block until `count` requests were received; False: the timeout expired."""
        return self._log.wait(
            count, object_id=campaign_id or canvas_id, timeout_seconds=timeout_seconds
        )

    def in_flight(self) -> int:
        """Return how many requests are open."""
        return int(self._log.summary()["in_flight"])

    def most_in_flight(self, object_id: str | None = None) -> int:
        """Return the most requests open at once, of one campaign or canvas or of all.

        A request counts as open until its response is sent or its connection closed.
        """
        return self._log.most_in_flight(object_id)

    def _respond(self, peer: socket.socket, request: ReceivedRequest) -> bool:
        """Send the response; return whether the connection stays open."""
        path, _, query = request.target.partition("?")
        if path.startswith("/-/"):
            control = self._control(request.method, path, request.body)
            # A newline for terminals.
            control = replace(control, body=control.body + b"\n")
            return deliver(ResponseWriter(peer), control, Fault())
        received_at, now = time.monotonic(), self.settings.clock()
        parameters = parse_qs(query)
        given = {name: values[-1] for name, values in parameters.items()}
        scope = Scope._make((*map(given.get, Scope._fields[:-1]), path))
        object_id = next(iter(scope.ids), None)
        permissions = self._api.permissions(request.authorization)
        with ExitStack() as opened:
            self._log.begin(object_id)
            opened.callback(self._log.end, object_id)
            response = self._api.respond(
                method=request.method, path=path, query=query, permissions=permissions
            )
            response = response.with_headers({"Date": formatdate(now, usegmt=True)})
            fault = self._faults.next_fault(scope)
            response = fault.apply(response)
            self._log.record(
                LoggedRequest(
                    monotonic_seconds=received_at,
                    epoch_seconds=now,
                    method=request.method,
                    path=path,
                    query=query,
                    campaign_id=scope.campaign_id,
                    canvas_id=scope.canvas_id,
                    object_id=object_id,
                    bucket=bucket_of(path),
                    status=response.status,
                    is_authorized=permissions is not None,
                )
            )
            if fault.body is None:
                response = compressed(response, request.accept_encoding)
            return deliver(ResponseWriter(peer, opened.close), response, fault)

    def _control(self, method: str, path: str, body: bytes) -> SimulatedResponse:
        match method, path:
            case "GET", "/-/requests":
                return document(200, self._log.summary())
            case "GET", "/-/faults":
                return document(200, {"faults": self._faults.documents()})
            case "PUT", "/-/faults":
                return self._put_fault(body)
            case "DELETE", "/-/faults":
                self.clear_faults()
                return document(200, {"message": "success"})
        return document(404, {"message": "Invalid URL"})

    def _put_fault(self, body: bytes) -> SimulatedResponse:
        try:
            content = json.loads(body)
            if not isinstance(content, dict):
                return document(400, {"message": "a fault is a JSON object"})
            names = (*Scope._fields, "count")
            where = {name: content.pop(name) for name in names if name in content}
            self.set_fault(Fault.from_document(content), **where)
        except (ValueError, TypeError) as exc:
            return document(400, {"message": str(exc)})
        return document(200, {"message": "success"})

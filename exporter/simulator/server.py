"""The simulated Braze as others use it: started, asked, disturbed, looked at, stopped.

Paths below `/-/` control it: they need no key, spend no allowance, are in no journal.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from exporter.simulator.api import Api
from exporter.simulator.campaign_specs import Incident
from exporter.simulator.delivery import ResponseWriter, compressed, deliver
from exporter.simulator.faults import Fault, Faults, FaultyResponse, document
from exporter.simulator.fleet import Campaign
from exporter.simulator.listener import STOP_SECONDS, HttpServer
from exporter.simulator.request_log import LoggedRequest, RequestLog
from exporter.simulator.settings import SimulatorSettings


class Simulator:
    """A Braze of one workspace; as a context manager it serves inside the block."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self._desk = Api(self.settings)
        self._faults = Faults()
        self._journal = RequestLog(self.settings.request_log_size)
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; raises OSError if the address is taken."""
        self._server = HttpServer(
            host=self.settings.host, port=self.settings.port, service=self
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="simulator",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and end all connections, hanging ones too."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server.close_connections()
        self._thread.join(STOP_SECONDS)
        self._server = self._thread = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end; raises unless it was started."""
        if self._server is None:
            message = "the simulator is not started"
            raise RuntimeError(message)
        return f"http://{self.settings.host}:{self._server.server_address[1]}"

    @property
    def api_key(self) -> str:
        """A key that is accepted."""
        return self.settings.api_key

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, drafts and archived ones included."""
        return self._desk.campaigns

    def campaign(self, name: str) -> Campaign:
        """Return the campaign of this name; raises KeyError."""
        found = (campaign for campaign in self.campaigns if campaign.name == name)
        try:
            return next(found)
        except StopIteration:
            raise KeyError(name) from None

    def campaign_with(self, incident: Incident) -> Campaign:
        """Return the campaign with which this is wrong; raises LookupError."""
        for campaign in self.campaigns:
            if campaign.incident is incident:
                return campaign
        message = f"no campaign has the incident {incident}"
        raise LookupError(message)

    def change(self, campaign_id: str, **changes: Any) -> None:
        """Edit a campaign: rename it, archive it, tag it; fields as `Campaign` has."""
        self._desk.change(campaign_id, **changes)

    def remove(self, campaign_id: str) -> None:
        """Delete a campaign."""
        self._desk.remove(campaign_id)

    def set_fault(
        self,
        fault: Fault,
        *,
        campaign_id: str | None = None,
        path: str | None = None,
        count: int | None = None,
    ) -> None:
        """Let the fault befall matching requests, `count` of them or until cleared.

        None matches all. The closest match wins: id and path, id, path, all. The same
        pair of id and path set again replaces the fault before.
        """
        self._faults.put(fault, campaign_id=campaign_id, path=path, count=count)

    def clear_faults(self) -> None:
        """Heal everything; requests that hang go on hanging."""
        self._faults.clear()

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The newest requests, oldest first, as many as the settings keep."""
        return self._journal.requests()

    def wait_for_requests(
        self,
        count: int,
        *,
        campaign_id: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> bool:
        """Block until `count` requests came since the start; False: the time was up."""
        return self._journal.wait(
            count, campaign_id=campaign_id, timeout_seconds=timeout_seconds
        )

    def in_flight(self, campaign_id: str | None = None) -> int:
        """Return how many requests are open, of one campaign or of all."""
        return self._journal.in_flight(campaign_id)

    def most_in_flight(self, campaign_id: str | None = None) -> int:
        """Return how many were open at the busiest moment, of one campaign or of all.

        A client that gives up counts until its end of the connection is closed.
        """
        return self._journal.most_in_flight(campaign_id)

    def serve(
        self,
        connection: ResponseWriter,
        *,
        method: str,
        target: str,
        authorization: str | None,
        accept_encoding: str,
    ) -> bool:
        """Answer one request of the API; return whether the connection goes on."""
        arrived, now = time.monotonic(), self.settings.clock()
        path, _, query = target.partition("?")
        campaign_id = parse_qs(query).get("campaign_id", [None])[-1]
        permissions = self._desk.permissions(authorization)
        finish = self._begin(campaign_id)
        try:
            answer = self._desk.answer(
                method=method, path=path, query=query, permissions=permissions
            )
            answer = answer.with_headers({"Date": formatdate(now, usegmt=True)})
            fault = self._faults.take(campaign_id=campaign_id, path=path)
            answer = fault.alter(answer)
            self._journal.record(
                LoggedRequest(
                    monotonic_seconds=arrived,
                    epoch_seconds=now,
                    method=method,
                    path=path,
                    query=query,
                    campaign_id=campaign_id,
                    status=answer.status,
                    is_authorized=permissions is not None,
                )
            )
            if fault.body is None:
                answer = compressed(answer, accept_encoding)
            return deliver(connection, answer, fault, finish=finish)
        finally:
            finish()

    def _begin(self, campaign_id: str | None) -> Callable[[], None]:
        """Open a request in the journal; return what closes it, once."""
        self._journal.begin(campaign_id)
        is_open = True

        def finish() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                self._journal.end(campaign_id)

        return finish

    def control(self, *, method: str, path: str, body: bytes) -> FaultyResponse:
        """Answer one request of the control paths, for people in a line of its own."""
        answer = self._control(method=method, path=path, body=body)
        return replace(answer, body=answer.body + b"\n")

    def _control(self, *, method: str, path: str, body: bytes) -> FaultyResponse:
        match method, path:
            case "GET", "/-/requests":
                return document(200, self._journal.summary())
            case "GET", "/-/faults":
                return document(200, {"faults": self._faults.documents()})
            case "PUT", "/-/faults":
                return self._put_fault(body)
            case "DELETE", "/-/faults":
                self.clear_faults()
                return document(200, {"message": "success"})
        return document(404, {"message": "Invalid URL"})

    def _put_fault(self, body: bytes) -> FaultyResponse:
        try:
            content = json.loads(body)
            if not isinstance(content, dict):
                return document(400, {"message": "a fault is a JSON object"})
            where = {
                name: _text(content.pop(name, None)) for name in ("campaign_id", "path")
            }
            count = content.pop("count", None)
            self.set_fault(
                Fault.from_document(content),
                campaign_id=where["campaign_id"],
                path=where["path"],
                count=None if count is None else int(count),
            )
        except (ValueError, TypeError) as exc:
            return document(400, {"message": str(exc)})
        return document(200, {"message": "success"})


def _text(value: object) -> str | None:
    return None if value is None else str(value)

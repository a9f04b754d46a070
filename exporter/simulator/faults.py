"""Faults: how a response is changed, and how it is delivered.

Faults are set per campaign, canvas, segment or event, and path, with an optional count
after which they expire.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple

HTML = b"<!DOCTYPE html><html><body><h1>503 Backend fetch failed</h1></body></html>"


@dataclass(frozen=True, slots=True)
class SimulatedResponse:
    """One HTTP response; header names are unique, case-insensitively."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """Return a header's value, or None."""
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), None)

    def with_headers(self, headers: Mapping[str, str]) -> SimulatedResponse:
        """Return the response with these headers added or replaced."""
        replaced = {name.lower() for name in headers}
        kept = {k: v for k, v in self.headers.items() if k.lower() not in replaced}
        return replace(self, headers={**kept, **headers})


def document(status: int, content: object) -> SimulatedResponse:
    """Return a response with a JSON body."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return SimulatedResponse(status, body, {"Content-Type": "application/json"})


class Delivery(StrEnum):
    """How a response is sent."""

    WHOLE = "whole"
    SHORT_BODY = "short_body"
    """Half the body, then an orderly close."""
    RESET = "reset"
    """The connection is reset before the first byte."""
    RESET_IN_BODY = "reset_in_body"
    HANG = "hang"
    """Nothing is sent until the peer closes or the simulator stops."""
    DRIP_HEADERS = "drip_headers"
    """One byte every `drip_seconds`."""
    DRIP_BODY = "drip_body"
    GZIP_BOMB = "gzip_bomb"
    """A valid document of `bomb_bytes` after decompression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A change of a response. None and empty values change nothing.

    A status without a body gets a JSON body with a message. Headers replace those of
    the same name, including `Content-Length`.
    """

    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    has_rate_limit_headers: bool = True
    """False removes the `X-RateLimit-*` headers."""
    delivery: Delivery = Delivery.WHOLE
    latency_seconds: float = 0.0
    drip_seconds: float = 1.0
    bomb_bytes: int = 1 << 30

    @classmethod
    def html(cls, status: int = 503) -> Fault:
        """Respond with an HTML page, as content delivery networks do."""
        headers = {"Content-Type": "text/html"}
        return cls(status=status, body=HTML, headers=headers)

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Fault:
        """Redirect to a URL."""
        return cls(status=status, body=b"", headers={"Location": url})

    @classmethod
    def from_document(cls, content: Mapping[str, object]) -> Fault:
        """Read a fault from JSON: field names as here. ValueError: it is invalid."""
        values: dict[str, Any] = dict(content)
        for name, value in values.items():
            _check_field(name, value)
        if "body" in values:
            values["body"] = values["body"].encode()
        if "delivery" in values:
            values["delivery"] = Delivery(values["delivery"])
        return cls(**values)

    def to_document(self) -> dict[str, object]:
        """Return the JSON that `from_document` parses."""
        changed = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != getattr(_NO_FAULT, each.name)
        }
        if "body" in changed:
            changed["body"] = changed["body"].decode(errors="replace")
        return changed

    def apply(self, response: SimulatedResponse) -> SimulatedResponse:
        """Return the changed response."""
        if self.status is not None and self.status != response.status:
            phrase = phrase_of(self.status)
            altered = document(self.status, {"message": phrase, "errors": [phrase]})
            response = altered.with_headers(_rate_limit_headers(response, self.status))
        if self.body is not None:
            response = replace(response, body=self.body)
        response = response.with_headers(self.headers)
        if self.has_rate_limit_headers:
            return response
        limits = _rate_limit_headers(response, response.status)
        kept = {k: v for k, v in response.headers.items() if k not in limits}
        return replace(response, headers=kept)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "status": int,
    "body": str,
    "headers": dict,
    "has_rate_limit_headers": bool,
    "delivery": str,
    "latency_seconds": (int, float),
    "drip_seconds": (int, float),
    "bomb_bytes": int,
}


def _check_field(name: str, value: object) -> None:
    if name not in _TYPES:
        known = ", ".join(each.name for each in fields(Fault))
        message = f"unknown field {name!r}; a fault has {known}"
        raise ValueError(message)
    if not isinstance(value, _TYPES[name]):
        message = f"field {name!r} has a value of the wrong type"
        raise ValueError(message)


def _rate_limit_headers(response: SimulatedResponse, status: int) -> dict[str, str]:
    headers = {
        name: value
        for name, value in response.headers.items()
        if name.lower().startswith("x-ratelimit-")
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS and headers:
        headers["X-RateLimit-Remaining"] = "0"
    return headers


def phrase_of(status: int) -> str:
    """Return the text of the status line."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"


class Scope(NamedTuple):
    """The requests that a fault is for; None matches all."""

    campaign_id: str | None = None
    canvas_id: str | None = None
    segment_id: str | None = None
    event: str | None = None
    path: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids that it has, at most one in a fault."""
        return tuple(id_ for id_ in self[:-1] if id_ is not None)

    def wider(self) -> tuple[Scope, ...]:
        """Return the scopes that contain this one, the most specific first."""
        return self, self._replace(path=None), Scope(path=self.path), Scope()


class Faults:
    """The active faults by scope; the most specific match wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[Scope, tuple[Fault, int | None]] = {}

    def put(self, fault: Fault, scope: Scope, *, count: int | None) -> None:
        """Apply the fault to the next `count` matching requests (None: all).

        ValueError: `count` is below 1, or the scope has several ids.
        """
        if len(scope.ids) > 1:
            *names, last = scope._fields[:-1]
            message = f"a fault has one of {', '.join(names)} and {last}, not several"
            raise ValueError(message)
        if count is not None and count < 1:
            message = f"a fault's count is at least 1, not {count}"
            raise ValueError(message)
        with self._lock:
            self._faults[scope] = (fault, count)

    def documents(self) -> list[dict[str, object]]:
        """Return the active faults as `from_document` parses them."""
        with self._lock:
            faults = tuple(self._faults.items())
        documents = []
        for scope, (fault, count) in faults:
            where = {**scope._asdict(), "count": count}
            given = {name: value for name, value in where.items() if value is not None}
            documents.append(given | fault.to_document())
        return documents

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def next_fault(self, request: Scope) -> Fault:
        """Return the fault of a request, and decrement its count."""
        if not self._faults:
            return _NO_FAULT
        with self._lock:
            for scope in request.wider():
                if scope not in self._faults:
                    continue
                fault, count = self._faults[scope]
                if count is not None and count <= 1:
                    del self._faults[scope]
                elif count is not None:
                    self._faults[scope] = (fault, count - 1)
                return fault
        return _NO_FAULT


_NO_FAULT = Fault()

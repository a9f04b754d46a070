"""What can go wrong on demand: how an answer is altered, and how it is delivered.

Faults are kept per campaign and path, with an optional count after which they heal. How
bytes reach the peer is not known here.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from http import HTTPStatus

HTML = b"<!DOCTYPE html><html><body><h1>503 Backend fetch failed</h1></body></html>"


@dataclass(frozen=True, slots=True)
class FaultyResponse:
    """One HTTP answer; header names are unique without case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """Return a header's value, or None."""
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), None)

    def with_headers(self, headers: Mapping[str, str]) -> FaultyResponse:
        """Return the answer with these headers in place of its own ones."""
        replaced = {name.lower() for name in headers}
        kept = {k: v for k, v in self.headers.items() if k.lower() not in replaced}
        return replace(self, headers={**kept, **headers})


def document(status: int, content: object, **headers: str) -> FaultyResponse:
    """Return an answer with a JSON body."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return FaultyResponse(status, body, {"Content-Type": "application/json", **headers})


class Delivery(StrEnum):
    """How an answer reaches the peer, or does not."""

    WHOLE = "whole"
    SHORT_BODY = "short_body"
    """Half the body, then an orderly end of the connection."""
    RESET = "reset"
    """The connection is reset before the first byte."""
    RESET_IN_BODY = "reset_in_body"
    HANG = "hang"
    """Nothing comes until the peer or the simulator gives up."""
    DRIP_HEADERS = "drip_headers"
    """One byte every `drip_seconds`."""
    DRIP_BODY = "drip_body"
    GZIP_BOMB = "gzip_bomb"
    """A valid document of `bomb_bytes` once it is decompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. What is None or empty stays as it would have been.

    A status other than 200 without a body has a JSON body with a message. Headers
    replace those of the same name, `Content-Length` included.
    """

    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    has_rate_limit_headers: bool = True
    """False takes the `X-RateLimit-*` headers away."""
    delivery: Delivery = Delivery.WHOLE
    latency_seconds: float = 0.0
    drip_seconds: float = 1.0
    bomb_bytes: int = 1 << 30

    @classmethod
    def html(cls, status: int = 503) -> Fault:
        """Answer with the page of a content network; status 200 is a garbage body."""
        headers = {"Content-Type": "text/html"}
        return cls(status=status, body=HTML, headers=headers)

    @classmethod
    def empty(cls, status: int = 200) -> Fault:
        """Answer with a body of no bytes."""
        return cls(status=status, body=b"")

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Fault:
        """Send the client elsewhere."""
        return cls(status=status, body=b"", headers={"Location": url})

    @classmethod
    def wrong_encoding(cls, encoding: str = "gzip") -> Fault:
        """Claim an encoding that the body does not have."""
        return cls(headers={"Content-Encoding": encoding})

    @classmethod
    def from_document(cls, content: Mapping[str, object]) -> Fault:
        """Read a fault from JSON: field names as here, `body` text or `body_base64`.

        Raises ValueError with a message for whoever wrote the document.
        """
        values = dict(content)
        encoded, text = values.pop("body_base64", None), values.pop("body", None)
        for name, value in values.items():
            _check_field(name, value)
        if isinstance(encoded, str):
            values["body"] = base64.b64decode(encoded, validate=True)
        elif isinstance(text, str):
            values["body"] = text.encode()
        if "delivery" in values:
            values["delivery"] = Delivery(str(values["delivery"]))
        return cls(**values)  # type: ignore[arg-type]  # _check_field looked at them

    def to_document(self) -> dict[str, object]:
        """Return what `from_document` reads as this fault."""
        changed = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != getattr(_NO_FAULT, each.name)
        }
        body = changed.pop("body", None)
        if body is not None:
            changed["body_base64"] = base64.b64encode(body).decode()
        return changed

    def alter(self, answer: FaultyResponse) -> FaultyResponse:
        """Return the answer as this fault makes it."""
        if self.status is not None and self.status != answer.status:
            phrase = _phrase(self.status)
            altered = document(self.status, {"message": phrase, "errors": [phrase]})
            answer = altered.with_headers(_rate_limit_headers(answer, self.status))
        if self.body is not None:
            answer = replace(answer, body=self.body)
        answer = answer.with_headers(self.headers)
        if self.has_rate_limit_headers:
            return answer
        limits = _rate_limit_headers(answer, answer.status)
        kept = {k: v for k, v in answer.headers.items() if k not in limits}
        return replace(answer, headers=kept)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "status": int,
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
        raise ValueError(message)  # one class for all a caller did wrong


def _rate_limit_headers(answer: FaultyResponse, status: int) -> dict[str, str]:
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name.lower().startswith("x-ratelimit-")
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS and headers:
        headers["X-RateLimit-Remaining"] = "0"
    return headers


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"


def _without_none(**named: object) -> dict[str, object]:
    return {name: value for name, value in named.items() if value is not None}


class Faults:
    """The faults in force, by campaign and path; the closest match wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[tuple[str | None, str | None], tuple[Fault, int | None]] = {}

    def put(
        self,
        fault: Fault,
        *,
        campaign_id: str | None,
        path: str | None,
        count: int | None,
    ) -> None:
        """Let the fault befall the next `count` requests (None: all) that match.

        Raises ValueError if `count` is below 1.
        """
        if count is not None and count < 1:
            message = f"a fault's count is at least 1, not {count}"
            raise ValueError(message)
        with self._lock:
            self._faults[campaign_id, path] = (fault, count)

    def documents(self) -> list[dict[str, object]]:
        """Return the faults in force, each as it may be set again."""
        with self._lock:
            faults = tuple(self._faults.items())
        return [
            _without_none(campaign_id=campaign_id, path=path, count=count)
            | fault.to_document()
            for (campaign_id, path), (fault, count) in faults
        ]

    def clear(self) -> None:
        """Heal everything."""
        with self._lock:
            self._faults.clear()

    def take(self, *, campaign_id: str | None, path: str) -> Fault:
        """Return what befalls this request, and count it; mostly nothing does."""
        if not self._faults:
            return _NO_FAULT
        with self._lock:
            for key in (
                (campaign_id, path),
                (campaign_id, None),
                (None, path),
                (None, None),
            ):
                if key not in self._faults:
                    continue
                fault, count = self._faults[key]
                if count is not None and count <= 1:
                    del self._faults[key]
                elif count is not None:
                    self._faults[key] = (fault, count - 1)
                return fault
        return _NO_FAULT


_NO_FAULT = Fault()

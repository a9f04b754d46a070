"""What campaigns and canvases have in common.

Ids and hashes depend only on the parts that they are made of.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, fields, replace
from datetime import date, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Generic, TypeVar

NAMESPACE = uuid.UUID("0b2a7e1c-6f57-5c1e-9d0b-6272617a6521")
CONTROL = "Control Group"
SILENT_DAYS = 2


class Incident(StrEnum):
    """A problem of a campaign or canvas, from the first day on."""

    BOUNCES = "bounces"
    SPAM = "spam"
    SILENCE = "silence"
    """Begins two days earlier, so that complete days are silent too."""


@dataclass(frozen=True, eq=False)
class ObjectSpec:
    """A campaign or canvas without id and dates."""

    name: str
    volume: float
    """Users reached, or entering, on an average day."""
    _: KW_ONLY
    tags: tuple[str | None, ...] = ()
    age_days: int = 400
    stopped_days_ago: int | None = None
    incident: Incident | None = None
    uses_null: bool = False
    """Null instead of missing fields, as in some responses of Braze."""
    is_draft: bool = False
    is_archived: bool = False
    conversion_events: int = 1
    send_hour: int | None = None
    """The hour of its daily scheduled send; None: it is triggered."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedObject(ObjectSpec):
    """A campaign or canvas; two are equal only if they are the same object."""

    id: str
    created_on: date
    stopped_on: date | None = None
    """The first day without sends and entries."""
    incident_on: date | None = None
    failure_factor: float = 1.0
    """Factor on bounces and other failures."""
    edited_at: float | None = None
    """Time of the last edit; None: on its second day."""
    is_nameless: bool = False
    """Its name is null in every response."""

    def is_active_on(self, day: date) -> bool:
        """Return whether it sends, or is entered, on this day."""
        if self.is_draft or not self.volume or day < self.created_on:
            return False
        return not self.is_stopped_on(day)

    def is_stopped_on(self, day: date) -> bool:
        """Return whether it was stopped on this day, or earlier."""
        return self.stopped_on is not None and day >= self.stopped_on


T = TypeVar("T", bound=SimulatedObject)


class Objects(Generic[T]):
    """The objects of one kind, in their order of creation in the simulator."""

    def __init__(self, objects: Iterable[T]) -> None:
        self._by_id = {one.id: one for one in objects}

    def __contains__(self, id_: str) -> bool:
        return id_ in self._by_id

    def get(self, id_: str) -> T | None:
        """Return the object with this id, or None."""
        return self._by_id.get(id_)

    def all(self) -> tuple[T, ...]:
        """Return all objects, including drafts and archived ones."""
        return tuple(self._by_id.values())

    def change(self, id_: str, **changes: Any) -> None:
        """Replace fields of an object. KeyError: there is none with this id."""
        # A new mapping: requests are served by other threads.
        self._by_id = {**self._by_id, id_: replace(self._by_id[id_], **changes)}

    def remove(self, id_: str) -> None:
        """Delete an object. KeyError: there is none with this id."""
        by_id = dict(self._by_id)
        del by_id[id_]
        self._by_id = by_id


def fraction_of(*parts: object) -> float:
    """Return a hash of the parts as a number in [0, 1)."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    # 52 bits: more would round up to 1 in a double.
    return (int.from_bytes(digest) >> 4) / 2**52


def id_of(*parts: object) -> str:
    """Return a UUID that depends on the parts only."""
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, parts))))


def object_fields(spec: ObjectSpec, id_: str, first_day: date) -> dict[str, Any]:
    """Return the fields of `SimulatedObject` for an object without edits."""
    stopped_on = None
    if spec.stopped_days_ago is not None:
        stopped_on = first_day - timedelta(days=spec.stopped_days_ago)
    return {
        **{one.name: getattr(spec, one.name) for one in fields(ObjectSpec)},
        "id": id_,
        "created_on": first_day - timedelta(days=spec.age_days),
        "stopped_on": stopped_on,
        "incident_on": first_day if spec.incident else None,
        "failure_factor": 1.0
        if spec.incident
        else 0.4 + 0.9 * fraction_of(id_, "list"),
    }


def is_active_number(number: int, active_fraction: float) -> bool:
    """Return whether a generated object is active; these are spread evenly."""
    return int((number + 1) * active_fraction) > int(number * active_fraction)

"""The canvases of the simulated workspace: the named ones, then generated ones.

They depend only on seed, size and first day; ids do not depend on the first day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice

from exporter.simulator.campaign_specs import AUDIENCES, THEMES
from exporter.simulator.canvas_specs import (
    NAMED_CANVASES,
    SHAPES,
    CanvasSpec,
    VariantSpec,
)
from exporter.simulator.objects import (
    SILENT_DAYS,
    Incident,
    SimulatedObject,
    fraction_of,
    id_of,
    is_active_number,
    object_fields,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; a delay has no channels."""

    id: str
    name: str
    channels: tuple[str, ...]
    reach: float
    """The part of the variant's users that arrives here."""
    lag_days: int
    """Days from entry to this step."""
    entries: int
    deleted_on: date | None
    """The first day without sends; None: the step exists."""

    @property
    def is_deleted(self) -> bool:
        """Whether the step is left out of details and, by default, of the series."""
        return self.deleted_on is not None

    def message_id(self, channel: str) -> str:
        """Return the id of the channel's message."""
        return id_of(self.id, channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One variant; a control group has no steps."""

    id: str
    name: str
    share: float
    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Canvas(SimulatedObject):
    """One canvas."""

    variants: tuple[Variant, ...]
    silent_on: date | None = None
    """The first day without messages; users still enter."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, including deleted ones."""
        return tuple(step for one in self.variants for step in one.steps)

    def sends_on(self, day: date) -> bool:
        """Return whether any message is sent on this day."""
        if self.silent_on is not None and day >= self.silent_on:
            return False
        return self.is_active_on(day)

    def variants_without(self, step_id: str, *, since: date) -> tuple[Variant, ...]:
        """Return the variants after the deletion of a step. KeyError: no such step."""
        if step_id not in {step.id for step in self.steps}:
            raise KeyError(step_id)
        return tuple(
            replace(
                variant,
                steps=tuple(
                    replace(step, deleted_on=since) if step.id == step_id else step
                    for step in variant.steps
                ),
            )
            for variant in self.variants
        )


def build_canvases(
    *,
    seed: int,
    first_day: date,
    size: int | None = None,
    active_fraction: float = 1.0,
    has_incidents: bool = True,
) -> tuple[Canvas, ...]:
    """Return the named canvases, then generated ones, `size` in all.

    Size None: the named ones only. `active_fraction` of the generated canvases, evenly
    spread, are entered; the others have figures of zero.
    """
    count = len(NAMED_CANVASES) if size is None else size
    specs = islice(_specs(seed, active_fraction), count)
    return tuple(
        build_canvas(
            spec if has_incidents else replace(spec, incident=None), seed, first_day
        )
        for spec in specs
    )


def build_canvas(spec: CanvasSpec, seed: int, first_day: date) -> Canvas:
    """Return the canvas as it is on `first_day`."""
    id_ = id_of(seed, "canvas", spec.name)
    is_silent = spec.incident is Incident.SILENCE
    return Canvas(
        **object_fields(spec, id_, first_day),
        variants=tuple(
            Variant(
                id=id_of(id_, position),
                name=variant.name,
                share=variant.share,
                steps=tuple(_steps(variant, id_of(id_, position), first_day)),
            )
            for position, variant in enumerate(spec.variants)
        ),
        silent_on=first_day - timedelta(days=SILENT_DAYS) if is_silent else None,
    )


def _specs(seed: int, active_fraction: float) -> Iterator[CanvasSpec]:
    yield from NAMED_CANVASES
    number = 0
    while True:
        is_active = is_active_number(number, active_fraction)
        number += 1
        chance = fraction_of(seed, "generated canvas", number)
        theme = THEMES[int(chance * 1e4) % len(THEMES)]
        audience = AUDIENCES[int(chance * 1e6) % len(AUDIENCES)]
        yield CanvasSpec(
            f"{theme} journey {number:05}, {audience}",
            300 + 9_000 * chance**3 if is_active else 0,
            SHAPES[int(chance * 1e8) % len(SHAPES)],
            tags=("generated",),
            age_days=10 + int(chance * 1e10) % 800,
        )


def _steps(variant: VariantSpec, variant_id: str, first_day: date) -> Iterator[Step]:
    reach, lag_days = 1.0, 0
    for position, step in enumerate(variant.steps):
        reach *= step.reach
        lag_days += step.delay_days
        deleted_on = None
        if step.deleted_days_ago is not None:
            deleted_on = first_day - timedelta(days=step.deleted_days_ago)
        yield Step(
            id=id_of(variant_id, position),
            name=step.name,
            channels=step.channels,
            reach=reach,
            lag_days=lag_days,
            entries=step.entries,
            deleted_on=deleted_on,
        )

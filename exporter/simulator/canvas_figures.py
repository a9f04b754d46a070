"""The figures of a canvas's day: the rows of `/canvas/data_series`."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from exporter.simulator.canvas_fleet import Canvas, Step, Variant
from exporter.simulator.day_conditions import (
    CounterKind,
    DayConditions,
    conditions,
    volume_on,
)
from exporter.simulator.objects import fraction_of
from exporter.simulator.stats import (
    COUNTERS,
    Counters,
    Stats,
    channel_stats,
    conversion_stats,
    reach_of,
)

# Opens of push are counted under other names than in campaigns.
_PUSH: Counters = (
    ("sent", CounterKind.VOLUME, 1.0),
    ("opens", CounterKind.RESPONSE, 0.036),
    ("influenced_opens", CounterKind.RESPONSE, 0.061),
    ("bounces", CounterKind.FAILURE, 0.006),
    ("body_clicks", CounterKind.RESPONSE, 0.031),
)
_DATED = "_by_entry_time"
# The others convert before the first message, or without one.
_ATTRIBUTED = 0.5
_CONTROL_RESPONSE = 0.8


class CanvasView(NamedTuple):
    """A canvas, and the parts of its days that a request includes."""

    canvas: Canvas
    has_variants: bool
    has_steps: bool
    has_deleted_steps: bool


def canvas_row(view: CanvasView, day: date, *, today: date, progress: float) -> Stats:
    """Return one element of `data.stats`.

    `progress` is the elapsed part of `today`, from 0 to 1; it is used only if `day` is
    `today`. Unused conversion events are absent; on days without entries and sends all
    numbers are zero, or in some canvases absent.
    """
    canvas = view.canvas
    if canvas.uses_null and day < canvas.created_on:
        row: Stats = {"time": day.isoformat(), "total_stats": {}}
        row |= {"variant_stats": None} if view.has_variants else {}
        return row | ({"step_stats": None} if view.has_steps else {})
    whole = conditions(canvas, day, today=today, progress=progress)
    variants = {one.id: _variant_stats(canvas, one, whole) for one in canvas.variants}
    row = {"time": day.isoformat(), "total_stats": _total(variants)}
    if view.has_variants:
        row["variant_stats"] = variants
    if view.has_steps:
        row["step_stats"] = {
            step.id: _step_stats(canvas, variant, step, day, whole)
            for variant in canvas.variants
            for step in variant.steps
            if view.has_deleted_steps or not step.is_deleted
        }
    return row


def _variant_stats(canvas: Canvas, variant: Variant, whole: DayConditions) -> Stats:
    part = whole.of_share(variant.share, response_factor=_response(variant))
    conversions = conversion_stats(part, events=canvas.conversion_events, dated=_DATED)
    return {"name": variant.name, "entries": int(part.volume), **conversions}


def _total(variants: dict[str, Stats]) -> Stats:
    """Return the sums over all variants, which include the control group."""
    rows = list(variants.values())
    return {
        name: round(sum(row[name] for row in rows), 2)
        for name in rows[0]
        if name != "name"
    }


def _response(variant: Variant) -> float:
    if not variant.steps:
        return _CONTROL_RESPONSE
    return 0.9 + 0.2 * fraction_of(variant.id, "appeal")


def _step_stats(
    canvas: Canvas, variant: Variant, step: Step, day: date, whole: DayConditions
) -> Stats:
    """Return a step's figures; conversions are those after its messages only."""
    volume = _arrivals(canvas, step, day) * variant.share * step.reach * whole.done
    users = whole.of_part(volume, response_factor=_response(variant))
    messaging = sum(bool(one.channels) for one in variant.steps) or 1
    attributed = _ATTRIBUTED / messaging if step.channels else 0.0
    conversions = conversion_stats(
        users.of_share(attributed), events=canvas.conversion_events, dated=_DATED
    )
    stats: Stats = {"name": step.name, **conversions}
    if step.channels:
        stats["messages"] = {
            channel: _entries(step, channel, users) for channel in step.channels
        }
    elif canvas.uses_null:
        stats["messages"] = None
    return stats


def _arrivals(canvas: Canvas, step: Step, day: date) -> float:
    """Return the users that entered so many days ago as it takes to this step."""
    is_deleted = step.deleted_on is not None and day >= step.deleted_on
    if is_deleted or not canvas.sends_on(day):
        return 0.0
    return volume_on(canvas, day - timedelta(days=step.lag_days))


def _entries(step: Step, channel: str, users: DayConditions) -> list[Stats]:
    counters = _PUSH if channel.endswith("_push") else COUNTERS[channel]
    part = users.of_share(reach_of(channel, step.channels) / step.entries)
    return [channel_stats(counters, part) for _ in range(step.entries)]

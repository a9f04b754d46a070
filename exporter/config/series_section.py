"""Parsing of the section `series`: series of the workspace that are polled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from exporter.config import option_values
from exporter.config.reader import Field, values
from exporter.config.series_options import (
    EVENT,
    KPIS,
    PURCHASES,
    PURCHASES_LEAST_SECONDS,
    SEGMENT,
    SERIES,
    UNITS,
)
from exporter.model.config import (
    Config,
    EventConfig,
    ObjectConfig,
    SegmentConfig,
    SeriesConfig,
)
from exporter.model.labels import LONGEST
from exporter.model.patterns import matcher

_PURCHASE_KINDS = {"revenue": "purchase_revenue", "quantity": "purchases"}


def parse(field: Field) -> SeriesConfig:
    """Return the section; a warning if it names no series."""
    section = field.section("a mapping such as {kpi: [dau], broadcasts: true}", SERIES)
    found = SeriesConfig(
        interval_seconds=section.read("interval", option_values.duration),
        kpi=section.read("kpi", partial(option_values.choices, known=KPIS)),
        sessions=section.read("sessions", option_values.boolean),
        purchases=section.read(
            "purchases", partial(option_values.choices, known=PURCHASES)
        ),
        segments=section.find("segments", _segments) or (),
        events=section.find("events", _events) or (),
        broadcasts=section.read("broadcasts", option_values.boolean),
        data_ingestion=section.read("data_ingestion", option_values.boolean),
        objects={},
    )
    found = found._replace(objects=_objects(found))
    if not found.objects:
        names = ", ".join(name for name in SERIES if name != "interval")
        field.warn(f"no series is named; expected at least one of {names}")
    return found


def warn_of_unselected(field: Field, config: Config) -> None:
    """Warn at `metrics` of daily counts that are polled, but that it leaves out."""
    is_selected = matcher(config.metrics.selection)
    daily = (*KPIS, "sessions", *_PURCHASE_KINDS.values())
    for number, one in enumerate(config.workspaces):
        left_out = [
            kind for kind in daily if one.series_of(kind) and not is_selected(kind)
        ]
        if left_out:
            field.warn(
                f"these patterns leave out {', '.join(left_out)}, which "
                f"workspaces[{number}].series names: polled, but not exported"
            )


def _segments(field: Field) -> tuple[SegmentConfig, ...]:
    parse_one = partial(_segment, ids={}, names={})
    return values(field.items("a list of segments"), parse_one)


def _segment(
    field: Field, *, ids: dict[str, Field], names: dict[str, Field]
) -> SegmentConfig:
    section = field.section(
        "a mapping such as {id: 9f0c2b1e-..., name: Newsletter readers}", SEGMENT
    )
    parse_id = partial(option_values.object_id, kind="segment", taken=ids)
    parse_name = partial(
        option_values.name, taken=names, most=LONGEST - len("segment ")
    )
    return SegmentConfig(
        section.find("id", parse_id) or "", section.find("name", parse_name) or ""
    )


def _events(field: Field) -> tuple[EventConfig, ...]:
    parse_one = partial(_event, taken={unit: {} for unit in UNITS})
    return values(field.items("a list of events"), parse_one)


def _event(field: Field, *, taken: Mapping[str, dict[str, Field]]) -> EventConfig:
    section = field.section("a mapping such as {name: order_placed}", EVENT)
    unit = section.read("unit", partial(option_values.choice, known=UNITS))
    parse_name = partial(
        option_values.name, taken=taken[unit], most=LONGEST - len("event  hour")
    )
    return EventConfig(section.find("name", parse_name) or "", unit)


def _objects(series: SeriesConfig) -> Mapping[str, tuple[ObjectConfig, ...]]:
    """Return what is polled, by the name of its kind."""
    interval = series.interval_seconds
    single = [
        *series.kpi,
        *(["sessions"] if series.sessions else []),
        *(["broadcasts"] if series.broadcasts else []),
        *(["data_ingestion"] if series.data_ingestion else []),
    ]
    found: dict[str, tuple[ObjectConfig, ...]]
    found = {kind: (ObjectConfig(kind, kind, interval),) for kind in single}
    for name in series.purchases:
        kind = _PURCHASE_KINDS[name]
        seconds = max(interval, PURCHASES_LEAST_SECONDS)
        found[kind] = (ObjectConfig(kind, kind, seconds),)
    found["segment"] = tuple(
        ObjectConfig(id_, name, interval, {"segment": name})
        for id_, name in series.segments
    )
    found["event"] = tuple(
        ObjectConfig(f"{unit}/{name}", name, interval, {"event": name, "unit": unit})
        for name, unit in series.events
    )
    return {kind: objects for kind, objects in found.items() if objects}

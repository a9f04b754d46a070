"""Events over graphs, off until chosen: alerts; starts, reloads and edits in Braze."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus

from grafana.generator import alerts, palette, promql, telemetry
from grafana.generator.promql import fold, select, union
from grafana.generator.variables import SOURCE

_OBJECT = ", ".join(promql.OBJECT)
_OF = {"campaign": promql.OF_CAMPAIGN, "canvas": promql.OF_CANVAS}
_SERIES = ("segment", "event", "integration")
"""Labels of alerts on series of the workspace."""


def events(kind: str) -> list[builders.AnnotationQuery]:
    """Return the annotations of a dashboard with a choice of this kind of object."""
    scope = _OF.get(kind, promql.OF_WORKSPACE)
    chosen = scope[-1] if kind in _OF else ""
    firing = alerts.about(chosen, states="firing")
    reloaded = select(
        "braze_exporter_config_last_reload_success_timestamp_seconds", promql.OF_JOB
    )
    edited = select("braze_(campaign|canvas)_last_edited_timestamp_seconds", scope)
    changes = (
        ("Exporter started", telemetry.process("process_start_time_seconds")),
        ("Configuration loaded", f"max by (instance) ({reloaded})"),
        ("Edited in Braze", f"max by ({_OBJECT}) ({fold(edited)})"),
    )
    # Each annotation has a switch in the header, which is one line.
    return [
        _shown(
            "Alerts",
            f"max by (alertname, {_OBJECT}, channel, {', '.join(_SERIES)}) ({firing})",
            title="{{alertname}}",
            text="{{workspace}} / {{campaign}}{{canvas}}"
            "{{segment}}{{event}}{{integration}} {{channel}}",
            colour=palette.VERMILLION,
        ),
        _shown(
            "Changes",
            union(
                *(
                    f'label_replace(1000 * {time}, "change", "{change}", "", "")'
                    for change, time in changes
                )
            ),
            title="{{change}}",
            text="{{instance}} {{workspace}} / {{campaign}}{{canvas}}",
            colour=palette.PURPLE,
            is_instant=True,
        ),
    ]


def _shown(
    name: str,
    expression: str,
    *,
    title: str,
    text: str,
    colour: str,
    is_instant: bool = False,
) -> builders.AnnotationQuery:
    """Return an annotation; the values of an instant one are its milliseconds."""
    target = prometheus.Dataquery().datasource(SOURCE).expr(expression).ref_id("Anno")
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(enable=False)
        .icon_color(colour)
        .target(target)
        .expr(expression)
        .title_format(title)
        .text_format(text)
        .use_value_for_time(use_value_for_time=is_instant)
    )

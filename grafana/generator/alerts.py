"""Firing and pending alerts of the rules of this project."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import links, palette, panels, promql, tables
from grafana.generator.layout import Drawn
from grafana.generator.panels import Query, property_
from grafana.generator.promql import OBJECT, select, union
from grafana.generator.tables import Column

_RUNBOOKS = (
    "https://github.com/braze-exporter/braze-exporter/blob/main/docs/runbooks/"
    "${__value.raw}.md"
)
"""As in the rules: the annotation with the address is no label of `ALERTS`."""
_NONE = "../alerts"
"""In place of the name of an alert: the link leads to the list of all."""
_UNINSTALLS = "BrazeUninstallSpike"
"""Has no label but the workspace."""
_KIND_WIDTH = 130
_UNKNOWN = -1
*_, _CHOSEN = promql.OF_CAMPAIGN
_SINCE = ("severity", "alertname", "channel", *OBJECT, "series")


def firing() -> Drawn:
    """Return the number of firing alerts."""
    return panels.stat(
        "Firing alerts",
        [Query(f"count({about(_CHOSEN, states='firing')}) or vector(0)")],
        description="Number of firing alerts of this project about the choice above, "
        "and about no campaign or canvas. Without its rules in Prometheus this is 0.",
        unit="short",
        thresholds=palette.steps((None, palette.PLAIN), (1, palette.VERMILLION)),
    )


def table() -> Drawn:
    """Return the table of alerts, with links to runbooks and to what they are about."""
    keys = ", ".join((*_SINCE, "alertstate"))
    alerts = _of_series(about(_CHOSEN, states="firing|pending"))
    alerts = f"count by ({keys}) ({alerts})"
    started = _of_series(about(_CHOSEN, family="ALERTS_FOR_STATE"))
    started = f"min by ({', '.join(_SINCE)}) ({started})"
    age = f"time() - 0 * {alerts} - on ({', '.join(_SINCE)}) group_left () {started}"
    none = f'label_replace(vector({_UNKNOWN}), "alertname", "{_NONE}", "", "")'
    return tables.table_of(
        "Firing and pending alerts",
        [
            Column(
                "Since",
                f"({age} or {_UNKNOWN} * {alerts}) or on () {none}",
                unit="s",
                decimals=0,
                mappings=panels.words((_UNKNOWN, "–", palette.PLAIN)),
            )
        ],
        keys=(
            *("severity", "alertname", "alertstate"),
            *("kind", "name", "channel", "workspace"),
        ),
        extra={
            "severity": [
                property_(
                    "mappings",
                    [
                        _text("critical", "critical", palette.VERMILLION),
                        _text("warning", "warning", palette.ORANGE),
                    ],
                ),
                property_("custom.cellOptions", {"type": "color-text"}),
            ],
            "alertname": [
                property_("mappings", [_text(_NONE, "nothing fires", palette.PLAIN)]),
                property_("links", [_runbook()]),
            ],
            "kind": [
                property_("links", [links.of_row()]),
                property_("custom.width", _KIND_WIDTH),
            ],
        },
        sort="Severity",
        is_ascending=True,
        description="Alerts of this project's rules in Prometheus about the choice "
        "above, and about no campaign or canvas; pending ones wait for their `for`. An "
        "alert leads to its runbook, a name to its campaign or canvas, that of a "
        "series to its workspace, a kind also to the exporter. Without the rules in "
        "Prometheus nothing fires.",
    )


def _runbook() -> dict[str, object]:
    return {"title": "Open the runbook", "url": _RUNBOOKS, "targetBlank": True}


def _text(value: str, text: str, colour: str) -> models.ValueMap:
    result = models.ValueMappingResult(text=text, color=colour, index=0)
    return models.ValueMap(options={value: result})


def about(chosen: str = "", *, family: str = "ALERTS", states: str = "") -> str:
    """Return alerts about the chosen objects, and those about no campaign and canvas.

    Without a choice all about the workspace. Alerts lack the labels of what they are
    not about.
    """
    matchers = (
        'alertname=~"Braze.*"',
        *([f'alertstate=~"{states}"'] if states else []),
        'job=~"$job|"',
        'workspace=~"$workspace|"',
    )
    if not chosen:
        return select(family, matchers)
    matchers = (*matchers, 'channel=~"$channel|"')
    return union(
        select(family, (*matchers, chosen)),
        select(family, (*matchers, 'campaign=""', 'canvas=""')),
    )


def firing_by(name: str, *by: str) -> str:
    """Return 1 for what an alert fires about, by labels and workspace."""
    matchers = (f'alertname="{name}"', 'alertstate="firing"', 'job=~"$job|"')
    found = select("ALERTS", (*matchers, 'workspace=~"$workspace"'))
    return f"max by ({', '.join(('workspace', *by))}) ({found})"


def _of_series(alerts: str) -> str:
    """Return alerts with what they are about as `series`, if it is of the workspace."""
    labels = '"segment", "event", "integration", "kind"'
    named = f'label_join({alerts}, "series", "", {labels})'
    return (
        f'label_replace({named}, "series", "uninstalls", "alertname", "{_UNINSTALLS}")'
    )

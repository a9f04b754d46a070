"""Dashboards as TypeScript with Grafana's official types, for its compiler.

Object literals may have only the properties of their type, which no check of JSON with
these types would refuse.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.dashboards.dashboard_json import Document, placed

PLUGINS = {
    "barchart": "BarChart",
    "bargauge": "BarGauge",
    "stat": "Stat",
    "statushistory": "StatusHistory",
    "table": "Table",
    "text": "Text",
    "timeseries": "TimeSeries",
}
WITH_FIELDS = ("barchart", "statushistory", "table", "timeseries")
"""Plugins that define settings of fields."""
HEAD = """\
import type * as grafana from "@grafana/schema";

/** A type as JSON: the values of its enumerations instead of their names. */
type Json<T> = T extends string ? `${T}`
  : T extends number ? (`${T}` extends `${infer N extends number}` ? N : T)
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
/** Grafana adds defaults of options that are left out. */
type Some<T> = T extends object ? { [K in keyof T]?: Some<T[K]> } : T;

type Dashboard = Json<
  Omit<grafana.Dashboard, "panels" | "templating" | "annotations">
>;
type Variable = Json<grafana.VariableModel> & OfVariables;
type Annotation = Json<grafana.AnnotationQuery<OfQueries>> & OfAnnotations;
type Panel = Json<Omit<grafana.Panel, "options" | "fieldConfig">>;
type Row = Json<Omit<grafana.RowPanel, "panels">>;
type Overrides = Json<Omit<grafana.FieldConfigSource, "defaults">>;
type Fields<Custom> =
  Some<Json<Omit<grafana.FieldConfig, "custom">> & { custom: Json<Custom> }>;
"""


def source(dashboards: Iterable[Document], *, extra: str) -> str:
    """Return a module with a constant for each part of these dashboards.

    `extra` declares what the types do not have: `OfVariables`, `OfAnnotations`,
    `OfOverrides` and `OfQueries`.
    """
    path = (
        "@grafana/schema/dist/esm/raw/composable/{0}/panelcfg/x/{1}PanelCfg_types.gen"
    )
    imports = [
        f'import type * as {key} from "{path.format(key, name)}";'
        for key, name in PLUGINS.items()
    ]
    lines = [HEAD, *imports, extra]
    for number, (type_, value) in enumerate(
        part for dashboard in dashboards for part in _parts(dashboard)
    ):
        text = json.dumps(value, indent=1, ensure_ascii=False)
        lines.append(f"export const part{number}: {type_} = {text};")
    return "\n".join(lines) + "\n"


def _parts(dashboard: Document) -> Iterator[tuple[str, object]]:
    """Yield parts with the names of their types."""
    yield (
        "Dashboard",
        _without(dashboard, "templating", "annotations", "panels"),
    )
    yield "{ list: Variable[] }", dashboard["templating"]
    yield "{ list: Annotation[] }", dashboard["annotations"]
    for panel in placed(dashboard):
        if panel["type"] == "row":
            yield "Row", _without(panel, "panels")
        else:
            yield from _parts_of_panel(panel)


def _parts_of_panel(panel: Document) -> Iterator[tuple[str, object]]:
    plugin = panel["type"].replace("-", "")
    custom = f"{plugin}.FieldConfig" if plugin in WITH_FIELDS else "never"
    config = panel["fieldConfig"]
    yield "Panel", _without(panel, "options", "fieldConfig")
    yield f"Some<Json<{plugin}.Options>>", panel["options"]
    yield "Overrides", _without(config, "defaults")
    yield f"Fields<{custom}>", config["defaults"]
    for override in config["overrides"]:
        yield f"Fields<{custom}> & OfOverrides", _nested(override["properties"])


def _without(document: Document, *keys: str) -> Document:
    return {key: value for key, value in document.items() if key not in keys}


def _nested(properties: list[Document]) -> Document:
    """Return the settings of an override as those of all fields are written."""
    nested: Document = {}
    for each in properties:
        *path, last = each["id"].split(".")
        inner: dict[str, Any] = nested
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = each["value"]
    return nested

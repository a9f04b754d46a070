"""The common settings of all dashboards, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.generator import promql
from grafana.generator.events import events
from grafana.generator.layout import Section, place
from grafana.generator.links import TAG, runbooks, siblings
from grafana.generator.variables import variables

SCHEMA_VERSION = 39
"""The newest classic model of Grafana 10; later versions read it."""

_SDK_KEYS = frozenset(
    {
        *("auto", "auto_count", "auto_min"),
        *("xTickLabelMaxLength", "xTickLabelRotation", "xTickLabelSpacing"),
        *("placement", "repeatDirection"),
        *("allowCustomValue", "percentChangeColorMode", "perPage", "footer"),
    }
)
"""Keys that the SDK always writes and no setting here needs.

The first are of variables of intervals. A longest label of 0 letters cuts every label
of a bar chart. Pre-releases of Grafana 11.1 draw a panel with `repeatDirection` in full
width. `placement` of links and annotations is unknown to older versions, as are the
last ones, but for the footer of tables, which newer versions do not have.
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    description: str
    sections: tuple[Section, ...]
    hidden: tuple[str, ...] = ("variation", "canvas")
    """Variables that only pass a choice to the next dashboard."""
    extra: tuple[builders.QueryVariable, ...] = ()
    """Variables of this dashboard alone."""
    since: str = "now-28d"
    """The start of the time range at first."""
    refresh: str = "5m"
    """The default interval of polls."""
    kind: str = "campaign"
    """The kind of the objects that can be chosen; those of a workspace: all."""
    is_of_one: bool = False
    """Whether it shows one campaign instead of all chosen ones."""
    has_runbooks: bool = False
    """Whether its header links to the runbooks, where there is room for it."""

    def render(self) -> str:
        """Return the JSON that Grafana loads; the output is deterministic."""
        built = (
            builders.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .readonly()
            .timezone("browser")
            .time(self.since, "now")
            .refresh(self.refresh)
            .variables(
                [*variables(*self.hidden, is_of_one=self.is_of_one), *self.extra]
            )
            .annotations([*events(self.kind)])
            .links([siblings(), *([runbooks()] if self.has_runbooks else [])])
        ).build()
        built.panels = place(self.sections)
        built.schema_version = SCHEMA_VERSION
        document = json.loads(
            json.dumps(built, cls=JSONEncoder), object_hook=without_sdk_keys
        )
        # Grafana assigns the number on load.
        document["id"] = None
        # A small indent: each dashboard has to fit into an annotation of its ConfigMap.
        text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        return text.replace(*promql.OF_ONE) if self.is_of_one else text


def without_sdk_keys(document: dict[str, object]) -> dict[str, object]:
    """Return an object of the JSON without keys that only the SDK writes."""
    dropped = set(_SDK_KEYS)
    if "displayMode" in document:
        # The place of a legend is a choice.
        dropped.remove("placement")
    if "namePlacement" in document:
        # Bar gauges of older versions have no legend.
        dropped.add("legend")
    return {key: value for key, value in document.items() if key not in dropped}


def by_file(pages: Iterable[Page]) -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{page.uid}.json": page.render() for page in pages}

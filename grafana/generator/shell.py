"""The common settings of all dashboards, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.generator.layout import Section, place
from grafana.generator.links import TAG, siblings
from grafana.generator.variables import variables

SCHEMA_VERSION = 39
"""The newest classic model of Grafana 10; later versions read it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    description: str
    sections: tuple[Section, ...]
    hidden: tuple[str, ...] = ("canvas",)
    """Variables that only pass a choice to the next dashboard."""
    extra: tuple[builders.QueryVariable, ...] = ()
    """Variables of this dashboard alone."""
    since: str = "now-24h"
    """The start of the time range at first."""

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
            .refresh("1m")
            .variables([*variables(*self.hidden), *self.extra])
            .link(siblings())
        ).build()
        built.panels = place(self.sections)
        built.schema_version = SCHEMA_VERSION
        document = json.loads(json.dumps(built, cls=JSONEncoder))
        # Grafana assigns the number on load.
        document["id"] = None
        _drop_defaults(document)
        # A small indent: each dashboard has to fit into an annotation of its ConfigMap.
        return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _drop_defaults(document: dict[str, Any]) -> None:
    """Remove defaults of the SDK that some versions of Grafana do not know or obey."""
    for link in document["links"]:
        link.pop("placement", None)
    for variable in document["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for heading in document["panels"]:
        for panel in (heading, *heading.get("panels", ())):
            # It widens a panel to all columns in early versions of Grafana 11.
            panel.pop("repeatDirection", None)


def by_file(pages: Iterable[Page]) -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{page.uid}.json": page.render() for page in pages}

"""The common settings of all dashboards, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

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
        for link in document["links"]:
            # Older versions do not know the field; its default is above the panels.
            link.pop("placement", None)
        # A small indent: each dashboard has to fit into an annotation of its ConfigMap.
        return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def by_file(pages: Iterable[Page]) -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{page.uid}.json": page.render() for page in pages}

"""What all five dashboards have in common, and their way to bytes."""

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
"""The newest classic model that Grafana 10 writes; later ones read it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    says: str
    sections: tuple[Section, ...]
    hidden: tuple[str, ...] = ()

    def render(self) -> str:
        """Return the JSON that Grafana loads; the same page gives the same text."""
        built = (
            builders.Dashboard(self.title)
            .uid(self.uid)
            .description(self.says)
            .tags([TAG])
            .readonly()
            .timezone("browser")
            .time("now-24h", "now")
            .refresh("1m")
            .variables(list(variables(*self.hidden)))
            .link(siblings())
        ).build()
        built.panels = place(self.sections)
        built.schema_version = SCHEMA_VERSION
        document = json.loads(json.dumps(built, cls=JSONEncoder))
        # The number is given by the Grafana that loads it.
        document["id"] = None
        for link in document["links"]:
            # Above the panels, and not in the menu that newer versions have.
            link.pop("placement", None)
        # Indented by little: as a ConfigMap each has to fit into an annotation.
        return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def by_file(pages: Iterable[Page]) -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{page.uid}.json": page.render() for page in pages}

"""The dashboards as Grafana reads them: panels, queries, and filled variables."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from tests.paths import ROOT

GRAFANA = ROOT / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
NAMES = [path.stem for path in FILES]
VARIABLES = (
    *("datasource", "job", "workspace", "channel"),
    *("campaigns", "campaign", "variation", "canvas"),
)
EXTRA = {"braze-canvas": ("baseline",)}
"""Variables of one dashboard, after the others."""
Document = dict[str, Any]

_VARIABLE = re.compile(
    r"\$(?:\{(?P<braced>\w+)(?::(?P<format>[\w:]+))?\}|(?P<bare>\w+))"
)
SELECTOR = re.compile(
    r"(?P<name>\b[a-zA-Z_][\w:]*)?(?<!\$)\{(?P<matchers>(?:[^}`\"]|\"[^\"]*\"|`[^`]*`)*)\}"
)
_MATCHER = re.compile(
    r"(?P<label>\w+)(?P<operator>=~|!~|!=|=)(?P<value>\"[^\"]*\"|`[^`]*`)"
)


@cache
def load(name: str) -> Document:
    """Return a dashboard as it is committed."""
    text = (GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8")
    document: Document = json.loads(text)
    return document


def panels(*names: str) -> list[Document]:
    """Return the panels of these dashboards, or of all, without headings."""
    return [
        panel
        for name in names or NAMES
        for panel in placed(load(name))
        if panel["type"] != "row"
    ]


def placed(document: Document) -> list[Document]:
    """Return headings and panels, also those of collapsed headings."""
    return [
        one for panel in document["panels"] for one in (panel, *panel.get("panels", []))
    ]


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of a panel."""

    dashboard: str
    panel: str
    letter: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.letter}"


def queries(*names: str) -> list[PanelQuery]:
    """Return every query of every panel of these dashboards, or of all."""
    return [
        PanelQuery(name, panel["title"], target["refId"], target["expr"])
        for name in names or NAMES
        for panel in panels(name)
        for target in panel.get("targets", [])
    ]


def expression(dashboard: str, panel: str, letter: str = "A") -> str:
    """Return the query of a panel."""
    found = {(one.panel, one.letter): one.expression for one in queries(dashboard)}
    return found[panel, letter]


@dataclass(frozen=True, slots=True)
class Selector:
    """A family, or a pattern of families, with its unquoted matchers."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def values(self, label: str) -> list[str]:
        """Return the values in the matchers of a label."""
        return [value for name, _, value in self.matchers if name == label]


def selectors(expression: str) -> Iterator[Selector]:
    """Find all selectors; in the dashboards all have braces."""
    for found in SELECTOR.finditer(expression):
        matchers = tuple(
            (matcher["label"], matcher["operator"], matcher["value"][1:-1])
            for matcher in _MATCHER.finditer(found["matchers"])
        )
        if found["name"]:
            yield Selector(found["name"], matchers)
        else:
            (_, _, pattern), *others = matchers
            yield Selector(pattern, tuple(others))


def filled(expression: str, chosen: Mapping[str, str | Sequence[str]]) -> str:
    """Return a query as Grafana sends it, with All for other variables.

    A variable has one value or several; a chosen campaign is also the choice of the
    dashboards of several. `$1` of a replacement is kept. KeyError: an unknown variable,
    which Grafana would not replace.
    """

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["bare"]
        if name == "__rate_interval":
            return "1m"
        if name == "__to":
            return str(chosen.get(name, int(time.time())))
        if found["bare"] and name.isdigit():
            return found[0]
        if name not in {*VARIABLES, *chain.from_iterable(EXTRA.values())}:
            raise KeyError(name)
        if name == "campaigns" and name not in chosen:
            name = "campaign"
        if name not in chosen:
            return ".*"
        some = chosen[name]
        texts = [
            _escaped(text, is_regex=found["format"] == "regex")
            for text in ([some] if isinstance(some, str) else some)
        ]
        return texts[0] if len(texts) == 1 else f"({'|'.join(texts)})"

    return _VARIABLE.sub(value, expression)


def _escaped(text: str, *, is_regex: bool) -> str:
    """Escape like Grafana: the format `regex`, or the default in a PromQL string."""
    if is_regex:
        return re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", text)
    doubled = text.replace("\\", "\\\\\\\\")
    return re.sub(r"[$^*{}\[\]+?.()|]", r"\\\\\g<0>", doubled)

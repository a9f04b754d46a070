"""The dashboards as Grafana reads them: panels, queries, and filled variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.paths import ROOT

GRAFANA = ROOT / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
NAMES = [path.stem for path in FILES]

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|(?P<bare>\w+))")
_SELECTOR = re.compile(
    r"(?P<name>[a-zA-Z_]\w*)\{(?P<matchers>(?:[^}`\"]|\"[^\"]*\"|`[^`]*`)*)\}"
)
_MATCHER = re.compile(
    r"(?P<label>\w+)(?P<operator>=~|!~|!=|=)(?P<value>\"[^\"]*\"|`[^`]*`)"
)
_RATE_INTERVAL = "1m"
_NAMES = ("datasource", "job", "workspace", "channel", "campaign", "variation")


def load(name: str) -> dict[str, Any]:
    """Return a dashboard as it is committed."""
    text = (GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def panels(name: str) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without its headings."""
    return [panel for panel in load(name)["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of a panel."""

    dashboard: str
    panel: str
    letter: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.letter}"


def queries(name: str) -> list[Asked]:
    """Return every query of every panel."""
    return [
        Asked(name, panel["title"], target["refId"], target["expr"])
        for panel in panels(name)
        for target in panel.get("targets", [])
    ]


@dataclass(frozen=True, slots=True)
class Selector:
    """A family with its unquoted matchers."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def values(self, label: str) -> list[str]:
        """Return the values in the matchers of a label."""
        return [value for name, _, value in self.matchers if name == label]


def selectors(expression: str) -> Iterator[Selector]:
    """Find all selectors; in the dashboards all have braces."""
    for found in _SELECTOR.finditer(expression):
        matchers = tuple(
            (matcher["label"], matcher["operator"], matcher["value"][1:-1])
            for matcher in _MATCHER.finditer(found["matchers"])
        )
        yield Selector(found["name"], matchers)


def filled(expression: str, chosen: Mapping[str, str]) -> str:
    """Return a query as Grafana sends it, with All for other variables.

    `$1` of a replacement is kept. KeyError: an unknown variable, which Grafana would
    not replace.
    """

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["bare"]
        if name == "__rate_interval":
            return _RATE_INTERVAL
        if found["bare"] and name.isdigit():
            return found[0]
        if name not in _NAMES:
            raise KeyError(name)
        if name not in chosen:
            return ".*"
        return _escaped(chosen[name], is_regex=found["format"] == "regex")

    return _VARIABLE.sub(value, expression)


def _escaped(text: str, *, is_regex: bool) -> str:
    """Escape like Grafana: the format `regex`, or the default in a PromQL string."""
    if is_regex:
        return re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", text)
    doubled = text.replace("\\", "\\\\\\\\")
    return re.sub(r"[$^*{}\[\]+?.()|]", r"\\\\\g<0>", doubled)

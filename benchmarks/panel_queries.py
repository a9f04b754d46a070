"""The queries of the dashboards as Grafana sends them: choices, times and steps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Document = dict[str, Any]
Choose = Callable[[str, str], str]
"""Returns a value of a label among the series of a selector: (selector, label)."""

_FILES = Path(__file__).parent.parent / "grafana" / "dashboards"
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::[\w:]+)?\}|(?P<bare>[a-zA-Z_]\w*))")
_CHOICES = re.compile(r"label_values\(\w*(?P<selector>\{.+\}), (?P<label>\w+)\)")
_SPECIAL = re.compile(r"[\\^$*+?.()|[\]{}/]")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ALL = ".*"
_RATE_INTERVAL = "2m"
_POINTS = 1000
"""Of a graph: about its width in pixels."""
_LEAST_STEP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """A query of a panel; a step of 0 is an instant query."""

    panel: str
    letter: str
    expression: str
    range_seconds: float
    step_seconds: float


def names() -> list[str]:
    """Return the dashboards."""
    return sorted(file.stem for file in _FILES.glob("*.json"))


def title(name: str) -> str:
    """Return the title of a dashboard."""
    return str(_document(name)["title"]).removeprefix("Braze / ")


def queries(name: str, *, choose: Choose, now: float) -> list[PanelQuery]:
    """Return the queries of all panels, those of closed rows too.

    Variables that allow All have All; the others have one value.
    """
    document = _document(name)
    chosen = {**_choices(document, choose), "__to": f"{now:.0f}"}
    found = []
    for panel in _panels(document):
        start = panel.get("timeFrom") or document["time"]["from"]
        seconds = _range_seconds(start, now=now)
        found += [
            PanelQuery(
                panel["title"],
                target["refId"],
                filled(target["expr"], chosen),
                seconds,
                _step(panel, target, seconds=seconds) if target["range"] else 0,
            )
            for target in panel.get("targets", [])
        ]
    return found


def filled(expression: str, chosen: Mapping[str, str]) -> str:
    """Return a query with values of its variables; KeyError: an unknown variable."""

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["bare"]
        return _RATE_INTERVAL if name == "__rate_interval" else chosen[name]

    return _VARIABLE.sub(value, expression)


def _document(name: str) -> Document:
    document: Document = json.loads((_FILES / f"{name}.json").read_text("utf-8"))
    return document


def _panels(document: Document) -> Iterator[Document]:
    for panel in document["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else [panel]


def _choices(document: Document, choose: Choose) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for variable in document["templating"]["list"]:
        if variable["type"] != "query":
            continue
        chosen[variable["name"]] = _ALL
        if not variable["includeAll"]:
            found = _CHOICES.fullmatch(variable["query"])
            if found is None:
                message = f"unknown form: {variable['query']}"
                raise ValueError(message)
            one = choose(filled(found["selector"], chosen), found["label"])
            chosen[variable["name"]] = _SPECIAL.sub(r"\\\g<0>", one)
    return chosen


def _step(panel: Document, target: Document, *, seconds: float) -> float:
    least = target.get("interval") or panel.get("interval")
    return max(
        _seconds(least) if least else _LEAST_STEP_SECONDS,
        seconds / (panel.get("maxDataPoints") or _POINTS),
    )


def _range_seconds(start: str, *, now: float) -> float:
    if start == "now/d":
        return now % _UNITS["d"]
    return _seconds(start.removeprefix("now-"))


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * _UNITS[duration[-1]]

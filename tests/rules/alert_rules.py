"""The rule files as tests read them: rules, expressions, metrics and labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml

from tests.paths import ROOT

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|\[[\w:]+\]')
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_OF_KINDS = re.compile(r'__name__=~"(\w*)\(([\w|]+)\)(\w*)"')


@dataclass(frozen=True)
class Rule:
    """One rule; its name is that of `record` or `alert`."""

    name: str
    is_alert: bool
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    group: str
    duration: str
    """The `for` of an alert."""

    @cached_property
    def code(self) -> str:
        """The expression without comments and ranges, and with empty strings."""
        return _TEXT.sub(
            lambda found: '""' if found[0][0] == '"' else "", self.expression
        )

    def metrics_of_kinds(self) -> set[str]:
        """Return the metrics that selectors of several kinds of objects name."""
        return {
            f"{start}{kind}{end}"
            for start, kinds, end in _OF_KINDS.findall(self.expression)
            for kind in kinds.split("|")
        }

    def metrics(self) -> Iterator[tuple[str, int]]:
        """Yield every metric with its position in the code, recognised by its name."""
        for found in _WORD.finditer(self.code):
            word = found[0]
            if ":" in word or word == "up" or re.match("braze_|process_|scrape_", word):
                yield word, found.start()

    def label_names(self) -> set[str]:
        """Return the labels in matchers and groupings."""
        matched = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", self.code)
        clauses = r"\b(?:without|by|on|ignoring|group_left)\s*\(([^)]*)\)"
        grouped = re.findall(clauses, self.code)
        return {*matched, *(name for text in grouped for name in _WORD.findall(text))}


def files() -> list[Path]:
    """Return the rule files."""
    return sorted((ROOT / "grafana/rules").glob("*.yaml"))


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules of all files."""
    return tuple(
        Rule(
            name=rule.get("alert") or rule["record"],
            is_alert="alert" in rule,
            expression=str(rule["expr"]),
            labels=rule.get("labels", {}),
            annotations=rule.get("annotations", {}),
            group=group["name"],
            duration=rule.get("for", ""),
        )
        for file in files()
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    )


def alerts() -> list[Rule]:
    """Return the alerts, one for each severity."""
    return [rule for rule in rules() if rule.is_alert]


def scaled(text: str, *, duration: str) -> str:
    """Return a rule file with `for` and `keep_firing_for` set to a duration."""
    return re.sub(r"(\b(?:for|keep_firing_for)): \w+", rf"\1: {duration}", text)

"""The rule files as tests read them: rules, expressions, and what these speak of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml

from tests.paths import ROOT

FOLD = r"(max|min) without \(instance, pod, container, endpoint, node"
"""How replicas are folded; a rule may leave out more labels in the same step."""
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*')
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass(frozen=True)
class Rule:
    """One rule; `record` or `alert` names it."""

    name: str
    is_alert: bool
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    group: str
    duration: str
    """How long an alert is pending, as it is written."""

    @cached_property
    def code(self) -> str:
        """The expression without comments, and with texts emptied."""
        return _TEXT.sub(
            lambda found: '""' if found[0][0] == '"' else "", self.expression
        )

    def metrics(self) -> Iterator[tuple[str, int]]:
        """Yield every metric with its place in the code.

        Ours, `up`, and those of recording rules are recognised by their spelling.
        """
        for found in _WORD.finditer(self.code):
            word = found[0]
            if ":" in word or word == "up" or re.match("braze_|process_|scrape_", word):
                yield word, found.start()

    def label_names(self) -> set[str]:
        """Return the labels that matchers and groupings name."""
        matched = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", self.code)
        clauses = r"\b(?:without|by|on|ignoring|group_left)\s*\(([^)]*)\)"
        grouped = re.findall(clauses, self.code)
        return {*matched, *(name for text in grouped for name in _WORD.findall(text))}

    def is_folded(self, place: int) -> bool:
        """Whether what stands at this place of the code is inside a fold."""
        opened: list[int] = []
        for position, character in enumerate(self.code[:place]):
            if character == "(":
                opened.append(position)
            elif character == ")":
                opened.pop()
        heads = (self.code[:position].rstrip() for position in opened)
        return any(re.search(FOLD + r"[a-z_, ]*\)$", head) for head in heads)


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
    """Return a rule file whose alerts wait for so long only, before and after."""
    return re.sub(r"(\b(?:for|keep_firing_for)): \w+", rf"\1: {duration}", text)

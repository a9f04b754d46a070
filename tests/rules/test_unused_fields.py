"""Alerts with `metrics.skip_unused`: unused fields are absent instead of 0."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.paths import ROOT
from tests.rules.alert_rules import files
from tests.rules.promtool import outcomes_of_documents

Program = Callable[[str], str]
pytestmark = pytest.mark.slow
NAMES = sorted(one.stem for one in (ROOT / "tests/rules").glob("Braze*.yaml"))
_OF_DAYS = re.compile(
    r"braze_(?:campaign|canvas)_\w*(daily|last_complete_day|trailing)\{(.*)\}"
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ZEROS = re.compile(r"(?:-?0(?:[+-]0)?(?:x\d+)?|_(?:x\d+)?|stale)(?:\s+|$)")


def situations(name: str) -> dict[str, Any]:
    """Return the situations of an alert with unused fields, without these."""
    document: dict[str, Any] = yaml.safe_load(
        (ROOT / f"tests/rules/{name}.yaml").read_text()
    )
    document["rule_files"] = [str(file) for file in files()]
    for group in document["tests"]:
        unused = {one["series"] for one in _unused(group["input_series"])}
        group["input_series"] = [
            one for one in group["input_series"] if one["series"] not in unused
        ]
        group["has_unused"] = bool(unused)
    # Each situation takes its time: the others are tested as they are elsewhere.
    document["tests"] = [one for one in document["tests"] if one.pop("has_unused")]
    return document


def _unused(series: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the series of fields that are 0 in all of an object's numbers.

    A field that has sums only is a placeholder for those that a window has in any case.
    """
    of_fields: dict[tuple[str | None, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in series:
        if found := _OF_DAYS.fullmatch(one["series"]):
            labels = dict(_LABEL.findall(found[2]))
            about = ("job", "instance", "workspace", "campaign", "canvas", "metric")
            if "metric" in labels:
                of_fields[tuple(map(labels.get, about))].append(one)
    for each in of_fields.values():
        is_of_days = any("_trailing{" not in one["series"] for one in each)
        if is_of_days and all(_is_zero(str(one["values"])) for one in each):
            yield from each


def _is_zero(values: str) -> bool:
    return not _ZEROS.sub("", values).strip()


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, str], str]]:
    """Return promtool's output by the name of an alert, if it has such situations."""
    found = {name: situations(name) for name in NAMES}
    documents = {name: one for name, one in found.items() if one["tests"]}
    assert len(documents) > 10
    folder = tmp_path_factory.mktemp("unused")
    with outcomes_of_documents(documents, folder) as outcome:
        yield (
            lambda promtool, name: outcome(promtool, name) if name in documents else ""
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_same_alerts_fire_without_unused_fields(
    program: Program, outcomes: Callable[[str, str], str], name: str
) -> None:
    assert outcomes(program("promtool"), name) == ""

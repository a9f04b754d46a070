"""Typed access to YAML that collects all problems."""

from __future__ import annotations

import pytest
from exporter.config import yaml_tree
from exporter.config.option import OPTIONAL, REQUIRED, Option
from exporter.config.reader import Field, Findings, values

OPTIONS = {"size": Option("1"), "name": REQUIRED, "note": OPTIONAL}


def read_size(field: Field) -> int:
    return field.amount(int)


@pytest.fixture
def findings() -> Findings:
    return Findings("c.yaml", [])


def field_of(text: str, findings: Findings) -> Field:
    return Field(yaml_tree.compose(text, file="c.yaml")[0], "", findings)


def test_an_option_that_is_not_set_has_its_default(findings: Findings) -> None:
    section = field_of("name: a", findings).section("a mapping", OPTIONS)

    assert section.read("size", read_size) == 1
    assert section.find("note", Field.text) is None
    assert findings.problems == []


def test_an_invalid_option_has_its_default_and_a_problem(findings: Findings) -> None:
    section = field_of("name: a\nsize: b", findings).section("a mapping", OPTIONS)

    assert section.read("size", read_size) == 1
    assert [str(problem) for problem in findings.problems] == [
        "c.yaml:2: size: expected a number without quotes, found text"
    ]


def test_a_missing_option_has_its_path_and_the_line_of_the_section(
    findings: Findings,
) -> None:
    section = field_of("size: 2", findings).section("a mapping", OPTIONS)

    assert section.find("name", Field.text) is None
    assert [str(problem) for problem in findings.problems] == [
        "c.yaml:1: name: this option is required but missing"
    ]


def test_a_list_is_parsed_without_its_invalid_items(findings: Findings) -> None:
    items = field_of("[1, b, 3]", findings).items("a list")

    assert values(items, read_size) == (1, 3)
    assert [problem.path for problem in findings.problems] == ["[1]"]


def test_a_plain_text_has_a_maximum_length(findings: Findings) -> None:
    with pytest.raises(ValueError, match="a single line of at most 1000 characters"):
        field_of("a" * 1001, findings).plain_text()


@pytest.mark.parametrize("name", ["api_key", "API-Key", "apikey", "token"])
def test_an_api_key_in_the_file_is_an_error(name: str, findings: Findings) -> None:
    field_of(f"{name}: hunter2", findings).section("a mapping", OPTIONS)

    (problem,) = findings.problems
    assert "an API key does not belong in the configuration" in problem.message
    assert "hunter2" not in repr(problem)

"""Typed reading that goes on after a mistake."""

from __future__ import annotations

import pytest
from exporter.config import yaml_tree
from exporter.config.reader import OPTIONAL, REQUIRED, Field, Findings, values

OPTIONS = {"size": "1", "name": REQUIRED, "note": OPTIONAL}


def read_size(field: Field) -> int:
    """Read a number of this test."""
    return field.amount(int)


@pytest.fixture
def findings() -> Findings:
    """Return a place for problems."""
    return Findings("c.yaml", [])


def field_of(text: str, findings: Findings) -> Field:
    """Return the field of a text."""
    return Field(yaml_tree.compose(text, file="c.yaml")[0], "", findings)


def test_what_is_not_there_takes_its_default(findings: Findings) -> None:
    """A default is read as the text that the schema's table shows."""
    section = field_of("name: a", findings).section("a mapping", OPTIONS)

    assert section.read("size", read_size) == 1
    assert section.find("note", Field.text) is None
    assert findings.problems == []


def test_what_is_wrong_takes_its_default_and_is_noted(findings: Findings) -> None:
    """Reading goes on, so that all problems come at once."""
    section = field_of("name: a\nsize: b", findings).section("a mapping", OPTIONS)

    assert section.read("size", read_size) == 1
    assert [str(problem) for problem in findings.problems] == [
        "c.yaml:2: size: expected a number without quotes, found text"
    ]


def test_what_is_required_is_noted_where_it_would_stand(findings: Findings) -> None:
    """A missing option has a path of its own and the line of its section."""
    section = field_of("size: 2", findings).section("a mapping", OPTIONS)

    assert section.find("name", Field.text) is None
    assert [str(problem) for problem in findings.problems] == [
        "c.yaml:1: name: this key is required and missing"
    ]


def test_a_list_goes_on_after_a_wrong_item(findings: Findings) -> None:
    """The values that can be read are, and each other is told with its place."""
    items = field_of("[1, b, 3]", findings).items("a list")

    assert values(items, read_size) == (1, 3)
    assert [problem.path for problem in findings.problems] == ["[1]"]


def test_a_plain_text_fits_in_a_message(findings: Findings) -> None:
    """A path or URL of endless length is refused, as it could be repeated."""
    with pytest.raises(ValueError, match="at most 1000 characters in one line"):
        field_of("a" * 1001, findings).plain_text()


@pytest.mark.parametrize("name", ["api_key", "API-Key", "apikey", "token"])
def test_a_key_in_the_configuration_is_told_where_it_goes(
    name: str, findings: Findings
) -> None:
    """Whoever writes the key itself is told about the variable and the file."""
    field_of(f"{name}: hunter2", findings).section("a mapping", OPTIONS)

    (problem,) = findings.problems
    assert "a key never stands in the configuration" in problem.message
    assert "hunter2" not in repr(problem)

"""YAML text and its tree of nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from exporter.config import yaml_tree
from exporter.config.yaml_tree import Mapping, MappingEntry, Scalar
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.config.invalid_files import InvalidFile, invalid_files

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]

yaml_like = st.lists(
    st.sampled_from(
        [*"abc[]{}:,-?!&*#|>'\"%@`\n\t\\ \x00\ufeff\ud800é", "- ", ": ", "\n  ", "\\U"]
    ),
    max_size=40,
).map("".join)


def problems_of(text: str, loader: type) -> list[Problem]:
    try:
        return yaml_tree.compose(text, file="c.yaml", loader=loader)[1]
    except ConfigError as error:
        return list(error.problems)


def test_the_first_of_two_equal_keys_is_kept() -> None:
    tree, problems = yaml_tree.compose("a: {b: 1,\n  b: 2}\n", file="c.yaml")

    assert isinstance(tree, Mapping)
    assert tree.entries["a"].node == Mapping(
        1, {"b": MappingEntry(1, Scalar(1, "int", "1"))}
    )
    assert [str(problem) for problem in problems] == [
        "c.yaml:2: a.b: duplicate key, set in line 1 already"
    ]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 5_000, "a: " + "{a: " * 5_000, "? " * 5_000]
)
def test_deep_nesting_is_an_error(loader: type, text: str) -> None:
    with pytest.raises(ConfigError, match="nested deeper than 20 levels"):
        yaml_tree.compose(text, file="c.yaml", loader=loader)


@pytest.mark.parametrize("loader", LOADERS)
def test_an_invalid_character_escape_is_an_error(loader: type) -> None:
    with pytest.raises(ConfigError, match=r"^c.yaml:\d: invalid YAML: "):
        yaml_tree.compose('"\\UFFFFFFFF": 1', file="c.yaml", loader=loader)


@pytest.mark.parametrize(
    "case",
    [one for one in invalid_files() if one.name.startswith("yaml_")],
    ids=lambda case: case.name,
)
def test_both_loaders_cause_the_same_messages(case: InvalidFile) -> None:
    first, *others = (problems_of(case.text, loader) for loader in LOADERS)

    assert all(other == first for other in others)


def test_a_syntax_error_is_reported_with_the_problems_before_it() -> None:
    with pytest.raises(ConfigError) as caught:
        yaml_tree.compose("0:\n  ! a\n]", file="c.yaml")

    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]


@pytest.mark.parametrize("loader", LOADERS)
@given(text=st.text() | yaml_like)
def test_any_text_gives_a_tree_or_problems(loader: type, text: str) -> None:
    problems = problems_of(text, loader)

    assert all(problem.line >= 1 for problem in problems)
    assert all(problem.file == "c.yaml" for problem in problems)


@given(st.dictionaries(st.from_regex("[a-z]{1,9}", fullmatch=True), st.text()))
def test_dumped_strings_are_parsed_as_strings(texts: dict[str, str]) -> None:
    tree, problems = yaml_tree.compose(yaml_tree.dump(texts), file="c.yaml")

    assert isinstance(tree, Mapping)
    read = {name: entry.node for name, entry in tree.entries.items()}
    assert all(isinstance(node, Scalar) and node.tag == "str" for node in read.values())
    assert {name: node.text for name, node in read.items()} == texts  # type: ignore[union-attr]
    assert problems == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("interval", "interval"),
        ("cost-centre", "cost-centre"),
        ("two words", "?"),
        ("a" * 61, "?"),
        ("a1b2c3d4-8fa0-4c9b-a5c0-4505edf3e064", "?"),
        ("a1b2c3d48fa04c9ba5c04505edf3e064", "?"),
    ],
)
def test_messages_contain_only_plain_names(name: str, shown: str) -> None:
    assert yaml_tree.shown(name) == shown


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=9)


@given(
    names=st.dictionaries(st.from_regex("[a-z]{1,9}", fullmatch=True), texts),
    form=st.sampled_from([{}, {"indent": "\t"}, {"separators": (",", ":")}]),
    is_ascii=st.booleans(),
)
@example({"a": "\U0001f334", "b": "\\ud83c\\udf34 \\/"}, {}, True)
@example({"a": "\x7f\x85\u2028\u2029"}, {}, False)
def test_json_is_a_configuration(
    names: dict[str, str], form: dict[str, Any], is_ascii: bool
) -> None:
    """With surrogate pairs, escaped slashes and tabs, which YAML does not have."""
    text = json.dumps(names, ensure_ascii=is_ascii, **form).replace("/", "\\/")

    tree, problems = yaml_tree.compose(text, file="c.json")

    assert isinstance(tree, Mapping)
    assert not problems
    read = {name: entry.node for name, entry in tree.entries.items()}
    assert {name: node.text for name, node in read.items()} == names  # type: ignore[union-attr]

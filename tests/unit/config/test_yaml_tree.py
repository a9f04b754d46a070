"""YAML text and the tree of it."""

from __future__ import annotations

import pytest
import yaml
from exporter.config import yaml_tree
from exporter.config.yaml_tree import Mapping, MappingEntry, Scalar, Sequence
from exporter.model.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]

yaml_like = st.lists(
    st.sampled_from(
        [*"abc[]{}:,-?!&*#|>'\"%@`\n\t\\ \x00\ufeff\ud800é", "- ", ": ", "\n  ", "\\U"]
    ),
    max_size=40,
).map("".join)


def test_a_tree_knows_the_line_of_every_value() -> None:
    """Keys and values tell their lines, counted from one."""
    tree, problems = yaml_tree.compose("a:\n  - 1\n  - two\nb: ''\n", file="c.yaml")

    assert isinstance(tree, Mapping)
    assert tree.entries["a"] == (
        1,
        Sequence(2, [Scalar(2, "int", "1"), Scalar(3, "str", "two")]),
    )
    assert tree.entries["b"] == (4, Scalar(4, "str", ""))
    assert problems == []


def test_the_first_of_two_equal_keys_is_kept() -> None:
    """A duplicate key is told with its path, and reading goes on."""
    tree, problems = yaml_tree.compose("a: {b: 1,\n  b: 2}\n", file="c.yaml")

    assert isinstance(tree, Mapping)
    assert tree.entries["a"].node == Mapping(
        1, {"b": MappingEntry(1, Scalar(1, "int", "1"))}
    )
    assert [str(problem) for problem in problems] == [
        "c.yaml:2: a.b: this key is already in line 1; expected it only once"
    ]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 5_000, "a: " + "{a: " * 5_000, "? " * 5_000]
)
def test_no_depth_overflows(loader: type, text: str) -> None:
    """Nesting ends in a problem long before it ends in a crash."""
    with pytest.raises(ConfigError, match="nested deeper than 20 levels"):
        yaml_tree.compose(text, file="c.yaml", loader=loader)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_character_that_does_not_exist_is_a_problem(loader: type) -> None:
    """An escape beyond Unicode is refused, whichever loader meets it."""
    with pytest.raises(ConfigError, match=r"^c.yaml:\d: this is not YAML: "):
        yaml_tree.compose('"\\UFFFFFFFF": 1', file="c.yaml", loader=loader)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a:\n  - b: 1\n    c: 2\n   d: 3\n",
            "4: this is not YAML: the indentation by 3 spaces fits no line above; the "
            "list that begins in line 2 is indented by 2",
        ),
        (
            "a:\n    - b\n   - c\n",
            "3: this is not YAML: the indentation by 3 spaces fits no line above; the "
            "mapping that begins in line 1 is indented by 0",
        ),
        (
            "a:\n  - b: 1\n  c: 2\n",
            "3: this is not YAML: a line indented as the list of line 2 begins with "
            "`- `; what belongs to an entry is indented two spaces more",
        ),
        (
            "a:\n  - b: 1\n      c: 2\n",
            "3: this is not YAML: there is a `:` too many; expected the line to be "
            "indented as the one before, or quotes around a text with `: ` in it",
        ),
        (
            " a: 1\nb: 2\n",
            "2: this is not YAML: expected this line to be indented as the first one "
            "of the file",
        ),
        ("a:\n\t- b\n", "2: this is not YAML: there is a tab here; expected spaces"),
        ("a: 1\nb\nc: 2\n", "2: this is not YAML: expected `: ` after this name"),
        (
            'a: "b\nc: 2\n',
            "1: this is not YAML: the quote that begins here has no end",
        ),
        (
            "a: {b: c\nd: e\n",
            "2: this is not YAML: the `{` of line 1 is still open; expected `,` or `}`",
        ),
        ("a: @b\n", "1: this is not YAML: a text that begins with @ stands in quotes"),
    ],
)
def test_a_usual_mistake_is_told_in_plain_words(
    loader: type, text: str, told: str
) -> None:
    """By both loaders alike: where it is, and what was expected there."""
    with pytest.raises(ConfigError) as caught:
        yaml_tree.compose(text, file="c.yaml", loader=loader)

    assert str(caught.value) == f"c.yaml:{told}"


def test_what_ends_the_reading_is_told_in_its_line() -> None:
    """Problems before a syntax error are told with it, from top to bottom."""
    with pytest.raises(ConfigError) as caught:
        yaml_tree.compose("0:\n  ! a\n]", file="c.yaml")

    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]


@pytest.mark.parametrize("loader", LOADERS)
@settings(deadline=None)
@given(text=st.text() | yaml_like)
def test_any_text_gives_a_tree_or_problems(loader: type, text: str) -> None:
    """No text ends in another exception, and every problem has a line."""
    try:
        _, problems = yaml_tree.compose(text, file="c.yaml", loader=loader)
    except ConfigError as error:
        problems = list(error.problems)
        assert problems

    assert all(problem.line >= 1 for problem in problems)
    assert all(problem.file == "c.yaml" for problem in problems)


@settings(deadline=None)
@given(st.dictionaries(st.from_regex("[a-z]{1,9}", fullmatch=True), st.text()))
def test_written_texts_read_back(texts: dict[str, str]) -> None:
    """Whatever looks like another type is quoted, whatever cannot stand is escaped."""
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
def test_only_names_are_shown(name: str, shown: str) -> None:
    """A key of the file that could be an API key, or anything long, is not repeated."""
    assert yaml_tree.shown(name) == shown

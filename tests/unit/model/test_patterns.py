"""Which of Braze's names a selection takes."""

import pytest
from exporter.model.config import Selection
from exporter.model.patterns import matcher


@pytest.mark.parametrize(
    ("selection", "name", "is_taken"),
    [
        (Selection(), "sent", True),
        (Selection(include=("sent", "opens")), "opens", True),
        (Selection(include=("sent", "opens")), "clicks", False),
        (Selection(include=("*opens",)), "unique_opens", True),
        (Selection(include=("Sent",)), "sent", False),
        (Selection(exclude=("unique_*",)), "unique_opens", False),
        (Selection(exclude=("unique_*",)), "opens", True),
        (Selection(include=("*",), exclude=("sent",)), "sent", False),
        (Selection(exclude=("a*z",)), "a\nz", False),
        (Selection(exclude=("[z-a",)), "b", True),
    ],
)
def test_patterns_select_names(
    selection: Selection, name: str, *, is_taken: bool
) -> None:
    """No include takes all, exclude wins, and case counts."""
    assert matcher(selection)(name) is is_taken


def test_equal_selections_are_compiled_once() -> None:
    """Every poll of every campaign asks for the same few."""
    first = matcher(Selection(include=("sent",)))

    assert matcher(Selection(include=("sent",))) is first


def test_the_end_of_a_long_name_is_not_looked_at() -> None:
    """What no label shows is not matched either, however many stars there are."""
    stars = Selection(include=("*a" * 250 + "b",), exclude=("*z",))

    assert not matcher(stars)("a" * 4_000_000)
    assert matcher(Selection(exclude=("*z",)))("a" * 256 + "z")

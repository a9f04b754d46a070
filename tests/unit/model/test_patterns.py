"""Selection of names by patterns."""

import pytest
from exporter.model.config import Selection
from exporter.model.patterns import matcher


@pytest.mark.parametrize(
    ("selection", "name", "is_selected"),
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
    selection: Selection, name: str, *, is_selected: bool
) -> None:
    assert matcher(selection)(name) is is_selected


def test_the_end_of_a_long_name_is_not_matched() -> None:
    """Matching many stars against a very long name would take seconds."""
    stars = Selection(include=("*a" * 250 + "b",), exclude=("*z",))

    assert not matcher(stars)("a" * 4_000_000)
    assert matcher(Selection(exclude=("*z",)))("a" * 256 + "z")

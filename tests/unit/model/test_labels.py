"""Label texts are cleaned; variations of a channel have unique labels."""

import time

import pytest
from exporter.model.labels import assign_labels, clean, identify
from hypothesis import given
from hypothesis import strategies as st

from tests.support import naive_oracle

Entry = tuple[str, str]


def labels_of(*rows: list[Entry]) -> list[str]:
    return list(assign_labels([identify(row) for row in rows]).values())


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ('plain "quoted" \\ text', 'plain "quoted" \\ text'),
        ("two\nlines", "two\nlines"),
        ("\r\t\0\x7f\x85\x9f", "\ufffd" * 6),
        ("\ud800x\udfff", "\ufffdx\ufffd"),
        ("\u2028 \U0001f680 \u200b", "\u2028 \U0001f680 \u200b"),
        ("x" * 300, "x" * 256),
    ],
)
def test_texts_are_cleaned(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(st.characters(), max_size=300))
def test_cleaning_agrees_with_unicode_and_leaves_clean_texts_alone(text: str) -> None:
    cleaned = clean(text)

    assert cleaned == naive_oracle.cleaned(text)
    assert clean(cleaned) == cleaned
    assert bool(cleaned.encode()) == bool(text)


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ([("", "A")], ["A"]),
        ([("id", "")], ["default"]),
        ([("", "")], ["default"]),
        ([("", ""), ("", "A")], ["default", "A"]),
        ([("id1", ""), ("id2", "")], ["id1", "id2"]),
        ([("id1", ""), ("", "")], ["id1", "default"]),
        ([("", ""), ("", "")], ["default", "default #2"]),
        ([("aaaaaaaaaa", "A"), ("b", "A")], ["A (aaaaaaaa)", "A (b)"]),
        ([("aaaaaaaaaa", "A"), ("", "A")], ["A (aaaaaaaa)", "A"]),
        ([("", "A"), ("", "A"), ("", "A")], ["A", "A #2", "A #3"]),
        ([("aaaaaaaa1", "A"), ("aaaaaaaa2", "A")], ["A (aaaaaaaa)", "A (aaaaaaaa) #2"]),
        ([("i", "A"), ("i", "A")], ["A (i)", "A (i) #2"]),
        ([("i", "A"), ("i", "B")], ["A", "B"]),
        ([("", "A #2"), ("", "A"), ("", "A")], ["A #2", "A", "A #3"]),
        ([("", "A (i)"), ("i", "A"), ("j", "A")], ["A (i)", "A (i) #2", "A (j)"]),
        ([("", "\0"), ("", "\1")], ["\ufffd", "\ufffd #2"]),
        ([("", "default"), ("", "")], ["default", "default #2"]),
    ],
)
def test_labels_of_one_row(row: list[Entry], labels: list[str]) -> None:
    """The name, else `default` or the id; equal ones get the id or a number."""
    assert labels_of(row) == labels


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ([[("i", "new")], [("i", "old")]], ["new"]),
        ([[("i", "")], [("i", "old")]], ["default"]),
        ([[("i", "A")], [("j", "A")]], ["A", "A (j)"]),
        ([[("i", "A")], [("", "A")]], ["A", "A #2"]),
        ([[("", "A (j)"), ("i", "A")], [("j", "A")]], ["A (j)", "A", "A (j) #2"]),
        (
            [[("i", "A"), ("j", "")], [("j", "A"), ("", "")]],
            ["A", "default", "default #2"],
        ),
        ([[], [("i", "A")]], ["A"]),
    ],
)
def test_labels_of_newer_rows_have_precedence(
    rows: list[list[Entry]], labels: list[str]
) -> None:
    assert labels_of(*rows) == labels


def test_a_long_name_is_cut_before_its_suffix() -> None:
    rows = [("aaaaaaaa1", "x" * 300), ("aaaaaaaa2", "x" * 299 + "y")]

    assert labels_of(rows) == [
        "x" * (256 - 11) + " (aaaaaaaa)",
        "x" * (256 - 14) + " (aaaaaaaa) #2",
    ]


ENTRIES = st.tuples(
    st.sampled_from(
        ["", "", "aaaaaaaa1", "aaaaaaaa2", "b", "\0", "\1", "A", "x" * 257]
    ),
    st.sampled_from(
        [
            *("", "", "default", "A", "A #2", "A #2 #2", "A (b)", "A (aaaaaaaa)"),
            *("A (aaaaaaaa) #2", "\0", "\1"),
            *("x" * 255, "x" * 256, "x" * 257, "x" * 253 + " #2"),
        ]
    ),
)


@given(st.lists(st.lists(ENTRIES, max_size=14), max_size=4))
def test_labels_agree_with_the_naive_oracle(rows: list[list[Entry]]) -> None:
    assigned = assign_labels([identify(row) for row in rows])

    expected = naive_oracle.labels(rows)
    assert list(assigned.values()) == list(expected.values())
    assert len(set(assigned.values())) == len(assigned)
    assert all(0 < len(label) <= 256 for label in assigned.values())


@pytest.mark.parametrize("pattern", ["x", "y" * 252 + "{:04}", "x #{}"])
def test_the_time_for_equal_names_is_not_quadratic(pattern: str) -> None:
    row = identify([("", pattern.format(n // 2)) for n in range(10_000)])
    begin = time.process_time()

    labels = assign_labels([row])

    assert len(set(labels.values())) == 10_000
    assert time.process_time() - begin < 1

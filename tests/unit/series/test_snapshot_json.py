"""Snapshots as JSON documents, and documents that are rejected."""

import json
from copy import deepcopy
from typing import Any

import pytest
from exporter.metrics.object_metrics import ObjectLabels, render_values
from exporter.model.snapshot import NO_FIGURES, VARIATION
from exporter.series import snapshot_json
from exporter.series.parse import parse
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import data_series
from tests.support.snapshots import OPTIONS, TODAY, example_snapshot

LABELS = ObjectLabels("shop", "campaign", "Spring", "c1", {})

numbers = st.integers() | st.floats() | st.integers(-(2**1100), 2**1100)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
rows = data_series.rows(data_series.times(TODAY, st.integers(-1, 9)), data_series.WORDS)


@settings(max_examples=150)
@given(st.lists(rows, max_size=5), st.booleans())
def test_a_snapshot_is_dumped_and_parsed(
    data: list[object],
    revisions: bool,
) -> None:
    snapshot = parse({"data": data}, OPTIONS._replace(revisions=revisions))

    text = json.dumps(snapshot_json.dump(snapshot))
    found = snapshot_json.parse(json.loads(text))

    assert found == snapshot
    assert repr(found) == repr(snapshot)


@settings(max_examples=200)
@given(document=json_values)
def test_any_other_json_raises_value_error(document: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        snapshot_json.parse(document)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(one for key, each in inner for one in places(each, (*path, key)))]


DOCUMENT = json.loads(json.dumps(snapshot_json.dump(example_snapshot())))
PLACES = places(DOCUMENT)[1:]


def with_value(place: tuple[Any, ...], value: object) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy(DOCUMENT)
    inner: Any = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return document


@settings(max_examples=400)
@given(place=st.sampled_from(PLACES), value=json_values | data_series.WORDS)
def test_a_document_with_any_value_replaced_does_not_break_a_scrape(
    place: tuple[Any, ...], value: object
) -> None:
    try:
        snapshot = snapshot_json.parse(with_value(place, value))
    except ValueError:
        return

    page = render_values(LABELS, snapshot).text.decode()
    samples = [line.rpartition(" ")[0] for line in page.splitlines()]
    assert len(set(samples)) == len(samples)


HUGE = 10**400


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("latest", "starts_at"), HUGE),
        (("latest", "date"), "yesterday"),
        (("latest", "figures", 0, 1, "revenue"), float("inf")),
        (("latest", "figures", 0, 1, ""), 1),
        (("latest", "figures", 0, 1, "\ud800"), 1),
        (("latest", "figures", 0, 0), -1),
        (("latest", "figures", 0, 0), 2),
        (("latest", "figures"), [[0, {}], [0, {}]]),
        (("latest", "figures"), [[[], {}]]),
        (("last_complete",), []),
        (("trailing", 0, 0), 0),
        (("trailing", 0, 0), 99),
        (("trailing", 1, 0), 1),
        (("parts", 0, 1), "email"),
        (("parts", 0, 2), "A"),
        (("parts", 1, 0), "unknown"),
        (("parts", 1, 1), ""),
        (("parts", 1, 2), "a\0b"),
        (("parts", 1, 2), ""),
        (("parts", 1, 2), "x" * 257),
        (("parts", 1, 4), 1),
        (("parts",), [[VARIATION, "email", "A", id_, True] for id_ in "12"]),
        (("dropped_series",), 2**53 + 1),
        (("ignored_values",), HUGE),
        (("skipped_rows",), None),
        (("month_to_date", 0), "later"),
        (("month_to_date", 1, 0, 0), ""),
        (("month_to_date", 1, 0, 1), HUGE),
        (("month_to_date", 1), [["email", 1], ["email", 2]]),
        (("is_quiet",), 1),
        (("is_active",), None),
        (("first_complete", "parts", 0, 5), {"a": "1"}),
        (("first_complete", "parts", 1, 2), "a\0b"),
        (("first_complete", "parts", 1, 4), [1]),
    ],
)
def test_a_document_that_dump_does_not_write_is_rejected(
    place: tuple[Any, ...], value: object
) -> None:
    with pytest.raises(ValueError, match="not a snapshot"):
        snapshot_json.parse(with_value(place, value))


@pytest.mark.parametrize(
    "missing", sorted(set(DOCUMENT) - {"history", "month_to_date"})
)
def test_no_key_may_be_missing(missing: str) -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != missing}

    with pytest.raises(ValueError, match="not a snapshot"):
        snapshot_json.parse(document)


@pytest.mark.parametrize("new", ["history", "month_to_date"])
def test_what_is_new_may_be_missing(new: str) -> None:
    """Documents of older versions lack it."""
    document = {key: value for key, value in DOCUMENT.items() if key != new}

    found = snapshot_json.parse(document)

    whole = example_snapshot()
    assert getattr(found, new) is None
    assert getattr(whole, new) is not None
    assert found == whole._replace(
        history=found.history, month_to_date=found.month_to_date
    )


def test_a_document_of_version_1_has_no_revision() -> None:
    """The first reading of its last complete day is unknown."""
    new = ("is_quiet", "is_active", "first_complete")
    document = {key: value for key, value in DOCUMENT.items() if key not in new}

    found = snapshot_json.parse(document)

    assert found.last_complete is not None
    assert found.first_complete is not None
    assert found.first_complete.date == found.last_complete.date
    assert found.first_complete.figures == NO_FIGURES
    assert (found.is_quiet, found.is_active) == (False, False)

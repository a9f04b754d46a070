"""Sums over trailing windows."""

from fractions import Fraction

from exporter.series.windows import trailing_sums
from hypothesis import example, given
from hypothesis import strategies as st


def test_a_window_covers_the_days_before_today() -> None:
    past = [(1, {"a": {"sent": 1}}), (7, {"a": {"sent": 2}}), (8, {"a": {"sent": 4}})]

    sums = trailing_sums(past, (1, 7, 28))

    assert sums == [
        (1, {"a": {"sent": 1}}),
        (7, {"a": {"sent": 3}}),
        (28, {"a": {"sent": 7}}),
    ]


def test_a_sum_covers_the_days_that_have_the_field() -> None:
    past = [(1, {"a": {"sent": 1}}), (2, {"a": {"clicks": 5}, "b": {"sent": 2}})]

    sums = trailing_sums(past, (7,))

    assert sums == [(7, {"a": {"sent": 1, "clicks": 5}, "b": {"sent": 2}})]


def test_unique_recipients_have_no_sum() -> None:
    past = [(1, {"a": {"unique_recipients": 3}, "b": {"unique_opens": 2}})]

    assert trailing_sums(past, (7,)) == [(7, {"b": {"unique_opens": 2}})]


def test_a_window_without_a_number_is_left_out() -> None:
    assert trailing_sums([], (7,)) == []
    assert trailing_sums([(9, {"a": {"sent": 1}})], (7,)) == []


def test_a_sum_beyond_a_double_is_left_out() -> None:
    past = [
        (1, {"a": {"i": 2**1023, "f": 1e308, "m": 1e308, "sent": 1}}),
        (2, {"a": {"i": 2**1023, "f": 1e308, "m": 2**1023, "sent": 1}}),
    ]

    assert trailing_sums(past, (7,)) == [(7, {"a": {"sent": 2}})]


NUMBERS = st.integers() | st.integers(-(2**70), 2**70) | st.floats(-1e300, 1e300)
VALUES = st.lists(NUMBERS, min_size=1) | st.lists(st.integers(), min_size=1)


@given(VALUES)
@example([2**53 + 1, 1.0])
@example([2**53 + 1, 2**53 + 1, -0.5])
def test_a_sum_is_exact_in_any_order(values: list[float]) -> None:
    past = [(1 + n, {"a": {"x": value}}) for n, value in enumerate(values)]

    ((_, sums),) = trailing_sums(past, (98,))

    exact = sum(map(Fraction, values))
    are_integers = all(isinstance(value, int) for value in values)
    assert sums["a"]["x"] == (exact if are_integers else float(exact))

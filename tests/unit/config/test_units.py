"""Durations, sizes, percentages and numbers in the notation of the configuration."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from exporter.config import units
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h", 3600),
        ("7d", 604_800),
        ("1w", 604_800),
        ("1y", 31_536_000),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1y2w3d4h5m6s7ms", 33_019_506.007),
        ("0s", 0),
        ("0", 0),
    ],
)
def test_a_duration_has_the_notation_of_prometheus(text: str, seconds: float) -> None:
    assert units.duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["90", "5.5", "00"])
def test_a_duration_without_unit_is_invalid(text: str) -> None:
    with pytest.raises(ValueError, match="the duration has no unit"):
        units.duration_seconds(text)


@pytest.mark.parametrize(
    "text", ["", "m", "5 m", "30m1h", "1h1h", "1.5h", "-1s", "5M", "\u0665m", "1s\n"]
)
def test_other_notations_are_not_durations(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        units.duration_seconds(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4MiB", 4_194_304),
        ("500KiB", 512_000),
        ("1GiB", 1_073_741_824),
        ("100kB", 100_000),
        ("1MB", 1_000_000),
        ("1GB", 1_000_000_000),
        ("12B", 12),
        ("2048", 2048),
    ],
)
def test_a_size_has_a_binary_or_a_decimal_unit(text: str, size: int) -> None:
    assert units.size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "4 MiB", "4mib", "4Mb", "1.5MiB", "-1"])
def test_other_units_are_invalid(text: str) -> None:
    """Units are case-sensitive: 4Mb would be bits."""
    with pytest.raises(ValueError, match="expected a size such as"):
        units.size_bytes(text)


@pytest.mark.parametrize(
    ("text", "share"), [("20%", 0.2), ("0%", 0), ("29%", 0.29), ("12.5%", 0.125)]
)
def test_a_percentage_is_parsed_as_a_fraction(text: str, share: float) -> None:
    assert units.fraction(text) == share


@pytest.mark.parametrize("text", ["20", "0.2", "%", "20 %", "-1%", "1e1%"])
def test_a_percentage_needs_its_sign(text: str) -> None:
    with pytest.raises(ValueError, match="expected a percentage such as 20%"):
        units.fraction(text)


def test_a_number_is_a_plain_decimal() -> None:
    assert units.number("0.5") == 0.5


@pytest.mark.parametrize("text", ["0x10", "1_000", "1e3", ".inf", "-1", "1:30", ""])
def test_other_numbers_of_yaml_are_invalid(text: str) -> None:
    with pytest.raises(ValueError, match="expected a plain number"):
        units.number(text)


def test_a_whole_number_has_digits_only() -> None:
    assert [units.whole_number(text) for text in ("0", "4", "64")] == [0, 4, 64]


@pytest.mark.parametrize("text", ["010", "1.0", "0o7", "1" * 5000])
def test_an_octal_or_very_long_number_is_invalid(text: str) -> None:
    """YAML reads 010 as 8, and int() rejects thousands of digits."""
    with pytest.raises(ValueError, match="expected a whole number"):
        units.whole_number(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (5400, "1h30m"), (86_400, "1d"), (604_800, "7d")],
)
def test_a_duration_is_written_in_days_and_below(seconds: float, text: str) -> None:
    assert units.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (1000, "1000"), (4096, "4KiB"), (2**30, "1GiB")]
)
def test_a_size_is_written_in_its_largest_unit(size: int, text: str) -> None:
    assert units.size_text(size) == text


@settings(deadline=None)
@given(
    milliseconds=st.integers(0, 10**14),
    size=st.integers(0, 10**14),
    percentage=st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,15})?%", fullmatch=True),
    number=st.integers(0, 10**8).map(lambda n: n / 100),
)
def test_written_texts_are_parsed_to_the_same_value(
    milliseconds: int, size: int, percentage: str, number: float
) -> None:
    seconds, share = milliseconds / 1000, units.fraction(percentage)

    assert units.duration_seconds(units.duration_text(seconds)) == seconds
    assert units.size_bytes(units.size_text(size)) == size
    assert units.fraction(units.percentage_text(share)) == share
    assert units.number(units.number_text(number)) == number


@pytest.mark.parametrize(
    "parse",
    [
        units.duration_seconds,
        units.size_bytes,
        units.fraction,
        units.number,
        units.whole_number,
    ],
)
@settings(deadline=None)
@given(text=st.text() | st.from_regex(r"[0-9.]{1,30}[a-zA-Z%]{0,3}", fullmatch=True))
def test_any_text_is_parsed_or_rejected(
    parse: Callable[[str], float], text: str
) -> None:
    try:
        amount = parse(text)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017 - both outcomes are valid
    else:
        assert amount >= 0

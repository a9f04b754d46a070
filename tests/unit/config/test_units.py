"""Durations, sizes, percentages and numbers in the notation of the configuration."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from exporter.config.units import (
    duration_seconds,
    duration_text,
    fraction,
    number,
    number_text,
    percentage_text,
    size_bytes,
    size_text,
    whole_number,
)
from hypothesis import given
from hypothesis import strategies as st

Parser = Callable[[str], float]
PARSERS = (duration_seconds, size_bytes, fraction, number, whole_number)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (duration_seconds, "90s", 90),
        (duration_seconds, "5m", 300),
        (duration_seconds, "1h30m", 5400),
        (duration_seconds, "1w", 604_800),
        (duration_seconds, "1y", 31_536_000),
        (duration_seconds, "500ms", 0.5),
        (duration_seconds, "1y2w3d4h5m6s7ms", 33_019_506.007),
        (duration_seconds, "0s", 0),
        (duration_seconds, "0", 0),
        (size_bytes, "4MiB", 4_194_304),
        (size_bytes, "500KiB", 512_000),
        (size_bytes, "1GiB", 1_073_741_824),
        (size_bytes, "100kB", 100_000),
        (size_bytes, "1MB", 1_000_000),
        (size_bytes, "1GB", 1_000_000_000),
        (size_bytes, "12B", 12),
        (size_bytes, "2048", 2048),
        (fraction, "20%", 0.2),
        (fraction, "0%", 0),
        (fraction, "29%", 0.29),
        (fraction, "12.5%", 0.125),
        (number, "0.5", 0.5),
        (whole_number, "0", 0),
        (whole_number, "64", 64),
    ],
)
def test_a_text_is_parsed(parse: Parser, text: str, value: float) -> None:
    assert parse(text) == value


DURATIONS = ["5 m", "30m1h", "1h1h", "1.5h", "-1s", "5M", "\u0665m", "1s\n"]


@pytest.mark.parametrize(
    ("parse", "message", "texts"),
    [
        (duration_seconds, "the duration has no unit", ["90", "5.5", "00"]),
        (duration_seconds, "expected a duration such as", ["", "m", *DURATIONS]),
        # Units are case-sensitive: 4Mb would be bits.
        (size_bytes, "expected a size such as", ["", "MiB", "4 MiB", "4mib", "4Mb"]),
        (size_bytes, "expected a size such as", ["1.5MiB", "-1"]),
        # 20 and 0.2 are ambiguous.
        (
            fraction,
            "a percentage such as 20%",
            ["20", "0.2", "%", "20 %", "-1%", "1e1%"],
        ),
        (number, "expected a plain number", ["0x10", "1_000", "1e3", ".inf", "-1", ""]),
        (number, "expected a plain number", ["1:30"]),
        # YAML reads 010 as 8, and int() rejects thousands of digits.
        (whole_number, "a whole number", ["010", "1.0", "0o7", "1" * 5000]),
    ],
)
def test_other_notations_are_invalid(
    parse: Parser, message: str, texts: list[str]
) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=message):
            parse(text)


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (duration_text, 0, "0s"),
        (duration_text, 0.5, "500ms"),
        (duration_text, 5400, "1h30m"),
        (duration_text, 604_800, "7d"),
        (size_text, 0, "0"),
        (size_text, 1000, "1000"),
        (size_text, 4096, "4KiB"),
        (size_text, 2**30, "1GiB"),
    ],
)
def test_a_value_is_written_in_the_largest_units(
    write: Callable[[float], str], value: float, text: str
) -> None:
    assert write(value) == text


@given(
    milliseconds=st.integers(0, 10**14),
    size=st.integers(0, 10**14),
    percentage=st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,15})?%", fullmatch=True),
    amount=st.integers(0, 10**8).map(lambda n: n / 100),
)
def test_written_texts_are_parsed_to_the_same_value(
    milliseconds: int, size: int, percentage: str, amount: float
) -> None:
    seconds, share = milliseconds / 1000, fraction(percentage)

    assert duration_seconds(duration_text(seconds)) == seconds
    assert size_bytes(size_text(size)) == size
    assert fraction(percentage_text(share)) == share
    assert number(number_text(amount)) == amount


@given(
    parse=st.sampled_from(PARSERS),
    text=st.text() | st.from_regex(r"[0-9.]{1,30}[a-zA-Z%]{0,3}", fullmatch=True),
)
def test_any_text_is_parsed_or_rejected(parse: Parser, text: str) -> None:
    try:
        amount = parse(text)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017 - both outcomes are valid
    else:
        assert amount >= 0

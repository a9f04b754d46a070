"""Durations in the notation of Go."""

from __future__ import annotations

from contextlib import suppress

import pytest
from exporter.web import go_duration
from hypothesis import given
from hypothesis import strategies as st

UNITS = {"ns": 1, "us": 10**3, "\u00b5s": 10**3, "\u03bcs": 10**3, "ms": 10**6}
UNITS |= {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("0s", 0.0),
        ("-0s", 0.0),
        ("+5s", 5.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("1.s", 1.0),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("1m1.5s", 61.5),
        ("1s1m", 61.0),
        ("1m1m", 120.0),
        ("1us", 1e-6),
        ("1\u00b5s", 1e-6),
        ("1\u03bcs", 1e-6),
        ("0.4ns", 0.0),
        ("2562047h47m16.854775807s", 9223372036.854775807),
    ],
)
def test_what_go_accepts_is_accepted(text: str, seconds: float) -> None:
    assert go_duration.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1s", "negative"),
        ("-1h1ns", "negative"),
        ("5", "has no unit"),
        ("0.0", "has no unit"),
        ("1000000000", "has no unit"),
        ("2562047h47m16.854775808s", "too long"),
        ("9" * 90 + "h", "too long"),
        ("9" * 5000 + "h", "expected a duration"),
        *((text, "expected a duration") for text in ("", "s", ".", ".s", "-", "1S")),
        *((text, "expected a duration") for text in ("1d", "1w", "1y", "1 s", "1h 1m")),
        *(
            (text, "expected a duration")
            for text in ("1.2.3s", "1s1", "\u0661s", "1e3s")
        ),
        *((text, "expected a duration") for text in ("1s\n", "1-s", "--1s", "0x1s")),
    ],
)
def test_what_go_rejects_and_negative_durations_are_rejected(
    text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        go_duration.seconds(text)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9), st.integers(0, 999), st.sampled_from([*UNITS])
        ),
        min_size=1,
        max_size=5,
    )
)
def test_parts_are_added(parts: list[tuple[int, int, str]]) -> None:
    """Each is cut to whole nanoseconds, as in Go."""
    text = "".join(f"{whole}.{part:03}{unit}" for whole, part, unit in parts)
    expected = sum(
        (whole * 1000 + part) * UNITS[unit] // 1000 for whole, part, unit in parts
    )
    if expected < 2**63:
        assert go_duration.seconds(text) == expected / 1e9


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert go_duration.seconds(text) >= 0

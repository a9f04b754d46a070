"""Durations as people read them."""

import pytest
from exporter.model.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.9, "60 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_duration_has_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text

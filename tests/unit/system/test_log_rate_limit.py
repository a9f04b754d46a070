"""Log lines per minute, and the fields about suppressed ones."""

from __future__ import annotations

from exporter.system.log_rate_limit import LogRateLimit
from hypothesis import given
from hypothesis import strategies as st

NOON = 1_772_366_400.0


def test_lines_beyond_the_limit_are_suppressed_until_the_minute_is_over() -> None:
    rate = LogRateLimit(2)
    written = []
    for second in (0, 1, 2, 59.9, 60, 61, 140):
        if rate.admits(now=NOON + second):
            written.append((second, rate.facts(now=NOON + second)))
        rate = rate.counted(now=NOON + second)

    limit = "at most 2 such lines a minute"
    last = {"quota": f"{limit}: further ones are suppressed and counted"}
    first = {"suppressed": 2, "suppressed_because": limit}
    assert written == [(0, {}), (1, last), (60, first), (61, last), (140, {})]


def test_a_clock_that_is_set_back_starts_a_new_minute() -> None:
    assert LogRateLimit(1).counted(now=NOON).admits(now=NOON - 3600)


@given(st.lists(st.floats(0, 300), max_size=60).map(sorted), st.integers(1, 5))
def test_every_line_is_written_or_counted(instants: list[float], limit: int) -> None:
    rate = LogRateLimit(limit)
    written: list[float] = []
    reported = 0
    for now in instants:
        if rate.admits(now=now):
            reported += rate.suppressed
            written.append(now)
        rate = rate.counted(now=now)

    assert len(written) + reported + rate.suppressed == len(instants)
    for start in written:
        assert sum(start <= one < start + 60 for one in written) <= 2 * limit

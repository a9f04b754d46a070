"""Lines a minute, and what is said of those left out."""

from __future__ import annotations

from exporter.system.log_rate_limit import LogRateLimit
from hypothesis import given
from hypothesis import strategies as st

NOON = 1_772_366_400.0


def test_so_many_lines_pass_and_no_more() -> None:
    """Within a minute of the first line; the others are counted."""
    quota = LogRateLimit(3)
    passed = []

    for second in range(5):
        passed.append(quota.admits(now=NOON + second))
        quota = quota.counted(now=NOON + second)

    assert passed == [True, True, True, False, False]
    assert quota.suppressed == 2


def test_after_a_minute_lines_pass_again() -> None:
    """The count of what was left out stays until a line was written."""
    quota = LogRateLimit(1).counted(now=NOON).counted(now=NOON + 1)

    assert not quota.admits(now=NOON + 59.9)
    assert quota.admits(now=NOON + 60)
    assert quota.suppressed == 1
    assert quota.counted(now=NOON + 60).suppressed == 0


def test_what_is_left_out_is_said_before_and_after() -> None:
    """With the reason: in the last line of a minute, and in the first one after it."""
    quota = LogRateLimit(2)
    told = []

    for second in (0, 1, 2, 3, 70, 71, 140):
        if quota.admits(now=NOON + second):
            told.append(quota.facts(now=NOON + second))
        quota = quota.counted(now=NOON + second)

    most = "at most 2 such lines a minute"
    last = {"quota": f"{most}: more are left out now, and counted"}
    assert told == [
        {},
        last,
        {"suppressed": 2, "suppressed_because": most},
        last,
        {},
    ]


def test_a_clock_that_is_set_back_shuts_nothing() -> None:
    """An hour less begins a new minute."""
    quota = LogRateLimit(1).counted(now=NOON)

    assert quota.admits(now=NOON - 3600)


@given(st.lists(st.floats(0, 300), max_size=60).map(sorted), st.integers(1, 5))
def test_every_line_is_written_or_counted(instants: list[float], limit: int) -> None:
    """However they come; and no minute has more than twice the limit."""
    quota = LogRateLimit(limit)
    written: list[float] = []
    told = 0

    for now in instants:
        if quota.admits(now=now):
            told += quota.suppressed
            written.append(now)
        quota = quota.counted(now=now)

    assert len(written) + told + quota.suppressed == len(instants)
    for start in written:
        assert sum(start <= one < start + 60 for one in written) <= 2 * limit

"""When a request is tried again, and when a refused key is probed."""

import pytest
from exporter.braze import retries
from hypothesis import given
from hypothesis import strategies as st


@given(
    tries=st.integers(1, 10),
    interval=st.floats(1e-3, 7 * 86400),
    first=st.floats(0, 4e9),
    spent=st.floats(0, 100),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_tries_are_bounded(
    *, tries: int, interval: float, first: float, spent: float, fraction: float
) -> None:
    at = retries.next_try(
        tries=tries,
        first_try_at=first,
        now=first + spent,
        interval_seconds=interval,
        fraction=fraction,
    )

    assert at is None or (
        tries < retries.MOST_TRIES
        and first + spent <= at <= first + min(interval / 2, 60)
    )


@pytest.mark.parametrize(("tries", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0)])
@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_backoff_grows_with_full_jitter(
    tries: int, longest: float, fraction: float
) -> None:
    at = retries.next_try(
        tries=tries, first_try_at=0, now=0, interval_seconds=3600, fraction=fraction
    )

    assert at == fraction * longest


@pytest.mark.parametrize(("interval", "last"), [(60.0, 130.0), (3600.0, 160.0)])
@pytest.mark.parametrize("late", [0.0, 0.1])
def test_a_poll_is_over_after_its_window(
    interval: float, last: float, late: float
) -> None:
    is_over = retries.is_over(
        first_try_at=100.0, now=last + late, interval_seconds=interval
    )

    assert is_over is (late > 0)


def test_probes_become_rarer() -> None:
    minutes = [retries.probe_delay(failures) / 60 for failures in (*range(1, 7), 10**4)]

    assert minutes == [1, 2, 4, 8, 15, 15, 15]

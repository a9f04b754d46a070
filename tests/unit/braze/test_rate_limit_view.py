"""The view of a rate limit bucket."""

from exporter.braze.rate_limit import Bucket, Budget
from exporter.braze.rate_limit_view import RateLimitView, rate_limit_view

NOW = 1_750_593_600.0


def view(bucket: Bucket, *, wall_offset: float = 0.0) -> RateLimitView:
    """Return the view of a bucket with a reserve of 20 %."""
    budget = Budget(2.0, reserve=0.2, concurrency=4, bucket=bucket)
    return rate_limit_view(budget, "a", now=NOW, wall_offset=wall_offset)


def test_times_are_wall_clock_times() -> None:
    """The offset of the wall clock is added."""
    bucket = Bucket(1, True, limit=100, remaining=40, reset_at=NOW, shut_until=NOW + 50)

    assert view(bucket, wall_offset=10.0) == RateLimitView(
        "a",
        limit=100,
        remaining=40,
        reset_at=NOW + 10,
        reserved=20,
        in_flight=1,
        shut_until=NOW + 60,
    )


def test_unknown_and_past_times_are_none() -> None:
    """A bucket without responses has no reset; one that reopened is not shut."""
    unused = view(Bucket())

    assert (unused.limit, unused.reset_at, unused.shut_until) == (None, None, None)
    assert view(Bucket(shut_until=NOW - 1)).shut_until is None

"""The view of a rate limit bucket."""

import pytest
from exporter.braze.rate_limit import Bucket, Budget
from exporter.braze.rate_limit_view import RateLimitView, rate_limit_view

NOW = 1_750_593_600.0


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        (
            Bucket(1, True, 100, 40, reset_at=NOW, shut_until=NOW + 50),
            RateLimitView("a", 100, 40, NOW + 10, 20, 1, shut_until=NOW + 60),
        ),
        # No response yet; and a bucket that is open again.
        (Bucket(), RateLimitView("a", None, None, None, 0, 0, shut_until=None)),
        (
            Bucket(shut_until=NOW - 11),
            RateLimitView("a", None, None, None, 0, 0, shut_until=None),
        ),
    ],
)
def test_times_are_wall_clock_times(bucket: Bucket, expected: RateLimitView) -> None:
    budget = Budget(2.0, reserve=0.2, concurrency=4, bucket=bucket)

    assert rate_limit_view(budget, "a", now=NOW, wall_offset=10.0) == expected

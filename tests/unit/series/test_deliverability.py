"""Rates of bounces and complaints, and their levels."""

import pytest
from exporter.model.snapshot import VARIATION, WHOLE, Part
from exporter.series.deliverability import (
    BOUNCES,
    SPAM,
    DeliverabilityLimits,
    Level,
    Rate,
    of_figures,
    of_parts,
    rate,
)

UNJUDGED, FINE, WARNING, CRITICAL = Level


@pytest.mark.parametrize(
    ("events", "whole", "limits", "level"),
    [
        (29, 1000, BOUNCES, FINE),
        (30, 1000, BOUNCES, WARNING),
        (49, 1000, BOUNCES, WARNING),
        (50, 1000, BOUNCES, CRITICAL),
        (7, 10_000, SPAM, FINE),
        (8, 10_000, SPAM, WARNING),
        (30, 10_000, SPAM, CRITICAL),
        (0, 1000, SPAM, FINE),
        # One complaint in a hundred or two in a thousand may be chance.
        (1, 100, SPAM, UNJUDGED),
        (9, 100, SPAM, UNJUDGED),
        (10, 100, SPAM, CRITICAL),
        (0, 999, SPAM, UNJUDGED),
        (2, 1000, SPAM, FINE),
        (3, 1000, SPAM, CRITICAL),
    ],
)
def test_a_rate_equal_to_a_limit_has_reached_it(
    events: int, whole: int, limits: DeliverabilityLimits, level: Level
) -> None:
    assert rate(events, whole, limits) == Rate(events / whole, level)


@pytest.mark.parametrize(
    ("events", "whole"),
    [(None, 1000), (1, None), (0, 0), (5, -1), (-1, 1000), (1e308, 1e-10)],
)
def test_a_rate_of_an_invalid_number_is_missing(
    events: float | None, whole: float | None
) -> None:
    assert rate(events, whole, BOUNCES) == Rate(None, UNJUDGED)


def test_counts_are_of_all_channels_and_rates_of_email() -> None:
    """Push bounces are outdated tokens: they are counted and not judged."""
    found = of_parts(
        [
            ("email", {"sent": 600, "bounces": 10, "delivered": 580}),
            ("email", {"sent": 400, "bounces": 0, "delivered": 400}),
            ("email", {"reported_spam": 4}),
            ("ios_push", {"sent": 100, "bounces": 90}),
            ("webhook", {"errors": 3}),
        ]
    )

    assert (found.sent, found.bounces, found.reported_spam) == (1100, 100, 4)
    assert (found.email_sent, found.email_bounces) == (1000, 10)
    assert found.bounce_rate == Rate(0.01, FINE)
    assert found.spam_rate == Rate(4 / 980, CRITICAL)
    assert found.level is CRITICAL


def test_the_spam_rate_is_of_email_sent_where_delivered_is_missing() -> None:
    found = of_parts([("email", {"sent": 1000, "reported_spam": 1})])

    assert found.spam_rate == Rate(0.001, FINE)


def test_a_missing_field_and_a_sum_beyond_a_double_have_no_count() -> None:
    missing = of_parts([("in_app_message", {"impressions": 5})])
    huge = of_parts([("email", {"sent": 1.7e308}), ("sms", {"sent": 1.7e308})])

    assert (missing.sent, missing.bounces, missing.reported_spam) == (None, None, None)
    assert missing.level is UNJUDGED
    assert huge.sent is None


def test_the_overall_figures_of_a_day_are_not_messages() -> None:
    variation = (Part(VARIATION, "email", "A"), {"sent": 5})

    assert of_figures(((WHOLE, {"sent": 7}), variation)).sent == 5

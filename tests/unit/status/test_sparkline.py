"""The chart of a campaign's history."""

from exporter.series.deliverability import Level
from exporter.series.recent_days import PastDay, pack_days
from exporter.status.sparkline import WIDTH, Sparkline, sparkline

from tests.support.views import TODAY


def chart(by_age: dict[int, PastDay]) -> Sparkline:
    history = pack_days(TODAY, by_age)
    assert history is not None
    return sparkline(history)


def test_bars_are_relative_to_the_greatest_day() -> None:
    """A day without data is a gap, and zero is a low bar."""
    bars = chart({0: PastDay(10.0), 1: PastDay(20.0), 3: PastDay(0.0)})

    assert bars.past == "M96 28v-1h3v1zM104 28v-21h3v21z"
    assert bars.today == "M108 28v-10.5h3v10.5z"
    assert bars.sent == (0.0, 20.0, 10.0)


def test_every_day_has_a_bar_inside_the_chart() -> None:
    bars = chart({age: PastDay(1.0) for age in range(28)})

    starts = [int(bar.split()[0]) for bar in bars.past.split("M")[1:]]
    assert starts == list(range(0, WIDTH - 4, 4))


def test_days_without_messages_have_low_bars() -> None:
    """Negative numbers too."""
    bars = chart({0: PastDay(0.0), 1: PastDay(-5.0)})

    assert bars.today == "M108 28v-1h3v1z"
    assert bars.past == "M104 28v-1h3v1z"


def test_days_with_high_rates_have_marks() -> None:
    marks = chart(
        {0: PastDay(1.0, Level.CRITICAL), 1: PastDay(1.0, Level.WARNING), 2: PastDay(1)}
    )

    assert marks.criticals == "M107 0h5l-2.5 5z"
    assert marks.warnings == "M103 0h5l-2.5 5z"
    assert marks.bad_days() == 2

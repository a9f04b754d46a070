"""A history as bars and marks."""

from exporter.series.deliverability import Level
from exporter.series.recent_days import PastDay, pack_days
from exporter.status.sparkline import HEIGHT, WIDTH, Sparkline, sparkline

from tests.support.views import TODAY


def drawn(by_age: dict[int, PastDay]) -> Sparkline:
    """Return the picture of these days."""
    history = pack_days(TODAY, by_age)
    assert history is not None
    return sparkline(history)


def test_the_greatest_day_is_as_high_as_can_be() -> None:
    """Others in proportion; what is not known is a gap, and zero a low bar."""
    picture = drawn({0: PastDay(10.0), 1: PastDay(20.0), 3: PastDay(0.0)})

    assert picture.past == "M96 28v-1h3v1zM104 28v-21h3v21z"
    assert picture.today == "M108 28v-10.5h3v10.5z"
    assert picture.known == (0.0, 20.0, 10.0)


def test_every_day_has_its_place_inside() -> None:
    """Day by day from left to right."""
    picture = drawn({age: PastDay(1.0) for age in range(28)})

    starts = [int(bar.split()[0]) for bar in picture.past.split("M")[1:]]
    assert starts == list(range(0, WIDTH - 4, 4))
    assert HEIGHT == 28


def test_nothing_sent_is_a_row_of_low_bars() -> None:
    """Negative numbers, which nobody expects, are as low."""
    picture = drawn({0: PastDay(0.0), 1: PastDay(-5.0)})

    assert picture.today == "M108 28v-1h3v1z"
    assert picture.past == "M104 28v-1h3v1z"


def test_bad_days_have_marks_of_two_kinds() -> None:
    """Warnings and criticals are drawn apart, and counted."""
    picture = drawn(
        {0: PastDay(1.0, Level.CRITICAL), 1: PastDay(1.0, Level.WARNING), 2: PastDay(1)}
    )

    assert picture.criticals == "M107 0h5l-2.5 5z"
    assert picture.warnings == "M103 0h5l-2.5 5z"
    assert picture.bad_days() == 2

"""A campaign's newest days in little room."""

from datetime import date

import pytest
from exporter.series import recent_days
from exporter.series.deliverability import Level
from exporter.series.recent_days import DAYS, PastDay, pack_days, unpack_days

LAST = date(2025, 6, 22)


def test_days_come_back_oldest_first() -> None:
    """What was not said is a gap, and zero is zero."""
    by_age = {0: PastDay(5.0, Level.CRITICAL), 2: PastDay(0.0), 99: PastDay(1.0)}

    made = pack_days(LAST, by_age)

    assert made is not None
    assert made.last == LAST
    assert unpack_days(made) == (
        *[PastDay()] * (DAYS - 3),
        PastDay(0.0),
        PastDay(),
        PastDay(5.0, Level.CRITICAL),
    )


def test_of_no_day_there_is_no_history() -> None:
    """A campaign that never said what it sent has none."""
    assert pack_days(LAST, {}) is None
    assert pack_days(LAST, {3: PastDay(None, Level.FINE)}) is None


def test_it_takes_little_room() -> None:
    """Ten thousand campaigns have one each: a quarter of a kilobyte."""
    made = pack_days(LAST, {age: PastDay(1e6, Level.FINE) for age in range(DAYS)})

    assert made is not None
    assert len(made.sent) + len(made.levels) < 256


def test_it_is_written_and_read() -> None:
    """Its document has a place for each day."""
    made = pack_days(LAST, {0: PastDay(5.0, Level.WARNING), 1: PastDay()})

    assert made is not None
    document = recent_days.dump(made)
    assert document["last"] == "2025-06-22"
    assert document["sent"] == [None] * 27 + [5.0]
    assert document["levels"] == [0] * 27 + [2]
    assert recent_days.parse(
        last=LAST, sent=[None] * 27 + [5.0], levels=[0] * 27 + [2]
    ) == (made)


@pytest.mark.parametrize(
    ("sent", "levels"),
    [([1.0] * 27, [0] * 27), ([1.0] * 28, [0] * 27), ([1.0] * 28, [4] * 28)],
)
def test_another_form_is_refused(sent: list[float | None], levels: list[int]) -> None:
    """Too few days, one without the other, a level that there is not."""
    with pytest.raises(ValueError, match=r".+"):
        recent_days.parse(last=LAST, sent=sent, levels=levels)

"""The newest days of a campaign, packed into bytes."""

from datetime import date

import pytest
from exporter.series import recent_days
from exporter.series.deliverability import Level
from exporter.series.recent_days import DAYS, PastDay, pack_days, unpack_days

LAST = date(2025, 6, 22)


def test_days_come_back_oldest_first() -> None:
    by_age = {0: PastDay(5.0, Level.CRITICAL), 2: PastDay(0.0), 99: PastDay(1.0)}

    packed = pack_days(LAST, by_age)

    assert packed is not None
    assert packed.last == LAST
    assert unpack_days(packed) == (
        *[PastDay()] * (DAYS - 3),
        PastDay(0.0),
        PastDay(),
        PastDay(5.0, Level.CRITICAL),
    )


def test_without_a_sent_field_there_is_no_history() -> None:
    assert pack_days(LAST, {}) is None
    assert pack_days(LAST, {3: PastDay(None, Level.FINE)}) is None


def test_a_history_is_dumped_and_parsed() -> None:
    packed = pack_days(LAST, {0: PastDay(5.0, Level.WARNING), 1: PastDay()})

    assert packed is not None
    assert len(packed.sent) + len(packed.levels) < 256  # in each of 10,000 campaigns
    sent, levels = [*[None] * 27, 5.0], [*[0] * 27, 2]
    document: dict[str, object]
    document = {"last": "2025-06-22", "sent": sent, "levels": levels}
    assert recent_days.dump(packed) == document
    assert recent_days.parse(document) == packed


@pytest.mark.parametrize(
    ("sent", "levels"),
    [([1.0] * 27, [0] * 27), ([1.0] * 28, [0] * 27), ([1.0] * 28, [4] * 28)],
)
def test_a_malformed_history_is_rejected(
    sent: list[float | None], levels: list[int]
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        recent_days.parse({"last": "2025-06-22", "sent": sent, "levels": levels})

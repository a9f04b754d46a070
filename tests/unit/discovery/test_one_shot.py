"""All campaigns of a workspace in one run, at a time that only waiting moves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.one_shot import DiscoveryRun
from exporter.model.errors import FetchError, Unavailable, Unusable
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support.fake_clock import NOW, FakeClock
from tests.support.polling_world import failure
from tests.unit.discovery.discovery_world import FakeListApi, workspace


def down() -> FetchError:
    """Return a failure that is retried."""
    return failure(Unavailable, "server_error", status=503)


class Command:
    """A command that discovers three campaigns; its lines are recorded."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.wall_offset = 0.0
        """By how much the wall clock is set after 20 seconds."""
        self.api = FakeListApi("A", "B", "C")
        self.printed: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if self.clock.time >= NOW + 20:
            self.clock.set_by = self.wall_offset

    def names(self, directory: Path | None = None, **discover: Any) -> set[str]:
        """Run discovery, with a state file in a directory."""
        where = workspace(**discover)
        run = DiscoveryRun(
            where,
            requests_per_minute=where.shared_requests_per_minute,
            client=self.api,
            clock=self.clock,
            sleep=self.sleep,
            random=lambda: 0.5,
            print_line=self.printed.append,
            file=CatalogueCache(SqliteState(directory)) if directory else None,
        )
        return {one.name for one in run.run().campaigns}


def test_two_failures_in_a_row_are_retried() -> None:
    """Long waits are printed with their reason."""
    command = Command()
    command.api.failures = [down(), down(), None, down()]

    assert command.names() == {"A", "B", "C"}

    assert command.api.requested == [*["page 0"] * 3, "a", "a", "b", "c"]
    assert command.printed == [f"waiting 6 s: {down()}"]


@pytest.mark.parametrize("hours", [1, -1])
def test_setting_the_wall_clock_ends_a_long_wait(hours: int) -> None:
    """The end of Braze's window was computed with the previous wall clock."""
    command = Command()
    command.wall_offset = hours * 3600.0
    reset_at = NOW + command.wall_offset + 30
    command.api.headers = RateLimitHeaders(limit=10, remaining=0, reset_at=reset_at)

    assert command.names() == {"A", "B", "C"}
    assert command.clock.time - NOW < 300


@pytest.mark.parametrize("hours", [1, 6, 12, 24, 48])
def test_a_run_ends_however_long_it_takes(tmp_path: Path, hours: int) -> None:
    """Details are not read twice in a run, and again in a later one when they are old.

    At a request every ten minutes a run takes 40.
    """
    command = Command()
    for name, age in (("a", 0.5), ("b", 1.5)):
        sent_at = datetime.fromtimestamp(NOW - age * hours * 3600, UTC)
        command.api.details[name]["last_sent"] = sent_at.isoformat()
    options: dict[str, Any] = {
        "sent_within": f"{hours}h",
        "requests_per_minute": 0.1,
    }

    assert "A" in command.names(tmp_path, **options)
    assert command.api.new_requests() == ["page 0", "a", "b", "c"]
    assert command.clock.time - NOW < 3600

    command.clock.advance(60)
    command.names(tmp_path, **options)
    assert command.api.new_requests() == []
    command.clock.advance(86400)
    command.names(tmp_path, **options)
    assert command.api.new_requests() == ["a", "b", "c"]


def test_an_unusable_state_file_is_reported_and_replaced(tmp_path: Path) -> None:
    command = Command()
    (tmp_path / FILE_NAME).write_text("not a database" * 500)

    assert command.names(tmp_path) == {"A", "B", "C"}
    assert command.printed[0].endswith(": the list is read from the start")
    command.api.new_requests()
    assert command.names(tmp_path) == {"A", "B", "C"}
    assert command.api.requested == []


def test_the_third_failure_in_a_row_is_raised(tmp_path: Path) -> None:
    """What was read before is kept."""
    command = Command()
    command.api.failures = [None, None, down(), down(), down()]

    with pytest.raises(Unavailable, match=str(down())):
        command.names(tmp_path)
    assert command.api.new_requests() == ["page 0", "a", "b", "b", "b"]
    command.names(tmp_path)

    assert command.api.requested == ["b", "c"]


def test_progress_and_omitted_campaigns_are_printed() -> None:
    """After a thousand listed campaigns, and after each hundred details."""
    command = Command()
    command.api = FakeListApi(*(f"N{n}" for n in range(1010)))
    command.api.failures = [None] * 11 + [failure(Unusable, "too_large", status=200)]

    assert len(command.names()) == 500

    assert command.printed == [
        "1000 campaigns in the list so far",
        *(f"details of {n} read, of 1010 campaigns" for n in range(100, 600, 100)),
        "no usable details of 1 campaigns: they are left out",
        "discover.campaigns.max (500) leaves campaigns out",
    ]

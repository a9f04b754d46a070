"""All campaigns of a workspace in one go, with a clock that only waiting moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporter.discovery.catalogue_cache import CatalogueCache
from exporter.discovery.one_shot import DiscoveryRun, finder_of, run
from exporter.model.errors import FailureReason, FetchError, Unavailable
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.storage.sqlite_state import FILE_NAME, SqliteState
from exporter.system.clock import Clock

from tests.unit.discovery.test_finder import Braze
from tests.unit.discovery.test_rules import workspace

NOW = 1_750_000_000.0


def down() -> FetchError:
    """Return a failure that may pass."""
    return Unavailable("it is down", reason=FailureReason.SERVER_ERROR, status=503)


class OneShot:
    """A fake Braze with three campaigns, and fake clocks; waits are recorded."""

    def __init__(self) -> None:
        self.at = NOW
        self.set_by = 0.0
        self.off_by = 0.0
        """By how much the wall clock is wrong at first."""
        self.braze = Braze()
        for name in "ABC":
            self.braze.add(name.lower(), name)
        self.clock = Clock(wall=lambda: self.at + self.set_by, steady=lambda: self.at)
        self.waits: list[tuple[int, FetchError | None]] = []

    def wait(self, seconds: float) -> None:
        """Advance time; after 20 seconds the wall clock is set right."""
        self.at += seconds
        if self.at >= NOW + 20:
            self.set_by = self.off_by

    def discover(self) -> FetchError | None:
        """Run discovery to its end."""
        finder = finder_of(
            workspace(), client=self.braze, clock=self.clock, random=lambda: 0.5
        )
        return run(
            finder,
            clock=self.clock,
            sleep=self.wait,
            on_wait=lambda seconds, why: self.waits.append((round(seconds), why)),
        )

    def campaigns(self, where: Path) -> tuple[set[str], list[str]]:
        """Return the names found with a state directory, and the printed lines."""
        printed: list[str] = []
        exploration = DiscoveryRun(
            CatalogueCache(SqliteState(where)),
            clock=self.clock,
            sleep=self.wait,
            random=lambda: 0.5,
            print_line=printed.append,
        )
        found = exploration.campaigns_of(workspace(), client=self.braze)
        return {one.name for one in found}, printed


def test_everything_is_requested_once() -> None:
    """The list, then the details of each."""
    one_shot = OneShot()

    failure = one_shot.discover()

    assert failure is None
    assert one_shot.braze.requested == ["page 0", "a", "b", "c"]


def test_temporary_failures_are_retried() -> None:
    """Each wait is reported; at most two failures in a row are retried."""
    one_shot = OneShot()
    first, second, third = down(), down(), down()
    one_shot.braze.failures = [first, second, None, third]

    failure = one_shot.discover()

    assert failure is None
    assert [why for _, why in one_shot.waits if why] == [first, second, third]


def test_a_lasting_failure_is_returned() -> None:
    """After the third time; a long wait between is one failure all the same."""
    one_shot = OneShot()
    third = down()
    one_shot.braze.failures = [down(), down(), third, down()]

    failure = one_shot.discover()

    assert failure is third
    assert len(one_shot.braze.requested) == 3


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_is_set_ends_a_long_wait(hours: int) -> None:
    """The end of Braze's window was computed with the previous wall clock."""
    one_shot = OneShot()
    off = hours * 3600.0
    told = RateLimitHeaders(limit=10, remaining=0, reset_at=NOW + off + 30)
    one_shot.braze.allowance = told
    one_shot.off_by = off

    failure = one_shot.discover()

    assert failure is None
    assert one_shot.at - NOW < 300


def test_known_details_are_not_requested_again(tmp_path: Path) -> None:
    """The next run finds it where this one left it."""
    one_shot = OneShot()

    first, printed = one_shot.campaigns(tmp_path)
    requested = len(one_shot.braze.requested)
    second, _ = one_shot.campaigns(tmp_path)

    assert first == second == {"A", "B", "C"}
    assert len(one_shot.braze.requested) == requested
    assert printed[-1] == "workspace shop: 3 campaigns"


def test_an_unusable_file_only_costs_requests(tmp_path: Path) -> None:
    """It is reported, and everything is requested."""
    one_shot = OneShot()
    (tmp_path / FILE_NAME).write_text("not a database" * 500)

    found, printed = one_shot.campaigns(tmp_path)

    assert found == {"A", "B", "C"}
    assert printed[0].endswith(": the list is read from the start")


def test_details_read_before_a_failure_are_kept(tmp_path: Path) -> None:
    """The list is not read again."""
    one_shot = OneShot()
    one_shot.braze.failures = [None, None, down(), down(), down()]

    with pytest.raises(Unavailable, match="it is down"):
        one_shot.campaigns(tmp_path)
    one_shot.campaigns(tmp_path)

    assert one_shot.braze.requested.count("page 0") == 1

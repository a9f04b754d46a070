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


class World:
    """A Braze with three campaigns, and clocks; each wait is noted."""

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
        """Let time go on; when it has come, the wall clock is set right."""
        self.at += seconds
        if self.at >= NOW + 20:
            self.set_by = self.off_by

    def explore(self) -> FetchError | None:
        """Ask for all."""
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
        """Return the names that are found by way of a directory, and what was said."""
        said: list[str] = []
        exploration = DiscoveryRun(
            CatalogueCache(SqliteState(where)),
            clock=self.clock,
            sleep=self.wait,
            random=lambda: 0.5,
            print_line=said.append,
        )
        found = exploration.campaigns_of(workspace(), client=self.braze)
        return {one.name for one in found}, said


def test_all_is_asked_for_once() -> None:
    """The list, then the details of each."""
    world = World()

    failure = world.explore()

    assert failure is None
    assert world.braze.asked == ["page 0", "a", "b", "c"]


def test_what_fails_for_now_is_waited_out() -> None:
    """And told, with how long; twice in a row at most."""
    world = World()
    first, second, third = down(), down(), down()
    world.braze.failures = [first, second, None, third]

    failure = world.explore()

    assert failure is None
    assert [why for _, why in world.waits if why] == [first, second, third]


def test_what_goes_on_failing_is_returned() -> None:
    """After the third time; a long wait between is one failure all the same."""
    world = World()
    third = down()
    world.braze.failures = [down(), down(), third, down()]

    failure = world.explore()

    assert failure is third
    assert len(world.braze.asked) == 3


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_is_set_ends_a_long_wait(hours: int) -> None:
    """When Braze's window ends was said by another clock."""
    world = World()
    off = hours * 3600.0
    told = RateLimitHeaders(limit=10, remaining=0, reset_at=NOW + off + 30)
    world.braze.allowance = told
    world.off_by = off

    failure = world.explore()

    assert failure is None
    assert world.at - NOW < 300


def test_what_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    """The next run finds it where this one left it."""
    world = World()

    first, said = world.campaigns(tmp_path)
    asked = len(world.braze.asked)
    second, _ = world.campaigns(tmp_path)

    assert first == second == {"A", "B", "C"}
    assert len(world.braze.asked) == asked
    assert said[-1] == "workspace shop: 3 campaigns"


def test_a_file_that_cannot_be_used_costs_requests_alone(tmp_path: Path) -> None:
    """It is told, and all is asked for."""
    world = World()
    (tmp_path / FILE_NAME).write_text("not a database" * 500)

    found, said = world.campaigns(tmp_path)

    assert found == {"A", "B", "C"}
    assert said[0].endswith(": the list is read from the start")


def test_what_was_learnt_before_a_failure_is_kept(tmp_path: Path) -> None:
    """The list is not read again."""
    world = World()
    world.braze.failures = [None, None, down(), down(), down()]

    with pytest.raises(Unavailable, match="it is down"):
        world.campaigns(tmp_path)
    world.campaigns(tmp_path)

    assert world.braze.asked.count("page 0") == 1

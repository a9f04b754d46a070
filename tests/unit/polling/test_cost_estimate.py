"""The estimated costs of a configuration, and changes that reduce them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from exporter.model.config import Config, Limits, Selection
from exporter.polling import cost_estimate

from tests.paths import ROOT
from tests.support.command_line import invoke
from tests.support.daemon_process import parsed, written
from tests.support.polling_world import workspace

DOCUMENT = ROOT / "docs" / "scaling.md"


def document(
    count: int, *, interval: str = "5m", **changes: object
) -> dict[str, object]:
    """Return a configuration of so many campaigns."""
    campaigns = [
        {"id": str(UUID(int=number)), "name": str(number)} for number in range(count)
    ]
    shop = workspace(
        api_key_env="BRAZE_API_KEY",
        interval=interval,
        requests_per_minute=3000,
        campaigns=campaigns,
    )
    return {"workspaces": [shop | changes]}


def config(count: int, *, interval: str = "5m", **changes: object) -> Config:
    """Return it parsed."""
    return parsed(document(count, interval=interval, **changes), key="key")


def test_costs_grow_with_campaigns() -> None:
    """Requests and series in proportion; an idle process has costs, too."""
    few, many = cost_estimate.scaling(config(100)), cost_estimate.scaling(config(1000))

    assert many.series == 10 * few.series == 81_000
    assert many.requests_per_minute == pytest.approx(200)
    assert few.core_share > cost_estimate.IDLE_CPU_SHARE
    assert many.resident_bytes - few.resident_bytes == pytest.approx(
        72_900 * cost_estimate.BYTES_PER_SERIES
    )
    assert many.campaigns_per_core == few.campaigns_per_core


def test_requests_are_limited_by_the_ceiling() -> None:
    """Intervals are stretched then."""
    found = cost_estimate.scaling(config(1000, requests_per_minute=60))

    assert found.requests_per_minute == pytest.approx(58.8, rel=0.01)


def test_half_the_interval_is_half_the_campaigns_on_a_core() -> None:
    """The number of polls is limited."""
    slow = cost_estimate.scaling(config(10, interval="10m"))
    fast = cost_estimate.scaling(config(10, interval="5m"))

    assert slow.campaigns_per_core == pytest.approx(2 * fast.campaigns_per_core, abs=2)


def test_campaigns_of_discovery_are_counted() -> None:
    """As many as it may add to the listed ones."""
    found = cost_estimate.scaling(config(10, discover={"max_campaigns": 90}))

    assert (found.campaigns, found.found_campaigns) == (100, 90)
    assert found.series == cost_estimate.scaling(config(100)).series
    assert found.requests_per_minute == pytest.approx(20)


def test_a_workspace_without_campaigns_costs_only_the_process() -> None:
    """No division by zero."""
    nothing = config(1)._replace(workspaces=())

    found = cost_estimate.scaling(nothing)

    assert (found.series, found.campaigns_per_core, found.shards) == (0, 0, 1)
    assert found.resident_bytes == cost_estimate.RESIDENT_BYTES


@pytest.mark.parametrize(
    ("count", "interval", "shards"), [(10, "5m", 1), (3000, "1s", 1), (25_000, "1h", 3)]
)
def test_shards_are_advised_for_many_series(
    count: int, interval: str, shards: int
) -> None:
    """Each has fewer than are advised for one."""
    assert cost_estimate.scaling(config(count, interval=interval)).shards == shards


def test_shards_are_advised_for_many_polls() -> None:
    """One process cannot use more than a core."""
    found = cost_estimate.scaling(
        config(4000, interval="10s", requests_per_minute=50_000)
    )

    assert found.core_share > cost_estimate.CORE_SHARE_ADVISED
    assert found.shards == 3


@pytest.mark.parametrize(
    ("count", "interval", "advice"),
    [
        (100, "5m", "one exporter is enough"),
        (12_400, "5m", "2, for about 1000000 series each at most"),
        (4000, "10s", "3, for about half a core each at most"),
    ],
)
def test_check_prints_why_shards_are_advised(
    tmp_path: Path, count: int, interval: str, advice: str
) -> None:
    """For series or for polls, whichever need more shards."""
    wanted = document(count, interval=interval, requests_per_minute=50_000)
    file = written(tmp_path / "config.yaml", wanted)

    ended = invoke("check", "--scaling", file, environment={"BRAZE_API_KEY": "key"})

    assert f"\n  shards advised       {advice}\n" in ended.stdout


def test_prometheus_needs_memory_for_series_and_disk_for_samples() -> None:
    """In proportion."""
    found = cost_estimate.scaling(config(600))

    assert found.head_bytes == pytest.approx((48_600 * 3 * 1024, 48_600 * 8 * 1024))
    assert found.samples_per_second(30) == 1620
    thirty_days = 810 * 86400 * 30
    assert found.disk_bytes(60) == pytest.approx((thirty_days, 2 * thirty_days))


def test_each_saving_is_what_the_changed_configuration_costs() -> None:
    """Without windows, revisions or stats, one change each."""

    def savings(**changes: Any) -> dict[str, int]:
        found = cost_estimate.scaling(config(10)._replace(**changes)).savings
        return {one.change: one.series for one in found}

    assert savings() == {
        "windows: [28d]": 630,
        "windows: []": 450,
        'metrics: {exclude: ["conversions*"]}': 490,
        "metrics: {include: [sent, delivered, bounces, reported_spam]}": 230,
    }
    assert savings(revisions=True) == {
        "windows: [28d]": 820,
        "windows: []": 640,
        "revisions: false": 810,
        'metrics: {exclude: ["conversions*"]}': 600,
        "metrics: {include: [sent, delivered, bounces, reported_spam]}": 270,
    }


def test_a_change_that_saves_nothing_is_not_advised() -> None:
    """If it is made already, or the series are limited to fewer."""
    bare = config(10)._replace(
        windows=(), metrics=Selection(include=("sent", "bounces"))
    )
    capped = config(10)._replace(limits=Limits(20, 1))

    assert cost_estimate.scaling(bare).savings == ()
    assert cost_estimate.scaling(capped).savings == ()


def test_the_document_has_the_output_of_check(tmp_path: Path) -> None:
    """For ten thousand campaigns every five minutes."""
    file = written(tmp_path / "config.yaml", document(10_000))

    ended = invoke("check", "--scaling", file, environment={"BRAZE_API_KEY": "key"})

    _, _, table = ended.stdout.partition("\nscaling, ")
    _, _, shown = DOCUMENT.read_text().partition("\nscaling, ")
    assert ended.returncode == 0
    assert table == shown.partition("```")[0] != ""


def test_check_prints_costs_if_requested(tmp_path: Path) -> None:
    """With the campaigns that discovery may add."""
    file = written(
        tmp_path / "config.yaml", document(1, discover={"max_campaigns": 99})
    )

    by_default = invoke("check", file)
    requested = invoke("check", file, environment={"BRAZE_EXPORTER_SCALING": "true"})

    assert "scaling" not in by_default.stdout
    assert (
        "scaling, for 100 campaigns, 99 of them found by discovery" in requested.stdout
    )

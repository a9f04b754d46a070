"""The estimated costs of a configuration, and changes that reduce them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from exporter.model.config import Config, Limits, MetricsConfig
from exporter.polling import cost_estimate
from exporter.polling.cost_estimate import scaling
from exporter.polling.kinds import CAMPAIGN, CANVAS

from tests.paths import ROOT
from tests.support.command_line import invoke
from tests.support.daemon_process import parsed, written
from tests.support.polling_world import workspace

DOCUMENT = ROOT / "docs" / "scaling.md"


FOUND = {"canvases": {"max": 20}}


def objects(count: int) -> list[dict[str, str]]:
    return [
        {"id": str(UUID(int=number)), "name": str(number)} for number in range(count)
    ]


def document(count: int, **changes: object) -> dict[str, object]:
    shop = workspace(
        api_key_env="BRAZE_API_KEY", requests_per_minute=3000, campaigns=objects(count)
    )
    return {"workspaces": [shop | changes]}


def config(count: int, **changes: object) -> Config:
    return parsed(document(count, **changes), key="key")


def test_costs_grow_with_campaigns() -> None:
    few, many = scaling(config(100)), scaling(config(1000))

    assert many.series == 10 * few.series == 81_000
    assert many.requests_per_minute == pytest.approx(200)
    assert few.core_share > cost_estimate.IDLE_CPU_SHARE
    assert many.resident_bytes - few.resident_bytes == pytest.approx(
        72_900 * cost_estimate.BYTES_PER_SERIES
    )
    assert many.objects_per_core == few.objects_per_core
    slow = scaling(config(100, interval="10m"))
    assert slow.objects_per_core == pytest.approx(2 * few.objects_per_core, abs=2)


def test_requests_are_limited_by_the_ceiling() -> None:
    found = scaling(config(1000, requests_per_minute=60))

    assert found.requests_per_minute == pytest.approx(58.8, rel=0.01)


def test_campaigns_that_discovery_may_add_are_counted() -> None:
    """With the list each campaign has the time of its last edit, too."""
    found = scaling(config(10, discover={"campaigns": {"max": 90}}))

    assert (found.objects, found.found) == (((CAMPAIGN, 100),), 90)
    assert found.series == scaling(config(100)).series + 100
    assert found.requests_per_minute == pytest.approx(20)


@pytest.mark.parametrize(
    ("windows", "requests", "older_days"),
    [((7,), 500 / 15, 0), ((7, 28), 500 / 15 + 1000 / 360, 500)],
)
def test_canvases_cost_requests_memory_and_state(
    windows: tuple[int, ...], requests: float, older_days: int
) -> None:
    """Days that their newest requests lack cost requests and are remembered."""
    wanted = document(0, canvases=objects(500))
    found = scaling(parsed(wanted, key="key")._replace(windows=windows))

    memory, state = (older_days * size for size in cost_estimate.OLDER_DAYS_BYTES)
    assert found.objects == ((CANVAS, 500),)
    assert found.requests_per_minute == pytest.approx(requests)
    assert found.series == 500 * (7 + 17 * (2 + len(windows)))
    assert found.resident_bytes == (
        cost_estimate.RESIDENT_BYTES
        + found.series * cost_estimate.BYTES_PER_SERIES
        + memory
    )
    assert found.state_bytes == (
        found.series * cost_estimate.STATE_BYTES_PER_SERIES + state
    )


def test_the_series_of_steps_can_be_saved() -> None:
    listed = objects(10)
    plain, with_steps = (
        scaling(config(10, canvases=listed, canvas_steps=steps, discover=FOUND))
        for steps in (False, True)
    )

    assert plain.objects == ((CAMPAIGN, 10), (CANVAS, 30))
    assert "canvas_steps and steps: false" not in dict(plain.savings)
    assert dict(with_steps.savings)["canvas_steps and steps: false"] == plain.series


def test_a_change_that_saves_less_than_a_percent_is_not_advised() -> None:
    canvas = [{"id": str(UUID(int=0)), "name": "Onboarding", "steps": True}]

    found = scaling(config(1000, canvases=canvas))

    assert "canvas_steps and steps: false" not in dict(found.savings)
    assert found.savings


def test_changes_keep_the_series_of_the_workspace() -> None:
    some = {"kpi": ["dau"], "purchases": ["revenue"], "broadcasts": True}
    found = scaling(config(100, series=some))

    (few,) = (change for change, _ in found.savings if "include" in change)
    assert few.endswith("reported_spam, dau, purchase_revenue]}")
    assert dict(found.savings)[few] == (
        dict(scaling(config(100)).savings)[few.partition(", dau")[0] + "]}"]
        + found.series
        - scaling(config(100)).series
    )


def test_a_workspace_without_campaigns_costs_only_the_process() -> None:
    found = scaling(config(1)._replace(workspaces=()))

    assert (found.series, found.objects_per_core, found.shards) == (0, 0, 1)
    assert found.resident_bytes == cost_estimate.RESIDENT_BYTES


@pytest.mark.parametrize(
    ("count", "interval", "advice"),
    [
        (100, "5m", "one exporter is enough"),
        (4000, "10s", "3, for about half a core each at most"),
        (12_400, "5m", "2, for about 1000000 series each at most"),
    ],
)
def test_shards_are_advised_for_series_or_for_polls(
    tmp_path: Path, count: int, interval: str, advice: str
) -> None:
    wanted = document(count, interval=interval, requests_per_minute=50_000)
    file = written(tmp_path / "config.yaml", wanted)

    ended = invoke("check", "--scaling", file, environment={"BRAZE_API_KEY": "key"})

    assert f"\n  shards advised       {advice}\n" in ended.stdout


def test_prometheus_needs_memory_for_series_and_disk_for_samples() -> None:
    found = scaling(config(600))

    assert found.head_bytes == pytest.approx((48_600 * 3 * 1024, 48_600 * 8 * 1024))
    assert found.samples_per_second(30) == 1620
    thirty_days = 810 * 86400 * 30
    assert found.disk_bytes(60) == pytest.approx((thirty_days, 2 * thirty_days))


NO_CONVERSIONS = 'metrics: {exclude: ["conversions*"]}'
SKIP_UNUSED = "metrics: {skip_unused: true}  # no conversions1 to 3 with one event"
FEW_STATS = "metrics: {include: [sent, delivered, bounces, reported_spam]}"


@pytest.mark.parametrize(
    ("changes", "savings"),
    [
        (
            {"revisions": True},
            {
                "windows: [28d]": 820,
                "windows: []": 640,
                "revisions: false": 810,
                SKIP_UNUSED: 700,
                NO_CONVERSIONS: 600,
                FEW_STATS: 270,
            },
        ),
        (
            {"windows": ()},
            {SKIP_UNUSED: 330, NO_CONVERSIONS: 290, FEW_STATS: 150},
        ),
        (
            {"windows": (), "metrics": MetricsConfig(skip_unused=True)},
            {NO_CONVERSIONS: 290, FEW_STATS: 150},
        ),
        ({"windows": (), "metrics": MetricsConfig(include=("sent", "bounces"))}, {}),
        ({"limits": Limits(20, 1)}, {}),
    ],
)
def test_each_saving_is_what_the_changed_configuration_costs(
    changes: dict[str, Any], savings: dict[str, int]
) -> None:
    """A change that is made already or saves nothing is not advised."""
    found = scaling(config(10)._replace(**changes)).savings

    assert {one.change: one.series for one in found} == savings


def test_the_document_has_the_output_of_check(tmp_path: Path) -> None:
    file = written(tmp_path / "config.yaml", document(10_000))

    ended = invoke("check", "--scaling", file, environment={"BRAZE_API_KEY": "key"})

    _, _, table = ended.stdout.partition("\nscaling, ")
    _, _, shown = DOCUMENT.read_text().partition("\nscaling, ")
    assert ended.returncode == 0
    assert table == shown.partition("```")[0] != ""


def test_check_prints_costs_if_requested(tmp_path: Path) -> None:
    wanted = document(1, discover={"campaigns": {"max": 99}})
    file = written(tmp_path / "config.yaml", wanted)

    by_default = invoke("check", file)
    requested = invoke("check", file, environment={"BRAZE_EXPORTER_SCALING": "true"})

    expected = "scaling, for 100 campaigns, 99 of them found by discovery"
    assert "scaling" not in by_default.stdout
    assert expected in requested.stdout

"""Which shard polls which campaign, and how ceilings are divided."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from operator import attrgetter
from uuid import UUID

import pytest
from exporter.model.config import Config
from exporter.polling.sharding import (
    MOST_SHARDS,
    Shard,
    divide_ceilings,
    replicas_of,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.support.polling_world import config, workspace

IDS = [str(UUID(int=number)) for number in range(10_000)]


def configured(**changes: object) -> Config:
    campaigns = [{"id": each, "name": each} for each in IDS[:20]]
    changes |= {"requests_per_minute": 120, "concurrency": 5, "reserve": "20%"}
    return config(workspace() | {"campaigns": campaigns} | changes)


def shard_of(campaign_id: str, total: int) -> int:
    (one,) = [n for n in range(total) if Shard(n, total).holds(campaign_id)]
    return one


def test_a_campaigns_shard_is_fixed_by_its_id() -> None:
    """Every process and every release computes the same one."""
    campaign_id = "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"
    found = [shard_of(campaign_id, total) for total in (1, 2, 3, 5, 8, 100)]

    assert found == [0, 0, 2, 2, 5, 17]


@given(campaign_id=st.text(st.characters()), total=st.integers(1, 20))
def test_every_campaign_has_exactly_one_shard(campaign_id: str, total: int) -> None:
    """Lone surrogates in its id included."""
    assert 0 <= shard_of(campaign_id, total) < total


@pytest.mark.parametrize("total", [2, 3, 7, 16])
def test_shards_are_equal_within_15_percent(total: int) -> None:
    sizes = Counter(shard_of(each, total) for each in IDS)

    assert len(sizes) == total
    assert max(sizes.values()) < 1.15 * len(IDS) / total
    assert min(sizes.values()) > 0.85 * len(IDS) / total


def test_one_more_shard_moves_only_the_campaigns_of_the_new_one() -> None:
    moved = [each for each in IDS if shard_of(each, 4) != shard_of(each, 5)]

    assert {shard_of(each, 5) for each in moved} == {4}
    assert len(moved) == pytest.approx(len(IDS) / 5, rel=0.1)


@pytest.mark.parametrize("has_discovery", [False, True])
@pytest.mark.parametrize(
    ("parts", "rate", "concurrency"),
    [(1, 120, 5), (2, 60, 2), (4, 30, 1), (100, 1.2, 1)],
)
def test_ceilings_are_divided(
    parts: int, rate: float, concurrency: int, *, has_discovery: bool
) -> None:
    """Each process has at least one thread; the reserve and the campaigns stay.

    Dividing twice, among shards and among replicas, counts all processes.
    """
    kinds: dict[str, object] = {"canvases": {}, "campaigns": {}}
    discovery = {"discover": kinds} if has_discovery else {}
    config = divide_ceilings(configured(**discovery), parts)

    (workspace,) = config.workspaces
    assert workspace.requests_per_minute == rate
    assert workspace.concurrency == concurrency
    assert workspace.reserve == 0.2
    found = workspace.discover.rules if workspace.discover else ()
    parts_of = [one.requests_per_minute for one in found]
    assert workspace.shared_requests_per_minute == 60 / parts
    assert parts_of == ([30 / parts] * 2 if has_discovery else [])
    assert len(workspace.campaigns) == 20
    (again,) = divide_ceilings(config, 3).workspaces
    assert (workspace.processes, again.processes) == (parts, 3 * parts)


def test_the_objects_of_a_shard_keep_their_order() -> None:
    (workspace,) = configured().workspaces
    workspace = replace(workspace, canvases=workspace.campaigns)

    parts = [Shard(n, 3).part(workspace) for n in range(3)]

    for objects_of in (attrgetter("campaigns"), attrgetter("canvases")):
        own = [objects_of(one) for one in parts]
        assert sorted(one.id for part in own for one in part) == IDS[:20]
        for part in own:
            assert list(part) == [one for one in objects_of(workspace) if one in part]


def test_each_series_has_exactly_one_shard() -> None:
    events = [{"name": name, "unit": unit} for name in "ab" for unit in ("hour", "day")]
    some = {"kpi": ["dau", "mau", "new_users"], "broadcasts": True, "events": events}
    (shop,) = config(workspace("", series=some)).workspaces

    parts = [Shard(n, 3).part(shop) for n in range(3)]

    for kind in ("dau", "mau", "new_users", "broadcasts", "event"):
        own = [one for part in parts for one in part.series_of(kind)]
        assert {one.id for one in own} == {one.id for one in shop.series_of(kind)}
        assert len(own) == len(shop.series_of(kind))


@pytest.mark.parametrize(
    ("number", "total", "expected"),
    [
        (None, None, None),
        ("", "", None),
        ("0", "1", Shard(0, 1)),
        ("2", "3", Shard(2, 3)),
        ("braze-exporter-11", "12", Shard(11, 12)),
        ("a-2-1", "12", Shard(1, 12)),
    ],
)
def test_a_shard_is_parsed_from_a_number_or_the_name_of_a_pod(
    number: str | None, total: str | None, expected: Shard | None
) -> None:
    assert Shard.of_texts(number, total) == expected


@pytest.mark.parametrize(
    ("number", "total", "complaint"),
    [
        ("0", None, "expected both --shard and --total-shards, or neither"),
        (None, "2", "expected both --shard and --total-shards, or neither"),
        ("2", "2", "--shard is '2', expected 0 to 1, or a name that ends in it"),
        ("-1", "1", "--shard is '-1', expected 0 to 0"),
        ("pod", "2", "--shard is 'pod', expected 0 to 1"),
        ("pod0", "2", "--shard is 'pod0', expected 0 to 1"),
        ("0", "0", f"--total-shards is '0', expected 1 to {MOST_SHARDS}"),
        ("0", "1001", "--total-shards is '1001', expected 1 to 1000"),
        ("0", "two", "--total-shards is 'two', expected 1 to 1000"),
        ("0", "²", "--total-shards is '²', expected 1 to 1000"),
    ],
)
def test_invalid_shards_are_refused(
    number: str | None, total: str | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        Shard.of_texts(number, total)

    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize("text", ["", "0", "-1", "101", "two", "1.5", "²"])
def test_invalid_replicas_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 100") as caught:
        replicas_of(text)

    assert str(caught.value).startswith(f"--replicas is {text!r}")


@pytest.mark.parametrize("count", [1, 2, 100])
def test_replicas_are_parsed(count: int) -> None:
    assert replicas_of(str(count)) == count

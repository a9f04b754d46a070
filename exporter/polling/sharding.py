"""Which of several exporters has which campaign, and what of the budget.

By consistent hashing: everybody agrees without asking, in every process and release,
and when there are more or fewer of them only as many campaigns move as have to. It
knows neither processes nor the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

from exporter.model.config import (
    CampaignConfig,
    Config,
    DiscoverConfig,
    WorkspaceConfig,
)

MOST_SHARDS = 1000
"""More have no use: each asks for one campaign in a thousand."""

PARTITIONS = 256
"""Into so many parts campaigns are put where exporters share them by leases."""

_COUNT = re.compile(r"[0-9]{1,4}")
_NUMBER = re.compile(r"(?:.+-)?([0-9]{1,4})", re.DOTALL)


class Shard(NamedTuple):
    """One of `total` exporters that share a configuration; numbers begin at 0."""

    number: int
    total: int

    def holds(self, campaign_id: str) -> bool:
        """Tell whether this one polls a campaign; exactly one of them does."""
        return _bucket(_hash(campaign_id), self.total) == self.number

    def own(self, campaigns: tuple[CampaignConfig, ...]) -> tuple[CampaignConfig, ...]:
        """Return those that this one polls, in their order."""
        return tuple(one for one in campaigns if self.holds(one.id))

    @classmethod
    def of_texts(cls, number: str | None, total: str | None) -> Shard | None:
        """Return the one that two flags name, if they do; ValueError: what is wrong.

        The number may end a name, as in that of a StatefulSet's pod.
        """
        if not number and not total:
            return None
        if not number or not total:
            message = "expected both --shard and --total-shards, or none of them"
            raise ValueError(message)
        if not _COUNT.fullmatch(total) or not 1 <= int(total) <= MOST_SHARDS:
            message = f"--total-shards is {total!r}, expected 1 to {MOST_SHARDS}"
            raise ValueError(message)
        found = _NUMBER.fullmatch(number)
        if found is None or int(found[1]) >= int(total):
            message = (
                f"--shard is {number!r}, expected 0 to {int(total) - 1}, or a name "
                "that ends in it, such as exporter-0"
            )
            raise ValueError(message)
        return cls(int(found[1]), int(total))

    def divided(self, config: Config) -> Config:
        """Return the configuration with this one's part of every budget.

        All campaigns are still in it: what discovery makes of names depends on all.
        """
        workspaces = tuple(_divided(one, self.total) for one in config.workspaces)
        return config._replace(workspaces=workspaces)


def owner(key: str, members: Iterable[str]) -> str:
    """Return whose a key is, of members that come and go; ValueError: there is nobody.

    The one with the highest weight for it ("rendezvous"): the same in any order of the
    members, and one that leaves takes only its own keys along.
    """
    return max(members, key=lambda member: (_hash(f"{member} {key}"), member))


def partition(workspace: str, campaign_id: str = "") -> int:
    """Return to which of `PARTITIONS` a campaign belongs, or a workspace by itself."""
    return _bucket(_hash(f"{workspace}\0{campaign_id}"), PARTITIONS)


def _bucket(key: int, buckets: int) -> int:
    """Return the bucket of a key.

    Jump consistent hashing (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash
    Algorithm", arXiv:1406.2294), by which kube-state-metrics shards, too.
    """
    bucket, jump = 0, 0
    while jump < buckets:
        bucket = jump
        key = (key * 2862933555777941757 + 1) % 2**64
        jump = int((bucket + 1) * (2**31 / ((key >> 33) + 1)))
    return bucket


def _hash(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _divided(workspace: WorkspaceConfig, total: int) -> WorkspaceConfig:
    discover = workspace.discover
    return replace(
        workspace,
        requests_per_minute=workspace.requests_per_minute / total,
        # Of threads and of requests before Braze's first answer. The reserve is a share
        # of what Braze grants to all of us, and stays.
        concurrency=max(1, workspace.concurrency // total),
        discover=discover and _discovery_divided(discover, total),
    )


def _discovery_divided(discover: DiscoverConfig, total: int) -> DiscoverConfig:
    rate = discover.requests_per_minute / total
    return discover._replace(requests_per_minute=rate)

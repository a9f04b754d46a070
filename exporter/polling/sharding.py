"""Shards and replicas: which objects a process polls, within which ceilings.

Objects are assigned by consistent hashing: every process and release computes the
same assignment, and a changed number of shards moves as few of them as possible.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

from exporter.model.config import Config, ObjectConfig, WorkspaceConfig

MOST_SHARDS = 1000
"""Enough for one object in a thousand each."""

MOST_REPLICAS = 100

_COUNT = re.compile(r"[0-9]{1,4}")
_NUMBER = re.compile(r"(?:.+-)?([0-9]{1,4})", re.DOTALL)


class Shard(NamedTuple):
    """One of `total` processes with one configuration; numbers start at 0."""

    number: int
    total: int

    def holds(self, object_id: str) -> bool:
        """Return whether this shard polls an object; exactly one shard does."""
        return _bucket(_hash(object_id), self.total) == self.number

    def part(self, workspace: WorkspaceConfig) -> WorkspaceConfig:
        """Return a workspace with the objects of this shard, in their order."""

        def own(objects: tuple[ObjectConfig, ...]) -> tuple[ObjectConfig, ...]:
            return tuple(one for one in objects if self.holds(one.id))

        return replace(
            workspace,
            campaigns=own(workspace.campaigns),
            canvases=own(workspace.canvases),
        )

    @classmethod
    def of_texts(cls, number: str | None, total: str | None) -> Shard | None:
        """Parse --shard and --total-shards; ValueError: the message names the flag.

        The number may end a name, such as that of a pod of a StatefulSet.
        """
        if not number and not total:
            return None
        if not number or not total:
            message = "expected both --shard and --total-shards, or neither"
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


def replicas_of(text: str) -> int:
    """Parse the value of --replicas; ValueError: not a number from 1 to 100."""
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= MOST_REPLICAS:
        message = f"--replicas is {text!r}, expected 1 to {MOST_REPLICAS}"
        raise ValueError(message)
    return int(text)


def divide_ceilings(config: Config, parts: int) -> Config:
    """Return the configuration with every request ceiling divided by `parts`.

    All objects stay in it: the names that discovery gives depend on all of them.
    """
    workspaces = tuple(
        replace(
            one,
            processes=one.processes * parts,
            requests_per_minute=one.requests_per_minute / parts,
            shared_requests_per_minute=one.shared_requests_per_minute / parts,
            # The reserve is a share of what Braze grants to all processes: unchanged.
            concurrency=max(1, one.concurrency // parts),
            discover=one.discover
            and one.discover.within_rate(one.shared_requests_per_minute / parts),
        )
        for one in config.workspaces
    )
    return config._replace(workspaces=workspaces)


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

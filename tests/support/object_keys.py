"""Keys of the objects of the workspace `shop`."""

from __future__ import annotations

from exporter.metrics.store import ObjectKey


def key(id_: str, *, workspace: str = "shop", kind: str = "campaign") -> ObjectKey:
    """Return the key of a campaign or canvas."""
    return ObjectKey(workspace, kind, id_)

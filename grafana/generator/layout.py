"""The layout: panels flow from left to right over 24 columns, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from grafana_foundation_sdk.models import dashboard as models

COLUMNS = 24


class Drawn(Protocol):
    """A builder of a panel."""

    def build(self) -> models.Panel:
        """Return the panel."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A panel and its size: columns of the grid, and rows of 30 pixels and a gap."""

    panel: Drawn
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Section:
    """Panels below a heading."""

    title: str
    tiles: Sequence[Tile]


def place(sections: Iterable[Section]) -> list[models.Panel | models.RowPanel]:
    """Return headings and panels, numbered from 1, with their places.

    A tile that does not fit into the rest of a row starts the next row, below the
    highest tile of this one.
    """
    placed: list[models.Panel | models.RowPanel] = []
    y = 0
    for section in sections:
        placed.append(_heading(section.title, number=len(placed) + 1, y=y))
        y += 1
        x = height = 0
        for tile in section.tiles:
            if x + tile.width > COLUMNS:
                x, y, height = 0, y + height, 0
            panel = tile.panel.build()
            panel.id_val = len(placed) + 1
            panel.grid_pos = models.GridPos(h=tile.height, w=tile.width, x=x, y=y)
            placed.append(panel)
            x, height = x + tile.width, max(height, tile.height)
        y += height
    return placed


def _heading(title: str, *, number: int, y: int) -> models.RowPanel:
    return models.RowPanel(
        id_val=number,
        title=title,
        collapsed=False,
        grid_pos=models.GridPos(h=1, w=COLUMNS, x=0, y=y),
        panels=[],
    )

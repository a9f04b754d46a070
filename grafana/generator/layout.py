"""The layout: panels flow from left to right over 24 columns, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from grafana_foundation_sdk.models import dashboard as models

COLUMNS = 24
TREND_ROWS = 5
"""The least height of a number with a sparkline: Grafana draws none in lower tiles."""


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
    """Panels below a heading; those of a collapsed one appear on a click."""

    title: str
    tiles: Sequence[Tile]
    is_collapsed: bool = False


def place(sections: Iterable[Section]) -> list[models.Panel | models.RowPanel]:
    """Return headings and panels, numbered from 1, with their places.

    A tile that does not fit into the rest of a row starts the next row, below the
    highest tile of this one. The panels of a collapsed section are in its heading.
    """
    placed: list[models.Panel | models.RowPanel] = []
    number = 1
    y = 0
    for section in sections:
        heading = _heading(section, number=number, y=y)
        placed.append(heading)
        number += 1
        panels: list[models.Panel] = []
        bottom = y + 1
        x = height = 0
        for tile in section.tiles:
            if x + tile.width > COLUMNS:
                x, bottom, height = 0, bottom + height, 0
            panel = tile.panel.build()
            panel.id_val = number
            panel.grid_pos = models.GridPos(h=tile.height, w=tile.width, x=x, y=bottom)
            panels.append(panel)
            number += 1
            x, height = x + tile.width, max(height, tile.height)
        if section.is_collapsed:
            heading.panels = panels
            y += 1
        else:
            placed += panels
            y = bottom + height
    return placed


def _heading(section: Section, *, number: int, y: int) -> models.RowPanel:
    return models.RowPanel(
        id_val=number,
        title=section.title,
        collapsed=section.is_collapsed,
        grid_pos=models.GridPos(h=1, w=COLUMNS, x=0, y=y),
        panels=[],
    )

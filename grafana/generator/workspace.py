"""The workspace around the messages: users, segments, events, plans and data feeds."""

from __future__ import annotations

from grafana.generator import (
    audiences,
    feeds,
    health,
    links,
    series_polls,
    users,
    volume,
)
from grafana.generator.layout import Section, Tile
from grafana.generator.shell import Page


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-workspace",
        title="Braze / Workspace",
        description="Users, segments that can be reached, events that trigger, "
        "what is planned, which data feeds it, and all its email together.",
        sections=(
            Section("Now", _now()),
            Section(
                "Which users are there",
                [
                    Tile(users.table(), 12, 7),
                    Tile(users.active(), 6, 7),
                    Tile(users.changed(), 6, 7),
                ],
            ),
            Section(
                "Which users can be reached, and what triggers messages",
                [Tile(audiences.segments(), 12, 7), Tile(audiences.events(), 12, 7)],
            ),
            Section(
                "What is planned, and what feeds it",
                [Tile(feeds.broadcasts(), 12, 7), Tile(feeds.ingestion(), 12, 7)],
            ),
            Section(
                "All email of the workspace, and its contracts",
                [Tile(volume.email_table(), 12, 6), Tile(volume.contracts(), 12, 6)],
            ),
            Section(
                "Since when is email reported, and which series fail",
                [Tile(volume.complaints(), 12, 7), Tile(series_polls.table(), 12, 7)],
            ),
            Section(
                "More by day and hour",
                [
                    *(Tile(panel, 12, 8) for panel in audiences.courses()),
                    *(Tile(panel, 12, 8) for panel in users.courses()),
                ],
                is_collapsed=True,
            ),
        ),
        hidden=("channel", "campaigns", "variation", "canvas"),
        kind="workspace",
    )


def _now() -> list[Tile]:
    small = (
        health.exporter(links.to_exporter()),
        series_polls.failing(),
        users.number(),
        audiences.stopped(),
        feeds.next_broadcast(),
        feeds.failing(),
    )
    return [Tile(panel, 4, 5) for panel in small]

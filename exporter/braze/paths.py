"""Paths of Braze's REST API."""

from __future__ import annotations

CAMPAIGN_DATA_SERIES = "campaigns/data_series"
CAMPAIGN_LIST = "campaigns/list"
CAMPAIGN_DETAILS = "campaigns/details"
CANVAS_DATA_SERIES = "canvas/data_series"
CANVAS_LIST = "canvas/list"
CANVAS_DETAILS = "canvas/details"

CANVAS_PATHS = (CANVAS_DATA_SERIES, CANVAS_LIST, CANVAS_DETAILS)


def permission_for(path: str) -> str:
    """Return the permission that an API key needs for a path."""
    return path.replace("/", ".")

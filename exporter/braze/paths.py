"""Paths of Braze's REST API."""

from __future__ import annotations

CAMPAIGN_DATA_SERIES = "campaigns/data_series"
CAMPAIGN_LIST = "campaigns/list"
CAMPAIGN_DETAILS = "campaigns/details"
CANVAS_DATA_SERIES = "canvas/data_series"
CANVAS_LIST = "canvas/list"
CANVAS_DETAILS = "canvas/details"
DAU = "kpi/dau/data_series"
MAU = "kpi/mau/data_series"
NEW_USERS = "kpi/new_users/data_series"
UNINSTALLS = "kpi/uninstalls/data_series"
SESSIONS = "sessions/data_series"
PURCHASE_REVENUE = "purchases/revenue_series"
PURCHASE_QUANTITY = "purchases/quantity_series"
SEGMENT_DATA_SERIES = "segments/data_series"
EVENT_DATA_SERIES = "events/data_series"
SCHEDULED_BROADCASTS = "messages/scheduled_broadcasts"
INTEGRATION_LIST = "cdi/integrations"

CANVAS_PATHS = (CANVAS_DATA_SERIES, CANVAS_LIST, CANVAS_DETAILS)

_PERMISSIONS = {
    SCHEDULED_BROADCASTS: "messages.schedule_broadcasts",  # without the d
    INTEGRATION_LIST: "cdi.integration_list",
}

_PATHS = {permission: path for path, permission in _PERMISSIONS.items()}


def permission_for(path: str) -> str:
    """Return the permission that an API key needs for a path."""
    return _PERMISSIONS.get(path) or path.replace("/", ".")


def path_for(permission: str) -> str:
    """Return the path that a permission is for."""
    return _PATHS.get(permission) or permission.replace(".", "/")

"""The metric families of series of the workspace.

The state of their polls has one set of families, with the label series. Values have
the labels of their kind, and are absent where Braze has no number.
"""

from __future__ import annotations

from exporter.metrics.family import Family, ObjectFamilies

_TOTAL = (
    "The label metric names the series; select one before you sum. mau is the number "
    "of users in 30 days: it has no sum over days."
)
_METRIC = ("metric",)

DAILY = Family(
    "braze_workspace_daily",
    "Polled count of the newest day in Braze, usually today so far, see "
    f"braze_workspace_daily_timestamp_seconds. {_TOTAL}",
    _METRIC,
)
LAST_COMPLETE_DAY = Family(
    "braze_workspace_last_complete_day",
    "Polled count of the newest day that is over in the time zone of the workspace, "
    "see braze_workspace_last_complete_day_timestamp_seconds. Braze may still restate "
    f"it. {_TOTAL}",
    _METRIC,
)
TRAILING = Family(
    "braze_workspace_trailing",
    "Polled sum over the calendar days before today in the time zone of the workspace; "
    "the label window has the number of days. A day without a row counts as nothing. "
    "The sum of dau is not a number of users: a user of two days is in it twice. "
    f"{_TOTAL}",
    ("metric", "window"),
)
DAILY_TIMESTAMP = Family(
    "braze_workspace_daily_timestamp_seconds",
    "Start of the day of braze_workspace_daily in the time zone of the workspace. If "
    "it is not today, Braze has no row for today.",
    _METRIC,
)
LAST_COMPLETE_DAY_TIMESTAMP = Family(
    "braze_workspace_last_complete_day_timestamp_seconds",
    "Start of the day of braze_workspace_last_complete_day in the time zone of the "
    "workspace. If it is not yesterday, Braze has no row for yesterday.",
    _METRIC,
)
SEGMENT_SIZE = Family(
    "braze_segment_size",
    "Number of users in the segment, as Braze last estimated it. Needs analytics "
    "tracking of the segment.",
)
EVENT_COUNT = Family(
    "braze_event_count",
    "Custom events in the newest hour or day that is over, by the label unit, see "
    "braze_event_timestamp_seconds.",
)
EVENT_TIMESTAMP = Family(
    "braze_event_timestamp_seconds",
    "Start of the hour or day of braze_event_count. If it is more than two hours or "
    "days old, Braze has no row for the last one.",
)
BROADCAST_NEXT_SEND = Family(
    "braze_broadcast_next_send_timestamp_seconds",
    "Next planned send of each scheduled campaign and canvas within 30 days. A "
    "recurring one has its next send only. A send in the time zones of its users is "
    "that in the time zone of the workspace.",
    ("kind", "name"),
)
DATA_INGESTION_LAST_SYNC = Family(
    "braze_data_ingestion_last_sync_timestamp_seconds",
    "Start of the last sync of each integration of Cloud Data Ingestion, successful or "
    "not.",
    ("integration",),
)
DATA_INGESTION_STATUS = Family(
    "braze_data_ingestion_status_info",
    "Always 1, with the status of the last sync of each integration in Braze's words, "
    "such as success, partial, error or config_error.",
    ("integration", "status"),
)

WITH_HISTORY = (
    *(LAST_COMPLETE_DAY, TRAILING, LAST_COMPLETE_DAY_TIMESTAMP),
    *(SEGMENT_SIZE, EVENT_COUNT, EVENT_TIMESTAMP),
)
"""Those whose past is known: counts of today so far are not, nor what was planned."""


def _families(kind: str, *samples: Family) -> ObjectFamilies:
    return ObjectFamilies(
        kind=kind,
        label="series",
        up=_UP,
        failure_info=_FAILURE_INFO,
        interval=_INTERVAL,
        last_success=_LAST_SUCCESS,
        samples=samples,
    )


_NAME = "braze_workspace_series"
_UP = Family(
    f"{_NAME}_up",
    "1 if the last finished poll of the series succeeded, 0 if it failed or while its "
    "polls are paused because Braze refuses the API key or its permission. At 0 the "
    "values are those of the last success, and are removed when they are stale.",
)
_FAILURE_INFO = Family(
    f"{_NAME}_failure_info",
    "Always 1, with the reason why polls of the series fail; forbidden: the API key "
    f"lacks a permission, which the log names. Present only while {_NAME}_up is 0.",
)
_INTERVAL = Family(
    f"{_NAME}_interval_seconds",
    "Time between polls of the series; longer than configured if the request budget "
    "is too small.",
)
_LAST_SUCCESS = Family(
    f"{_NAME}_last_success_timestamp_seconds",
    "Time of the last successful poll of the series. The age of its values is time() "
    "minus this.",
)

_LEVEL = (DAILY, LAST_COMPLETE_DAY, DAILY_TIMESTAMP, LAST_COMPLETE_DAY_TIMESTAMP)
_COUNT = (*_LEVEL[:2], TRAILING, *_LEVEL[2:])

SERIES = (
    _families("dau", *_COUNT),
    _families("mau", *_LEVEL),
    *(
        _families(kind, *_COUNT)
        for kind in ("new_users", "uninstalls", "sessions", "purchase_revenue")
    ),
    _families("purchases", *_COUNT),
    _families("segment", SEGMENT_SIZE),
    _families("event", EVENT_COUNT, EVENT_TIMESTAMP),
    _families("broadcasts", BROADCAST_NEXT_SEND),
    _families("data_ingestion", DATA_INGESTION_LAST_SYNC, DATA_INGESTION_STATUS),
)
"""By kind; the families of days and of the state of polls are those of several."""

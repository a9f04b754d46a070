"""The families of metrics about this process: names, labels, HELP and buckets."""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "braze_exporter_"
_WORKSPACE = ("workspace",)
_ENDPOINT = ("workspace", "endpoint")

LabelledFamilies = Mapping[tuple[str, ...], Mapping[str, str]]
"""Label names → name without prefix → help."""

COUNTERS: LabelledFamilies = {
    ("workspace", "endpoint", "code"): {
        "api_requests": "Requests to Braze by HTTP status. code=error: there was no "
        "complete response.",
    },
    _WORKSPACE: {
        "api_retries": "Requests to Braze that repeated a failed request of the same "
        "poll.",
        "polls_recovered": "Polls that nothing would have started any more and that "
        "were scheduled again. Above 0: the exporter has a fault; please report it "
        "with the log around event=polls.recovered.",
    },
    _ENDPOINT: {
        "api_throttled": "Responses 429: the rate limit was used up. Lower "
        "requests_per_minute, or for canvases, discovery and series of the workspace "
        "shared_requests_per_minute, or find the other clients that use the limit.",
    },
    ("workspace", "result"): {
        "polls": "Polls by result. stored: new values were stored. failed: there was "
        "no usable response, and the previous values are kept. malformed: the "
        "response was not a data series. deferred: the request budget "
        "delayed the poll by more than a tenth of its interval.",
    },
    ("result",): {
        "state_saves": "Attempts to save the last values to disk (--state.path).",
        "state_loads": "Attempts to read the saved values at startup (--state.path).",
    },
    ("workspace", "reason"): {
        "discovery_failures": "Requests of the discovery of campaigns without a usable "
        "response, by reason. forbidden: the key lacks campaigns.list or "
        "campaigns.details. Polls are not affected.",
        "canvas_discovery_failures": "Requests of the discovery of canvases without a "
        "usable response, by reason. forbidden: the key lacks canvas.list or "
        "canvas.details. Polls are not affected.",
    },
}

GAUGES: LabelledFamilies = {
    ("version", "python"): {
        "build_info": "Always 1, with the version as a label.",
    },
    (): {
        "config_last_reload_successful": "1 if the last attempt to load the "
        "configuration succeeded. 0: the previous configuration is in force, and the "
        "log lists every problem.",
        "config_last_reload_success_timestamp_seconds": "When the configuration in "
        "force was loaded.",
    },
    _ENDPOINT: {
        "api_rate_limit_limit": "Requests per window, from the X-RateLimit headers of "
        "Braze's last response.",
        "api_rate_limit_remaining": "Requests left in the window, from the "
        "X-RateLimit headers of Braze's last response.",
        "api_rate_limit_reset_timestamp_seconds": "End of the window, from the "
        "X-RateLimit headers of Braze's last response.",
    },
    ("workspace", "reason"): {
        "workspace_paused": "1 while Braze rejects the API key of the workspace, or "
        "its permission campaigns.data_series, and one campaign only is polled to "
        "probe it.",
        "canvases_paused": "1 while Braze rejects the API key, or its permission "
        "canvas.data_series, and one canvas only is polled to probe it.",
    },
    _WORKSPACE: {
        "planned_requests_per_minute": "Requests per minute for campaigns at the "
        "intervals in force.",
        "interval_seconds": "interval of the workspace times the stretch in force. "
        "Longer than configured: the campaigns need more than requests_per_minute.",
        "interval_stretch": "The factor, at least 1, on the intervals of the campaigns "
        "of the workspace. Above 1: they need more than requests_per_minute; raise it, "
        "or the intervals.",
        "canvas_planned_requests_per_minute": "Requests per minute for canvases at the "
        "intervals in force, those for older days included.",
        "canvas_interval_seconds": "canvas_interval of the workspace times the stretch "
        "in force. Longer than configured: the canvases need more than "
        "shared_requests_per_minute.",
        "canvas_interval_stretch": "The factor, at least 1, on the intervals of the "
        "canvases of the workspace. Above 1: they need more than "
        "shared_requests_per_minute; raise it, or the intervals.",
        "discovered_campaigns": "Campaigns that are polled because discovery found "
        "them, in addition to the configured ones.",
        "discovery_limited": "1 while discover.campaigns.max leaves out campaigns "
        "that match the selection. Raise it, or narrow the selection.",
        "discovery_last_success_timestamp_seconds": "When the discovery of campaigns "
        "last had all the data that it requests. It is failing if this is older than "
        "some list_interval; known campaigns are polled all the same.",
        "discovered_canvases": "Canvases that are polled because discovery found them, "
        "in addition to the configured ones.",
        "canvas_discovery_limited": "1 while discover.canvases.max leaves out canvases "
        "that match the selection. Raise it, or narrow the selection.",
        "canvas_discovery_last_success_timestamp_seconds": "When the discovery of "
        "canvases last had all the data that it requests. It is failing if this is "
        "older than some list_interval; known canvases are polled all the same.",
    },
    ("workspace", "kind"): {
        "series_planned_requests_per_minute": "Requests per minute for series of the "
        "workspace at the intervals in force, by the kind of series.",
        "series_interval_stretch": "The factor, at least 1, on the intervals of the "
        "series of the workspace, by the kind of series. Above 1: they need more than "
        "their part of the request ceiling; raise shared_requests_per_minute, or "
        "series.interval.",
    },
    ("shard", "total_shards"): {
        "shard_info": "Always 1, with the shard that this process polls and the "
        "number of shards as labels (--shard).",
    },
}

KIND_PREFIXES = {"campaign": "", "canvas": "canvas_"}
"""All other kinds are series of the workspace, whose pauses are in their status."""
PAUSED = {"campaign": "workspace_paused", "canvas": "canvases_paused"}
DISCOVERED = {"campaign": "discovered_campaigns", "canvas": "discovered_canvases"}
"""Kind → how the metrics of its polls and of its discovery are called."""

OF_DISCOVERY = (
    "discovery_limited",
    "discovery_last_success_timestamp_seconds",
    "discovery_failures",
)

HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "api_request_duration_seconds": (
        "Duration of requests to Braze, from connecting to the last byte.",
        _ENDPOINT,
        (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    ),
    "poll_lag_seconds": (
        "Delay of polls after their slot.",
        _WORKSPACE,
        (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0),
    ),
}
"""Name without prefix → help, label names and buckets."""

LOST_LINES = (
    "Lines of the log that could not be written, because nothing reads standard error "
    "or its disk is full. Polls continue; the log has event=log.lines_lost once it is "
    "written again."
)

CONTRACT = (
    "braze_workspace_contract_messages",
    "Messages that the contract with Braze includes in a calendar month, by channel, "
    "as configured. Of several shards one exports it.",
)
"""Name and help of a family that is not about this process."""

SERVED: Mapping[str, str] = {
    "campaigns": "Campaigns that are polled.",
    "canvases": "Canvases that are polled.",
    "idle_campaigns": "Campaigns that are polled at idle_interval only: all counts "
    "were 0 for 14 days, or they are archived or drafts.",
    "idle_canvases": "Canvases that are polled at idle_interval only: no user entered "
    "and nothing was counted for 13 days, or they are stopped, archived or drafts.",
    "series": "Series of campaigns, canvases and workspaces in a scrape now.",
    "series_dropped": "Series of campaigns, canvases and workspaces that "
    "limits.series_per_campaign leaves out now. Raise it, or exclude channels, metrics "
    "or the steps of canvases.",
    "ignored_values": "Values in Braze's last responses that are not finite numbers.",
    "skipped_rows": "Rows in Braze's last responses without a usable date.",
}
"""Field of `Served` → help of its family."""

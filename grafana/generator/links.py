"""Links between dashboards, and from a row or series to its campaign or canvas."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

TAG = "braze-exporter"
_DOCS = "https://github.com/braze-exporter/braze-exporter/blob/main/docs"
_KEPT = "${datasource:queryparam}&${job:queryparam}"
_CHANNEL = "${channel:queryparam}"
_TITLE = "Show details"


def siblings() -> builders.DashboardLink:
    """Return links to all dashboards with the tag, with variables and time range."""
    return (
        builders.DashboardLink("Go to")
        .type(models.DashboardLinkType.DASHBOARDS)
        .icon("external link")
        .tooltip("The other dashboards of braze-exporter")
        .tags([TAG])
        .as_dropdown(as_dropdown=True)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
        .target_blank(target_blank=False)
    )


def runbooks() -> builders.DashboardLink:
    """Return a link to the documents that state what to do."""
    return (
        builders.DashboardLink("Runbooks")
        .type(models.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip("What each alert means, and what to do")
        .url(f"{_DOCS}/runbooks")
        .target_blank(target_blank=True)
    )


def to_exporter() -> builders.DashboardLink:
    """Return a link from a number to the dashboard of the exporter."""
    return _to("exporter", "What fails, and why")


def to_workspace() -> builders.DashboardLink:
    """Return a link from a number to the dashboard of the workspace."""
    return _to("workspace", "Series of the workspace, and why their polls fail")


def of_workspace() -> dict[str, object]:
    """Return a link from a cell with a workspace to its dashboard."""
    chosen = "var-workspace=${__value.raw:percentencode}"
    url = f"/d/braze-workspace?{_KEPT}&{chosen}&{_CHANNEL}&${{__url_time_range}}"
    return {"title": "Show the workspace", "url": url, "targetBlank": False}


def to_deliverability() -> builders.DashboardLink:
    """Return a link from a number of all email to its campaigns and canvases."""
    return _to("email-deliverability", "Which campaigns and canvases")


def _to(name: str, title: str) -> builders.DashboardLink:
    kept = f"{_KEPT}&${{workspace:queryparam}}&{_CHANNEL}&${{campaigns:queryparam}}"
    return builders.DashboardLink(title).url(
        f"/d/braze-{name}?{kept}&${{__url_time_range}}"
    )


def of_reason() -> dict[str, object]:
    """Return a link from a reason of a failure to its cause and what to do."""
    url = f"{_DOCS}/operations.md#failure-reasons"
    return {"title": "Cause, and what to do", "url": url, "targetBlank": True}


def of_instance() -> dict[str, object]:
    """Return a link to the status page of an exporter.

    It works if the label is an address that the browser reaches, as outside Kubernetes.
    """
    url = "http://${__data.fields.Instance}/"
    return {"title": "Status page", "url": url, "targetBlank": True}


def of_series() -> builders.DashboardLink:
    """Return a link to the campaign or canvas in a series' labels."""
    address = _address("__field.labels", kind="${__field.labels.kind}", name="name")
    return builders.DashboardLink(_TITLE).url(f"{address}&{_CHANNEL}")


def of_row() -> dict[str, object]:
    """Return a link to the campaign or canvas in a table's row."""
    return _of_table(_CHANNEL)


def of_campaign() -> dict[str, object]:
    """Return a link to the campaign in a row of a table of campaigns."""
    return _of_table(_CHANNEL, kind="campaign", name="Campaign")


def of_channel() -> dict[str, object]:
    """Return a link from a cell with a channel, to its row's object and this channel.

    Other cells cannot link to the channel: of it they have the text for people only.
    """
    return _of_table("var-channel=${__value.raw:percentencode}")


def _of_table(
    channel: str, *, kind: str = "${__data.fields.Kind}", name: str = "Name"
) -> dict[str, object]:
    address = _address("__data.fields", kind=kind, name=name, workspace="Workspace")
    return {"title": _TITLE, "url": f"{address}&{channel}", "targetBlank": False}


def _address(fields: str, *, kind: str, name: str, workspace: str = "workspace") -> str:
    """Return the address of a dashboard, which is named after the kind of object."""
    return (
        f"/d/braze-{kind}?{_KEPT}&var-workspace=${{{fields}.{workspace}:percentencode}}"
        f"&var-{kind}=${{{fields}.{name}:percentencode}}&${{__url_time_range}}"
    )

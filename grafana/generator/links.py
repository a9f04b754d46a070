"""Links between dashboards, and from a row or series to its campaign."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

TAG = "braze-exporter"
CAMPAIGN = "braze-campaign"


def siblings() -> builders.DashboardLink:
    """Return links to all dashboards with the tag, with variables and time range."""
    return (
        builders.DashboardLink("Braze dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .icon("external link")
        .tooltip("The other dashboards of braze-exporter")
        .tags([TAG])
        .as_dropdown(as_dropdown=False)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
        .target_blank(target_blank=False)
    )


def of_series() -> builders.DashboardLink:
    """Return a link to the campaign in a series' labels."""
    return builders.DashboardLink("Show this campaign").url(
        _address("${__field.labels.%s:percentencode}")
    )


def of_row() -> dict[str, object]:
    """Return a link to the campaign in a table's row."""
    address = _address("${__data.fields.%s:percentencode}", is_titled=True)
    return {"title": "Show this campaign", "url": address, "targetBlank": False}


def _address(place: str, *, is_titled: bool = False) -> str:
    names = {
        name: name.title() if is_titled else name for name in ("workspace", "campaign")
    }
    chosen = "&".join(f"var-{name}={place % field}" for name, field in names.items())
    kept = "${datasource:queryparam}&${job:queryparam}"
    return f"/d/{CAMPAIGN}?{kept}&{chosen}&${{__url_time_range}}"

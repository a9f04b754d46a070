"""All dashboards, from the overview to the details."""

from __future__ import annotations

from grafana.generator import (
    campaign,
    canvas,
    deliverability,
    messaging,
    operations,
    overview,
)

PAGES = (
    overview.page,
    campaign.page,
    canvas.page,
    deliverability.page,
    messaging.page,
    operations.page,
)

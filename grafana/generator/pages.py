"""All dashboards, from the overview to the details."""

from __future__ import annotations

from grafana.generator import (
    campaign,
    canvas,
    deliverability,
    messaging,
    operations,
    overview,
    workspace,
)

PAGES = (
    overview.page,
    campaign.page,
    canvas.page,
    deliverability.page,
    messaging.page,
    workspace.page,
    operations.page,
)

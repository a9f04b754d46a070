"""Log lines about the plan of a workspace."""

from __future__ import annotations

import logging

from exporter.polling import plan
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)


def _configured_rates(one: plan.WorkspacePlan) -> tuple[object, ...]:
    """Return the part of a plan that discovery does not change."""
    found = one.workspace.discover is not None
    listed = () if found else one.workspace.campaigns
    return (one.ceiling_per_minute, one.workspace.interval_seconds, listed)


def log_plan(new: plan.WorkspacePlan, old: plan.WorkspacePlan | None) -> None:
    """Log a new plan, and once that intervals are stretched."""
    if old == new:
        return
    fields: dict[str, Fact] = {
        "workspace": new.workspace.name,
        "endpoint": new.workspace.endpoint,
        "campaigns": len(new.workspace.campaigns),
        "wanted_per_minute": new.wanted_per_minute,
        "planned_per_minute": new.planned_per_minute,
        "interval_seconds": new.interval_seconds,
    }
    # Not again for each discovered campaign: the gauges show the plan.
    is_as_configured = old is not None and (
        _configured_rates(old) == _configured_rates(new)
    )
    if not is_as_configured:
        _log.info("workspace.planned", extra={"facts": fields})
    is_news = old is None or old.stretch == 1 or not is_as_configured
    if new.stretch > 1 and is_news and (old is None or old.stretch != new.stretch):
        fields |= {
            "stretch": new.stretch,
            "ceiling_per_minute": new.ceiling_per_minute,
            "advice": "raise requests_per_minute or the intervals",
        }
        _log.warning("workspace.stretched", extra={"facts": fields})

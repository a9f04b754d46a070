"""Log lines about the plan of a kind in a workspace."""

from __future__ import annotations

import logging

from exporter.polling import plan
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)


def log_plan(new: plan.GroupPlan, old: plan.GroupPlan | None) -> None:
    """Log a plan at the start and after a reload, and once that it is stretched.

    Not again for each discovered object: the gauges show the plan.
    """
    is_configured = old is None or _configured_rates(old) != _configured_rates(new)
    fields: dict[str, Fact] = {
        "workspace": new.workspace.name,
        "endpoint": new.workspace.endpoint,
        **({"kind": new.kind.name} if new.kind.is_series else {}),
        new.kind.plural: len(new.objects),
        "wanted_per_minute": new.wanted_per_minute,
        "planned_per_minute": new.planned_per_minute,
        "interval_seconds": new.interval_seconds,
    }
    if is_configured:
        _log.info("workspace.planned", extra={"fields": fields})
    stretch = 1.0 if old is None else old.stretch
    if new.stretch not in {1, stretch} and (is_configured or stretch == 1):
        fields |= {
            "stretch": new.stretch,
            "ceiling_per_minute": new.ceiling_per_minute,
            "advice": f"raise {new.kind.ceiling_option} or the intervals"
            if new.kind.ceiling_option
            else "raise series.interval",
        }
        _log.warning("workspace.stretched", extra={"fields": fields})


def _configured_rates(one: plan.GroupPlan) -> tuple[object, ...]:
    """Return the part of a plan that discovery does not change."""
    found = one.kind.discovered(one.workspace) is not None
    listed = () if found else one.objects
    interval = one.kind.interval_seconds(one.workspace)
    return (one.ceiling_per_minute, interval, listed)

"""Log lines about the plans of a workspace."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from exporter.polling.object_group import GroupKey
from exporter.polling.plan import GroupPlan
from exporter.system.logformat import Fact

_log = logging.getLogger(__name__)


def log_plans(new: Iterable[GroupPlan], old: Mapping[GroupKey, GroupPlan]) -> None:
    """Log plans at the start and after a reload, and once that they are stretched.

    Not again for each discovered object: the gauges show the plan. Series of the
    workspace have one line for each bucket.
    """
    together: dict[tuple[str, str], list[GroupPlan]] = defaultdict(list)
    for one in new:
        together[one.kind.plural, one.kind.bucket].append(one)
    for plans in together.values():
        before = (old.get((one.workspace.name, one.kind.name)) for one in plans)
        _log_plan(plans, [one for one in before if one])


def _log_plan(new: Sequence[GroupPlan], old: Sequence[GroupPlan]) -> None:
    first = new[0]
    is_configured = list(map(_configured, old)) != list(map(_configured, new))
    fields: dict[str, Fact] = {
        "workspace": first.workspace.name,
        "endpoint": first.workspace.endpoint,
        first.kind.plural: sum(len(one.objects) for one in new),
        "wanted_per_minute": sum(one.wanted_per_minute for one in new),
        "planned_per_minute": sum(one.planned_per_minute for one in new),
        "interval_seconds": first.interval_seconds,
    }
    if first.kind.is_series:
        fields["kinds"] = ",".join(one.kind.name for one in new)
    if is_configured:
        _log.info("workspace.planned", extra={"fields": fields})
    was_stretched = any(one.stretch > 1 for one in old)
    is_other = {one.stretch for one in new} != {one.stretch for one in old}
    if first.stretch > 1 and is_other and (is_configured or not was_stretched):
        fields |= {
            "stretch": first.stretch,
            "ceiling_per_minute": sum(one.ceiling_per_minute for one in new),
            "advice": f"raise {first.kind.ceiling_option} or the intervals"
            if first.kind.ceiling_option
            else "raise series.interval",
        }
        _log.warning("workspace.stretched", extra={"fields": fields})


def _configured(one: GroupPlan) -> tuple[object, ...]:
    """Return the part of a plan that discovery does not change.

    The ceiling is that of the bucket: the part of a kind depends on all that is found.
    """
    found = one.kind.discovered(one.workspace) is not None
    listed = () if found else one.objects
    ceiling = one.kind.ceiling(one.workspace)
    return (one.kind.name, ceiling, one.kind.interval_seconds(one.workspace), listed)

"""The variables of every dashboard; each limits the values of those after it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import DataSourceRef

from grafana.generator import promql
from grafana.generator.promql import select

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_INFO = "braze_campaign_variation_info"
WITH_CHANNEL = "braze_(campaign_variation_info|canvas_(daily|last_complete_day))"
_CHAIN = (
    ("job", "Job", "braze_exporter_build_info", ()),
    ("workspace", "Workspace", "braze_(campaign|canvas)_info", promql.OF_JOB),
    ("channel", "Channel", WITH_CHANNEL, promql.OF_WORKSPACE),
    ("campaign", "Campaign", _INFO, promql.OF_CHANNEL),
    ("variation", "Variation", _INFO, promql.OF_MESSAGE),
    ("canvas", "Canvas", "braze_canvas_info", promql.OF_WORKSPACE),
)
_SINGLE = ("canvas",)
"""Those with one value, at first the first one."""


def variables(
    *hidden: str, is_of_one: bool = False
) -> list[builders.DatasourceVariable | builders.QueryVariable]:
    """Return all variables; hidden ones only pass a choice to the next dashboard.

    The job is always hidden: most installations have one. `is_of_one`: without a choice
    the campaign is the first one, not all.
    """
    single = {*_SINGLE, "campaign"} if is_of_one else set(_SINGLE)
    return [
        builders.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus"),
        *(
            choice(
                name,
                label,
                query=_values(family, matchers, name=name),
                is_single=name in single,
            ).hide(
                models.VariableHide.HIDE_VARIABLE
                if name in {"job", *hidden}
                else models.VariableHide.DONT_HIDE
            )
            for name, label, family, matchers in _CHAIN
        ),
    ]


def _values(family: str, matchers: tuple[str, ...], *, name: str) -> str:
    selector = select(family, matchers) if matchers else family
    return f"label_values({selector}, {name})"


def choice(
    name: str, label: str, *, query: str, is_single: bool
) -> builders.QueryVariable:
    """Return a variable of label values: one, or several with All as default."""
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    variable = (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )
    if is_single:
        return variable.multi(multi=False).include_all(include_all=False)
    return (
        variable.multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything)
    )

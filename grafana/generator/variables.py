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
_OF_WORKSPACE = "braze_(campaign_info|canvas_info|workspace_series_up)"
"""A workspace may have series alone."""
_CHAIN = (
    ("job", "Job", "braze_exporter_build_info", ()),
    ("workspace", "Workspace", _OF_WORKSPACE, promql.OF_JOB),
    ("channel", "Channel", WITH_CHANNEL, promql.OF_WORKSPACE),
    ("campaigns", "Campaign", _INFO, promql.OF_CHANNEL),
    ("campaign", "Campaign", _INFO, promql.OF_MESSAGE),
    ("variation", "Variation", _INFO, promql.OF_MESSAGE),
    ("canvas", "Canvas", "braze_canvas_info", promql.OF_WORKSPACE),
)
_SINGLE = ("campaign", "canvas")
"""Those with one value, at first the first one.

They are the choice of the dashboard of one campaign, and of one canvas. A menu of
Grafana would keep All, which that of one campaign has not: so it has its own name.
"""


def variables(
    *hidden: str, is_of_one: bool = False
) -> list[builders.DatasourceVariable | builders.QueryVariable]:
    """Return all variables; hidden ones only pass a choice to the next dashboard.

    The job is always hidden: most installations have one. `is_of_one`: the choice of
    one campaign is shown, from all of the channel, instead of that of several.
    """
    hidden = (*hidden, "job", "campaigns" if is_of_one else "campaign")
    return [
        builders.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        # Its value is enough, and the header is one line.
        .hide(models.VariableHide.HIDE_LABEL),
        *(
            choice(
                name,
                label,
                query=_values(
                    family,
                    promql.OF_CHANNEL if is_of_one and name == "campaign" else matchers,
                    name=name,
                ),
                is_single=name in _SINGLE,
            ).hide(
                models.VariableHide.HIDE_VARIABLE
                if name in hidden
                else models.VariableHide.DONT_HIDE
            )
            for name, label, family, matchers in _CHAIN
        ),
    ]


def _values(family: str, matchers: tuple[str, ...], *, name: str) -> str:
    selector = select(family, matchers) if matchers else family
    label = "campaign" if name == "campaigns" else name
    return f"label_values({selector}, {label})"


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
        # Objects of one kind lack the label of the other; and for `.+` Prometheus reads
        # an index.
        .all_value(".*")
        .current(everything)
    )

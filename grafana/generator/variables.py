"""The variables of every dashboard; each limits the values of those after it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import DataSourceRef

from grafana.generator import promql
from grafana.generator.promql import select

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_INFO = "braze_campaign_variation_info"
_CHAIN = (
    ("job", "Job", "braze_exporter_build_info", ()),
    ("workspace", "Workspace", "braze_campaign_info", promql.OF_JOB),
    ("channel", "Channel", _INFO, promql.OF_WORKSPACE),
    ("campaign", "Campaign", _INFO, promql.OF_CHANNEL),
    ("variation", "Variation", _INFO, promql.OF_MESSAGE),
)


def variables(
    *hidden: str,
) -> list[builders.DatasourceVariable | builders.QueryVariable]:
    """Return all variables; hidden ones only pass a choice to the next dashboard."""
    return [
        builders.DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes the exporter.")
        .type("prometheus"),
        *(
            _chosen(name, label, query=_values(family, matchers, name=name)).hide(
                models.VariableHide.HIDE_VARIABLE
                if name in hidden
                else models.VariableHide.DONT_HIDE
            )
            for name, label, family, matchers in _CHAIN
        ),
    ]


def _values(family: str, matchers: tuple[str, ...], *, name: str) -> str:
    selector = select(family, matchers) if matchers else family
    return f"label_values({selector}, {name})"


def _chosen(name: str, label: str, *, query: str) -> builders.QueryVariable:
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        builders.QueryVariable(name)
        .label(label)
        .description(f"Values of the label {name}, limited by the choices before it.")
        .datasource(SOURCE)
        .query(query)
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything)
    )

"""The variations of a multivariate campaign: verdict, rates and revenue."""

from __future__ import annotations

from grafana.generator import figures, palette, promql, trial
from grafana.generator.figures import converting, overall, stage, stat
from grafana.generator.layout import Drawn, Tile
from grafana.generator.promql import fold, ratio, select, total, union
from grafana.generator.tables import Column, dollars, percent, table_of

_LAST, _WEEK = (
    period.of("campaign", scope=promql.OF_VARIATION)
    for period in (figures.LAST, figures.WEEK)
)
_BY = trial.KEYS
_SHOWN = ("channel", "variation", "workspace")


def tables() -> list[Tile]:
    """Return the comparison with the control groups, and the rates."""
    return [Tile(trial.table(), 24, 7), Tile(_rates(), 24, 6)]


def _rates() -> Drawn:
    info = fold(select("braze_campaign_variation_info", promql.OF_CAMPAIGN))
    several = (
        "count by (workspace, campaign) "
        f"(count by (workspace, campaign, variation) ({info})) > 1"
    )

    def of_several(vector: str) -> str:
        return f"({vector}) and on (workspace, campaign) ({several})"

    sent = total(stage(_WEEK, figures.VOLUME), *_BY)
    enrolled = total(stat(_WEEK, "enrolled"), *_BY)
    opened = ratio(
        stage(_WEEK, figures.OPENED_OF_OPENABLE),
        stage(_WEEK, figures.OPENABLE),
        *_BY,
    )
    clicked = ratio(
        stage(_WEEK, figures.CLICKED), stage(_WEEK, figures.CLICKABLE), *_BY
    )
    rates = (
        ("Delivery", figures.DELIVERY.over(_WEEK, *_BY), palette.DELIVERY),
        ("Bounce", figures.BOUNCE.over(_WEEK, *_BY), palette.BOUNCE),
        ("Spam", figures.SPAM.over(_WEEK, *_BY), palette.SPAM),
        ("Unsubscribe", figures.UNSUBSCRIBE.over(_WEEK, *_BY), palette.UNSUBSCRIBE),
        ("Open", opened, None),
        ("Click", clicked, None),
    )
    return table_of(
        "Rates by variation, 7 days",
        [
            Column("Sent/enrolled", of_several(union(enrolled, sent)), width=125),
            *(
                percent(title, of_several(vector), limits)
                for title, vector, limits in rates
            ),
        ],
        keys=_SHOWN,
        sort="Sent/enrolled",
        nothing="No variations, or no figures",
        description=f"Ratios of sums over {_WEEK.days}, of campaigns with several "
        "variations. Sent is `sent`, in-app `impressions`; for control groups, which "
        "are sent nothing, `enrolled`. Delivery, bounce, spam and unsubscribe are of "
        "email. Opened and clicked ÷ delivered, sent or shown, with the names of the "
        "table of channels. Unique opens and clicks are upper bounds: a user who "
        "opened or clicked on two days counts twice.",
    )


def revenue() -> Drawn:
    """Return revenue per recipient of variations and of the whole campaign."""
    by_message = ratio(stat(_LAST, "revenue"), stat(_LAST, "unique_recipients"), *_BY)
    whole = ratio(
        converting(_LAST, "revenue"),
        overall(_LAST, "unique_recipients"),
        "workspace",
        "campaign",
    )
    named = f'label_replace({whole}, "channel", "whole campaign", "", "")'
    return table_of(
        "Revenue per recipient, last complete day",
        [
            dollars(
                "Revenue per recipient",
                union(by_message, named),
                decimals=3,
                width=185,
                is_bar=True,
            )
        ],
        keys=_SHOWN,
        sort="Revenue per recipient",
        nothing="No revenue, or no figures",
        description=f"`revenue` ÷ `unique_recipients` on {_LAST.days}, in US dollars: "
        "of the variations of multivariate campaigns in each channel, control groups "
        "included as the baseline; and of the whole campaign, for multivariate ones "
        "without control groups. Recipients do not add up over days, so there is no "
        "longer period.",
    )

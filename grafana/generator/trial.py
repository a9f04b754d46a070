"""Does a variation do better than its control group? Rates, intervals and a verdict."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import figures, palette, panels, promql, tables
from grafana.generator.figures import MONTH, stat
from grafana.generator.layout import Drawn
from grafana.generator.promql import total, union, wilson, z_score
from grafana.generator.tables import Column, dollars, percent

KEYS = ("workspace", "campaign", "channel", "variation")
_GROUP = "workspace, campaign, channel"
_Z = 1.96
# Codes of the verdict that no z-score within the bounds can be.
_BOUND = 50
_IS_CONTROL, _HAS_NO_CONTROL, _TOO_FEW, _TOO_MANY, _CONTROL_TOO_MANY = range(100, 105)


def exposed() -> str:
    """Return how many a message was sent or shown to, or a control group enrolled."""
    return union(
        total(stat(MONTH, "enrolled"), *KEYS),
        total(figures.stage(MONTH, figures.VOLUME), *KEYS),
    )


def conversions() -> str:
    """Return the conversions of each message and control group."""
    return total(stat(MONTH, "conversions"), *KEYS)


def _compared() -> str:
    """Return the exposed of those alone whose conversions are known."""
    return f"({exposed()} and {conversions()})"


def _control(vector: str) -> str:
    return f"sum by ({_GROUP}) ({figures.of_control(vector)})"


def _z() -> str:
    scores = z_score(
        f"({figures.without_control(conversions())})",
        f"({exposed()})",
        control_successes=_control(conversions()),
        control_trials=_control(exposed()),
        on=_GROUP,
    )
    return f"({scores})"


def _lift() -> str:
    rate = f"({figures.without_control(conversions())}) / (({exposed()}) > 0)"
    control = f"{_control(conversions())} / ({_control(exposed())} > 0)"
    group = f"on ({_GROUP}) group_left ()"
    return f"({rate}) / {group} (({control}) > 0) - 1"


def _verdict() -> str:
    known = f"0 * {conversions()}"
    control_exceeds = f"{_control(conversions())} > {_control(exposed())}"
    codes = union(
        f"0 * ({conversions()} > {exposed()}) + {_TOO_MANY}",
        f"{figures.of_control(known)} + {_IS_CONTROL}",
        f"clamp({_z()}, -{_BOUND}, {_BOUND})",
        f"({known} and on ({_GROUP}) ({control_exceeds})) + {_CONTROL_TOO_MANY}",
        f"({known} and on ({_GROUP}) {_control(exposed())}) + {_TOO_FEW}",
        f"{known} + {_HAS_NO_CONTROL}",
    )
    return f"{codes} and {exposed()}"


def _mappings() -> tuple[models.ValueMapping, ...]:
    words = (
        (None, -_Z, "worse than control", palette.VERMILLION),
        (-_Z, _Z, "no clear difference", palette.PLAIN),
        (_Z, _BOUND, "better than control", palette.SKY),
        (_IS_CONTROL, _IS_CONTROL, "the control group", palette.PLAIN),
        (_HAS_NO_CONTROL, _HAS_NO_CONTROL, "no control group", palette.PLAIN),
        (_TOO_FEW, _TOO_FEW, "too few conversions", palette.PLAIN),
        (_TOO_MANY, _TOO_MANY, "more than were sent", palette.PLAIN),
        (_CONTROL_TOO_MANY, _CONTROL_TOO_MANY, "control is above 100 %", palette.PLAIN),
    )
    return tuple(
        models.RangeMap(
            options=models.DashboardRangeMapOptions(
                from_val=low,
                to=high,
                result=models.ValueMappingResult(text=text, color=colour, index=at),
            )
        )
        for at, (low, high, text, colour) in enumerate(words)
    )


def table() -> Drawn:
    """Return the comparison of variations."""
    rate = promql.ratio(conversions(), exposed(), *KEYS)
    revenue = promql.ratio(stat(MONTH, "revenue"), exposed(), *KEYS)
    return tables.table_of(
        "Do variations convert better than their control group? 28 days",
        [
            Column("Sent or enrolled", _compared()),
            Column("Conversions", conversions()),
            percent("Rate", rate),
            percent("95 % from", wilson(conversions(), f"({exposed()})", sign="-")),
            percent("95 % to", wilson(conversions(), f"({exposed()})", sign="+")),
            percent("Lift", _lift()),
            Column("z", _z(), decimals=2),
            Column("Verdict", _verdict(), mappings=_mappings(), width=170),
            dollars("Revenue per head", revenue, decimals=3),
        ],
        keys=KEYS,
        sort="Campaign",
        is_ascending=True,
        nothing="No campaign here has conversions by variation.",
        says=f"Over {MONTH.days}. Rate is `conversions` (first conversion event) ÷ "
        "`sent` (in-app: `impressions`), for control groups ÷ `enrolled`: sums of "
        "both. From and to are the 95 % Wilson interval of the rate. Lift is the rate "
        "÷ that of the control group of the same channel − 1. z is the two-sample "
        "z-score with pooled variance, if both sides would have 5 conversions or more "
        "at the rate of both together. The verdict says better or worse from |z| ≥ "
        "1.96 on, and nothing of rates above 100 %, which come of conversions that "
        "follow messages of days before. Revenue per head is "
        "`revenue` ÷ the same denominator, in US dollars. Only multivariate campaigns "
        "have conversions by variation.",
    )


def explanation() -> Drawn:
    """Return how to read the comparison, and how not to."""
    return panels.note(
        "How to read the comparison",
        "- **Rate** is conversions per message sent; for the control group, which is "
        "sent nothing, per user enrolled.\n"
        "- The **95 % interval** (Wilson) holds the true rate in 19 of 20 cases. The "
        "fewer were sent, the wider it is.\n"
        "- **Lift** is what the message added: 10 % means 11 instead of 10 "
        "conversions. Without a control group there is none.\n"
        "- **Verdict**: *better* or *worse* if a difference this large comes by "
        "chance less than once in 20 times (|z| ≥ 1.96); else *no clear difference*, "
        "which does not mean that there is none. *Too few conversions*: at the rate "
        "of both together one side would have less than 5. *More than were sent* or "
        "*control is above 100 %*: some conversions follow messages of days before, "
        "and make no rate.\n"
        "- One of 20 comparisons is wrong by design: with many variations, or when "
        "looking every day until one wins, ask for |z| ≥ 3.\n"
        "- Users who were sent several messages within the 28 days count each time, so "
        "the true certainty is lower than shown.",
        says="Explains the columns of the table above, which are over the 28 days "
        "before today.",
    )

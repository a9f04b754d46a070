"""Compares variations with their control group: rates, intervals and a verdict."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.models import dashboard as models

from grafana.generator import figures, palette, panels, promql, tables
from grafana.generator.figures import stat
from grafana.generator.layout import Drawn
from grafana.generator.promql import select, union, wilson, z_score
from grafana.generator.tables import Column, dollars, percent

KEYS = ("workspace", "campaign", "channel", "variation")
_MESSAGE = ", ".join(KEYS)
_MONTH = figures.MONTH.of("campaign", scope=promql.OF_VARIATION)
_Z = 1.96
# Codes of the verdict, outside the bounds of z-scores.
_BOUND = 50
_IS_CONTROL, _HAS_NO_CONTROL, _TOO_FEW, _TOO_MANY, _CONTROL_TOO_MANY = range(100, 105)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Successes and trials of parts, and of the control in the same group."""

    key: str
    """The labels of a part, separated by commas."""
    group: str
    """The labels of a control."""
    successes: str
    trials: str
    control: str
    """A vector of the parts that are the control."""
    control_successes: str
    control_trials: str

    def lift(self) -> str:
        """Return the rate of each part ÷ that of the control, − 1."""
        group = f"on ({self.group}) group_left ()"
        control = f"({self.control_successes} / ({self.control_trials} > 0) > 0)"
        return f"{self.successes} / ({self.trials} > 0) / {group} {control} - 1"

    def z(self) -> str:
        """Return the difference to the control in standard errors."""
        return z_score(
            self.successes,
            f"({self.trials})",
            control_successes=self.control_successes,
            control_trials=self.control_trials,
            on=self.group,
        )

    def verdict(self) -> str:
        """Return a code for `verdicts`, of each part with successes and trials."""
        k, n = self.successes, self.trials
        kc, nc = self.control_successes, self.control_trials
        known = f"0 * {k}"
        codes = union(
            f"0 * ({k} > {n}) + {_TOO_MANY}",
            f"({known} and on ({self.key}) {self.control}) + {_IS_CONTROL}",
            f"clamp({self.z()}, -{_BOUND}, {_BOUND})",
            f"({known} and on ({self.group}) ({kc} > {nc})) + {_CONTROL_TOO_MANY}",
            f"({known} and on ({self.group}) {nc}) + {_TOO_FEW}",
            f"{known} + {_HAS_NO_CONTROL}",
        )
        return f"{codes} and {n}"


def verdicts(
    *, than: str, is_control: str, too_many: str, control_too_many: str
) -> tuple[models.ValueMapping, ...]:
    """Return the texts of the codes of verdicts, and of z-scores."""
    words = (
        (None, -_Z, f"worse{than}", palette.VERMILLION),
        (-_Z, _Z, "no clear difference", palette.PLAIN),
        (_Z, _BOUND, f"better{than}", palette.SKY),
        (_IS_CONTROL, _IS_CONTROL, is_control, palette.PLAIN),
        (_HAS_NO_CONTROL, _HAS_NO_CONTROL, "no control group", palette.PLAIN),
        (_TOO_FEW, _TOO_FEW, "too few conversions", palette.PLAIN),
        (_TOO_MANY, _TOO_MANY, too_many, palette.PLAIN),
        (_CONTROL_TOO_MANY, _CONTROL_TOO_MANY, control_too_many, palette.PLAIN),
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


def exposed() -> str:
    """Return the number of messages sent or shown, or of users in a control group."""
    # Each message has one of the three: control groups alone are enrolled, in-app
    # messages are shown.
    return _largest('metric=~"enrolled|sent|impressions"')


def conversions() -> str:
    """Return the conversions of each message and control group."""
    return _largest('metric="conversions"')


def _largest(metric: str) -> str:
    matchers = (*promql.OF_VARIATION, metric, *_MONTH.matchers)
    return f"max by ({_MESSAGE}) ({select(_MONTH.family, matchers)})"


def _compared() -> str:
    """Return the same only for messages with conversions."""
    return f"({exposed()} and {conversions()})"


def _recorded(name: str) -> str:
    """Return a figure of the comparison, which grafana/rules compute."""
    family = f"campaign_channel_variation:{name}_28d"
    return f"max by ({_MESSAGE}) ({select(family, promql.OF_VARIATION)})"


def table() -> Drawn:
    """Return the comparison of variations."""
    rate = promql.ratio(conversions(), exposed(), *KEYS)
    revenue = promql.ratio(stat(_MONTH, "revenue"), exposed(), *KEYS)

    def bound(sign: str) -> str:
        return wilson(conversions(), f"({exposed()})", sign=sign)

    return tables.table_of(
        "Do variations convert better than their control group? 28 days",
        [
            Column(
                "Verdict",
                _recorded("braze_verdict:code"),
                mappings=verdicts(
                    than=" than control",
                    is_control="the control group",
                    too_many="more than were sent",
                    control_too_many="control is above 100 %",
                ),
                width=160,
                # Every row has a verdict.
                nothing="needs grafana/rules",
            ),
            Column("Sent/enrolled", _compared(), width=123),
            Column("Conversions", conversions(), width=92),
            percent("Rate", rate, width=65),
            percent("95 % from", bound("-"), width=78),
            percent("95 % to", bound("+"), width=65),
            Column(
                "Lift",
                _recorded("braze_lift:ratio"),
                unit="percentunit",
                decimals=1,
                width=65,
            ),
            Column("z", _recorded("braze_z_score:ratio"), decimals=2, width=60),
            dollars("Revenue/head", revenue, decimals=3, width=100),
        ],
        keys=("channel", "variation", "workspace"),
        sort="Sent/enrolled",
        nothing="Nothing to compare: no variations, or no figures",
        description=f"Over {_MONTH.days}. Rate is `conversions` (first conversion "
        f"event) ÷ "
        "`sent` (in-app: `impressions`), for control groups ÷ `enrolled`: sums of "
        "both. From and to are the 95 % Wilson interval of the rate. Lift is the rate "
        "÷ that of the control group of the same channel, chosen or not, − 1. z is the "
        "two-sample z-score with pooled variance, if both sides have an expected 5 "
        "conversions or more at the pooled rate. The verdict is better or worse from "
        "|z| ≥ 1.96 on. Rates above 100 % get none: they include conversions after "
        "messages of earlier days. Lift, z and verdict are computed by the rules of "
        "`grafana/rules` in Prometheus. Revenue per head is "
        "`revenue` ÷ the same denominator, in US dollars. Only multivariate campaigns "
        "have conversions by variation.",
    )


def explanation() -> Drawn:
    """Return the explanation of the comparison."""
    return panels.note(
        "How to read the comparison",
        "- **Rate** is conversions per sent message; for the control group, which is "
        "sent nothing, per enrolled user.\n"
        "- The **95 % interval** (Wilson) contains the true rate in 19 of 20 cases. It "
        "is wider with fewer messages.\n"
        "- **Lift** is the effect of the message: 10 % means 11 instead of 10 "
        "conversions. Without a control group there is none.\n"
        "- **Verdict**: *better* or *worse* if chance alone causes such a difference "
        "less than once in 20 times (|z| ≥ 1.96); else *no clear difference*, which "
        "does not prove that there is none. *Too few conversions*: at the pooled rate "
        "one side would have less than 5. *More than were sent* or "
        "*control is above 100 %*: some conversions follow messages of earlier days, "
        "so there is no rate.\n"
        "- One of 20 comparisons is wrong by chance: with many variations, or with "
        "daily checks until one wins, require |z| ≥ 3.\n"
        "- A user with several messages within the 28 days counts several times, so "
        "the true confidence is lower than shown.",
        description="Explains the comparison of variations, which is over the 28 days "
        "before today.",
    )

"""The steps of a canvas, those that are silent, and the comparison of its variants."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from grafana.generator import figures, palette, panels, promql
from grafana.generator.figures import Period, stage
from grafana.generator.layout import Drawn, Tile
from grafana.generator.promql import fold, otherwise, ratio, select, total, wilson
from grafana.generator.tables import Column, dollars, percent, table_of
from grafana.generator.trial import Comparison, verdicts
from grafana.generator.variables import choice

_WHOLE = ("workspace", "canvas")
_STEP = (*_WHOLE, "step")
_VARIANT = (*_WHOLE, "variant")
_NEEDS_STEPS = "No steps: canvas_steps is not true, or no figures"
_STEPS = (
    "Steps need `canvas_steps: true` in the workspace, or `steps: true` in the canvas."
)
_USUAL = 28
"""The least messages in 28 days of a step that can be silent."""
_ALL_WELL = -1
"""A code among counts, which are never below 0."""
_BASELINE = "variant=~`${baseline:regex}`"


def baseline() -> builders.QueryVariable:
    """Return the variable with the variant that the others are compared with."""
    info = select("braze_canvas_variant_info", promql.OF_CANVAS)
    return choice(
        "baseline",
        "Baseline",
        query=f"label_values({info}, variant)",
        is_single=True,
    )


def _whole(period: Period, name: str) -> str:
    """Return a canvas-wide number by canvas."""
    family = period.of("canvas", scope=()).overall
    matchers = (*promql.OF_CANVAS, f'metric="{name}"', *period.matchers)
    return total(fold(select(family, matchers)), *_WHOLE)


def _sent(period: Period) -> str:
    """Return messages by step, over the chosen channels."""
    of_step = period.of("canvas", part="step", scope=promql.OF_CANVAS_CHANNEL)
    return total(stage(of_step, figures.VOLUME), *_STEP)


def _of_step(period: Period, name: str) -> str:
    """Return conversions or revenue by step, which are not by channel."""
    family = period.of("canvas", part="step", scope=()).overall
    matchers = (*promql.OF_CANVAS, f'metric="{name}"', *period.matchers)
    return total(fold(select(family, matchers)), *_STEP)


def steps() -> list[Tile]:
    """Return the panels about steps."""
    return [Tile(_funnel(), 14, 8), Tile(_silent(), 10, 8)]


def _funnel() -> Drawn:
    sent = _sent(figures.MONTH)
    # Steps without messages, such as delays, have zeros only.
    messaging = f"{sent} > 0"
    on = ", ".join(_STEP)

    def of_messaging(vector: str) -> str:
        return f"{vector} and on ({on}) ({messaging})"

    entries = _whole(figures.MONTH, "entries")
    share = f"{sent} / on (workspace, canvas) group_left () ({entries} > 0)"
    return table_of(
        "Steps by messages, 28 days",
        [
            Column("Messages", messaging, width=170, is_bar=True),
            percent("Per entry", of_messaging(share)),
            Column("Last day", of_messaging(_sent(figures.LAST))),
            Column("Conversions", of_messaging(_of_step(figures.MONTH, "conversions"))),
            dollars("Revenue", of_messaging(_of_step(figures.MONTH, "revenue"))),
        ],
        keys=("step",),
        sort="Messages",
        nothing=_NEEDS_STEPS,
        description=f"A funnel of the steps with messages over {figures.MONTH.days}, "
        "the most messages first: Braze does not report the order of steps here. "
        "Messages: `sent`, of in-app messages `impressions`, in the chosen channels; a "
        "step with two channels can send two to a user. Per entry ÷ `entries` of the "
        "canvas. Last day: messages on the last complete day. `conversions` (first "
        "conversion event) and `revenue` count for the last message that the user "
        "received, over all channels of its step. Deleted steps are included. "
        f"{_STEPS}",
    )


def _silent() -> Drawn:
    usual = _sent(figures.MONTH)
    entries = _whole(figures.LAST, "entries")
    silent = (
        f"({usual} >= {_USUAL} unless {_sent(figures.LAST)} > 0) "
        f"and on (workspace, canvas) ({entries} > 0)"
    )
    on = ", ".join(_STEP)
    none = f"0 * max by (workspace, canvas) ({usual})"
    week = f"{_sent(figures.WEEK)} and on ({on}) ({silent})"
    entered = f"0 * ({silent}) + on (workspace, canvas) group_left () {entries}"
    return table_of(
        "Silent steps",
        [
            Column(
                "Messages, 28 days",
                otherwise(silent, f"{none} + {_ALL_WELL}", on="workspace, canvas"),
                mappings=panels.words((_ALL_WELL, "no step is silent", palette.PLAIN)),
                width=152,
            ),
            Column(
                "7 days",
                otherwise(week, none, on="workspace, canvas"),
            ),
            Column("Entries", otherwise(entered, entries, on="workspace, canvas")),
        ],
        keys=("step",),
        sort="Messages, 28 days",
        nothing=_NEEDS_STEPS,
        description="Steps without messages in the chosen channels on the last "
        f"complete day, although users entered the canvas on it; those with {_USUAL} "
        "messages or more in the 28 days before today, beside those of the 7 days. "
        "Entries are of the last complete day. Steps that do not send on every "
        "weekday, that users reach days after the entry, or that were deleted, are "
        "among them; the alert BrazeCanvasStepSilent compares the same weekday. "
        f"{_STEPS}",
    )


def _figure(name: str, *matchers: str) -> str:
    """Return a number by variant over 28 days."""
    family = figures.MONTH.of("canvas", part="variant", scope=()).family
    of = (*promql.OF_CANVAS, *matchers, f'metric="{name}"', *figures.MONTH.matchers)
    return f"max by ({', '.join(_VARIANT)}) ({select(family, of)})"


def variants() -> Tile:
    """Return the comparison of variants with a chosen one."""
    n, k = _figure("entries"), _figure("conversions")
    group = ", ".join(_WHOLE)
    compared = Comparison(
        key=", ".join(_VARIANT),
        group=group,
        successes=k,
        trials=n,
        control=_figure("entries", _BASELINE),
        control_successes=f"sum by ({group}) ({_figure('conversions', _BASELINE)})",
        control_trials=f"sum by ({group}) ({_figure('entries', _BASELINE)})",
    )
    last = figures.LAST.of("canvas", part="variant", scope=()).family
    entered = total(
        fold(select(last, (*promql.OF_CANVAS, 'metric="entries"'))), *_VARIANT
    )
    columns = [
        Column(
            "Verdict",
            compared.verdict(),
            mappings=verdicts(
                than="",
                is_control="compared with this",
                too_many="more than entered",
                control_too_many="that one is above 100 %",
            ),
            width=170,
        ),
        Column("Entries", n, width=82),
        percent("Share", _share(n)),
        percent("Share, last day", _share(entered)),
        Column("Conversions", k),
        percent("Rate", ratio(k, n, *_VARIANT)),
        percent("95 % from", wilson(k, n, sign="-")),
        percent("95 % to", wilson(k, n, sign="+")),
        percent("Lift", compared.lift()),
        Column("z", compared.z(), decimals=2, width=60),
        dollars("Revenue/entry", ratio(_figure("revenue"), n, *_VARIANT), decimals=3),
    ]
    table = table_of(
        "Do variants convert better than the one compared with? 28 days",
        columns,
        keys=("variant",),
        sort="Entries",
        nothing="No entries by variant, or no figures",
        description=f"Over {figures.MONTH.days}, with all channels. Braze does not "
        "report which variant is a control: choose it in *Baseline*. Share is the "
        "part of all `entries`, and that on the last complete day: a drift shows a "
        "changed split. Rate is `conversions` (first conversion event) ÷ `entries`, "
        "with its 95 % Wilson interval. Lift is the rate ÷ that of the compared "
        "variant, − 1; z is the two-sample z-score with pooled variance, if both sides "
        "have an expected 5 conversions or more at the pooled rate. The verdict is "
        "better or worse from |z| ≥ 1.96 on. Revenue per entry is `revenue` ÷ "
        "`entries`, in US dollars.",
    )
    return Tile(table, 24, 6)


def _share(entries: str) -> str:
    whole = f"(sum by (workspace, canvas) ({entries}) > 0)"
    return f"{entries} / on (workspace, canvas) group_left () {whole}"


def explanation() -> Drawn:
    """Return the explanation of the panels."""
    return panels.note(
        "How to read a canvas",
        "- **Entries** are not recipients: steps filter further, and a user may enter "
        "again.\n"
        "- A **conversion** counts for the last message that the user received; before "
        "the first one for the canvas and the variant, but for no step. So the steps "
        "have fewer than the canvas.\n"
        "- **Controls** receive nothing and cannot be recognized: Braze reports no "
        "messages by variant. Choose the control in *Baseline*, by its name.\n"
        "- **Lift** of 10 % means 11 instead of 10 conversions. *Better* or *worse*: "
        "chance alone causes such a difference less than once in 20 times; *no clear "
        "difference* does not prove that there is none. With many variants or daily "
        "looks, require |z| ≥ 3.\n"
        "- A **silent step** is entered and sends nothing: an audience filter, an "
        "expired exception, a connected content that fails, or a deleted step.\n"
        "- The messages of a **deleted step** stay in the sums of its days.",
        description="Explains the panels of this dashboard, and what Braze does not "
        "report.",
    )

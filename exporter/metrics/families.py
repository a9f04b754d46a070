"""The metric families of campaigns, canvases and series, by kind.

All are gauges, since Braze restates past days. The sentences of HELP that hold for all
kinds are written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.metrics.family import (
    Family,
    GroupFamilies,
    ObjectFamilies,
    PartInfo,
    PartLabels,
)
from exporter.metrics.series_families import SERIES
from exporter.model.snapshot import (
    CHANNEL,
    OVERALL,
    STEP,
    STEP_CHANNEL,
    VARIANT,
    VARIATION,
)


class _Group(NamedTuple):
    """What distinguishes the families of a group of parts from those of another."""

    infix: str
    """In the names of the families."""
    labels: PartLabels
    meaning: str
    people: str = ""
    """The part of HELP about counts of people on single days."""
    info: PartInfo | None = None
    has_revision: bool = False


_TABLE = (
    "The label metric has Braze's field names: select one metric before you sum. With "
    "metrics.skip_unused a field is absent until its first number other than 0."
)
_SUMS = (
    "Polled sums over the calendar days before today in the time zone of the "
    "workspace; the label window has the number of days. A day without a row counts as "
    "nothing. Sums of unique_* are upper bounds, since a person counted on two days is "
    "in them twice; unique_recipients does not add up and is left out."
)
_REVISION = (
    "Change of the counts of the last complete day since it was first read as "
    "complete. 0: Braze has changed nothing; negative: counts were reduced. Absent "
    "for fields that were absent at first. Needs revisions: true."
)


def _families(
    kind: str, groups: Mapping[str, _Group], *, refused: str
) -> ObjectFamilies:
    name = f"braze_{kind}"
    return ObjectFamilies(
        kind=kind,
        label=kind,
        groups={group: _group(name, about) for group, about in groups.items()},
        daily_timestamp=Family(
            f"{name}_daily_timestamp_seconds",
            f"Start of the day of {name}_daily in the time zone of the workspace. If "
            "it is not today, Braze has no row for today.",
        ),
        last_complete_day_timestamp=Family(
            f"{name}_last_complete_day_timestamp_seconds",
            f"Start of the day of {name}_last_complete_day in the time zone of the "
            "workspace. If it is not yesterday, Braze has no row for yesterday.",
        ),
        month_to_date=Family(
            f"{name}_month_to_date_messages",
            f"Messages that this {kind} sent in the calendar month in the time zone of "
            "the workspace, today so far included, by channel: the sum of the metric "
            f"sent of its days, see {name}_daily. Needs contract in the workspace, and "
            "has its channels. Absent while the month has no number.",
        ),
        info=Family(
            f"{name}_info",
            f"Always 1, with the id of the {kind} in Braze and its configured labels.",
        ),
        up=Family(
            f"{name}_up",
            "1 if the last finished poll succeeded, 0 if it failed or while "
            f"{refused}. At 0 the values are those of the last success, and are "
            "removed when they are stale.",
        ),
        failure_info=Family(
            f"{name}_failure_info",
            f"Always 1, with the reason why polls of this {kind} fail. Present only "
            f"while {name}_up is 0.",
        ),
        interval=Family(
            f"{name}_interval_seconds",
            f"Time between polls of this {kind}; longer than configured if the request "
            "budget is too small.",
        ),
        last_success=Family(
            f"{name}_last_success_timestamp_seconds",
            f"Time of the last successful poll of this {kind}. The age of its values "
            "is time() minus this.",
        ),
        last_edited=Family(
            f"{name}_last_edited_timestamp_seconds",
            f"Time of the last edit of this {kind} in Braze, as in the list that "
            "discovery reads. Absent without discovery.",
        ),
    )


def _group(name: str, about: _Group) -> GroupFamilies:
    prefix = f"{name}_{about.infix}"
    meaning = about.meaning
    on_days = f"{meaning} {about.people}".rstrip()
    return GroupFamilies(
        labels=about.labels,
        daily=Family(
            f"{prefix}daily",
            "Polled counts of the newest day in Braze, usually today so far, see "
            f"{name}_daily_timestamp_seconds. {on_days}",
        ),
        last_complete_day=Family(
            f"{prefix}last_complete_day",
            "Polled counts of the newest day that is over in the time zone of the "
            f"workspace, see {name}_last_complete_day_timestamp_seconds. Braze may "
            f"still correct them. {on_days}",
        ),
        trailing=Family(f"{prefix}trailing", f"{_SUMS} {meaning}"),
        revision=(
            Family(f"{prefix}last_complete_day_revision", f"{_REVISION} {meaning}")
            if about.has_revision
            else None
        ),
        info=about.info,
    )


_VARIATION = PartLabels(channel="channel", name="variation")
_PEOPLE = "unique_recipients does not add up over days, channels or variations."

CAMPAIGN = _families(
    "campaign",
    {
        VARIATION: _Group(
            "",
            _VARIATION,
            f"{_TABLE} Exclude control groups from conversion totals, see the label "
            "control of braze_campaign_variation_info.",
            people=_PEOPLE,
            info=PartInfo(
                Family(
                    "braze_campaign_variation_info",
                    "Always 1, for every variation with samples: its id in Braze, "
                    "empty if the response has no id, and whether it is a control "
                    "group, which receives no message.",
                ),
                _VARIATION,
                has_control=True,
            ),
            has_revision=True,
        ),
        OVERALL: _Group(
            "overall_",
            PartLabels(),
            "Fields of the campaign as a whole, such as conversions and revenue; they "
            f"are not sums over its channels. {_TABLE}",
            people=_PEOPLE,
            has_revision=True,
        ),
    },
    refused="the workspace is paused because Braze rejects its API key",
)

_VARIANT = PartLabels(name="variant")
_STEP = PartLabels(name="step")
_NEEDS_STEPS = "Needs canvas_steps: true in the workspace or steps: true in the canvas."
_STEP_INFO = PartInfo(
    Family(
        "braze_canvas_step_info",
        f"Always 1, with the id in Braze of every step with samples. {_NEEDS_STEPS}",
    ),
    _STEP,
)
_ENTRIES = (
    "A user may enter more than once. A conversion counts for the last message that "
    "its user received, and before the first one for no step."
)

CANVAS = _families(
    "canvas",
    {
        CHANNEL: _Group(
            "",
            PartLabels(channel="channel"),
            "Added over the steps of the canvas and their messages: sums of unique_* "
            f"are upper bounds. {_TABLE}",
        ),
        OVERALL: _Group(
            "overall_",
            PartLabels(),
            "Fields of the canvas as a whole, such as entries, conversions and "
            f"revenue; they are not sums over its steps. Entries are not recipients. "
            f"{_ENTRIES} {_TABLE}",
        ),
        VARIANT: _Group(
            "variant_",
            _VARIANT,
            "Fields of each variant, such as entries, conversions and revenue. "
            f"{_ENTRIES} {_TABLE}",
            info=PartInfo(
                Family(
                    "braze_canvas_variant_info",
                    "Always 1, with the id in Braze of every variant with samples. "
                    "Braze does not report which variant is a control.",
                ),
                _VARIANT,
            ),
        ),
        STEP_CHANNEL: _Group(
            "step_",
            PartLabels(channel="channel", name="step"),
            "Messages of one step in one channel, added over its messages: sums of "
            f"unique_* are upper bounds. {_NEEDS_STEPS} {_TABLE}",
            info=_STEP_INFO,
        ),
        STEP: _Group(
            "step_overall_",
            _STEP,
            "Conversions and revenue of one step, not of each of its channels; their "
            f"sum over steps may be below that of the canvas. {_ENTRIES} "
            f"{_NEEDS_STEPS} {_TABLE}",
            info=_STEP_INFO,
        ),
    },
    refused="polls of canvases are paused because Braze rejects the API key",
)

BY_KIND = {families.kind: families for families in (CAMPAIGN, CANVAS, *SERIES)}
"""In the order of a page."""

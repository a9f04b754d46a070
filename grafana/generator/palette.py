"""Colours that colour-blind users can distinguish, and their thresholds.

The colours are those of Okabe and Ito. No meaning depends on red against green alone:
each colour comes with a number or a word.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

BLUE = "#0072B2"
SKY = "#56B4E9"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
SERIES = (BLUE, ORANGE, SKY, VERMILLION, PURPLE)
"""For series with fixed names, in this order."""
GREY = "#999999"
"""For series in the background, on dark and on light."""
PLAIN = "text"
"""Grafana's colour of text, dark on light and light on dark."""
NONE = "transparent"


@dataclass(frozen=True, slots=True)
class Limits:
    """The warning and critical limits of a figure."""

    warning: float
    critical: float
    is_low_bad: bool = False
    decimals: int = 2
    """Those of a percentage beside these limits."""

    def steps(self, *, good: str) -> builders.ThresholdsConfig:
        """Return the steps; `good` is the colour within the limits.

        The first step is also the colour of an absent figure.
        """
        first = (None, good)
        if self.is_low_bad:
            return steps(
                first, (0, VERMILLION), (self.critical, ORANGE), (self.warning, good)
            )
        return steps(first, (self.warning, ORANGE), (self.critical, VERMILLION))


def steps(*pairs: tuple[float | None, str]) -> builders.ThresholdsConfig:
    """Return steps in ascending order; the first mark is None."""
    return (
        builders.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=mark, color=colour) for mark, colour in pairs])
    )


def empty(colour: str = PLAIN, *, text: str = "–") -> models.ValueMapping:
    """Return the look of a missing value, which else has the first step's colour."""
    return models.SpecialValueMap(
        options=models.DashboardSpecialValueMapOptions(
            match=models.SpecialValueMatch.NULL_AND_NAN,
            result=models.ValueMappingResult(text=text, color=colour, index=0),
        )
    )


def shades(colour: str = BLUE) -> builders.FieldColor:
    """Return shades of one colour, for series with names that are not known here."""
    return (
        builders.FieldColor().mode(models.FieldColorModeId.SHADES).fixed_color(colour)
    )


def by_last_value() -> builders.FieldColor:
    """Return the colour of the step that the last value of a series is in."""
    return (
        builders.FieldColor()
        .mode(models.FieldColorModeId.THRESHOLDS)
        .series_by(models.FieldColorSeriesByMode.LAST)
    )


def no_steps(colour: str = PLAIN) -> builders.ThresholdsConfig:
    """Return one colour for every value."""
    return steps((None, colour))


DELIVERY = Limits(0.97, 0.95, is_low_bad=True)
"""The counterpart of the limits of bounces."""
BOUNCE = Limits(0.03, 0.05)
"""Braze, IP warming: above 3 to 5 % of a campaign, clean the list."""
SPAM = Limits(0.0008, 0.003, decimals=3)
"""Braze: investigate from 0.08 % on. Google and Yahoo: never reach 0.3 %."""
UNSUBSCRIBE = Limits(0.005, 0.01)
"""A default of this project: no provider publishes one."""
FAILURE = Limits(0.05, 0.10)
"""A default of this project, for rejected or failed messages."""
OPT_OUT = Limits(0.01, 0.02)
"""A default of this project."""
INVALID_TOKENS = Limits(0.05, 0.10)
"""A default of this project: invalid tokens are normal for push."""

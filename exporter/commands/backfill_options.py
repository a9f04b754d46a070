"""Flags of `braze-exporter backfill`, and which campaigns they select."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from exporter.backfill import sampling
from exporter.backfill.writer import HistoryCampaign
from exporter.commands.flags import CONFIG_FILE, Flag, parse_whole
from exporter.config import units
from exporter.model.config import Selection, WorkspaceConfig
from exporter.model.patterns import matcher

JOB = "braze-exporter"
BLOCK_HOURS = 1458
"""The longest block below three months that promtool makes. It reads the file once for
each block, and its default block is two hours."""

_AUTO = "auto"
FLAGS = (
    CONFIG_FILE,
    Flag("days", "How many complete days, up to yesterday.", "N", default="365"),
    Flag("output", "The file to write.", "FILE", default="history.om"),
    Flag(
        "campaign",
        "Only campaigns with this id or name; * and ? match any text and any "
        "character. May be repeated.",
        "NAME",
        is_list=True,
    ),
    Flag(
        "label",
        "A label that Prometheus adds when it scrapes the exporter, so that the "
        "history joins the scraped series. May be repeated.",
        "NAME=VALUE",
        default=f"job={JOB}",
        is_list=True,
    ),
    Flag(
        "step",
        "Time between two samples, from 1m to 1d. auto: the finest step, 5m or more, "
        "whose file stays below 4 GB.",
        "DURATION",
        default=_AUTO,
    ),
)
DESCRIPTION = f"""\
Download complete days from Braze, a hundred per request, and write them as OpenMetrics.
Load the file into Prometheus with

  promtool tsdb create-blocks-from openmetrics --max-block-duration={BLOCK_HOURS}h \\
    history.om DIRECTORY

The campaigns are those that the daemon polls: the configured ones and those that
discovery finds. Requests stay within requests_per_minute and reserve. Downloaded pages
are kept in OUTPUT.pages until the file is complete: run an interrupted command again to
resume it."""

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SAMPLE_LABELS = {
    *("workspace", "campaign", "campaign_id", "channel", "variation", "metric"),
    *("variation_id", "control"),
}


class BackfillOptions(NamedTuple):
    """The values of the flags; `step_seconds` None: automatic."""

    days: int
    output: Path
    campaigns: tuple[str, ...]
    labels: Mapping[str, str]
    step_seconds: float | None


class NoCampaignSelected(Exception):
    """--campaign matches no campaign, or there are no campaigns at all."""


def parse(options: argparse.Namespace) -> BackfillOptions:
    """Validate the flags. ValueError: names the flag."""
    return BackfillOptions(
        days=parse_whole("days", options.days, least=1, most=sampling.MAX_DAYS),
        output=_output(options.output),
        campaigns=tuple(options.campaign or ()),
        labels=_labels(options.label or ()),
        step_seconds=_step(options.step),
    )


def select(
    workspaces: Sequence[WorkspaceConfig], patterns: Sequence[str]
) -> tuple[HistoryCampaign, ...]:
    """Return the campaigns that match any pattern; without patterns all of them.

    NoCampaignSelected: there are no campaigns, or a pattern matches none.
    """
    items = tuple(
        HistoryCampaign(workspace, campaign)
        for workspace in workspaces
        for campaign in workspace.campaigns
    )
    if not items:
        message = "no campaign is configured, and discovery selects none"
        raise NoCampaignSelected(message)
    if not patterns:
        return items
    selected: set[tuple[str, str]] = set()
    for pattern in patterns:
        is_match = matcher(Selection((pattern,)))
        found = [
            one for one in items if pattern in {one.campaign.id, one.campaign.name}
        ] or [one for one in items if is_match(one.campaign.name)]
        if not found:
            message = f"--campaign {pattern!r} matches no campaign id and no name"
            raise NoCampaignSelected(message)
        selected |= {(one.workspace.name, one.campaign.id) for one in found}
    return tuple(
        one for one in items if (one.workspace.name, one.campaign.id) in selected
    )


def _output(text: str) -> Path:
    path = Path(text)
    if not path.name or path.is_dir() or not path.parent.is_dir():
        message = f"--output is {text!r}, expected a file in an existing directory"
        raise ValueError(message)
    return path


def _step(text: str) -> float | None:
    if text == _AUTO:
        return None
    try:
        seconds = units.duration_seconds(text)
    except ValueError:
        seconds = 0.0
    if not 60 <= seconds <= 86400:
        message = f"--step is {text!r}, expected auto or a duration from 1m to 1d"
        raise ValueError(message)
    return seconds


def _labels(texts: Sequence[str]) -> dict[str, str]:
    labels = {"job": JOB}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not _LABEL_NAME.fullmatch(name) or name.startswith("__"):
            message = f"--label is {text!r}, expected NAME=VALUE such as job={JOB}"
            raise ValueError(message)
        if name in _SAMPLE_LABELS:
            message = f"--label {name}: the samples already have a label of this name"
            raise ValueError(message)
        labels[name] = value
    return labels

"""Flags of `braze-exporter backfill`, and which objects they select."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from exporter.backfill import sampling
from exporter.backfill.writer import HistoryObject
from exporter.commands.flags import CONFIG_FILE, Flag, parse_whole
from exporter.config import units
from exporter.model.config import Selection, WorkspaceConfig
from exporter.model.patterns import matcher
from exporter.polling.kinds import KINDS

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
        "character. May be repeated. Only what these three flags name is written.",
        "NAME",
        is_list=True,
    ),
    Flag(
        "canvas",
        "Only canvases with this id or name, as --campaign.",
        "NAME",
        is_list=True,
    ),
    Flag(
        "series",
        "Only series of the workspace with this id, or name as in the label series, "
        "such as dau or segment*, as --campaign.",
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
Download complete days from Braze, a hundred per request for a campaign and 14 for a
canvas, and write them, and their sums over the configured windows, as OpenMetrics; of
custom events also hours, a hundred per request. Load the file into Prometheus with

  promtool tsdb create-blocks-from openmetrics --max-block-duration={BLOCK_HOURS}h \\
    history.om DIRECTORY

Campaigns, canvases and series are those that the daemon polls: the configured ones and
those that discovery finds; planned sends and data ingestion have no history. Requests
stay within requests_per_minute, of canvases and series within
shared_requests_per_minute, and reserve. Downloaded pages are kept in OUTPUT.pages until
the file is complete: run an interrupted command again to resume it."""

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SAMPLE_LABELS = {
    *("workspace", "campaign", "campaign_id", "channel", "variation", "metric"),
    *("variation_id", "control", "window"),
    *("canvas", "canvas_id", "variant", "variant_id", "step", "step_id"),
    *("segment", "event", "unit"),
}


class BackfillOptions(NamedTuple):
    """The values of the flags; `step_seconds` None: automatic."""

    days: int
    output: Path
    patterns: Mapping[str, tuple[str, ...]]
    """Label of an object → ids and names; without any, all objects."""
    labels: Mapping[str, str]
    step_seconds: float | None


class NothingSelected(Exception):
    """A flag matches nothing, or there is nothing at all."""


def parse(options: argparse.Namespace) -> BackfillOptions:
    """Validate the flags. ValueError: names the flag."""
    return BackfillOptions(
        days=parse_whole("days", options.days, least=1, most=sampling.MAX_DAYS),
        output=_output(options.output),
        patterns={
            kind.label: tuple(getattr(options, kind.label) or ()) for kind in KINDS
        },
        labels=_labels(options.label or ()),
        step_seconds=_step(options.step),
    )


def select(
    workspaces: Sequence[WorkspaceConfig], patterns: Mapping[str, Sequence[str]]
) -> tuple[HistoryObject, ...]:
    """Return the objects that match any pattern of their label; without patterns all.

    NothingSelected: there are no objects, or a pattern matches none.
    """
    items = tuple(
        HistoryObject(workspace, kind, one, history)
        for workspace in workspaces
        for kind in KINDS
        for one in kind.objects(workspace)
        if (history := kind.history(one))
    )
    if not items:
        message = (
            "no campaign, canvas or series with a history is configured, and discovery "
            "selects none"
        )
        raise NothingSelected(message)
    if not any(patterns.values()):
        return items
    selected = {
        one.key
        for label, texts in patterns.items()
        for pattern in texts
        for one in _matching([one for one in items if one.kind.label == label], pattern)
        or _nothing(label, pattern)
    }
    return tuple(one for one in items if one.key in selected)


def _matching(items: Sequence[HistoryObject], pattern: str) -> list[HistoryObject]:
    """Return the objects with this id or name, or else with a matching name."""
    is_match = matcher(Selection((pattern,)))
    return [one for one in items if pattern in {one.config.id, one.title}] or [
        one for one in items if is_match(one.title)
    ]


def _nothing(label: str, pattern: str) -> NoReturn:
    message = f"--{label} {pattern!r} matches no {label} id and no name"
    raise NothingSelected(message)


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

"""`braze-exporter discover`: the campaigns of a workspace as YAML to paste."""

from __future__ import annotations

import random
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from exporter import __version__
from exporter.commands.flags import Flag
from exporter.commands.target import (
    ACCESS,
    WORKSPACE,
    Target,
    TargetParser,
    access,
    client,
)
from exporter.config.describe import changes
from exporter.config.units import duration_text, number
from exporter.config.yaml_tree import dump, in_comment, quoted
from exporter.daemon.process import start_logging
from exporter.discovery import documents
from exporter.discovery.finder import CampaignFinder
from exporter.discovery.one_shot import course, doubts, explore, scout_of
from exporter.model.config import (
    CampaignConfig,
    Config,
    DiscoverConfig,
    Selection,
    TagSelection,
    WorkspaceConfig,
)
from exporter.model.errors import FetchError
from exporter.system.api_key import read_key
from exporter.system.clock import Clock
from exporter.system.progress import duration

_DESCRIPTION = """\
Find the campaigns of a workspace by Braze's list and details, and print a configuration
with them, to use as it is or to paste from. With a configuration file the selection of
its `discover` counts; without one, all campaigns but drafts and archived ones.

  braze-exporter discover --endpoint https://rest.iad-01.braze.com \\
    --api-key-env BRAZE_API_KEY > config.yaml

The key needs the permissions campaigns.list and campaigns.details. No flag takes it."""

_RATE = Flag(
    "requests-per-minute",
    "Ask at most so many: they count among your company's live sends, 250,000 an hour.",
    "N",
    default="600",
)
_FLAGS = (*ACCESS, WORKSPACE, _RATE)

_TOLD_SECONDS = 5.0
_LONGEST_COMMENT = 200
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_ALL = DiscoverConfig(
    names=Selection(),
    tags=TagSelection(),
    channels=Selection(),
    sent_within_seconds=None,
    include_drafts=False,
    include_archived=False,
    max_campaigns=100_000,
    list_interval_seconds=86400.0,
    grace_seconds=0.0,
    requests_per_minute=600,
)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Ask Braze, and print what was found."""
    parser = TargetParser(
        _FLAGS, program="braze-exporter discover", description=_DESCRIPTION
    )
    options = parser.parse(arguments, environment)
    try:
        rate = _rate(options.requests_per_minute)
    except ValueError as error:
        parser.error(str(error))
    found = access(parser, options, arguments, environment, judges_keys=True)
    try:
        index = _index(found, None if found.is_direct else options.workspace)
    except ValueError as error:
        parser.error(str(error))
    for warning in found.warnings:
        if warning.path.startswith(f"workspaces[{index}]") or found.is_direct:
            print(warning, file=sys.stderr)
    start_logging(level="error", format_="logfmt")
    workspace = found.config.workspaces[index]
    if read_key(workspace.key_source, environment) is None:
        _complain(f"{workspace.key_source} cannot be read; expected an API key there")
        return 2
    settings = (workspace.discover or _ALL)._replace(
        requests_per_minute=rate,
        list_interval_seconds=_ALL.list_interval_seconds,
    )
    workspace = replace(workspace, discover=settings)
    clock = Clock()
    braze = client(
        workspace,
        environment,
        response_bytes=found.config.limits.response_bytes,
        clock=clock,
    )
    scout = scout_of(workspace, client=braze, clock=clock, draw=random.random)
    failure = explore(
        scout,
        clock=clock,
        wait=threading.Event().wait,
        waits=_waits,
        stepped=course(scout, _complain),
    )
    if failure is not None:
        _complain(str(failure))
        return 1
    campaigns = scout.campaigns_of(workspace)
    for doubt in doubts(scout, settings):
        _complain(doubt)
    if not campaigns:
        _complain(f"no campaign is selected, of {len(scout.known.campaigns)} listed")
        return 1
    print("\n".join(_document(found.config, workspace, campaigns, scout)))
    return 0


def _rate(text: str) -> float:
    try:
        rate = number(text)
    except ValueError:
        rate = 0.0
    if not 0.1 <= rate <= 10_000:
        message = f"--{_RATE.name} is {text!r}, expected a number from 0.1 to 10000"
        raise ValueError(message)
    return rate


def _index(found: Target, name: str | None) -> int:
    """Return which workspace is meant; ValueError says which there are."""
    names = [workspace.name for workspace in found.config.workspaces]
    if name is None and len(names) == 1:
        return 0
    if name in names:
        return names.index(name)
    what = "which workspace?" if name is None else "there is no such workspace:"
    message = f"{what} expected --workspace with one of {', '.join(map(repr, names))}"
    raise ValueError(message)


def _waits(seconds: float, failure: FetchError | None) -> None:
    if seconds > _TOLD_SECONDS:
        why = failure or "the rest of what Braze allows is the reserve"
        _complain(f"waiting {duration(seconds)}: {why}")


def _document(
    whole: Config,
    workspace: WorkspaceConfig,
    campaigns: Sequence[CampaignConfig],
    scout: CampaignFinder,
) -> Iterator[str]:
    general, own = changes(whole, workspace)
    if workspace.ca_file:
        own["ca_file"] = _path(workspace.ca_file)
    source = workspace.key_source
    yield f"# Campaigns: {len(campaigns)}, found by braze-exporter {__version__}."
    yield "# A configuration as it stands; or copy what is below `campaigns`."
    yield from _options(general)
    yield "workspaces:"
    yield f"  - name: {quoted(workspace.name)}"
    yield f"    endpoint: {quoted(workspace.endpoint)}"
    if source.env:
        yield f"    api_key_env: {quoted(source.env)}"
    else:
        yield f"    api_key_file: {quoted(_path(source.file or ''))}"
    if own.get("proxy") != workspace.proxy:
        _complain("the proxy's user and password are not repeated: fill in the ***")
        yield "    # Fill in the proxy's user and password: they are not repeated here."
    yield from (f"    {line}" for line in _options(own))
    yield "    campaigns:"
    for one in sorted(campaigns, key=lambda one: (one.name.casefold(), one.name)):
        plain = one.id if _UUID.fullmatch(one.id) else quoted(one.id)
        yield f"      - id: {plain}"
        yield f"        name: {quoted(one.name)}"
        if one.interval_seconds != workspace.interval_seconds:
            yield f"        interval: {duration_text(one.interval_seconds)}"
        if one.labels:
            labels = (f"{name}: {quoted(text)}" for name, text in one.labels.items())
            yield f"        labels: {{{', '.join(labels)}}}"
        if comment := _comment(scout, one.id):
            yield f"        # {comment}"


def _options(options: Mapping[str, object]) -> Iterator[str]:
    if options:
        yield from dump(options).splitlines()


def _path(path: str) -> str:
    """Return a path that is right wherever the printed configuration is put."""
    return str(Path(path).absolute())


def _comment(scout: CampaignFinder, campaign_id: str) -> str:
    id_ = documents.key(campaign_id)
    listed, details = scout.known.campaigns.get(id_), scout.known.details.get(id_)
    facts = []
    if details:
        facts.append(", ".join(details.channels))
    if listed and listed.tags:
        facts.append(f"tags: {', '.join(listed.tags)}")
    if details and details.last_sent_at is not None:
        sent_on = datetime.fromtimestamp(details.last_sent_at, UTC).date()
        facts.append(f"last sent {sent_on}")
    text = in_comment("; ".join(fact for fact in facts if fact))
    return text if len(text) <= _LONGEST_COMMENT else f"{text[:_LONGEST_COMMENT]}…"


def _complain(message: str) -> None:
    print(f"braze-exporter: {message}", file=sys.stderr)

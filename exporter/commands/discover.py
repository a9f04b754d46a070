"""`braze-exporter discover`: print what a workspace has as a configuration."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

from exporter import __version__
from exporter.commands import print_error
from exporter.commands.flags import Flag, parse_number
from exporter.commands.target import (
    TARGET_FLAGS,
    WORKSPACE,
    Target,
    TargetParser,
    client,
    parse_workspace,
)
from exporter.config.describe import changes
from exporter.config.units import duration_text
from exporter.config.yaml_tree import dump, in_comment
from exporter.daemon.process import start_logging
from exporter.discovery import documents
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.kinds import CAMPAIGN, CANVAS, KINDS, ListedKind
from exporter.discovery.one_shot import DiscoveryRun
from exporter.model.config import (
    Config,
    DiscoverConfig,
    WorkspaceConfig,
)
from exporter.model.errors import FetchError
from exporter.system.api_key import read_key
from exporter.system.clock import Clock

_DESCRIPTION = """\
Find the campaigns and canvases of a workspace by Braze's lists and details, and print a
complete configuration with them. With --config.file, the filters of its `discover`
section apply, and its `series` are printed unchanged; without, all except drafts,
archived ones and stopped canvases are printed.

  braze-exporter discover --endpoint https://rest.iad-01.braze.com \\
    --api-key-env BRAZE_API_KEY > config.yaml

The key needs the permissions campaigns.list, campaigns.details, canvas.list and
canvas.details. There is no flag for the key itself."""

_RATE = Flag(
    "requests-per-minute",
    "Maximum rate. These requests share Braze's limit of 250,000 an hour with your "
    "live sends.",
    "N",
    default="600",
)
_ALL = "all"
_KIND = Flag(
    "kind",
    "What to print; all: what the `discover` section selects, or without one both.",
    default=_ALL,
    choices=(_ALL, CAMPAIGN.plural, CANVAS.plural),
)
_FLAGS = (*TARGET_FLAGS, WORKSPACE, _KIND, _RATE)

_MAX_COMMENT_LENGTH = 200


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Find campaigns and canvases, and print a configuration."""
    parser = TargetParser(_FLAGS, "braze-exporter discover", _DESCRIPTION)
    options = parser.parse(arguments, environment)
    with parser.usage_errors():
        text = options.requests_per_minute
        rate = parse_number(_RATE.name, text, least=0.1, most=10_000)
    target = parser.target(options, arguments, environment, validates_keys=True)
    with parser.usage_errors():
        index = _index(target, None if target.is_direct else options.workspace)
    for warning in target.warnings:
        if warning.path.startswith(f"workspaces[{index}]") or target.is_direct:
            print_error(str(warning))
    start_logging(level="error", format_="logfmt")
    workspace = target.config.workspaces[index]
    if read_key(workspace.key_source, environment) is None:
        _print_error(
            f"{workspace.key_source} cannot be read; expected an API key there"
        )
        return 2
    workspace = _with_kinds(workspace, options.kind)
    clock = Clock()
    limit = target.config.limits.response_bytes
    with client(workspace, environment, response_bytes=limit, clock=clock) as braze:
        discovery = DiscoveryRun(
            workspace,
            requests_per_minute=rate,
            client=braze,
            clock=clock,
            sleep=threading.Event().wait,
            random=random.random,
            print_line=_print_error,
        )
        try:
            found = discovery.run()
        except FetchError as failure:
            _print_error(str(failure))
            if options.kind == _ALL and len(discovery.catalogues) > 1:
                _print_error(f"--kind={CAMPAIGN.plural} leaves canvases out")
            return 1
    known = discovery.catalogues
    if not any(kind.objects(found) for kind in KINDS):
        listed = " and ".join(
            f"{len(one.objects)} {kind.plural}"
            for kind in KINDS
            if (one := known.get(kind.name))
        )
        _print_error(f"the filters select none of {listed}")
        return 1
    print("\n".join(_document(target.config, found, known)))
    return 0


def _with_kinds(workspace: WorkspaceConfig, wanted: str) -> WorkspaceConfig:
    """Return a workspace that discovers what is wanted, by its rules if it has any."""
    own, default = workspace.discover, _default_discovery()
    discover = own or default
    if wanted == CAMPAIGN.plural:
        campaigns = discover.campaigns or default.campaigns
        discover = discover._replace(campaigns=campaigns, canvases=None)
    if wanted == CANVAS.plural:
        canvases = discover.canvases or default.canvases
        discover = discover._replace(campaigns=None, canvases=canvases)
    return replace(workspace, discover=discover)


def _default_discovery() -> DiscoverConfig:
    place = {"name": "x", "endpoint": "https://localhost", "api_key_env": "X"}
    (workspace,) = parse_workspace(place, lambda _: "x").config.workspaces
    assert workspace.discover is not None  # noqa: S101 - it is part of the workspace
    return workspace.discover


def _index(target: Target, name: str | None) -> int:
    """Return the workspace's index. ValueError: contains the names to choose from."""
    names = [workspace.name for workspace in target.config.workspaces]
    if name is None and len(names) == 1:
        return 0
    if name in names:
        return names.index(name)
    what = "several workspaces" if name is None else f"no workspace {name!r}"
    message = f"{what}: expected --workspace with one of {', '.join(map(repr, names))}"
    raise ValueError(message)


def _document(
    whole: Config, workspace: WorkspaceConfig, known: Mapping[str, ObjectCatalogue]
) -> Iterator[str]:
    general, own = changes(whole, workspace)
    source = workspace.key_source
    place = {"name": workspace.name, "endpoint": workspace.endpoint}
    if source.env:
        place["api_key_env"] = source.env
    else:
        place["api_key_file"] = _path(source.file or "")
    if workspace.ca_file:
        own["ca_file"] = _path(workspace.ca_file)
    counts = ", ".join(
        f"{kind.plural}: {len(kind.objects(workspace))}"
        for kind in KINDS
        if kind.objects(workspace)
    )
    yield f"# {counts.capitalize()}, found by braze-exporter {__version__}."
    yield "# A complete configuration; or copy the entries."
    if own.get("proxy") != workspace.proxy:
        _print_error("the proxy's user and password are not printed: fill in the ***")
        yield "# Fill in the proxy's user and password: they are not printed."
    if general:
        yield dump(general).rstrip()
    yield "workspaces:"
    yield _item({**place, **own}, "  ")
    for kind in KINDS:
        if kind.objects(workspace):
            catalogue = known.get(kind.name, ObjectCatalogue())
            yield from _entries(kind, workspace, catalogue)


def _entries(
    kind: ListedKind, workspace: WorkspaceConfig, known: ObjectCatalogue
) -> Iterator[str]:
    yield f"    {kind.plural}:"
    found = kind.objects(workspace)
    for one in sorted(found, key=lambda one: (one.name.casefold(), one.name)):
        default = kind.new_object(workspace, one.id, one.name)
        entry: dict[str, object] = {"id": one.id, "name": one.name}
        if one.interval_seconds != default.interval_seconds:
            entry["interval"] = duration_text(one.interval_seconds)
        if one.has_steps != default.has_steps:
            entry["steps"] = one.has_steps
        if one.labels:
            entry["labels"] = dict(one.labels)
        yield _item(entry, "      ")
        if comment := _comment(kind, known, one.id):
            yield f"        # {comment}"


def _item(values: Mapping[str, object], margin: str) -> str:
    """Return an item of a list in YAML."""
    return f"{margin}- {indent(dump(values).rstrip(), f'{margin}  ').lstrip()}"


def _path(path: str) -> str:
    """Return the absolute path: the printed configuration may be stored elsewhere."""
    return str(Path(path).absolute())


def _comment(kind: ListedKind, known: ObjectCatalogue, object_id: str) -> str:
    id_ = documents.key(object_id)
    parts = []
    if details := known.details.get(id_):
        parts.append(", ".join(details.channels))
    if (listed := known.objects.get(id_)) and listed.tags:
        parts.append(f"tags: {', '.join(listed.tags)}")
    if details and details.last_active_at is not None:
        active_on = datetime.fromtimestamp(details.last_active_at, UTC).date()
        parts.append(f"{kind.last_active} {active_on}")
    text = in_comment("; ".join(filter(None, parts)))
    more = "…" if len(text) > _MAX_COMMENT_LENGTH else ""
    return f"{text[:_MAX_COMMENT_LENGTH]}{more}"


def _print_error(message: str) -> None:
    print_error(f"braze-exporter: {message}")

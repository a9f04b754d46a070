"""The configuration: text → `Config`, or every problem with its file, line and path.

The tables below are the whole schema with every default. A message repeats no value of
the file but names of variables and of files that are there, and never anything of a
key. What lies outside (keys, files) is passed in: there is no I/O here, no clock and no
environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

from exporter.braze import hosts
from exporter.config import option_values, units, yaml_tree
from exporter.config.reader import OPTIONAL, REQUIRED, Field, Findings, Section, values
from exporter.model.config import (
    CampaignConfig,
    Config,
    DiscoverConfig,
    KeySource,
    Limits,
    Problem,
    Selection,
    TagSelection,
    WorkspaceConfig,
)
from exporter.model.errors import ConfigError

CONFIG = {
    "workspaces": REQUIRED,
    "windows": "[7d, 28d]",
    "channels": "{}",
    "stale_after": "1h",
    "metrics": "{}",
    "revisions": "false",
    "limits": "{}",
}
WORKSPACE = {
    "name": REQUIRED,
    "endpoint": REQUIRED,
    "api_key_env": OPTIONAL,  # one of these two
    "api_key_file": OPTIONAL,
    "timezone": "UTC",
    "interval": "5m",
    "idle_interval": "1h",
    "requests_per_minute": "120",
    "reserve": "20%",
    "concurrency": "4",
    "timeout": "30s",
    "proxy": OPTIONAL,
    "ca_file": OPTIONAL,
    "allow_http": "false",
    "campaigns": REQUIRED,  # unless discovery is configured
    "discover": OPTIONAL,
}
DISCOVER = {
    "names": "{}",
    "tags": "{}",
    "channels": "{}",
    "sent_within": OPTIONAL,
    "include_drafts": "false",
    "include_archived": "false",
    "max_campaigns": "500",
    "list_interval": "1h",
    "grace": "1d",
    "requests_per_minute": "120",
    "labels": "{}",
}
TAGS = {"any": "[]", "all": "[]", "none": "[]"}
CAMPAIGN = {
    "id": REQUIRED,
    "name": REQUIRED,
    "interval": OPTIONAL,  # the workspace's
    "labels": "{}",
}
SELECTION = {"include": "[]", "exclude": "[]"}
_MOST_PROBLEMS = 100
LIMITS = {"series_per_campaign": "5000", "response_bytes": "4MiB"}


class ParsedConfig(NamedTuple):
    """A configuration that can be used, and what its author may want to know of it."""

    config: Config
    warnings: tuple[Problem, ...]


def parse(
    text: str,
    *,
    file: str,
    read_key: Callable[[KeySource], str | None],
    is_file: Callable[[str], bool],
    is_public: Callable[[str], bool] = lambda _: False,
    keys_required: bool = True,
) -> ParsedConfig:
    """Read the text of `file`, or raise `ConfigError` with all problems, by line.

    `read_key` gives the key without its last newline, or None where there is none: an
    error if keys are required, else a warning. `is_public` tells whether every user of
    the machine may read a file. Relative paths in the text are taken from the directory
    of `file`.
    """
    root, problems = yaml_tree.compose(text, file=file)
    reader = _Reader(file, read_key, is_file, is_public, keys_required)
    config = Field(root, "", Findings(file, problems)).taken(reader.config)
    problems.sort(key=yaml_tree.by_line)
    if config is None or not all(problem.is_warning for problem in problems):
        raise ConfigError(tuple(problems))
    return ParsedConfig(config, tuple(problems))


def shortened(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return what a log can bear: a hundred, errors first, and how many more there are.

    Whoever asks for the problems, at a terminal or by a request, is told all of them.
    """
    if len(problems) <= _MOST_PROBLEMS:
        return tuple(problems)
    errors_first = sorted(problems, key=lambda problem: problem.is_warning)
    told, more = errors_first[:_MOST_PROBLEMS], errors_first[_MOST_PROBLEMS:]
    message = f"and {len(more)} more problems"
    first = more[0]
    return (*told, Problem(first.file, first.line, "", message, first.is_warning))


def describe(config: Config) -> str:
    """Write the configuration in force as YAML, every default filled in.

    Safe to show: of keys only where they are read from, of proxies no password. Paths
    are written as they were resolved.
    """
    return yaml_tree.dump(
        {
            "workspaces": [_described(each) for each in config.workspaces],
            **_described_whole(config),
        }
    )


def changes(
    config: Config, workspace: WorkspaceConfig
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the options that are not as by default: for all, and of one workspace.

    Without what says where to ask and for which campaigns. As safe as `describe`, which
    spells them in the same way.
    """
    plain = _plain()
    place = {"name", "endpoint", "api_key_env", "api_key_file", "campaigns", "discover"}
    own = _without(_described(workspace), _described(plain.workspaces[0]))
    return (
        _without(_described_whole(config), _described_whole(plain)),
        {name: value for name, value in own.items() if name not in place},
    )


def _plain() -> Config:
    """Return a configuration in which all that has a default is left out."""
    parsed = parse(
        "workspaces: [{name: x, endpoint: http://localhost, api_key_env: X,"
        " discover: {}}]",
        file="",
        read_key=lambda _: "x",
        is_file=lambda _: False,
    )
    return parsed.config


def _without(
    described: Mapping[str, object], known: Mapping[str, object]
) -> dict[str, object]:
    return {
        name: value
        for name, value in described.items()
        if name not in known or known[name] != value
    }


def _described_whole(config: Config) -> dict[str, object]:
    return {
        "windows": [f"{days}d" for days in config.windows],
        "channels": _described_selection(config.channels),
        "stale_after": units.duration_text(config.stale_after_seconds),
        "metrics": _described_selection(config.metrics),
        "revisions": config.revisions,
        "limits": {
            "series_per_campaign": config.limits.series_per_campaign,
            "response_bytes": units.size_text(config.limits.response_bytes),
        },
    }


def _described(workspace: WorkspaceConfig) -> dict[str, object]:
    source = workspace.key_source
    written = {
        "name": workspace.name,
        "endpoint": workspace.endpoint,
        "api_key_env": source.env,
        "api_key_file": source.file,
        "timezone": workspace.timezone.key,
        "interval": units.duration_text(workspace.interval_seconds),
        "idle_interval": units.duration_text(workspace.idle_interval_seconds),
        "requests_per_minute": _described_rate(workspace.requests_per_minute),
        "reserve": units.percentage_text(workspace.reserve),
        "concurrency": workspace.concurrency,
        "timeout": units.duration_text(workspace.timeout_seconds),
        "proxy": workspace.proxy and hosts.masked_url(workspace.proxy),
        "ca_file": workspace.ca_file,
        "allow_http": workspace.allow_http,
        "campaigns": [_described_campaign(each) for each in workspace.campaigns],
        "discover": workspace.discover and _described_discovery(workspace.discover),
    }
    return {name: value for name, value in written.items() if value is not None}


def _described_campaign(campaign: CampaignConfig) -> dict[str, object]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "interval": units.duration_text(campaign.interval_seconds),
        "labels": dict(campaign.labels),
    }


def _described_discovery(discover: DiscoverConfig) -> dict[str, object]:
    tags, sent_within = discover.tags, discover.sent_within_seconds
    within = None if sent_within is None else units.duration_text(sent_within)
    written = {
        "names": _described_selection(discover.names),
        "tags": {
            "any": list(tags.any),
            "all": list(tags.all),
            "none": list(tags.none),
        },
        "channels": _described_selection(discover.channels),
        "sent_within": within,
        "include_drafts": discover.include_drafts,
        "include_archived": discover.include_archived,
        "max_campaigns": discover.max_campaigns,
        "list_interval": units.duration_text(discover.list_interval_seconds),
        "grace": units.duration_text(discover.grace_seconds),
        "requests_per_minute": _described_rate(discover.requests_per_minute),
        "labels": dict(discover.labels),
    }
    return {name: value for name, value in written.items() if value is not None}


def _described_rate(requests_per_minute: float) -> float:
    rate = float(requests_per_minute)
    return int(rate) if rate.is_integer() else rate


def _described_selection(selection: Selection) -> dict[str, list[str]]:
    return {"include": list(selection.include), "exclude": list(selection.exclude)}


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the sections; holds what lies outside the text."""

    file: str
    read_key: Callable[[KeySource], str | None]
    is_file: Callable[[str], bool]
    is_public: Callable[[str], bool]
    keys_required: bool

    def config(self, field: Field) -> Config:
        section = field.section("the options of a configuration", CONFIG)
        return Config(
            workspaces=section.find("workspaces", self._workspaces) or (),
            windows=section.read("windows", option_values.windows),
            channels=section.read("channels", _selection),
            stale_after_seconds=section.read("stale_after", option_values.stale_after),
            metrics=section.read("metrics", _selection),
            limits=section.read("limits", _limits),
            revisions=section.read("revisions", option_values.boolean),
        )

    def _workspaces(self, field: Field) -> tuple[WorkspaceConfig, ...]:
        items = field.items(
            "a list of workspaces",
            if_empty="there is no workspace here; expected at least one",
        )
        return values(items, partial(self._workspace, names={}))

    def _workspace(self, field: Field, *, names: dict[str, Field]) -> WorkspaceConfig:
        section = field.section("a mapping with name, endpoint, campaigns", WORKSPACE)
        allow_http = section.read("allow_http", option_values.boolean)
        endpoint = partial(option_values.endpoint, allow_http=allow_http)
        interval_seconds = section.read("interval", option_values.interval)
        return WorkspaceConfig(
            name=section.find("name", partial(option_values.name, taken=names)) or "",
            endpoint=section.find("endpoint", endpoint) or "",
            key_source=self._key_source(section) or KeySource(),
            timezone=section.read("timezone", option_values.timezone),
            interval_seconds=interval_seconds,
            requests_per_minute=section.read("requests_per_minute", option_values.rate),
            reserve=section.read("reserve", option_values.reserve),
            concurrency=section.read("concurrency", option_values.concurrency),
            timeout_seconds=section.read("timeout", option_values.timeout),
            proxy=section.find("proxy", option_values.proxy),
            ca_file=section.find("ca_file", self._ca_file),
            allow_http=allow_http,
            campaigns=_listed(section, interval_seconds=interval_seconds),
            discover=section.find("discover", _discover),
            idle_interval_seconds=section.read("idle_interval", option_values.interval),
        )

    def _key_source(self, section: Section) -> KeySource | None:
        env, file = section.at("api_key_env"), section.at("api_key_file")
        if env and file:
            file.error("api_key_env is there too; expected one of the two")
            return None
        if env:
            return env.taken(self._key_variable)
        if file:
            return file.taken(self._key_file)
        section.field.error("where is the key? expected api_key_env or api_key_file")
        return None

    def _key_variable(self, field: Field) -> KeySource:
        source = KeySource(env=option_values.key_variable(field))
        is_plain = option_values.is_plain_variable(source.env or "")
        named = source if is_plain else "this environment variable"
        self._check_key(field, source, f"{named} is not set")
        return source

    def _key_file(self, field: Field) -> KeySource:
        path = self._beside(option_values.key_path(field))
        source = KeySource(file=path)
        # It is not named: it could be a key that stands in the wrong place.
        self._check_key(field, source, "this file cannot be read")
        if self.is_public(path):
            field.warn(f"{source} can be read by every user; expected chmod o-r")
        return source

    def _check_key(self, field: Field, source: KeySource, unread: str) -> None:
        key = self.read_key(source)
        if key is not None:
            option_values.judge_key(field, key)
        elif self.keys_required:
            field.error(f"{unread}; expected an API key there")
        else:
            field.warn(f"{unread}; the daemon will need an API key there")

    def _beside(self, path: str) -> str:
        return str(PurePath(self.file).parent / path)

    def _ca_file(self, field: Field) -> str:
        path = self._beside(field.plain_text())
        if not self.is_file(path):
            message = f"there is no file {path}; expected certificates as PEM"
            raise ValueError(message)
        return path


def _listed(section: Section, *, interval_seconds: float) -> tuple[CampaignConfig, ...]:
    """Return the listed campaigns; where others are discovered there may be none."""
    is_discovered = section.at("discover") is not None
    listed = section.at("campaigns")
    if is_discovered and (listed is None or listed.is_null):
        return ()
    reading = partial(
        _campaigns, interval_seconds=interval_seconds, may_be_empty=is_discovered
    )
    return section.find("campaigns", reading) or ()


def _campaigns(
    field: Field, *, interval_seconds: float, may_be_empty: bool
) -> tuple[CampaignConfig, ...]:
    items = field.items(
        "a list of campaigns",
        if_empty=""
        if may_be_empty
        else "there is no campaign here; an empty list is allowed only where"
        " discovery is configured; expected at least one",
    )
    reading = partial(_campaign, interval_seconds=interval_seconds, ids={}, names={})
    return values(items, reading)


def _campaign(
    field: Field,
    *,
    interval_seconds: float,
    ids: dict[str, Field],
    names: dict[str, Field],
) -> CampaignConfig:
    section = field.section(
        "a mapping such as {id: 3bbc4555-..., name: Welcome}", CAMPAIGN
    )
    return CampaignConfig(
        id=section.find("id", partial(option_values.campaign_id, taken=ids)) or "",
        name=section.find("name", partial(option_values.name, taken=names)) or "",
        interval_seconds=section.find("interval", option_values.interval)
        or interval_seconds,
        labels=section.read("labels", _labels),
    )


def _discover(field: Field) -> DiscoverConfig:
    section = field.section("a mapping such as {sent_within: 30d}", DISCOVER)
    return DiscoverConfig(
        names=section.read("names", _name_selection),
        tags=section.read("tags", _tag_selection),
        channels=section.read("channels", _selection),
        sent_within_seconds=section.find("sent_within", option_values.sent_within),
        include_drafts=section.read("include_drafts", option_values.boolean),
        include_archived=section.read("include_archived", option_values.boolean),
        max_campaigns=section.read("max_campaigns", option_values.most_campaigns),
        list_interval_seconds=section.read("list_interval", option_values.interval),
        grace_seconds=section.read("grace", option_values.grace),
        requests_per_minute=section.read(
            "requests_per_minute", option_values.discovery_rate
        ),
        labels=section.read("labels", _discovered_labels),
    )


def _name_selection(field: Field) -> Selection:
    section = field.section("a mapping with include and exclude", SELECTION)
    return Selection(
        include=section.read("include", option_values.name_patterns),
        exclude=section.read("exclude", option_values.name_patterns),
    )


def _tag_selection(field: Field) -> TagSelection:
    section = field.section("a mapping with any, all and none", TAGS)
    return TagSelection(
        any=section.read("any", option_values.tags),
        all=section.read("all", option_values.tags),
        none=section.read("none", option_values.tags),
    )


def _discovered_labels(field: Field) -> Mapping[str, str]:
    named = field.fields("a mapping such as {tags: tags, channel: channels}")
    return {
        name: value.taken(partial(option_values.discovered_label, name=name)) or ""
        for name, value in named.items()
    }


def _labels(field: Field) -> Mapping[str, str]:
    named = field.fields("a mapping such as {team: crm}")
    return {
        name: value.taken(partial(option_values.label, name=name)) or ""
        for name, value in named.items()
    }


def _selection(field: Field) -> Selection:
    section = field.section("a mapping with include and exclude", SELECTION)
    return Selection(
        include=section.read("include", _patterns),
        exclude=section.read("exclude", _patterns),
    )


def _patterns(field: Field) -> tuple[str, ...]:
    return values(field.items("a list of patterns"), Field.plain_text)


def _limits(field: Field) -> Limits:
    section = field.section("a mapping of limits", LIMITS)
    return Limits(
        series_per_campaign=section.read("series_per_campaign", option_values.series),
        response_bytes=section.read("response_bytes", option_values.response_bytes),
    )

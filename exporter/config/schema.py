"""Parsing of the configuration: text to `Config`, or every problem with its line.

Names, defaults and bounds come from `options`. Messages quote no value of the file
except names of environment variables and paths, and no part of a key. Keys and files
are read by callbacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

from exporter.config import contract_section, option_values, series_section, yaml_tree
from exporter.config.options import (
    CAMPAIGN,
    CANVAS,
    CONFIG,
    DISCOVER,
    DISCOVER_CAMPAIGNS,
    LIMITS,
    METRICS,
    SELECTION,
    TAGS,
    WORKSPACE,
)
from exporter.config.reader import Field, Findings, Options, Section, values
from exporter.model.config import (
    Config,
    DiscoverConfig,
    DiscoverRules,
    KeySource,
    Limits,
    MetricsConfig,
    ObjectConfig,
    Problem,
    Selection,
    TagSelection,
    WorkspaceConfig,
)
from exporter.model.errors import ConfigError

_MOST_PROBLEMS = 100

_ParseContract = Callable[[Field], Mapping[str, int]]


class ParsedConfig(NamedTuple):
    """A valid configuration with its warnings."""

    config: Config
    warnings: tuple[Problem, ...]


class _Discovery(NamedTuple):
    """The section `discover` of a workspace."""

    config: DiscoverConfig
    requests_per_minute: float | None
    """The previous ceiling of discovery alone."""


def parse(
    text: str,
    *,
    file: str,
    read_key: Callable[[KeySource], str | None],
    unreadable: Callable[[KeySource], str] = lambda source: (
        "is not set" if source.env else "cannot be read"
    ),
    is_file: Callable[[str], bool],
    is_public: Callable[[str], bool] = lambda _: False,
    keys_required: bool = True,
) -> ParsedConfig:
    """Parse the text of `file`, or raise `ConfigError` with all problems, by line.

    `read_key` returns None for a key that cannot be read, and `unreadable` returns why:
    an error if keys are required, else a warning. `is_public` returns whether all users
    of the machine have read permission. Relative paths in the text start at the
    directory of `file`.
    """
    root, problems = yaml_tree.compose(text, file=file)
    parser = _Parser(file, read_key, unreadable, is_file, is_public, keys_required)
    whole = Field(root, "", Findings(file, problems))
    config = whole.parsed(parser.config)
    problems.sort(key=yaml_tree.by_line)
    if config is None or not all(problem.is_warning for problem in problems):
        raise ConfigError(tuple(problems))
    return ParsedConfig(config, tuple(problems))


def shortened(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return at most a hundred problems, errors first, and how many follow."""
    all_problems = tuple(problems)
    if len(all_problems) <= _MOST_PROBLEMS:
        return all_problems
    errors_first = sorted(all_problems, key=lambda problem: problem.is_warning)
    shown, more = errors_first[:_MOST_PROBLEMS], errors_first[_MOST_PROBLEMS:]
    message = f"and {len(more)} more problems"
    first = more[0]
    return (*shown, Problem(first.file, first.line, "", message, first.is_warning))


@dataclass(frozen=True, slots=True)
class _Parser:
    """Parses the sections whose values depend on keys or files."""

    file: str
    read_key: Callable[[KeySource], str | None]
    unreadable: Callable[[KeySource], str]
    is_file: Callable[[str], bool]
    is_public: Callable[[str], bool]
    keys_required: bool

    def config(self, field: Field) -> Config:
        section = field.section("a mapping with the key `workspaces`", CONFIG)
        channels = section.read("channels", _selection)
        metrics = section.read("metrics", _metrics)
        contract = partial(
            contract_section.parse, channels=channels, metrics=metrics.selection
        )
        workspaces = partial(self._workspaces, parse_contract=contract)
        config = Config(
            workspaces=section.find("workspaces", workspaces) or (),
            windows=section.read("windows", option_values.windows),
            channels=channels,
            stale_after_seconds=section.read("stale_after", option_values.duration),
            metrics=metrics,
            limits=section.read("limits", _limits),
            revisions=section.read("revisions", option_values.boolean),
        )
        if selection := section.at("metrics"):
            series_section.warn_of_unselected(selection, config)
        return config

    def _workspaces(
        self, field: Field, *, parse_contract: _ParseContract
    ) -> tuple[WorkspaceConfig, ...]:
        items = field.items(
            "a list of workspaces",
            if_empty="the list is empty; expected at least one workspace",
        )
        parse = partial(self._workspace, names={}, parse_contract=parse_contract)
        return values(items, parse)

    def _workspace(
        self,
        field: Field,
        *,
        names: dict[str, Field],
        parse_contract: _ParseContract,
    ) -> WorkspaceConfig:
        section = field.section(
            "a mapping with the keys name, endpoint and campaigns", WORKSPACE
        )
        discovery = section.find("discover", _discover)
        shared = _shared_rate(section, discovery and discovery.requests_per_minute)
        canvas_interval = section.read("canvas_interval", option_values.duration)
        canvas_steps = section.read("canvas_steps", option_values.boolean)
        allow_http = section.read("allow_http", option_values.boolean)
        endpoint = partial(option_values.endpoint, allow_http=allow_http)
        interval_seconds = section.read("interval", option_values.duration)
        workspace = WorkspaceConfig(
            name=section.find("name", partial(option_values.name, taken=names)) or "",
            endpoint=section.find("endpoint", endpoint) or "",
            key_source=self._key_source(section) or KeySource(),
            timezone=section.read("timezone", option_values.timezone),
            interval_seconds=interval_seconds,
            requests_per_minute=section.read(
                "requests_per_minute", option_values.number
            ),
            reserve=section.read("reserve", option_values.percentage),
            concurrency=section.read("concurrency", option_values.integer),
            timeout_seconds=section.read("timeout", option_values.duration),
            proxy=section.find("proxy", option_values.proxy),
            ca_file=section.find("ca_file", self._ca_file),
            allow_http=allow_http,
            campaigns=_campaigns(section, interval_seconds),
            canvases=_canvases(section, canvas_interval, has_steps=canvas_steps),
            canvas_interval_seconds=canvas_interval,
            canvas_steps=canvas_steps,
            shared_requests_per_minute=shared,
            discover=discovery and discovery.config.within_rate(shared),
            idle_interval_seconds=section.read("idle_interval", option_values.duration),
            series=section.find("series", series_section.parse),
            contract=section.read("contract", parse_contract),
        )
        if workspace.contract:
            contract_section.warn_of_no_messages(section)
        return workspace

    def _key_source(self, section: Section) -> KeySource | None:
        env, file = section.at("api_key_env"), section.at("api_key_file")
        if env and file:
            file.error("api_key_env is set as well; expected only one of the two")
            return None
        if env:
            return env.parsed(self._key_variable)
        if file:
            return file.parsed(self._key_file)
        section.field.error(
            "no API key is configured; expected api_key_env or api_key_file"
        )
        return None

    def _key_variable(self, field: Field) -> KeySource:
        source = KeySource(env=option_values.key_variable(field))
        is_plain = option_values.is_plain_variable(source.env or "")
        shown = source if is_plain else "this environment variable"
        self._check_key(field, source, str(shown))
        return source

    def _key_file(self, field: Field) -> KeySource:
        path = self._resolved(option_values.key_path(field))
        source = KeySource(file=path)
        # The path is not quoted: it may be a key in the wrong place.
        self._check_key(field, source, "this file")
        if self.is_public(path):
            field.warn(f"{source} is readable by all users; expected chmod o-r")
        return source

    def _check_key(self, field: Field, source: KeySource, name: str) -> None:
        key = self.read_key(source)
        fault = f"{name} {self.unreadable(source)}"
        if key is not None:
            option_values.check_key(field, key)
        elif self.keys_required:
            field.error(f"{fault}; expected it to contain the API key")
        else:
            field.warn(f"{fault}; the daemon requires the API key in it")

    def _resolved(self, path: str) -> str:
        return str(PurePath(self.file).parent / path)

    def _ca_file(self, field: Field) -> str:
        path = self._resolved(field.plain_text())
        if not self.is_file(path):
            message = f"there is no file {path}; expected a file of certificates (PEM)"
            raise ValueError(message)
        return path


def _campaigns(section: Section, interval_seconds: float) -> tuple[ObjectConfig, ...]:
    """Return the listed campaigns; there may be none if anything else is polled."""
    is_optional = any(map(section.at, ("discover", "canvases", "series")))
    if not is_optional and section.at("campaigns") is None:
        section.missing(
            "campaigns", "; expected it, `canvases`, `series` or `discover`"
        )
        return ()
    parse = partial(
        _object,
        kind="campaign",
        options=CAMPAIGN,
        example="{id: 3bbc4555-..., name: Welcome}",
        interval_seconds=interval_seconds,
    )
    needed = "at least one campaign, or the key `canvases`, `series` or `discover`"
    return _listed(section, "campaigns", parse, needed="" if is_optional else needed)


def _canvases(
    section: Section, interval_seconds: float, *, has_steps: bool
) -> tuple[ObjectConfig, ...]:
    """Return the listed canvases; there may be none if anything else is polled."""
    parse = partial(
        _object,
        kind="canvas",
        options=CANVAS,
        example="{id: 5f0c2b1e-..., name: Onboarding}",
        interval_seconds=interval_seconds,
        has_steps=has_steps,
    )
    needed = "at least one canvas, one campaign, or the key `series` or `discover`"
    campaigns = section.at("campaigns")
    is_optional = (
        not section.at("canvases")
        or section.at("discover")
        or section.at("series")
        or (campaigns and not campaigns.is_empty)
    )
    return _listed(section, "canvases", parse, needed="" if is_optional else needed)


def _listed(
    section: Section, name: str, parse: Callable[..., ObjectConfig], *, needed: str
) -> tuple[ObjectConfig, ...]:
    """Return the objects of a list; `needed` is expected if there are none."""
    listed = section.at(name)
    if not needed and (listed is None or listed.is_null):
        return ()
    if_empty = needed and f"the list is empty; expected {needed}"
    parse_one = partial(parse, ids={}, names={})

    def objects(field: Field) -> tuple[ObjectConfig, ...]:
        return values(field.items(f"a list of {name}", if_empty=if_empty), parse_one)

    return section.find(name, objects) or ()


def _object(
    field: Field,
    *,
    kind: str,
    options: Options,
    example: str,
    interval_seconds: float,
    has_steps: bool = False,
    ids: dict[str, Field],
    names: dict[str, Field],
) -> ObjectConfig:
    section = field.section(f"a mapping such as {example}", options)
    parse_id = partial(option_values.object_id, kind=kind, taken=ids)
    own_steps = None
    if "steps" in section.options:
        own_steps = section.find("steps", option_values.boolean)
    return ObjectConfig(
        id=section.find("id", parse_id) or "",
        name=section.find("name", partial(option_values.name, taken=names)) or "",
        interval_seconds=section.find("interval", option_values.duration)
        or interval_seconds,
        labels=section.read(
            "labels", partial(_labels, parse=partial(option_values.label, kind=kind))
        ),
        has_steps=has_steps if own_steps is None else own_steps,
    )


def _shared_rate(section: Section, previous: float | None) -> float:
    """Return the ceiling of the shared bucket; `previous`: the one of discovery."""
    name = "shared_requests_per_minute"
    if previous is not None and not section.at(name):
        return previous
    return section.read(name, option_values.number)


def _discover(field: Field) -> _Discovery:
    section = field.section(
        "a mapping such as {campaigns: {sent_within: 30d}}", DISCOVER
    )
    list_interval = section.read("list_interval", option_values.duration)
    grace = section.read("grace", option_values.duration)
    parse = partial(_rules, list_interval_seconds=list_interval, grace_seconds=grace)
    campaigns = section.inner("campaigns", "a mapping such as {sent_within: 30d}")
    canvases = section.inner("canvases", "a mapping such as {entered_within: 30d}")
    if campaigns is None and canvases is None:
        campaigns = Section(field, {}, DISCOVER_CAMPAIGNS)
    config = DiscoverConfig(
        campaigns=campaigns and parse(campaigns, "campaign", within="sent_within"),
        canvases=canvases and parse(canvases, "canvas", within="entered_within"),
        list_interval_seconds=list_interval,
        grace_seconds=grace,
    )
    rate = section.find("requests_per_minute", option_values.number)
    return _Discovery(config, rate)


def _rules(
    section: Section,
    kind: str,
    *,
    within: str,
    list_interval_seconds: float,
    grace_seconds: float,
) -> DiscoverRules:
    has_stopped = "include_stopped" in section.options
    parse_label = partial(option_values.discovered_label, kind=kind)
    return DiscoverRules(
        names=section.read(
            "names", partial(_selection, parse=option_values.name_patterns)
        ),
        tags=section.read("tags", _tag_selection),
        channels=section.read("channels", _selection),
        active_within_seconds=section.find(within, option_values.duration),
        include_drafts=section.read("include_drafts", option_values.boolean),
        include_stopped=not has_stopped
        or section.read("include_stopped", option_values.boolean),
        include_archived=section.read("include_archived", option_values.boolean),
        most=section.read("max", option_values.integer),
        labels=section.read("labels", partial(_labels, parse=parse_label)),
        list_interval_seconds=list_interval_seconds,
        grace_seconds=grace_seconds,
        requests_per_minute=math.inf,
    )


def _selection(
    field: Field, parse: Callable[[Field], tuple[str, ...]] = option_values.patterns
) -> Selection:
    section = field.section("a mapping with the keys include and exclude", SELECTION)
    return Selection(
        include=section.read("include", parse), exclude=section.read("exclude", parse)
    )


def _metrics(field: Field) -> MetricsConfig:
    section = field.section("a mapping with the keys include and exclude", METRICS)
    return MetricsConfig(
        include=section.read("include", option_values.patterns),
        exclude=section.read("exclude", option_values.patterns),
        skip_unused=section.read("skip_unused", option_values.boolean),
    )


def _tag_selection(field: Field) -> TagSelection:
    section = field.section("a mapping with the keys any, all and none", TAGS)
    return TagSelection(
        any=section.read("any", option_values.tags),
        all=section.read("all", option_values.tags),
        none=section.read("none", option_values.tags),
    )


def _labels(field: Field, *, parse: Callable[..., str]) -> Mapping[str, str]:
    fields = field.fields(f"a mapping such as {field.option.example}")
    return {
        name: value.parsed(partial(parse, name=name)) or ""
        for name, value in fields.items()
    }


def _limits(field: Field) -> Limits:
    section = field.section("a mapping such as {series_per_campaign: 5000}", LIMITS)
    return Limits(
        series_per_campaign=section.read("series_per_campaign", option_values.integer),
        response_bytes=section.read("response_bytes", option_values.size),
    )

"""Parsing of a whole configuration: values, problems, warnings."""

from __future__ import annotations

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
import yaml
from exporter.config import schema
from exporter.config.describe import describe
from exporter.config.options import CONFIG, WORKSPACE
from exporter.config.schema import ParsedConfig, parse, shortened
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
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.config.invalid_files import (
    CA_FILES,
    KEY,
    KEYS,
    MINIMAL,
    InvalidFile,
    invalid_files,
)

FULL = """\
workspaces:
  - name: production
    endpoint: http://rest.example:8080/
    api_key_file: secret/braze
    timezone: America/New_York
    interval: 10m
    canvas_interval: 20m
    idle_interval: 2h
    canvas_steps: true
    requests_per_minute: 0.5
    reserve: 29%
    concurrency: 8
    timeout: 1500ms
    proxy: http://user:hunter2@proxy:3128
    ca_file: ca/company.pem
    allow_http: true
    campaigns:
      - id: 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064
        name: "Welcome \\"series\\" \\U0001F48C\\nsecond line"
        interval: 1m
        labels: {team: crm, cost: "12"}
      - {id: 7e1a9c42-51d3-4b8e-9f06-2c8b7d1e4a35, name: "2026-01-01"}
    canvases:
      - id: 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064
        name: Onboarding
        interval: 90s
        steps: false
        labels: {team: crm, campaign: Welcome}
      - {id: 5f0c2b1e-8a37-4d0b-9d8e-2f5f5d1c7a10, name: Basket}
    shared_requests_per_minute: 1
    discover:
      campaigns:
        names: {include: ["Spring*"], exclude: ["* 👩‍💻"]}
        tags: {any: [promo], all: ["12"], none: ["[x]"]}
        channels: {include: ["*_push"], exclude: [sms]}
        sent_within: 30d
        include_drafts: true
        include_archived: true
        max: 7
        labels: {tags: tags, by: channels}
      canvases:
        entered_within: 1d
        include_stopped: true
        labels: {canvas_tags: tags}
      list_interval: 30m
      grace: 0s
    contract: {whats_app: 5, email: 10000000}
windows: [28d, 1w]
channels: {include: [email, "*_push"], exclude: []}
stale_after: 1h30m
metrics: {include: [], exclude: ["carousel_*"], skip_unused: true}
limits: {series_per_campaign: 10, response_bytes: 100kB}
revisions: true
"""


def read(
    text: str,
    *,
    file: str = "c.yaml",
    read_key: Callable[[KeySource], str | None] | None = None,
    keys_required: bool = True,
) -> ParsedConfig:
    return parse(
        text,
        file=file,
        read_key=read_key or (lambda source: KEYS.get(source.env or source.file or "")),
        is_file=CA_FILES.__contains__,
        keys_required=keys_required,
    )


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        return read(text).warnings
    except ConfigError as error:
        return error.problems


def test_the_shortest_configuration_has_every_default() -> None:
    parsed = read(MINIMAL)

    described = yaml.safe_load(describe(parsed.config))
    sections = ((CONFIG, described), (WORKSPACE, described["workspaces"][0]))
    for section, found in sections:
        defaults = {
            name: yaml.safe_load(option.default)
            for name, option in section.items()
            if option.default and not option.section
        }
        assert defaults.items() <= found.items()
    (workspace,) = parsed.config.workspaces
    (campaign,) = workspace.campaigns
    assert (campaign.interval_seconds, workspace.discover) == (300, None)
    assert parsed.warnings == ()


def test_every_option_is_parsed() -> None:
    parsed = read(FULL)

    (workspace,) = parsed.config.workspaces
    assert workspace == WorkspaceConfig(
        name="production",
        endpoint="http://rest.example:8080",
        key_source=KeySource(file="secret/braze"),
        timezone=ZoneInfo("America/New_York"),
        interval_seconds=600,
        requests_per_minute=0.5,
        reserve=0.29,
        concurrency=8,
        timeout_seconds=1.5,
        proxy="http://user:hunter2@proxy:3128",
        ca_file="ca/company.pem",
        allow_http=True,
        campaigns=(
            ObjectConfig(
                id="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",
                name='Welcome "series" 💌\nsecond line',
                interval_seconds=60,
                labels={"team": "crm", "cost": "12"},
            ),
            ObjectConfig(
                id="7e1a9c42-51d3-4b8e-9f06-2c8b7d1e4a35",
                name="2026-01-01",
                interval_seconds=600,
            ),
        ),
        canvases=(
            ObjectConfig(
                id="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",
                name="Onboarding",
                interval_seconds=90,
                labels={"team": "crm", "campaign": "Welcome"},
            ),
            ObjectConfig(
                id="5f0c2b1e-8a37-4d0b-9d8e-2f5f5d1c7a10",
                name="Basket",
                interval_seconds=1200,
                has_steps=True,
            ),
        ),
        canvas_interval_seconds=1200,
        canvas_steps=True,
        shared_requests_per_minute=1,
        discover=DiscoverConfig(
            campaigns=DiscoverRules(
                names=Selection(include=("Spring*",), exclude=("* 👩‍💻",)),
                tags=TagSelection(any=("promo",), all=("12",), none=("[x]",)),
                channels=Selection(include=("*_push",), exclude=("sms",)),
                active_within_seconds=30 * 86400,
                include_drafts=True,
                include_stopped=True,
                include_archived=True,
                most=7,
                labels={"tags": "tags", "by": "channels"},
                list_interval_seconds=1800,
                grace_seconds=0,
                requests_per_minute=0.5,
            ),
            canvases=DiscoverRules(
                names=Selection(),
                tags=TagSelection(),
                channels=Selection(),
                active_within_seconds=86400,
                include_drafts=False,
                include_stopped=True,
                include_archived=False,
                most=200,
                labels={"canvas_tags": "tags"},
                list_interval_seconds=1800,
                grace_seconds=0,
                requests_per_minute=0.5,
            ),
            list_interval_seconds=1800,
            grace_seconds=0,
        ),
        idle_interval_seconds=7200,
        contract={"whats_app": 5, "email": 10_000_000},
    )
    assert parsed.config == Config(
        workspaces=(workspace,),
        windows=(7, 28),
        channels=Selection(include=("email", "*_push")),
        stale_after_seconds=5400,
        metrics=MetricsConfig(exclude=("carousel_*",), skip_unused=True),
        limits=Limits(series_per_campaign=10, response_bytes=100_000),
        revisions=True,
    )


@pytest.mark.parametrize("case", invalid_files(), ids=lambda case: case.name)
def test_an_invalid_file_has_its_messages(case: InvalidFile) -> None:
    assert case.actual() == case.problems
    told = " ".join(case.problems).replace(
        "such as 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064", ""
    )
    assert not re.search("hunter2|hünter2|0d1c2b3a|4505edf3e064|5f2a1c9b", told)


def test_an_option_is_renamed_in_its_table_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = {name: option for name, option in CONFIG.items() if name != "windows"}
    table = {**others, "days": CONFIG["windows"]._replace(renamed_from="windows")}
    monkeypatch.setattr(schema, "CONFIG", table)
    monkeypatch.setattr("exporter.config.describe.CONFIG", table)

    old, new = read(f"{MINIMAL}windows: [3d]\n"), read(f"{MINIMAL}days: [3d]\n")
    (both,) = problems_of(f"{MINIMAL}windows: [3d]\ndays: [3d]\n")
    (_, invalid) = problems_of(f"{MINIMAL}windows: 3d\n")

    assert old.config == new.config == read(MINIMAL).config._replace(windows=(3,))
    assert "\ndays:\n- 3d\n" in describe(new.config)
    assert new.warnings == ()
    assert [str(warning) for warning in old.warnings] == [
        "c.yaml:8: windows: warning: `windows` was renamed to `days`;"
        " rename it here, too"
    ]
    assert str(both) == (
        "c.yaml:8: windows: previous name of `days`, which is set as well;"
        " expected only one of the two"
    )
    assert str(invalid).startswith("c.yaml:8: windows: expected a list such as")


def test_a_log_contains_at_most_a_hundred_problems() -> None:
    warning = Problem("c.yaml", 1, "", "unusual", is_warning=True)
    errors = [Problem("c.yaml", line, "", "wrong") for line in range(1, 100)]

    few = shortened([warning, *errors])
    many = shortened([warning, warning, warning, *errors])

    assert few == (warning, *errors)
    assert many[:-1] == (*errors, warning)
    assert str(many[-1]) == "c.yaml:1: warning: and 2 more problems"


def test_the_name_of_a_directory_may_be_a_uuid() -> None:
    """Only the name of the file is checked for a misplaced key."""
    path = "/pods/0d1c2b3a-8fa0-4c9b-a5c0-4505edf3e064/key"

    parsed = read(
        MINIMAL.replace("env: BRAZE_API_KEY", f"file: {path}"), read_key=lambda _: "k"
    )

    assert parsed.config.workspaces[0].key_source == KeySource(file=path)


@pytest.mark.parametrize("source", ["env: UNSET", "file: secret/missing"])
def test_a_missing_key_is_a_warning_if_none_is_required(source: str) -> None:
    text = MINIMAL.replace("env: BRAZE_API_KEY", source)

    (warning,) = read(text, keys_required=False).warnings

    assert warning.is_warning
    assert "the daemon requires the API key in it" in warning.message


@pytest.mark.parametrize("name", ["EMPTY", "BLANK", "SPACED", "CONTROL", "NOT_ASCII"])
def test_an_invalid_key_is_always_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="the API key") as caught:
        read(MINIMAL.replace("BRAZE_API_KEY", name), keys_required=False)

    assert "hunter2" not in repr(caught.value.problems)


@given(st.text(min_size=1))
def test_no_message_contains_the_key(key: str) -> None:
    secret = f"{key}hunter2{key}"

    try:
        parsed = read(MINIMAL, read_key=lambda _: secret)
    except ConfigError as error:
        shown = f"{error}{error.problems!r}"
    else:
        shown = f"{parsed!r}{describe(parsed.config)}"

    assert "hunter2" not in shown


def test_relative_paths_start_at_the_directory_of_the_file() -> None:
    asked: list[KeySource] = []
    text = FULL.replace("ca/company.pem", "/etc/ssl/company.pem")

    def read_key(source: KeySource) -> str:
        asked.append(source)
        return KEY

    parsed = read(text, file="/etc/braze/config.yaml", read_key=read_key)

    assert asked == [KeySource(file="/etc/braze/secret/braze")]
    assert parsed.config.workspaces[0].ca_file == "/etc/ssl/company.pem"


def test_names_and_ids_are_unique_within_a_workspace_only() -> None:
    second = MINIMAL.removeprefix("workspaces:\n").replace("production", "staging")

    parsed = read(MINIMAL + second)

    assert [workspace.name for workspace in parsed.config.workspaces] == [
        "production",
        "staging",
    ]


fragments = st.sampled_from(
    [line for text in (MINIMAL, FULL) for line in text.splitlines(keepends=True)]
)


@given(
    st.text()
    | st.lists(fragments | st.text(max_size=10)).map("".join)
    | st.builds(
        lambda at, text: FULL[:at] + text + FULL[at:],
        st.integers(0, len(FULL)),
        st.text(max_size=3),
    )
)
def test_any_text_gives_a_configuration_or_problems(text: str) -> None:
    problems = problems_of(text)

    lines = [problem.line for problem in problems]
    assert all(problem.file == "c.yaml" and problem.line >= 1 for problem in problems)
    assert lines == sorted(lines)


NO_CAMPAIGNS = MINIMAL.partition("    campaigns:")[0]


@pytest.mark.parametrize("listed", ["", "    campaigns:\n", "    campaigns: []\n"])
def test_with_discovery_no_campaign_is_required(listed: str) -> None:
    parsed = read(f"{NO_CAMPAIGNS}{listed}    discover: {{}}\n")

    (workspace,) = parsed.config.workspaces
    assert workspace.campaigns == ()
    assert workspace.discover is not None
    assert workspace.discover.campaigns is not None
    assert workspace.discover.campaigns.most == 500
    assert workspace.discover.campaigns.active_within_seconds is None
    assert workspace.discover.canvases is None
    assert parsed.warnings == ()
    assert read(describe(parsed.config)).config == parsed.config


def discovered(section: str) -> tuple[DiscoverConfig, list[str]]:
    """Return the parsed section, which is in YAML's short form, and its warnings."""
    parsed = read(f"{NO_CAMPAIGNS}    discover: {section}\n")
    (workspace,) = parsed.config.workspaces
    assert workspace.discover is not None
    assert read(describe(parsed.config)) == ParsedConfig(parsed.config, ())
    return workspace.discover, [one.message for one in parsed.warnings]


def test_only_the_kinds_that_are_set_are_discovered() -> None:
    """Each has an equal part of the ceiling; without any there are campaigns."""
    both, _ = discovered("{campaigns: {}, canvases: {max: 5}}")
    canvases, _ = discovered("{canvases: {}}")
    neither, _ = discovered("{list_interval: 2h}")

    assert [one.requests_per_minute for one in both.rules] == [30, 30]
    assert both.canvases is not None
    assert (both.canvases.most, both.canvases.include_stopped) == (5, False)
    assert (canvases.campaigns, len(canvases.rules)) == (None, 1)
    assert neither.campaigns is not None
    assert neither.campaigns.list_interval_seconds == 7200
    assert neither.canvases is None


def test_options_of_campaigns_are_accepted_where_they_were() -> None:
    """With a warning each, also beside canvases; an unset one has its default."""
    flat = "max_campaigns: 7, sent_within: 2d, labels: {by: tags}"
    moved, warnings = discovered(f"{{{flat}, canvases: {{}}}}")
    nested, none = discovered(
        "{campaigns: {max: 7, sent_within: 2d, labels: {by: tags}}, canvases: {}}"
    )

    assert moved == nested
    assert none == []
    assert warnings == [
        f"`{old}` was moved to discover.campaigns.{new}; move it here, too"
        for old, new in (
            ("max_campaigns", "max"),
            ("sent_within", "sent_within"),
            ("labels", "labels"),
        )
    ]


@pytest.mark.parametrize(
    ("metrics", "left_out"),
    [
        ("{}", ""),
        ("{include: [sent, dau, se*, purchase*]}", ""),
        ("{include: [sent, delivered]}", "dau, sessions, purchase_revenue"),
        ("{exclude: [sessions]}", "sessions"),
        ("{include: [dau, sessions], exclude: ['*a*']}", "dau, purchase_revenue"),
    ],
)
def test_daily_counts_that_no_pattern_selects_are_named(
    metrics: str, left_out: str
) -> None:
    """Patterns are not for other series, such as those of events."""
    some = "{kpi: [dau], sessions: true, purchases: [revenue], events: [{name: a}]}"

    found = read(f"{NO_CAMPAIGNS}    series: {some}\nmetrics: {metrics}\n")

    assert [str(one) for one in found.warnings] == [
        f"c.yaml:6: metrics: warning: these patterns leave out {left_out}, which "
        "workspaces[0].series names: polled, but not exported"
    ][: bool(left_out)]

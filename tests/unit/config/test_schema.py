"""The configuration as a whole: what is accepted, what is told, what is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from exporter.config import schema
from exporter.config.reader import OPTIONAL, REQUIRED
from exporter.config.schema import ParsedConfig, changes, describe, parse, shortened
from exporter.config.yaml_tree import dump
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
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.paths import FIXTURES, ROOT

FIXTURES = FIXTURES / "config"
EXAMPLE = ROOT / "config.example.yaml"
KEY = "0d1c2b3a-hunter2"
KEYS = {
    "BRAZE_API_KEY": KEY,
    "EMPTY": "",
    "BLANK": " ",
    "QUOTED": f'"{KEY}"',
    "APOSTROPHES": f"'{KEY}'",
    "SPACED": KEY.replace("-", " "),
    "CONTROL": KEY.replace("-", "\x07"),
    "NOT_ASCII": KEY.replace("u", "ü"),
    "secret/braze": KEY,
}
MINIMAL = """\
workspaces:
  - name: production
    endpoint: https://rest.iad-01.braze.com
    api_key_env: BRAZE_API_KEY
    campaigns:
      - id: 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064
        name: Welcome series
"""
FULL = """\
workspaces:
  - name: production
    endpoint: http://rest.example:8080/
    api_key_file: secret/braze
    timezone: America/New_York
    interval: 10m
    idle_interval: 2h
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
windows: [28d, 1w]
channels: {include: [email, "*_push"], exclude: []}
stale_after: 1h30m
metrics: {include: [], exclude: ["carousel_*"]}
limits: {series_per_campaign: 10, response_bytes: 100kB}
"""


def read(
    text: str,
    *,
    file: str = "c.yaml",
    read_key: Callable[[KeySource], str | None] | None = None,
    keys_required: bool = True,
) -> ParsedConfig:
    """Parse with the keys above and with one certificate file."""
    return parse(
        text,
        file=file,
        read_key=read_key or (lambda source: KEYS.get(source.env or source.file or "")),
        is_file=lambda path: path in ("ca/company.pem", "/etc/ssl/company.pem"),
        keys_required=keys_required,
    )


def problems_of(text: str, *, file: str = "c.yaml") -> tuple[Problem, ...]:
    """Return the problems of a text, whether it can be used or not."""
    try:
        return read(text, file=file).warnings
    except ConfigError as error:
        return error.problems


def test_the_least_configuration_takes_every_default() -> None:
    """A workspace with a key and a campaign is enough."""
    assert read(MINIMAL) == ParsedConfig(
        Config(
            workspaces=(
                WorkspaceConfig(
                    name="production",
                    endpoint="https://rest.iad-01.braze.com",
                    key_source=KeySource(env="BRAZE_API_KEY"),
                    timezone=ZoneInfo("UTC"),
                    interval_seconds=300,
                    requests_per_minute=120,
                    reserve=0.2,
                    concurrency=4,
                    timeout_seconds=30,
                    proxy=None,
                    ca_file=None,
                    allow_http=False,
                    campaigns=(
                        CampaignConfig(
                            id="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",
                            name="Welcome series",
                            interval_seconds=300,
                            labels={},
                        ),
                    ),
                ),
            ),
            windows=(7, 28),
            channels=Selection(),
            stale_after_seconds=3600,
            metrics=Selection(),
            limits=Limits(series_per_campaign=5000, response_bytes=4 * 1024**2),
        ),
        warnings=(),
    )


def test_every_option_is_read() -> None:
    """What is written replaces the default; a campaign inherits its interval."""
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
            CampaignConfig(
                id="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",
                name='Welcome "series" 💌\nsecond line',
                interval_seconds=60,
                labels={"team": "crm", "cost": "12"},
            ),
            CampaignConfig(
                id="7e1a9c42-51d3-4b8e-9f06-2c8b7d1e4a35",
                name="2026-01-01",
                interval_seconds=600,
            ),
        ),
        idle_interval_seconds=7200,
    )
    assert parsed.config == Config(
        workspaces=(workspace,),
        windows=(7, 28),
        channels=Selection(include=("email", "*_push")),
        stale_after_seconds=5400,
        metrics=Selection(exclude=("carousel_*",)),
        limits=Limits(series_per_campaign=10, response_bytes=100_000),
    )


@pytest.mark.parametrize("case", sorted(path.stem for path in FIXTURES.glob("*.yaml")))
def test_every_rule_has_its_message(case: str) -> None:
    """Each bad file is told in exactly the words of the text beside it."""
    text = (FIXTURES / f"{case}.yaml").read_text("utf-8")
    expected = (FIXTURES / f"{case}.txt").read_text("utf-8")

    problems = problems_of(text, file=f"{case}.yaml")

    assert "".join(f"{problem}\n" for problem in problems) == expected


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.txt")), ids=lambda p: p.stem)
def test_no_message_holds_a_secret(path: Path) -> None:
    """Neither a key, nor a password in a URL, nor what could be a key is repeated."""
    message = path.read_text("utf-8").replace(
        "such as 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064", ""
    )

    assert not re.search("hunter2|hünter2|0d1c2b3a|4505edf3e064|5f2a1c9b", message)


def test_problems_come_by_line() -> None:
    """Errors and warnings of all sections are told at once, from top to bottom."""
    lines = [
        problem.line
        for problem in problems_of((FIXTURES / "all_at_once.yaml").read_text())
    ]

    assert len(lines) == 15
    assert lines == sorted(lines)


def test_no_more_than_a_hundred_problems_are_told() -> None:
    """Errors before warnings; the last line says how many more there are."""
    doubt = Problem("c.yaml", 1, "", "doubtful", is_warning=True)
    errors = [Problem("c.yaml", line, "", "wrong") for line in range(1, 100)]

    few = shortened([doubt, *errors])
    many = shortened([doubt, doubt, doubt, *errors])

    assert few == (doubt, *errors)
    assert many[:-1] == (*errors, doubt)
    assert str(many[-1]) == "c.yaml:1: warning: and 2 more problems"


def test_a_directory_may_have_a_uuid_for_its_name() -> None:
    """It is not taken for a key."""
    path = "/pods/0d1c2b3a-8fa0-4c9b-a5c0-4505edf3e064/key"

    parsed = read(
        MINIMAL.replace("env: BRAZE_API_KEY", f"file: {path}"), read_key=lambda _: "k"
    )

    assert parsed.config.workspaces[0].key_source == KeySource(file=path)


def test_warnings_do_not_stop() -> None:
    """A configuration with warnings alone can be used."""
    parsed = read(MINIMAL.replace("3bbc4555-", ""))

    assert [problem.is_warning for problem in parsed.warnings] == [True]
    assert parsed.config.workspaces[0].campaigns[0].name == "Welcome series"


@pytest.mark.parametrize("source", ["env: UNSET", "file: secret/missing"])
def test_a_key_may_be_missing_where_none_is_required(source: str) -> None:
    """A check on another machine warns of a key that is not there."""
    text = MINIMAL.replace("env: BRAZE_API_KEY", source)

    (warning,) = read(text, keys_required=False).warnings

    assert warning.is_warning
    assert "the daemon will need an API key there" in warning.message


@pytest.mark.parametrize("name", ["EMPTY", "BLANK", "SPACED", "CONTROL", "NOT_ASCII"])
def test_a_key_that_cannot_be_sent_is_an_error_in_any_case(name: str) -> None:
    """A key that is there must be good, even where none is required."""
    with pytest.raises(ConfigError, match="the key there") as caught:
        read(MINIMAL.replace("BRAZE_API_KEY", name), keys_required=False)

    assert "hunter2" not in repr(caught.value.problems)


def test_a_key_in_quotes_is_a_warning() -> None:
    """Either kind of quotes is told, as Braze answers 401 to them."""
    (warning,) = read(MINIMAL.replace("BRAZE_API_KEY", "APOSTROPHES")).warnings

    assert "Braze answers 401 to a quoted key" in warning.message


@settings(deadline=None)
@given(st.text(min_size=1))
def test_no_key_is_ever_told(key: str) -> None:
    """Whatever the key is, no message and no value of the configuration holds it."""
    secret = f"{key}hunter2{key}"

    try:
        parsed = read(MINIMAL, read_key=lambda _: secret)
    except ConfigError as error:
        shown = f"{error}{error.problems!r}"
    else:
        shown = f"{parsed!r}{describe(parsed.config)}"

    assert "hunter2" not in shown


def test_relative_paths_begin_at_the_file() -> None:
    """A key file or certificate is looked for beside the configuration."""
    asked: list[KeySource] = []
    text = FULL.replace("ca/company.pem", "/etc/ssl/company.pem")

    def read_key(source: KeySource) -> str:
        asked.append(source)
        return KEY

    parsed = read(text, file="/etc/braze/config.yaml", read_key=read_key)

    assert asked == [KeySource(file="/etc/braze/secret/braze")]
    assert parsed.config.workspaces[0].ca_file == "/etc/ssl/company.pem"


def test_names_and_ids_are_unique_within_a_workspace_only() -> None:
    """Two workspaces may have campaigns of one name and one id."""
    second = MINIMAL.removeprefix("workspaces:\n").replace("production", "staging")

    parsed = read(MINIMAL + second)

    assert [workspace.name for workspace in parsed.config.workspaces] == [
        "production",
        "staging",
    ]


def test_labels_may_differ_between_campaigns() -> None:
    """A configured label belongs to one campaign."""
    first, second = read(FULL).config.workspaces[0].campaigns

    assert (dict(first.labels), dict(second.labels)) == (
        {"team": "crm", "cost": "12"},
        {},
    )


def test_a_proxy_s_password_is_not_shown() -> None:
    """Neither the description nor the repr of a configuration holds it."""
    parsed = read(FULL)

    assert "proxy: http://***@proxy:3128\n" in describe(parsed.config)
    assert "hunter2" not in f"{describe(parsed.config)}{parsed!r}"


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_a_description_reads_back(text: str) -> None:
    """What /config shows is a configuration that means the same."""
    parsed = read(text.replace("user:hunter2@", ""))

    assert read(describe(parsed.config)).config == parsed.config


label_texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]) | st.just("\n"),
    min_size=1,
    max_size=9,
).map(lambda text: f"{text}.")
durations = st.integers(1000, 600_000).map(lambda milliseconds: milliseconds / 1000)
patterns = st.lists(st.sampled_from(["*_push", "email", "a: [b", "!", "~"])).map(tuple)
selections = st.builds(Selection, include=patterns, exclude=patterns)
campaigns = st.builds(
    CampaignConfig,
    id=st.uuids().map(str),
    name=label_texts,
    interval_seconds=durations,
    labels=st.dictionaries(st.from_regex("[a-z]{1,3}_x", fullmatch=True), label_texts),
    is_dormant=st.just(False),  # no configuration says it
)
workspaces = st.builds(
    WorkspaceConfig,
    name=label_texts,
    endpoint=st.sampled_from(["https://rest.iad-01.braze.com", "http://[::1]:18000"]),
    key_source=st.just(KeySource(env="BRAZE_API_KEY")),
    timezone=st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")]),
    interval_seconds=durations,
    idle_interval_seconds=durations,
    requests_per_minute=st.integers(1, 10**8).map(lambda n: n / 100),
    reserve=st.integers(0, 9999).map(lambda n: n / 10_000),
    concurrency=st.integers(1, 64),
    timeout_seconds=durations,
    proxy=st.sampled_from([None, "http://proxy:3128"]),
    ca_file=st.sampled_from([None, "ca/company.pem"]),
    allow_http=st.booleans(),
    campaigns=st.lists(
        campaigns, min_size=1, max_size=3, unique_by=(lambda c: c.id, lambda c: c.name)
    ).map(tuple),
)
configs = st.builds(
    Config,
    workspaces=st.lists(
        workspaces, min_size=1, max_size=2, unique_by=lambda w: w.name
    ).map(tuple),
    windows=st.sets(st.integers(1, 98), max_size=3).map(sorted).map(tuple),
    channels=selections,
    stale_after_seconds=durations,
    metrics=selections,
    limits=st.builds(
        Limits,
        series_per_campaign=st.integers(1, 1_000_000),
        response_bytes=st.integers(1024, 2**30),
    ),
)


@settings(max_examples=40, deadline=None)
@given(configs)
def test_every_description_reads_back(described: Config) -> None:
    """Nothing that a configuration may hold is lost or changed by showing it."""
    assert read(describe(described)) == ParsedConfig(described, ())


@settings(max_examples=40, deadline=None)
@given(configs)
def test_changes_and_a_workspaces_place_are_the_whole_of_it(whole: Config) -> None:
    """Whatever is as by default goes without saying; nothing else does."""
    names = ("name", "endpoint", "api_key_env", "campaigns")
    for number, workspace in enumerate(whole.workspaces):
        described = yaml.safe_load(describe(whole))["workspaces"][number]
        place = {name: described[name] for name in names}

        general, own = changes(whole, workspace)

        assert not own.keys() & place.keys()
        document = {**general, "workspaces": [place | own]}
        assert read(dump(document)).config == whole._replace(workspaces=(workspace,))


def test_what_is_as_by_default_is_no_change() -> None:
    """The shortest configuration has none."""
    shortest = read(MINIMAL).config

    assert changes(shortest, shortest.workspaces[0]) == ({}, {})


fragments = st.sampled_from(
    [line for text in (MINIMAL, FULL) for line in text.splitlines(keepends=True)]
)


@settings(deadline=None)
@given(
    st.text()
    | st.lists(fragments | st.text(max_size=10)).map("".join)
    | st.tuples(st.just(FULL), st.integers(0, len(FULL)), st.text(max_size=3)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]
    )
)
def test_any_text_gives_a_configuration_or_problems(text: str) -> None:
    """No text ends in another exception; every problem names the file and a line."""
    problems = problems_of(text)

    assert all(problem.file == "c.yaml" and problem.line >= 1 for problem in problems)
    assert [problem.line for problem in problems] == sorted(
        problem.line for problem in problems
    )


def uncommented(text: str, *, but: str) -> str:
    """Return the example with every option in force but one."""
    return re.sub(rf"(?m)^( *)#(?=[a-z_]+:)(?!{but}:)", r"\1", text)


def test_the_example_has_no_problem() -> None:
    """Whoever copies it and sets the key has a working configuration."""
    assert read(EXAMPLE.read_text("utf-8")).warnings == ()


def test_the_example_s_options_all_work() -> None:
    """Every `#` before an option may be deleted."""
    text = uncommented(EXAMPLE.read_text("utf-8"), but="api_key_file")

    parsed = read(text)

    (workspace,) = parsed.config.workspaces
    assert parsed.warnings == ()
    assert workspace.proxy == "http://proxy:3128"
    assert workspace.ca_file == "/etc/ssl/company.pem"
    assert dict(workspace.campaigns[0].labels) == {"team": "crm"}


def test_the_example_states_every_option_with_its_default() -> None:
    """The example and the tables of the schema say the same."""
    text = EXAMPLE.read_text("utf-8")
    tables = (
        schema.CONFIG,
        schema.WORKSPACE,
        schema.CAMPAIGN,
        schema.DISCOVER,
        schema.TAGS,
        schema.SELECTION,
        schema.LIMITS,
    )

    for name, default in (item for table in tables for item in table.items()):
        written = re.findall(rf"(?m)^ *(?:- )?#?{name}:(?: *)(.*?)(?: +# .*)?$", text)
        assert written, name
        # {} is written as a section with all its own defaults, labels as a sample.
        if default not in (REQUIRED, OPTIONAL, "{}"):
            assert default in written, name


def test_the_example_s_defaults_are_in_force() -> None:
    """Writing every default changes nothing."""
    text = EXAMPLE.read_text("utf-8")
    samples = re.compile(
        r"(?m)^ *#discover:\n(?: {6,}#.*\n)*|^ *#(?:proxy|ca_file|labels):.*\n"
    )

    written = read(uncommented(samples.sub("", text), but="api_key_file"))

    assert written == read(text)


DISCOVER = """\
    discover:
      names: {include: ["Spring*"], exclude: ["* 👩‍💻"]}
      tags: {any: [promo], all: ["12"], none: ["[x]"]}
      channels: {include: ["*_push"], exclude: [sms]}
      sent_within: 30d
      include_drafts: true
      include_archived: true
      max_campaigns: 7
      list_interval: 30m
      grace: 0s
      requests_per_minute: 0.5
      labels: {tags: tags, by: channels}
"""
NO_CAMPAIGNS = MINIMAL.partition("    campaigns:")[0]


def test_every_option_of_discovery_is_read() -> None:
    """And written again; the campaigns are then what is found."""
    parsed = read(NO_CAMPAIGNS + DISCOVER)

    (workspace,) = parsed.config.workspaces
    assert workspace.campaigns == ()
    assert workspace.discover == DiscoverConfig(
        names=Selection(include=("Spring*",), exclude=("* 👩‍💻",)),
        tags=TagSelection(any=("promo",), all=("12",), none=("[x]",)),
        channels=Selection(include=("*_push",), exclude=("sms",)),
        sent_within_seconds=30 * 86400,
        include_drafts=True,
        include_archived=True,
        max_campaigns=7,
        list_interval_seconds=1800,
        grace_seconds=0,
        requests_per_minute=0.5,
        labels={"tags": "tags", "by": "channels"},
    )
    assert read(describe(parsed.config)).config == parsed.config


@pytest.mark.parametrize("listed", ["", "    campaigns:\n", "    campaigns: []\n"])
def test_where_campaigns_are_discovered_none_need_be_listed(listed: str) -> None:
    """The least discovery takes every default, and reads back."""
    parsed = read(f"{NO_CAMPAIGNS}{listed}    discover: {{}}\n")

    (workspace,) = parsed.config.workspaces
    assert workspace.campaigns == ()
    assert workspace.discover is not None
    assert workspace.discover.max_campaigns == 500
    assert workspace.discover.sent_within_seconds is None
    assert parsed.warnings == ()
    assert read(describe(parsed.config)).config == parsed.config


def test_discovery_may_stand_beside_listed_campaigns() -> None:
    """These are as they were."""
    parsed = read(MINIMAL + "    discover: {sent_within: 7d}\n")

    assert parsed.config.workspaces[0].campaigns[0].name == "Welcome series"

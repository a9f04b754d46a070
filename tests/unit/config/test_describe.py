"""A configuration written as YAML: complete, and without its defaults."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import yaml
from exporter.config.contract_section import CHANNELS
from exporter.config.describe import changes, describe
from exporter.config.yaml_tree import dump
from exporter.model.config import (
    Config,
    KeySource,
    Limits,
    MetricsConfig,
    ObjectConfig,
    Selection,
    WorkspaceConfig,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.unit.config.invalid_files import MINIMAL
from tests.unit.config.test_schema import FULL, read


def test_a_description_contains_no_password_of_a_proxy() -> None:
    parsed = read(FULL)

    assert "proxy: http://***@proxy:3128\n" in describe(parsed.config)
    assert "hunter2" not in f"{describe(parsed.config)}{parsed!r}"
    parsed = read(FULL.replace("user:hunter2@", ""))
    assert read(describe(parsed.config)).config == parsed.config


label_texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]) | st.just("\n"),
    min_size=1,
    max_size=9,
).map(lambda text: f"{text}.")
durations = st.integers(1000, 600_000).map(lambda milliseconds: milliseconds / 1000)
patterns = st.lists(st.sampled_from(["*_push", "email", "a: [b", "!", "~"])).map(tuple)
selections = st.builds(Selection, include=patterns, exclude=patterns)


def objects(
    has_steps: SearchStrategy[bool],
) -> SearchStrategy[tuple[ObjectConfig, ...]]:
    one = st.builds(
        ObjectConfig,
        id=st.uuids().map(str),
        name=label_texts,
        interval_seconds=durations,
        labels=st.dictionaries(
            st.from_regex("[a-z]{1,3}_x", fullmatch=True), label_texts
        ),
        is_dormant=st.just(False),  # set by discovery only, as the next
        edited_at=st.none(),
        has_steps=has_steps,
    )
    unique_by = (lambda one: one.id, lambda one: one.name)
    return st.lists(one, min_size=1, max_size=3, unique_by=unique_by).map(tuple)


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
    campaigns=objects(has_steps=st.just(value=False)),
    canvases=st.just(()) | objects(has_steps=st.booleans()),
    canvas_interval_seconds=durations,
    canvas_steps=st.booleans(),
    contract=st.dictionaries(st.sampled_from(CHANNELS), st.integers(1, 10**12)),
)
configs = st.builds(
    Config,
    workspaces=st.lists(
        workspaces, min_size=1, max_size=2, unique_by=lambda w: w.name
    ).map(tuple),
    windows=st.sets(st.integers(1, 98), max_size=3).map(sorted).map(tuple),
    channels=selections,
    stale_after_seconds=durations,
    metrics=st.builds(
        MetricsConfig, include=patterns, exclude=patterns, skip_unused=st.booleans()
    ),
    limits=st.builds(
        Limits,
        series_per_campaign=st.integers(1, 1_000_000),
        response_bytes=st.integers(1024, 2**30),
    ),
    revisions=st.booleans(),
)


@settings(max_examples=40)
@given(configs)
def test_every_description_parses_to_the_same_configuration(whole: Config) -> None:
    config, warnings = read(describe(whole))
    assert config == whole
    assert all(".contract" in one.path for one in warnings)  # selections exclude it

    # Changes leave out only options with their default value.
    names = ("name", "endpoint", "api_key_env", "campaigns", "canvases")
    described = yaml.safe_load(describe(whole))["workspaces"]
    for number, workspace in enumerate(whole.workspaces):
        place = {name: described[number][name] for name in names}

        general, own = changes(whole, workspace)

        assert not own.keys() & place.keys()
        document = {**general, "workspaces": [place | own]}
        assert read(dump(document)).config == whole._replace(workspaces=(workspace,))


def test_a_default_is_not_a_change() -> None:
    shortest = read(MINIMAL).config

    assert changes(shortest, shortest.workspaces[0]) == ({}, {})

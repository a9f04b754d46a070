"""Invariants of every dashboard, panel, variable and query, without running them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import product
from pathlib import Path

import pytest
from exporter.simulator import Simulator, SimulatorSettings
from exporter.simulator.figures import day_row
from grafana.generator.pages import PAGES
from grafana.generator.shell import by_file
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.dashboards.dashboard_json import (
    FILES,
    NAMES,
    SELECTOR,
    VARIABLES,
    Document,
    Selector,
    filled,
    load,
    panels,
    queries,
    selectors,
)

UIDS = [
    *("braze-campaign", "braze-email-deliverability", "braze-exporter"),
    *("braze-messaging", "braze-overview"),
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {
    *("stat", "table", "timeseries", "bargauge", "barchart"),
    *("state-timeline", "text"),
}
"""Kinds of panels in all versions of Grafana since 10."""
COLOURS = {
    *("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7"),
    *("text", "transparent"),
}
"""The palette, without red beside green, and Grafana's neutral colours."""
PART = re.compile(r"braze_campaign_(daily|last_complete_day|trailing)")
WHOLE = re.compile(r"braze_campaign_overall_")
LARGEST = re.compile(
    rf"max by \(workspace, campaign, channel, variation\) \({SELECTOR.pattern}\)"
)
"""The largest number of a message."""
DAY = date(2026, 6, 1)
LONGEST_QUERY = 16 * 1024
"""VictoriaMetrics' default of -search.maxQueryLen, in bytes."""
CHOSEN = {
    "job": [f"monitoring/braze-exporter-{n}" for n in range(2)],
    "workspace": [f"production-europe-{n}" for n in range(5)],
    "channel": ["email", "ios_push", "android_push", "web_push", "sms", "whats_app"],
    "campaign": [f"Welcome (new users), {n}. of spring ≥ 5 €" for n in range(12)],
    "variation": [f"Variant {n} (short)" for n in range(4)],
}
"""Choices with special characters, which are escaped in queries."""


@pytest.fixture(name="document", params=NAMES)
def _document(request: pytest.FixtureRequest) -> Document:
    """Return each dashboard."""
    return load(request.param)


def settings(override: Document) -> Document:
    """Return the settings of an override by their id."""
    return {each["id"]: each.get("value") for each in override["properties"]}


def columns(panel: Document) -> dict[str, Document]:
    """Return the settings of a table's columns."""
    return {
        override["matcher"].get("options"): settings(override)
        for override in panel["fieldConfig"]["overrides"]
    }


def tables() -> list[Document]:
    """Return all tables."""
    return [panel for panel in panels() if panel["type"] == "table"]


def test_the_committed_files_are_what_the_generator_writes() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in FILES}

    assert NAMES == UIDS
    assert committed == by_file(page() for page in PAGES), "run `make dashboards`"


def test_a_dashboard_can_be_provisioned(document: Document) -> None:
    assert document["uid"] in UIDS
    assert document["id"] is None
    assert document["schemaVersion"] == 39
    assert document["editable"] is False
    assert document["title"].startswith("Braze / ")
    assert document["description"].endswith(".")
    assert not {"__inputs", "__requires", "__elements"} & set(document)
    [link] = document["links"]  # to the other dashboards
    assert document["tags"] == link["tags"] == ["braze-exporter"]
    assert link["type"] == "dashboards"
    assert (link["includeVars"], link["keepTime"]) == (True, True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_can_be_applied(file: Path) -> None:
    """`kubectl apply` stores a ConfigMap in an annotation of at most 256 KiB."""
    text = file.read_text(encoding="utf-8")
    kept = json.dumps({file.name: text}, ensure_ascii=False)

    assert json.loads(text)["uid"] == file.stem
    assert len(kept.encode()) < 250 * 1024


def test_grafanas_model_has_every_setting(document: Document) -> None:
    """Parsed by Grafana's official types and serialized again, nothing changes."""
    register_default_plugins()

    written = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))

    for link in written["links"]:
        del link["placement"]  # a default that older versions do not have
    assert written == {key: value for key, value in document.items() if key != "id"}


def test_each_variable_narrows_those_after_it(document: Document) -> None:
    """Their values are label values, and the default is All."""
    source, *chain = document["templating"]["list"]

    assert tuple(one["name"] for one in (source, *chain)) == VARIABLES
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    for at, variable in enumerate(chain):
        assert variable["type"] == "query"
        assert variable["datasource"] == SOURCE
        assert variable["query"].startswith("label_values(braze_")
        assert variable["query"].endswith(f", {variable['name']})")
        assert (variable["includeAll"], variable["allValue"]) == (True, ".*")
        assert variable["multi"] is True
        used = re.findall(r"\$\{?(\w+)", variable["query"])
        assert used == [one["name"] for one in chain[:at]], variable["name"]


def test_panels_do_not_overlap(document: Document) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        right = place["x"] + place["w"]
        rows = range(place["y"], place["y"] + place["h"])
        cells = set(product(range(place["x"], right), rows))
        assert not cells & taken, panel["title"]
        assert right <= 24, panel["title"]
        taken |= cells

    numbers = sorted(panel["id"] for panel in document["panels"])
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_panel_is_described() -> None:
    for panel in panels():
        where, text = panel["title"], panel["description"]
        assert panel["type"] in KINDS, where
        assert where, panel["id"]
        assert len(text) > 40, where
        assert text[0].isupper() or text[0] in "`1", where
        assert text.endswith("."), where
        assert panel["fieldConfig"]["defaults"]["unit"], where
        for each in (panel, *panel.get("targets", [])):
            assert each["datasource"] == SOURCE, where


@pytest.mark.parametrize(
    ("selector", "word"),
    [
        ("braze_campaign_daily{", "today so far"),
        ("braze_campaign_last_complete_day{", "last"),
        ('window="7d"', "7"),
        ('window="28d"', "28"),
    ],
)
def test_a_panel_of_figures_names_their_days(selector: str, word: str) -> None:
    for panel in panels():
        if any(selector in target["expr"] for target in panel.get("targets", [])):
            assert word in f"{panel['title']} {panel['description']}", panel["title"]


def test_colours_are_those_of_the_palette(document: Document) -> None:
    """Other colours may depend on red and green."""
    found = re.findall(r'"(?:color|fixedColor)": "([^"]+)"', json.dumps(document))

    assert set(found) <= COLOURS


def test_links_lead_to_existing_dashboards() -> None:
    """Rows and series link to their campaign, with data source and time range."""
    for panel in panels():
        config = panel["fieldConfig"]
        for field in (config["defaults"], *map(settings, config["overrides"])):
            for link in field.get("links") or []:
                path, _, query = link["url"].partition("?")
                assert path.removeprefix("/d/") in UIDS, panel["title"]
                for part in (
                    *("var-campaign=", "var-workspace="),
                    *("${datasource:queryparam}", "${__url_time_range}"),
                ):
                    assert part in query, panel["title"]


def test_a_campaign_is_shown_with_its_workspace() -> None:
    """Two workspaces may have campaigns with the same name."""
    for panel in panels():
        for target in panel.get("targets", []):
            legend = target["legendFormat"].replace("{{workspace}} / {{campaign}}", "")
            assert "{{campaign}}" not in legend, panel["title"]


def test_tables_of_campaigns_link_each_row() -> None:
    found = [columns(panel) for panel in tables()]
    of_campaigns = [names for names in found if "Campaign" in names]

    assert len(of_campaigns) > 10
    assert all("links" in names["Campaign"] for names in of_campaigns)
    assert all("Workspace" in names for names in of_campaigns)


def test_an_empty_cell_is_a_dash() -> None:
    for panel in tables():
        words = {
            field["noValue"]
            for field in map(settings, panel["fieldConfig"]["overrides"])
            if "custom.cellOptions" not in field
        }
        assert words == {"–"}, panel["title"]


def test_equal_queries_have_equal_descriptions() -> None:
    described: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for panel in panels("braze-overview", "braze-exporter"):
        if panel["type"] == "stat":
            asked = json.dumps([each["expr"] for each in panel["targets"]])
            described[asked].add((panel["title"], panel["description"]))

    assert [words for words in described.values() if len(words) > 1] == []


def test_queries_select_by_job() -> None:
    """Every selector contains the job, so that series of other jobs are excluded."""
    for query in queries():
        found = list(selectors(query.expression))
        assert found, query
        for selector in found:
            of_alerts = [""] if selector.name == "ALERTS" else None
            assert selector.values("job") in (["$job"], of_alerts), query


def counted(selector: Selector) -> Iterator[set[str]]:
    """Yield the numbers that a selector selects, for each channel of the simulator."""
    for campaign in Simulator(SimulatorSettings(seed=1)).campaigns:
        row = day_row(campaign, DAY, today=DAY, progress=1)
        for channel, entries in row["messages"].items():
            patterns = selector.values("channel")
            if all(re.fullmatch(each, channel) for each in patterns if each[0] != "$"):
                names = {name for entry in entries or () for name in entry}
                [metric] = selector.values("metric")
                yield {name for name in names if re.fullmatch(metric, name)}


def test_different_numbers_are_never_added_up() -> None:
    """Every selector of Braze's figures selects one window, and one metric.

    One that selects several has at most one of them in each channel of the simulator,
    or the largest is taken.
    """
    for query in queries():
        grouped = "".join(re.findall(r"by \(([^)]*)\)", query.expression))
        for selector in selectors(query.expression):
            if PART.fullmatch(selector.name) or WHOLE.match(selector.name):
                windows = [one[1] for one in selector.matchers if one[0] == "window"]
                assert bool(windows) is selector.name.endswith("_trailing"), query
                assert set(windows) <= {"="}, query
        for selector in selectors(LARGEST.sub("", query.expression)):
            if PART.fullmatch(selector.name) or WHOLE.match(selector.name):
                operators = [one[1] for one in selector.matchers if one[0] == "metric"]
                is_kept = "metric" in grouped and operators == ["=~"]
                is_apart = all(len(names) <= 1 for names in counted(selector))
                assert operators == ["="] or is_kept or is_apart, query


def test_daily_figures_have_no_rate() -> None:
    """They restart at midnight: `rate` and `increase` are only for counters."""
    for query in queries():
        for name in re.findall(r"(?:rate|increase|delta)\((\w+)", query.expression):
            assert name.startswith(("braze_exporter_", "process_")), query
            assert name.endswith(("_total", "_bucket", "_sum", "_count")), query


def test_victoria_metrics_accepts_every_query() -> None:
    """Its limit is that of the query that Grafana sends, with all choices."""
    sent = {
        str(query): len(filled(query.expression, CHOSEN).encode())
        for query in queries()
    }

    assert sum(map(len, CHOSEN["campaign"])) > 450
    assert {name: size for name, size in sent.items() if size > LONGEST_QUERY} == {}

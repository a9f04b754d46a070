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
from exporter.simulator.canvas_figures import CanvasView, canvas_row
from exporter.simulator.figures import day_row
from grafana.generator.pages import PAGES
from grafana.generator.shell import by_file, without_sdk_keys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.dashboards.dashboard_json import (
    EXTRA,
    FILES,
    GRAFANA,
    NAMES,
    SELECTOR,
    VARIABLES,
    Document,
    Selector,
    filled,
    load,
    panels,
    placed,
    queries,
    selectors,
)
from tests.paths import ROOT

UIDS = [
    *("braze-campaign", "braze-canvas", "braze-email-deliverability"),
    *("braze-exporter", "braze-messaging", "braze-overview", "braze-workspace"),
]
DOCS = "https://github.com/braze-exporter/braze-exporter/blob/main/docs"
"""Where the rules' `runbook_url` leads."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {
    *("stat", "table", "timeseries", "bargauge", "barchart"),
    *("status-history", "text"),
}
"""Kinds of panels in all versions of Grafana since 10."""
COLOURS = {
    *("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7"),
    *("#999999", "text", "transparent"),
}
"""The palette, without red beside green, and Grafana's neutral colours."""
KIND = r"(\(campaign\|canvas\)|campaign|canvas|workspace)"
"""A kind in the name of a family, or the pattern of both; the workspace's KPIs."""
PART = re.compile(rf"braze_{KIND}(_step)?_(daily|last_complete_day|trailing)")
WHOLE = re.compile(rf"braze_{KIND}_((step_)?overall|variant)_(?!info)")
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
    "campaigns": [f"Welcome (new users), {n}. of spring ≥ 5 €" for n in range(12)],
    "campaign": ["Welcome (new users), 1. of spring ≥ 5 €"],
    "variation": [f"Variant {n} (short)" for n in range(4)],
    "canvas": ["Welcome journey (new users), of spring ≥ 5 €"],
    "baseline": ["Control Group (10 %)"],
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
    link, *others = document["links"]  # to the other dashboards
    assert document["tags"] == link["tags"] == ["braze-exporter"]
    assert link["type"] == "dashboards"
    assert (link["includeVars"], link["keepTime"]) == (True, True)
    assert link["asDropdown"], "a link for each dashboard takes a line of the header"
    has_runbooks = document["uid"] == "braze-exporter"
    assert [one["url"] for one in others] == [f"{DOCS}/runbooks"] * has_runbooks


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_can_be_applied(file: Path) -> None:
    """`kubectl apply` stores a ConfigMap in an annotation of at most 256 KiB."""
    text = file.read_text(encoding="utf-8")
    kept = json.dumps({file.name: text}, ensure_ascii=False)

    assert json.loads(text)["uid"] == file.stem
    assert len(kept.encode()) < 200 * 1024
    assert len(text.encode()) < 180_000


def test_grafanas_model_has_every_setting(document: Document) -> None:
    """Parsed by Grafana's official types and serialized again, nothing changes."""
    register_default_plugins()

    parsed = json.dumps(Dashboard.from_json(document), cls=JSONEncoder)
    written = json.loads(parsed, object_hook=without_sdk_keys)

    assert written == {key: value for key, value in document.items() if key != "id"}


def test_each_variable_narrows_those_after_it(document: Document) -> None:
    """Their values are label values; the default is All, of one object the first."""
    source, *chain = document["templating"]["list"]
    names = [one["name"] for one in (source, *chain)]
    label = {"baseline": "variant", "campaigns": "campaign"}
    chosen = "campaign" if document["uid"] == "braze-campaign" else "campaigns"
    narrowing = {
        "campaign": ["job", "workspace", "channel", "campaigns"],
        "variation": ["job", "workspace", "channel", chosen],
        "canvas": ["job", "workspace"],
        "baseline": ["job", "workspace", "canvas"],
    }
    if chosen == "campaign":
        narrowing["campaign"].remove("campaigns")

    assert names == [*VARIABLES, *EXTRA.get(document["uid"], ())]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    for at, variable in enumerate(chain):
        name = variable["name"]
        assert variable["type"] == "query"
        assert variable["datasource"] == SOURCE
        assert variable["query"].startswith(("label_values(braze_", "label_values({"))
        assert variable["query"].endswith(f", {label.get(name, name)})")
        is_single = name in {"campaign", "canvas", "baseline"}
        assert (variable["multi"], variable["includeAll"]) == (not is_single,) * 2
        assert variable.get("allValue") == (None if is_single else ".*")
        used = re.findall(r"\$\{?(\w+)", variable["query"])
        assert used == narrowing.get(name, [one["name"] for one in chain[:at]]), name


def test_all_campaigns_are_no_choice_of_the_dashboard_of_one() -> None:
    """The menu keeps a choice by its name, also All where that is not offered."""
    for name in NAMES:
        found = {one["name"]: one for one in load(name)["templating"]["list"]}
        is_of_one = name == "braze-campaign"
        asked = json.dumps([panel.get("targets") for panel in panels(name)])
        assert found["campaigns"]["includeAll"], name
        assert not found["campaign"]["includeAll"], name
        assert bool(found["campaigns"].get("hide")) is (
            is_of_one or name in {"braze-canvas", "braze-workspace"}
        ), name
        assert bool(found["campaign"].get("hide")) is not is_of_one, name
        assert ("${campaign:regex}" in asked) is is_of_one, name


def test_a_variable_is_shown_where_its_choice_has_an_effect(document: Document) -> None:
    """All others, and the job, only keep the choice for the links."""
    asked = json.dumps([panel.get("targets") for panel in panels(document["uid"])])
    used = set(re.findall(r"\$\{?(\w+)", asked))

    for variable in document["templating"]["list"]:
        is_shown = variable.get("hide") != 2
        shown = {*used, "datasource"} - {"job"}
        assert is_shown is (variable["name"] in shown), variable["name"]


def test_panels_do_not_overlap(document: Document) -> None:
    """Those of a closed heading are below it; opened, it moves all that follows."""
    closed = [one for one in document["panels"] if one.get("panels")]
    for together in (document["panels"], *(one["panels"] for one in closed)):
        taken: set[tuple[int, int]] = set()
        for panel in together:
            place = panel["gridPos"]
            right = place["x"] + place["w"]
            rows = range(place["y"], place["y"] + place["h"])
            cells = set(product(range(place["x"], right), rows))
            assert not cells & taken, panel["title"]
            assert right <= 24, panel["title"]
            taken |= cells
    for heading in closed:
        first = heading["gridPos"]["y"] + 1
        assert min(one["gridPos"]["y"] for one in heading["panels"]) == first

    numbers = sorted(panel["id"] for panel in placed(document))
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
        ("_daily{", "today so far"),
        ('_daily", ', "today so far"),
        ("_last_complete_day{", "last"),
        ('_last_complete_day", ', "last"),
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


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_has_the_question_of_each_panel(name: str) -> None:
    """Under the heading of its dashboard; titles may be shortened."""
    text = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8")
    heading = load(name)["title"].removeprefix("Braze / ")
    [section] = re.findall(rf"(?ms)^### {heading}\n(.*?)(?=^##)", text)
    [first] = re.findall(r"(?ms)^## Panels.*?(?=^###)", text)
    rows = [line for line in section.splitlines() if line.startswith("|")]
    named = set(re.findall(r"\*([^*]+)\*", "\n".join([first, *rows])))

    for panel in panels(name):
        assert any(one in panel["title"] for one in named), panel["title"]


RUNBOOKS = "https://github.com/braze-exporter/braze-exporter/blob/main/docs/runbooks/"


def test_links_lead_to_existing_dashboards() -> None:
    """Rows and series link to their object, with data source, channel and time range.

    The dashboard has the name of the object's kind; alerts and workspaces have none.
    A series leads to its workspace; what follows the slash is ignored by Grafana.
    """
    found = set()
    for panel in panels():
        config = panel["fieldConfig"]
        for field in (config["defaults"], *map(settings, config["overrides"])):
            for link in field.get("links") or []:
                if link["targetBlank"] or link["url"].startswith(RUNBOOKS):
                    continue  # not a dashboard
                is_of_all = "${workspace:queryparam}" in link["url"]
                for kind in ("campaign", "canvas", "exporter", "workspace/series"):
                    url = re.sub(r"\$\{__\w+(\.\w+)?\.[kK]ind\}", kind, link["url"])
                    path, _, query = url.partition("?")
                    if path.endswith("/series"):
                        assert "var-workspace/series=" in query, panel["title"]
                        path = path.removesuffix("/series")
                    assert path.removeprefix("/d/") in UIDS, panel["title"]
                    found.add(path)
                    of_one = f"var-{path.removeprefix('/d/braze-')}="
                    chosen = [of_one, "var-workspace="]
                    if is_of_all:
                        chosen = ["${campaigns:queryparam}"]
                    for part in (
                        *chosen,
                        *("${datasource:queryparam}", "${__url_time_range}"),
                        "channel",
                    ):
                        assert part in query, panel["title"]
    assert found == {
        *("/d/braze-campaign", "/d/braze-canvas", "/d/braze-exporter"),
        *("/d/braze-email-deliverability", "/d/braze-workspace"),
    }


@pytest.mark.parametrize(
    ("name", "others"),
    [("Exporter", ()), ("Failing polls", ("workspace",)), ("Oldest figures", ())],
)
def test_a_tile_leads_to_what_it_counts(name: str, others: tuple[str, ...]) -> None:
    [tile] = [one for one in panels("braze-overview") if one["title"] == name]
    links = [one["url"] for one in tile["fieldConfig"]["defaults"]["links"]]

    expected = [f"/d/braze-{one}" for one in ("exporter", *others)]
    assert [url.partition("?")[0] for url in links] == expected


def test_a_reason_leads_to_what_to_do_and_a_process_to_its_status_page() -> None:
    [failing] = (one for one in tables() if one["title"] == "Failing, with the reason")
    [processes] = (one for one in tables() if one["title"] == "Processes")

    [cause] = columns(failing)["Reason"]["links"]
    [status] = columns(processes)["Instance"]["links"]

    page, _, heading = cause["url"].removeprefix(DOCS).partition("#")
    text = (ROOT / f"docs{page}").read_text(encoding="utf-8")
    assert f"\n## {heading.replace('-', ' ').capitalize()}\n" in text
    assert status["url"] == "http://${__data.fields.Instance}/"


def test_the_runbooks_are_where_the_rules_lead() -> None:
    rules = (GRAFANA / "rules" / "braze-alerts.yaml").read_text(encoding="utf-8")

    assert f"runbook_url: {DOCS}/runbooks/" in rules


def test_an_alert_leads_to_its_runbook() -> None:
    """With the address of the rules; where nothing fires, to the list of alerts."""
    [alerts] = [one for one in tables() if "Alert" in columns(one)]
    field = columns(alerts)["Alert"]
    [link] = field["links"]
    rules = (ROOT / "grafana/rules/braze-alerts.yaml").read_text(encoding="utf-8")
    names = set(re.findall(r"alert: (\w+)", rules))
    [[nothing]] = [mapping["options"] for mapping in field["mappings"]]

    assert link["url"] == f"{RUNBOOKS}${{__value.raw}}.md"
    assert len(names) > 20
    for name in names:
        assert f"runbook_url: {RUNBOOKS}{name}.md" in rules
    assert (ROOT / "docs/runbooks" / f"{nothing}.md").resolve().is_file()


def test_an_object_is_shown_with_its_workspace() -> None:
    """Two workspaces may have campaigns or canvases with the same name."""
    for panel in panels():
        for target in panel.get("targets", []):
            legend = target["legendFormat"]
            for name in ("campaign", "name"):
                legend = legend.replace(f"{{{{workspace}}}} / {{{{{name}}}}}", "")
            assert not {"{{campaign}}", "{{name}}"} & set(
                re.findall(r"\{\{\w+\}\}", legend)
            ), panel["title"]


def test_tables_of_objects_link_each_row() -> None:
    """A row of both kinds has its kind and its name."""
    found = [columns(panel) for panel in tables()]
    of_campaigns = [names for names in found if "Campaign" in names]
    of_both = [names for names in found if "Name" in names]

    assert of_campaigns
    assert len(of_both) > 10
    for names in (*of_campaigns, *of_both):
        assert "links" in names["Name" if "Name" in names else "Campaign"]
        assert "Workspace" in names
        assert ("Kind" in names) is ("Name" in names)


WIDTHS = (1280, 1440)
"""Of the windows in which no table is wider than its panel, in pixels."""
MARGINS = 60
"""Pixels of a window beside its panels, and of a table's scroll bar."""


@pytest.mark.parametrize("window", WIDTHS)
def test_columns_fit_into_their_tables(document: Document, window: int) -> None:
    """Each has a width, and its title is not cut."""
    for panel in panels(document["uid"]):
        if panel["type"] == "table":
            least = 0
            for title, field in columns(panel).items():
                width = field.get("custom.width") or field["custom.minWidth"]
                assert width >= 7 * len(title), (panel["title"], title)
                least += width
            room = (window - MARGINS) * panel["gridPos"]["w"] / 24
            assert least <= room, (panel["title"], least, room)


def test_an_absent_figure_is_no_alarm() -> None:
    """Grafana gives it the first colour of the thresholds."""
    for panel in panels():
        config = panel["fieldConfig"]
        for field in (config["defaults"], *map(settings, config["overrides"])):
            first = (field.get("thresholds") or {"steps": [{}]})["steps"][0]
            assert first.get("color") not in {"#D55E00", "#E69F00"}, panel["title"]


def test_only_the_trend_of_a_table_becomes_a_sparkline() -> None:
    """Without a filter each result with one row is taken for a time series."""
    found = [
        (panel, transformation)
        for panel in tables()
        for transformation in panel["transformations"]
        if transformation["id"] == "timeSeriesTable"
    ]

    assert found
    for panel, transformation in found:
        [letter] = [one["refId"] for one in panel["targets"] if one.get("range")]
        assert transformation["filter"] == {"id": "byRefId", "options": letter}


def test_daily_figures_of_a_canvas_are_bars_of_days() -> None:
    """A day ends at its point, so the bar is before it."""
    graphs = [one for one in panels("braze-canvas") if one["type"] == "timeseries"]

    for panel in graphs:
        assert {one["interval"] for one in panel["targets"]} == {"1d"}, panel["title"]
        config = panel["fieldConfig"]["defaults"]
        if config["unit"] == "short":
            assert config["custom"]["drawStyle"] == "bars", panel["title"]
            assert config["custom"]["barAlignment"] == -1, panel["title"]
    assert len(graphs) > 3
    assert load("braze-canvas")["time"]["from"] == "now-28d"


def test_the_campaign_dashboard_compares_today_with_days_before() -> None:
    """From midnight on, regardless of the time range; all other graphs are by day."""
    graphs = [one for one in panels("braze-campaign") if one["type"] == "timeseries"]
    today, *others = graphs
    [style] = [
        settings(one)
        for one in today["fieldConfig"]["overrides"]
        if "lineStyle" in json.dumps(one)
    ]

    assert today["timeFrom"] == "now/d"
    assert style["custom.lineStyle"]["fill"] == "dash"
    for panel in others:
        assert {one["interval"] for one in panel["targets"]} == {"1d"}, panel["title"]


def test_the_axis_of_damage_reaches_its_limits() -> None:
    """A figure far below its limit is flat, not as high as one at its limit."""
    for name in ("braze-campaign", "braze-canvas"):
        damage = [
            one
            for one in panels(name)
            if one["fieldConfig"]["defaults"].get("custom", {}).get("axisSoftMax")
        ]
        assert len(damage) == 3
        for panel in damage:
            defaults = panel["fieldConfig"]["defaults"]
            limits = [one["value"] for one in defaults["thresholds"]["steps"]]
            assert defaults["custom"]["axisSoftMax"] == limits[-1], panel["title"]


def test_the_verdict_is_beside_the_name_of_the_variation() -> None:
    [panel] = [one for one in tables() if one["title"].startswith("Do variations")]
    [organized] = [one for one in panel["transformations"] if one["id"] == "organize"]
    options = organized["options"]
    places = sorted(options["indexByName"], key=options["indexByName"].get)
    titles = [options["renameByName"][name] for name in places]

    assert titles[:3] == ["Channel", "Variation", "Verdict"]


def test_an_empty_cell_is_a_dash() -> None:
    for panel in tables():
        words = {
            field.get("noValue", panel["fieldConfig"]["defaults"]["noValue"])
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
            is_alert = selector.name.startswith("ALERTS")
            assert selector.values("job") == ["$job|" if is_alert else "$job"], query


def messages() -> Iterator[tuple[str, list[Document] | None]]:
    """Yield the entries of each channel of the simulator's campaigns and canvases."""
    braze = Simulator(SimulatorSettings(seed=1))
    for campaign in braze.campaigns:
        yield from day_row(campaign, DAY, today=DAY, progress=1)["messages"].items()
    for canvas in braze.canvases:
        view = CanvasView(canvas, False, True, True)
        row = canvas_row(view, DAY, today=DAY, progress=1)
        for step in (row["step_stats"] or {}).values():
            yield from (step.get("messages") or {}).items()


def counted(selector: Selector) -> Iterator[set[str]]:
    """Yield the numbers that a selector selects, for each channel of the simulator."""
    for channel, entries in messages():
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


def test_queries_are_short() -> None:
    """Long ones are slow to parse, and their length grows with each choice."""
    long = {query.panel for query in queries() if len(query.expression) > 6_000}

    assert long == set()


def test_victoria_metrics_accepts_every_query() -> None:
    """Its limit is that of the query that Grafana sends, with all choices."""
    sent = {
        str(query): len(filled(query.expression, CHOSEN).encode())
        for query in queries()
    }

    assert sum(map(len, CHOSEN["campaigns"])) > 450
    assert {name: size for name, size in sent.items() if size > LONGEST_QUERY} == {}

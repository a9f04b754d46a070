"""Invariants of every dashboard, panel, variable and query, without running them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from grafana.generator.pages import PAGES
from grafana.generator.shell import by_file
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.dashboards import dashboard_json

UIDS = [
    "braze-campaign",
    "braze-email-deliverability",
    "braze-exporter",
    "braze-messaging",
    "braze-overview",
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = ["datasource", "job", "workspace", "channel", "campaign", "variation"]
KINDS = {
    "stat",
    "table",
    "timeseries",
    "bargauge",
    "barchart",
    "state-timeline",
    "text",
}
"""Kinds of panels in all versions of Grafana since 10."""
PART = re.compile(r"braze_campaign_(daily|last_complete_day|trailing)")
WHOLE = re.compile(r"braze_campaign_overall_")


def fields(panel: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of a panel's fields, those of single columns last."""
    config = panel["fieldConfig"]
    return [
        config["defaults"],
        *(
            {setting["id"]: setting.get("value") for setting in override["properties"]}
            for override in config["overrides"]
        ),
    ]


def test_the_committed_files_are_what_the_generator_writes() -> None:
    """`make dashboards` changes nothing, and there are no other files."""
    written = {
        path.name: path.read_text(encoding="utf-8") for path in dashboard_json.FILES
    }

    generated = by_file(page() for page in PAGES)

    assert sorted(path.stem for path in dashboard_json.FILES) == UIDS
    assert written == generated, "run `make dashboards` and commit what it writes"


def test_a_dashboard_can_be_provisioned() -> None:
    """Its uid is its file's name; it has no id and no inputs, and is read-only."""
    for name in dashboard_json.NAMES:
        document = dashboard_json.load(name)

        assert document["uid"] == name
        assert document["id"] is None
        assert document["schemaVersion"] == 39
        assert document["editable"] is False
        assert document["title"].startswith("Braze / ")
        assert document["description"].endswith(".")
        assert not {"__inputs", "__requires", "__elements"} & set(document)


def test_a_dashboard_can_be_applied() -> None:
    """`kubectl apply` stores a ConfigMap in an annotation of at most 256 KiB."""
    for name in dashboard_json.NAMES:
        text = (dashboard_json.GRAFANA / "dashboards" / f"{name}.json").read_text(
            encoding="utf-8"
        )
        kept = json.dumps({f"{name}.json": text}, ensure_ascii=False)

        assert len(kept.encode()) < 250 * 1024


def test_dashboards_link_to_each_other() -> None:
    """They share a tag; links pass variables and time range."""
    for name in dashboard_json.NAMES:
        document = dashboard_json.load(name)
        [link] = document["links"]

        assert document["tags"] == ["braze-exporter"]
        assert (link["type"], link["tags"]) == ("dashboards", ["braze-exporter"])
        assert (link["includeVars"], link["keepTime"]) == (True, True)


def test_grafanas_model_has_every_setting() -> None:
    """Parsed by Grafana's official types and serialized again, nothing changes."""
    for name in dashboard_json.NAMES:
        register_default_plugins()
        document = dashboard_json.load(name)

        read = Dashboard.from_json(document)
        written = json.loads(json.dumps(read, cls=JSONEncoder))

        for link in written["links"]:
            del link["placement"]  # a default that older versions do not have
        assert written == {key: value for key, value in document.items() if key != "id"}


def test_each_variable_narrows_those_after_it() -> None:
    """Their values are label values, and the default is All."""
    for name in dashboard_json.NAMES:
        source, *chain = dashboard_json.load(name)["templating"]["list"]

        assert [one["name"] for one in (source, *chain)] == VARIABLES
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


def test_a_panel_is_described() -> None:
    """Every panel has title, description, unit and data source."""
    for name in dashboard_json.NAMES:
        for panel in dashboard_json.panels(name):
            where = f"{name} / {panel.get('title')}"
            assert panel["type"] in KINDS, where
            assert panel["title"], where
            assert len(panel["description"]) > 40, where
            assert (
                panel["description"][0].isupper() or panel["description"][0] in "`1"
            ), where
            assert panel["description"].endswith("."), where
            assert panel["datasource"] == SOURCE, where
            assert panel["fieldConfig"]["defaults"]["unit"], where
            for target in panel.get("targets", []):
                assert target["datasource"] == SOURCE, where


def test_a_panel_of_figures_names_their_days() -> None:
    """Panels with Braze's figures name the covered days."""
    for name in dashboard_json.NAMES:
        words = {
            "braze_campaign_daily{": "today so far",
            "braze_campaign_last_complete_day{": "last",
            'window="7d"': "7",
            'window="28d"': "28",
        }
        for panel in dashboard_json.panels(name):
            text = f"{panel['title']} {panel['description']}"
            asked = " ".join(target["expr"] for target in panel.get("targets", []))
            for family, word in words.items():
                assert family not in asked or word in text, f"{panel['title']}: {word}"


def test_panels_do_not_overlap() -> None:
    """All panels fit into the 24 columns; ids are unique."""
    for name in dashboard_json.NAMES:
        taken: set[tuple[int, int]] = set()
        numbers = [panel["id"] for panel in dashboard_json.load(name)["panels"]]
        for panel in dashboard_json.load(name)["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= 24, panel["title"]
            taken |= cells

        assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_colours_do_not_depend_on_red_and_green() -> None:
    """Only colours of the palette and Grafana's neutral ones are used."""
    for name in dashboard_json.NAMES:
        allowed = {"#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7"}
        allowed |= {"text", "transparent"}
        found = set(re.findall(r'"(?:color|fixedColor)": "([^"]+)"', _text(name)))

        assert found <= allowed


def _text(name: str) -> str:
    return json.dumps(dashboard_json.load(name))


def test_links_lead_to_existing_dashboards() -> None:
    """Rows and series link to their campaign, with data source and time range."""
    for name in dashboard_json.NAMES:
        for panel in dashboard_json.panels(name):
            links = [
                link for field in fields(panel) for link in field.get("links") or []
            ]
            for link in links:
                path, _, query = link["url"].partition("?")
                assert path.removeprefix("/d/") in UIDS, panel["title"]
                assert "var-campaign=" in query, panel["title"]
                assert "var-workspace=" in query, panel["title"]
                assert "${datasource:queryparam}" in query, panel["title"]
                assert "${__url_time_range}" in query, panel["title"]


def test_a_campaign_is_shown_with_its_workspace() -> None:
    """Two workspaces may have campaigns with the same name."""
    for name in dashboard_json.NAMES:
        legends = [
            target["legendFormat"]
            for panel in dashboard_json.panels(name)
            for target in panel.get("targets", [])
            if "{{campaign}}" in target["legendFormat"]
        ]

        assert all("{{workspace}} / {{campaign}}" in legend for legend in legends)
        for panel in dashboard_json.panels(name):
            if panel["type"] == "table":
                titles = [
                    override["matcher"].get("options")
                    for override in panel["fieldConfig"]["overrides"]
                ]
                assert "Campaign" not in titles or "Workspace" in titles, panel["title"]


def test_variables_are_filled_in_by_name() -> None:
    """`$1` in a replacement is kept, and an unknown name is an error."""
    text = 'x{job=~"$job", a=~"${channel}", b=~`${campaign:regex}`, c="$1"}[$__rate'
    text += "_interval]"

    filled = dashboard_json.filled(text, {"job": "one", "campaign": "a.b"})

    assert filled == 'x{job=~"one", a=~".*", b=~`a\\.b`, c="$1"}[1m]'
    for mistyped in ("$jobs", "${jobs}", "${jobs:regex}", "$__rate", "${1}"):
        with pytest.raises(KeyError):
            dashboard_json.filled(mistyped, {})


def test_a_description_covers_only_its_panel() -> None:
    """That of opt-outs does not explain rejected or failed messages."""
    says = {
        panel["title"]: panel["description"]
        for panel in dashboard_json.panels("braze-messaging")
    }

    assert "STOP" in says["SMS: opt-outs"]
    assert "ejected" not in says["SMS: opt-outs"]
    assert "STOP" not in says["SMS and RCS: rejected and failed"]
    assert "STOP" in says["SMS and RCS by campaign, last complete day"]


def test_equal_queries_have_equal_descriptions() -> None:
    """Stats with the same query have the same title and description."""
    told: dict[str, set[tuple[str, str]]] = {}
    for name in ("braze-overview", "braze-exporter"):
        for panel in dashboard_json.panels(name):
            if panel["type"] == "stat":
                asked = json.dumps([each["expr"] for each in panel["targets"]])
                words = (panel["title"], panel["description"])
                told.setdefault(asked, set()).add(words)

    assert [words for words in told.values() if len(words) > 1] == []


def test_tables_of_campaigns_link_each_row() -> None:
    """The cells of every column of campaigns are links."""
    linked = unlinked = 0
    for name in dashboard_json.NAMES:
        for panel in dashboard_json.panels(name):
            overrides = panel["fieldConfig"]["overrides"]
            for override in overrides if panel["type"] == "table" else []:
                if override["matcher"].get("options") == "Campaign":
                    ids = {setting["id"] for setting in override["properties"]}
                    linked += "links" in ids
                    unlinked += "links" not in ids

    assert linked > 10
    assert unlinked == 0


def test_an_empty_cell_is_a_dash() -> None:
    """The text of an empty table is not repeated in each empty cell."""
    for name in dashboard_json.NAMES:
        for panel in dashboard_json.panels(name):
            if panel["type"] == "table":
                _, *columns = fields(panel)
                words = [
                    one["noValue"] for one in columns if "custom.cellOptions" not in one
                ]
                assert set(words) == {"–"}, panel["title"]


def test_queries_select_by_job() -> None:
    """Every selector contains the job, so that series of other jobs are excluded."""
    for name in dashboard_json.NAMES:
        for asked in dashboard_json.queries(name):
            found = list(dashboard_json.selectors(asked.expression))
            assert found, asked
            for selector in found:
                jobs = selector.values("job")
                assert jobs in (
                    ["$job"],
                    [""] if selector.name == "ALERTS" else None,
                ), asked


def test_different_numbers_are_never_added_up() -> None:
    """Every selector of Braze's figures selects one metric, and one window."""
    for name in dashboard_json.NAMES:
        for asked in dashboard_json.queries(name):
            for selector in dashboard_json.selectors(asked.expression):
                if not (PART.fullmatch(selector.name) or WHOLE.match(selector.name)):
                    continue
                kept = "metric" in "".join(
                    re.findall(r"by \(([^)]*)\)", asked.expression)
                )
                operators = [one[1] for one in selector.matchers if one[0] == "metric"]
                assert operators == ["="] or (kept and operators == ["=~"]), asked
                is_trailing = selector.name.endswith("_trailing")
                windows = [one for one in selector.matchers if one[0] == "window"]
                assert bool(windows) is is_trailing, asked
                assert all(operator == "=" for _, operator, _ in windows), asked


def test_conversion_totals_exclude_control_groups() -> None:
    """Sums of conversions over variations exclude control groups."""
    for name in dashboard_json.NAMES:
        for asked in dashboard_json.queries(name):
            parts = [
                one
                for one in dashboard_json.selectors(asked.expression)
                if PART.fullmatch(one.name) and one.values("metric") == ["conversions"]
            ]
            by_variation = (
                "by (workspace, campaign, channel, variation)" in asked.expression
            )
            assert not parts or by_variation or 'control="true"' in asked.expression, (
                asked
            )


def test_daily_figures_have_no_rate() -> None:
    """They restart at midnight: `rate` and `increase` are only for counters."""
    for name in dashboard_json.NAMES:
        for asked in dashboard_json.queries(name):
            for inside in re.findall(
                r"(?:rate|increase|delta)\((\w+)", asked.expression
            ):
                assert inside.startswith(("braze_exporter_", "process_")), asked
                assert inside.endswith(("_total", "_bucket", "_sum", "_count")), asked


def test_grafana_finds_dashboards_and_data_source() -> None:
    """The provisioning files contain the folder and a stable data source."""
    folder = dashboard_json.GRAFANA / "provisioning"
    [provider] = yaml.safe_load((folder / "dashboards" / "braze.yaml").read_text())[
        "providers"
    ]
    [source] = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]

    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["allowUiUpdates"] is False
    assert (source["uid"], source["type"]) == ("braze-prometheus", "prometheus")
    assert source["url"] == "http://prometheus:9090"

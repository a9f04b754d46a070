"""What holds for every dashboard, panel, variable and query, without running any."""

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
"""Panels that Grafana has in all versions from 10 on."""
REPLICAS = "max without (instance, pod, container, endpoint, node"
FOLD = f"{REPLICAS}, job, namespace, service) ("
LEAST = f"min by (workspace, campaign) ({REPLICAS}) ("
"""How `up` is folded: a campaign that fails under one of several jobs fails."""
DAY = "braze_campaign_daily_timestamp_seconds{job=~"
SAME_DAY = (
    f'max by (workspace, campaign) ({DAY}"$job"}}) == '
    f"on (workspace, campaign) group_right () {DAY}"
)
PART = re.compile(r"braze_campaign_(daily|last_complete_day|trailing)")
WHOLE = re.compile(r"braze_campaign_overall_")

NEWEST = (SAME_DAY.partition(DAY)[0], SAME_DAY.removesuffix(DAY))
"""What stands before the days by which exporters are chosen."""

every_dashboard = pytest.mark.parametrize("name", dashboard_json.NAMES)


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


@every_dashboard
def test_a_dashboard_can_be_provisioned(name: str) -> None:
    """Its uid is its file's name, it has no number and no inputs, and is read-only."""
    document = dashboard_json.load(name)

    assert document["uid"] == name
    assert document["id"] is None
    assert document["schemaVersion"] == 39
    assert document["editable"] is False
    assert document["title"].startswith("Braze / ")
    assert document["description"].endswith(".")
    assert not {"__inputs", "__requires", "__elements"} & set(document)


@every_dashboard
def test_a_dashboard_can_be_applied(name: str) -> None:
    """`kubectl apply` keeps a ConfigMap in an annotation too, of 256 KiB at most."""
    text = (dashboard_json.GRAFANA / "dashboards" / f"{name}.json").read_text(
        encoding="utf-8"
    )
    kept = json.dumps({f"{name}.json": text}, ensure_ascii=False)

    assert len(kept.encode()) < 250 * 1024


@every_dashboard
def test_dashboards_lead_to_each_other(name: str) -> None:
    """They share a tag; what is chosen and the time go along."""
    document = dashboard_json.load(name)
    [link] = document["links"]

    assert document["tags"] == ["braze-exporter"]
    assert (link["type"], link["tags"]) == ("dashboards", ["braze-exporter"])
    assert (link["includeVars"], link["keepTime"]) == (True, True)


@every_dashboard
def test_grafanas_own_model_knows_every_setting(name: str) -> None:
    """Read by its official types and written again, nothing is lost or renamed."""
    register_default_plugins()
    document = dashboard_json.load(name)

    read = Dashboard.from_json(document)
    written = json.loads(json.dumps(read, cls=JSONEncoder))

    for link in written["links"]:
        del link["placement"]  # its default, which older versions do not know
    assert written == {key: value for key, value in document.items() if key != "id"}


@every_dashboard
def test_each_variable_narrows_those_after_it(name: str) -> None:
    """They come from label values, and everything is chosen at first."""
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


@every_dashboard
def test_a_panel_says_what_it_shows(name: str) -> None:
    """Title, description, unit and data source stand in every one."""
    for panel in dashboard_json.panels(name):
        where = f"{name} / {panel.get('title')}"
        assert panel["type"] in KINDS, where
        assert panel["title"], where
        assert len(panel["description"]) > 40, where
        assert panel["description"][0].isupper() or panel["description"][0] in "`1", (
            where
        )
        assert panel["description"].endswith("."), where
        assert panel["datasource"] == SOURCE, where
        assert panel["fieldConfig"]["defaults"]["unit"], where
        for target in panel.get("targets", []):
            assert target["datasource"] == SOURCE, where


@every_dashboard
def test_a_panel_of_figures_tells_their_day(name: str) -> None:
    """Whatever asks for Braze's figures names the days it covers."""
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


@every_dashboard
def test_panels_stand_side_by_side(name: str) -> None:
    """None overlaps another or leaves the 24 columns; numbers are used once."""
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


@every_dashboard
def test_no_colour_asks_to_tell_red_from_green(name: str) -> None:
    """Only colours of the palette are used, and Grafana's plain ones."""
    allowed = {"#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7"}
    allowed |= {"text", "transparent"}
    found = set(re.findall(r'"(?:color|fixedColor)": "([^"]+)"', _text(name)))

    assert found <= allowed


def _text(name: str) -> str:
    return json.dumps(dashboard_json.load(name))


@every_dashboard
def test_links_lead_to_our_dashboards(name: str) -> None:
    """Rows and series lead to their campaign, and take data source and time along."""
    for panel in dashboard_json.panels(name):
        links = [link for field in fields(panel) for link in field.get("links") or []]
        for link in links:
            path, _, query = link["url"].partition("?")
            assert path.removeprefix("/d/") in UIDS, panel["title"]
            assert "var-campaign=" in query, panel["title"]
            assert "var-workspace=" in query, panel["title"]
            assert "${datasource:queryparam}" in query, panel["title"]
            assert "${__url_time_range}" in query, panel["title"]


@every_dashboard
def test_a_name_of_a_campaign_stands_with_its_workspace(name: str) -> None:
    """Two workspaces may have campaigns of the same name."""
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
    """A replacement's `$1` stays, and a mistyped name is an error."""
    text = 'x{job=~"$job", a=~"${channel}", b=~`${campaign:regex}`, c="$1"}[$__rate'
    text += "_interval]"

    filled = dashboard_json.filled(text, {"job": "one", "campaign": "a.b"})

    assert filled == 'x{job=~"one", a=~".*", b=~`a\\.b`, c="$1"}[1m]'
    for mistyped in ("$jobs", "${jobs}", "${jobs:regex}", "$__rate", "${1}"):
        with pytest.raises(KeyError):
            dashboard_json.filled(mistyped, {})


def test_a_description_is_of_its_panel_alone() -> None:
    """That of opt-outs does not explain what was rejected or failed."""
    says = {
        panel["title"]: panel["description"]
        for panel in dashboard_json.panels("braze-messaging")
    }

    assert "STOP" in says["SMS: opt-outs"]
    assert "ejected" not in says["SMS: opt-outs"]
    assert "STOP" not in says["SMS and RCS: rejected and failed"]
    assert "STOP" in says["SMS and RCS by campaign, last complete day"]


def test_what_is_asked_twice_is_explained_alike() -> None:
    """Stats of one query have one title and one description on both first pages."""
    told: dict[str, set[tuple[str, str]]] = {}
    for name in ("braze-overview", "braze-exporter"):
        for panel in dashboard_json.panels(name):
            if panel["type"] == "stat":
                asked = json.dumps([each["expr"] for each in panel["targets"]])
                words = (panel["title"], panel["description"])
                told.setdefault(asked, set()).add(words)

    assert [words for words in told.values() if len(words) > 1] == []


def test_tables_of_campaigns_link_each_row() -> None:
    """Wherever a table has a column of campaigns, its cells are links."""
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


@every_dashboard
def test_an_empty_cell_is_a_dash(name: str) -> None:
    """What is said of an empty table would else be repeated in each empty cell."""
    for panel in dashboard_json.panels(name):
        if panel["type"] == "table":
            _, *columns = fields(panel)
            words = [
                one["noValue"] for one in columns if "custom.cellOptions" not in one
            ]
            assert set(words) == {"–"}, panel["title"]


@every_dashboard
def test_queries_choose_by_job(name: str) -> None:
    """Every selector does, so that another job's series never get in."""
    for asked in dashboard_json.queries(name):
        found = list(dashboard_json.selectors(asked.expression))
        assert found, asked
        for selector in found:
            jobs = selector.values("job")
            assert jobs in (["$job"], [""] if selector.name == "ALERTS" else None), (
                asked
            )


@every_dashboard
def test_replicas_are_folded_before_anything_else(name: str) -> None:
    """Two exporters of the same campaigns never double a sum, nor do two jobs."""
    for asked in dashboard_json.queries(name):
        for selector in dashboard_json.selectors(asked.expression):
            if selector.name.startswith("braze_campaign_"):
                fold = LEAST if selector.name == "braze_campaign_up" else FOLD
                before = selector.before.replace("} @ end()", "}")
                is_of_today = before.endswith(NEWEST)
                assert is_of_today or before.endswith(fold), asked


@every_dashboard
def test_today_is_asked_of_those_that_know_of_it(name: str) -> None:
    """After midnight an exporter that does not reach Braze still has yesterday's."""
    clause = f" and on (instance, workspace, campaign) ({SAME_DAY}"
    for asked in dashboard_json.queries(name):
        expression = asked.expression.replace("} @ end()", "}")
        known = expression.count("braze_campaign_daily{")
        assert expression.count(clause) == known, asked


@every_dashboard
def test_different_numbers_are_never_added_up(name: str) -> None:
    """Every selector of Braze's figures names one of them, and one window."""
    for asked in dashboard_json.queries(name):
        for selector in dashboard_json.selectors(asked.expression):
            if not (PART.fullmatch(selector.name) or WHOLE.match(selector.name)):
                continue
            kept = "metric" in "".join(re.findall(r"by \(([^)]*)\)", asked.expression))
            operators = [one[1] for one in selector.matchers if one[0] == "metric"]
            assert operators == ["="] or (kept and operators == ["=~"]), asked
            is_trailing = selector.name.endswith("_trailing")
            windows = [one for one in selector.matchers if one[0] == "window"]
            assert bool(windows) is is_trailing, asked
            assert all(operator == "=" for _, operator, _ in windows), asked


@every_dashboard
def test_conversion_totals_leave_control_groups_out(name: str) -> None:
    """Where parts of conversions are added up over variations, controls are not in."""
    for asked in dashboard_json.queries(name):
        parts = [
            one
            for one in dashboard_json.selectors(asked.expression)
            if PART.fullmatch(one.name) and one.values("metric") == ["conversions"]
        ]
        by_variation = (
            "by (workspace, campaign, channel, variation)" in asked.expression
        )
        assert not parts or by_variation or 'control="true"' in asked.expression, asked


@every_dashboard
def test_daily_figures_have_no_rate(name: str) -> None:
    """They fall at midnight: `rate` and `increase` belong to counters alone."""
    for asked in dashboard_json.queries(name):
        for inside in re.findall(r"(?:rate|increase|delta)\((\w+)", asked.expression):
            assert inside.startswith(("braze_exporter_", "process_")), asked
            assert inside.endswith(("_total", "_bucket", "_sum", "_count")), asked


@every_dashboard
def test_rates_are_ratios_of_sums(name: str) -> None:
    """No mean is taken, and nothing is divided by what may be 0."""
    for asked in dashboard_json.queries(name):
        assert "avg" not in asked.expression, asked
        divisors = re.findall(
            r"/ (?:on \([^)]*\) group_left \(\) )?(.{6})", asked.expression
        )
        assert all(one.startswith(("(", "7")) for one in divisors), (asked, divisors)


def test_grafana_finds_dashboards_and_data_source() -> None:
    """The provisioning files name a folder and a stable data source."""
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

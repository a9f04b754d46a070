"""What is visible: titles, columns, names and colours, at the widths of usual screens.

Grafana draws a grid of 24 columns into the width of the window. The widths of letters
are those of its font, measured on drawn dashboards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import pytest

from tests.dashboards.dashboard_json import NAMES, Document, load, panels, selectors

SCREENS = (1280, 1440)
GRID_PADDING, GAP = 32, 8
TITLE_LETTER, TITLE_PADDING = 7.6, 52
"""With the icon of the description behind the title."""
HEADING_LETTER, HEADING_PADDING, SORT_ARROW, FILTER_ICON = 7.0, 14, 18, 20
WORD_LETTER, STAT_PADDING = 0.6, 24
"""Of a letter, the share of the size of the text."""
DIGIT = 0.55
"""The same of a digit."""
PANEL_PADDING, HEADER = 18, 32
TABLE_PADDING = 24
"""Of the panel, and the vertical scroll bar."""
VARIABLE_LETTER, VARIABLE_PADDING, CHOICE, SWITCH, LINK_ICONS = 7.0, 22, 90, 40, 40
TIME_PICKER = 290
PIXELS_OF_A_ROW = 38
ROWS_OF_A_SCREEN = 20
LONGEST = 2 * ROWS_OF_A_SCREEN + 4
"""Grid rows before closed headings: about two screens."""
WIDEST_JSON = 180_000
LONGEST_QUERY = 6_000
CELL_PADDING = 13
CELL_LETTERS = {
    **dict.fromkeys(" .:", 4.0),
    **dict.fromkeys("0123456789", 8.3),
    "-": 6.5,
    "%": 12.0,
    "$": 8.6,
}
"""Pixels of characters in cells; of others:"""
CELL_LETTER = 7.7
PALETTE = {
    *("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7"),
    *("#999999", "text", "transparent"),
}
NEUTRAL = {"text", "transparent"}


def width(panel: Document, screen: int) -> float:
    """Return the pixels of a panel."""
    column = (screen - GRID_PADDING + GAP) / 24
    return float(panel["gridPos"]["w"] * column - GAP)


def fields(panel: Document) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the settings of all fields of a panel: (name, empty for all; settings)."""
    config = panel["fieldConfig"]
    defaults = config["defaults"]
    custom = {f"custom.{key}": each for key, each in defaults.get("custom", {}).items()}
    yield "", {**defaults, **custom}
    for override in config["overrides"]:
        settings = {one["id"]: one.get("value") for one in override["properties"]}
        yield str(override["matcher"].get("options")), settings


def shown(panel: Document) -> dict[str, Mapping[str, object]]:
    """Return the settings of a table's visible columns by title."""
    [organized] = (one for one in panel["transformations"] if one["id"] == "organize")
    titles = set(organized["options"]["renameByName"].values())
    return {name: settings for name, settings in fields(panel) if name in titles}


def is_named(where: Document) -> str:
    return str(where["title"])


TABLES = [panel for panel in panels() if panel["type"] == "table"]


@pytest.mark.parametrize("screen", SCREENS)
def test_no_title_is_cut(screen: int) -> None:
    cut = [
        panel["title"]
        for panel in panels()
        if TITLE_LETTER * len(panel["title"]) + TITLE_PADDING > width(panel, screen)
    ]

    assert cut == []


@pytest.mark.parametrize("screen", SCREENS)
def test_a_sparkline_has_room(screen: int) -> None:
    """Grafana draws none in low tiles; beside a text in flat ones it needs less."""
    found = 0
    for panel in panels():
        if panel["type"] == "stat" and panel["options"]["graphMode"] == "area":
            found += 1
            across = width(panel, screen) - PANEL_PADDING
            down = (
                panel["gridPos"]["h"] * PIXELS_OF_A_ROW - GAP - HEADER - PANEL_PADDING
            )
            down /= len(panel["targets"])
            assert down > (60 if across / down > 2.5 else 100), panel["title"]
    assert found > 10


@pytest.mark.parametrize("screen", SCREENS)
def test_no_word_of_a_stat_is_cut(screen: int) -> None:
    """Numbers are shorter than words such as of an exporter that is down."""
    for panel in panels():
        if panel["type"] == "stat":
            defaults = panel["fieldConfig"]["defaults"]
            words = [
                result["text"]
                for one in defaults.get("mappings", [])
                if one["type"] == "value"
                for result in one["options"].values()
            ]
            letter = WORD_LETTER * panel["options"]["text"]["valueSize"]
            room = width(panel, screen) - STAT_PADDING
            assert all(letter * len(word) <= room for word in words), panel["title"]


@pytest.mark.parametrize("table", TABLES, ids=is_named)
def test_no_table_is_narrower_than_its_columns(table: Document) -> None:
    columns = shown(table)
    pixels = {
        name: settings.get("custom.width", settings.get("custom.minWidth"))
        for name, settings in columns.items()
    }

    assert None not in pixels.values(), pixels
    needed = sum(int(str(each)) for each in pixels.values())
    for screen in SCREENS:
        assert needed <= width(table, screen) - TABLE_PADDING, (screen, pixels)


@pytest.mark.parametrize("table", TABLES, ids=is_named)
def test_no_heading_is_cut(table: Document) -> None:
    sorted_by = {one["displayName"] for one in table["options"]["sortBy"]}
    assert sorted_by <= set(shown(table))

    for name, settings in shown(table).items():
        if "custom.width" in settings:
            needed = HEADING_LETTER * len(name) + HEADING_PADDING
            needed += SORT_ARROW * (name in sorted_by)
            needed += FILTER_ICON * bool(settings.get("custom.filterable"))
            assert needed <= float(str(settings["custom.width"])), name


def usual(title: str, settings: Mapping[str, object]) -> str:
    """Return a wide text of a value of a column, in its unit."""
    decimals = settings.get("decimals", 2)
    sign = "-" * (title in {"Lift", "z"} or title.startswith("vs "))
    texts = {
        "percentunit": f"{sign}{88.888:.{decimals}f}%",
        "s": f"{48.88:.{settings.get('decimals', 1)}f} hours",
        "currencyUSD": f"${8.888:.{decimals}f}",
        "dateTimeAsIso": "2026-08-29 18:46:38",
        "dateTimeFromNow": "22 minutes ago",
        "time:YYYY-MM-DD": "2026-08-29",
        "time:YYYY-MM-DD HH:mm": "2026-08-29 18:46",
        "short": f"{sign}88.8 Mil" if "decimals" not in settings else f"{sign}88.88",
    }
    return texts[str(settings.get("unit", "short"))]


@pytest.mark.parametrize("table", TABLES, ids=is_named)
def test_no_value_is_cut(table: Document) -> None:
    """Of columns of numbers, which have a fixed width; of a cut one the end is lost."""
    [organized] = (one for one in table["transformations"] if one["id"] == "organize")
    renamed = organized["options"]["renameByName"]
    columns = shown(table)
    for title in (title for field, title in renamed.items() if "Value" in field):
        settings = columns[title]
        if "mappings" in settings and "unit" not in settings:
            continue  # words
        text = usual(title, settings)
        needed = sum(CELL_LETTERS.get(one, CELL_LETTER) for one in text)
        room = float(str(settings["custom.width"])) - CELL_PADDING
        assert needed <= room, (title, text)


@pytest.mark.parametrize("panel", panels(), ids=is_named)
def test_a_missing_value_is_no_alarm(panel: Document) -> None:
    """Grafana gives null the colour of the lowest step."""
    if panel["type"] in {"text", "timeseries"}:
        return
    for name, settings in fields(panel):
        steps = settings.get("thresholds")
        if not isinstance(steps, dict):
            continue
        [lowest] = [one["color"] for one in steps["steps"] if one["value"] is None]
        mappings = settings.get("mappings") or []
        assert isinstance(mappings, list)
        of_null = [
            one["options"]["result"]["color"]
            for one in mappings
            if one["type"] == "special" and one["options"]["match"] == "null+nan"
        ]
        is_bar = panel["type"] == "bargauge"
        assert is_bar or {*of_null, lowest} & NEUTRAL, name
        assert set(of_null) <= NEUTRAL, name


@pytest.mark.parametrize("panel", panels(), ids=is_named)
def test_an_empty_panel_says_so(panel: Document) -> None:
    if panel["type"] != "text":
        assert panel["fieldConfig"]["defaults"]["noValue"]


@pytest.mark.parametrize("screen", SCREENS)
def test_an_empty_tile_shows_its_words(screen: int) -> None:
    """Of a panel without data Grafana shows the mapped text of null, if there is one.

    It breaks lines between words only.
    """
    for panel in panels():
        if panel["type"] != "stat":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        [words] = [
            one["options"]["result"]["text"]
            for one in defaults["mappings"]
            if one["type"] == "special"
        ]
        assert words == defaults["noValue"], panel["title"]
        letter = WORD_LETTER * panel["options"]["text"]["valueSize"]
        longest = max(map(len, words.split()))
        assert letter * longest <= width(panel, screen) - STAT_PADDING, panel["title"]


def test_a_sparkline_and_a_bar_have_a_scale_of_their_own() -> None:
    """By default its end is the largest value of all queries, of a table all columns.

    Beside a rate that would be its change in percentage points.
    """
    found = set()
    for panel in panels():
        if panel["options"].get("graphMode") == "area":
            assert panel["fieldConfig"]["defaults"]["min"] == 0
            if len(panel["targets"]) > 1:
                assert dict(fields(panel))["number"] == {"fieldMinMax": True}
                found.add(panel["type"])
        for _, settings in fields(panel) if panel["type"] == "table" else ():
            cell = settings.get("custom.cellOptions")
            if isinstance(cell, dict) and cell["type"] == "gauge":
                assert (settings["min"], settings["fieldMinMax"]) == (0, True)
                found.add(panel["type"])

    assert found == {"stat", "table"}


def test_bars_that_do_not_fit_are_the_lowest() -> None:
    """Bars below the last visible one are behind a scroll bar."""
    for panel in panels():
        if panel["type"] == "bargauge":
            [target] = panel["targets"]
            assert target["expr"].startswith("sort_desc("), panel["title"]


def test_an_empty_panel_claims_no_cause() -> None:
    """All are empty while no exporter is up; tiles have one beside them with that."""
    neutral = {"–", "No figures", "No campaign or canvas is polled"}
    texts = {
        panel["fieldConfig"]["defaults"]["noValue"]
        for panel in panels()
        if panel["type"] not in {"text", "stat"}
    }

    assert [one for one in texts - neutral if not one.endswith(", or no figures")] == []


def test_a_table_by_state_begins_with_it() -> None:
    """Its codes are sorted, the worst first. Rows of other queries are left out."""
    [table] = [one for one in TABLES if "State" in shown(one) and "Sent" in shown(one)]
    transformations = {one["id"]: one["options"] for one in table["transformations"]}
    order = transformations["organize"]["indexByName"]
    titles = transformations["organize"]["renameByName"]
    [only] = transformations["filterByValue"]["filters"]

    assert titles[min(order, key=order.__getitem__)] == "State"
    assert table["options"]["sortBy"] == [{"displayName": "State", "desc": False}]
    assert (only["fieldName"], only["config"]["id"]) == ("State", "isNotNull")


def test_names_have_the_space_that_is_left() -> None:
    names = {
        *("Name", "Campaign", "Canvas", "Step", "Variation", "Variant"),
        *("Segment", "Event", "Integration", "Series"),
    }
    for table in TABLES:
        if table["title"].startswith("Series and values"):  # numbers of them
            continue
        for name, settings in shown(table).items():
            assert ("custom.minWidth" in settings) is (name in names), table["title"]


def test_alerts_have_a_colour_and_are_on_the_first_screen() -> None:
    [alerts] = [one for one in TABLES if "Alert" in shown(one)]
    severity = shown(alerts)["Severity"]
    mappings = severity["mappings"]
    assert isinstance(mappings, list)
    names = {name for one in mappings for name in one["options"]}

    assert names == {"critical", "warning"}
    assert severity["custom.cellOptions"] == {"type": "color-text"}
    place = alerts["gridPos"]
    assert place["y"] + place["h"] <= ROWS_OF_A_SCREEN


def test_a_trend_alone_is_taken_for_a_time_series() -> None:
    """Else results of one row are, and their columns vanish."""
    found = [
        (panel, one)
        for panel in panels()
        for one in panel.get("transformations", [])
        if one["id"] == "timeSeriesTable"
    ]

    assert found
    for panel, one in found:
        courses = [each["refId"] for each in panel["targets"] if each["range"]]
        assert one["filter"] == {"id": "byRefId", "options": "|".join(courses)}


def test_an_empty_column_does_not_keep_a_trend_from_the_table() -> None:
    """Grafana merges results that all have a field in common, an empty one only `Time`.

    After midnight nothing is sent yet, so a column of today is empty.
    """
    for panel in TABLES:
        merges, trends = (
            [at for at, one in enumerate(panel["transformations"]) if one["id"] == name]
            for name in ("merge", "timeSeriesTable")
        )
        if trends:
            first, last = merges
            instants = [each["refId"] for each in panel["targets"] if each["instant"]]
            columns = {"id": "byRefId", "options": "|".join(instants)}
            assert panel["transformations"][first]["filter"] == columns
            assert "filter" not in panel["transformations"][last]
            assert first < trends[0] < last


def test_the_rows_of_a_trend_are_chosen_by_samples_of_now() -> None:
    """Its last point is midnight, at which a new Prometheus has no samples."""
    [trend] = [
        target["expr"]
        for panel in TABLES
        for target in panel["targets"]
        if target["range"]
    ]
    [_, chosen] = trend.split("topk(")

    assert chosen.count("} @ ${__to:date:seconds}") == chosen.count("{__name__=~")


def test_bars_have_names() -> None:
    """A single bar has no name from its legend; labels of 0 letters are cut to none."""
    for panel in panels():
        if panel["type"] == "bargauge":
            assert "${__field" in panel["fieldConfig"]["defaults"]["displayName"]
            assert panel["options"]["namePlacement"] == "left"
            assert panel["options"]["sizing"] == "manual"
        if panel["type"] == "barchart":
            assert not [key for key in panel["options"] if key.startswith("xTick")]
            label = panel["options"]["xField"]
            assert "mappings" in dict(fields(panel))[label], "names for people"


def test_days_are_dates() -> None:
    """Midnight of the workspace is another date in the time zone of many readers."""
    found = 0
    for panel in panels():
        for target in panel.get("targets", []):
            if re.search(
                r"1000 \*.*_day_timestamp_seconds|1000 \*.*_daily_t", target["expr"]
            ):
                found += 1
                assert "43200" in target["expr"], panel["title"]
        text = json.dumps(panel["fieldConfig"])
        if "dateTimeAsIso" in text:
            assert "_day_timestamp" not in json.dumps(panel["targets"]), panel["title"]
    assert found >= 3


def test_ages_are_counted_in_intervals() -> None:
    """Idle campaigns, which are polled each hour, are older than those that fail."""
    oldest = [one for one in panels() if one["title"].startswith("Oldest figures")]

    assert len(oldest) == 3
    for panel in oldest:
        assert "_interval_seconds" in panel["targets"][0]["expr"]
        assert "ntervals" in json.dumps(panel["fieldConfig"])


@pytest.mark.parametrize("name", NAMES)
def test_the_first_time_range_fits_the_figures(name: str) -> None:
    """In 24 hours there is a single figure of a day."""
    is_of_days = name != "braze-exporter"

    assert load(name)["time"]["from"] == ("now-28d" if is_of_days else "now-24h")
    assert load(name)["refresh"] == ("5m" if is_of_days else "1m")


def test_days_are_compared_with_the_same_weekday() -> None:
    for panel in panels():
        for target in panel.get("targets", []):
            if "weekday" in target["legendFormat"]:
                assert set(re.findall(r"offset (\S+?)\)", target["expr"])) == {"7d"}


def test_rates_of_spam_have_three_decimals() -> None:
    """The first limit is 0.08 %."""
    found = 0
    for panel in panels():
        for name, settings in fields(panel):
            title = name or panel["title"]
            is_rate = settings.get("unit") == "percentunit"
            if is_rate and re.search("spam", title, re.IGNORECASE):
                found += 1
                assert settings["decimals"] == 3, title
    assert found > 10


def test_damage_has_an_axis_of_its_own() -> None:
    """Beside opens of 30 % the rates that are dangerous are flat lines."""
    for panel in panels():
        if panel["type"] == "timeseries":
            asked = " ".join(one["expr"] for one in panel["targets"])
            is_damage = re.search("reported_spam|bounces|unsubscribes", asked)
            assert not (is_damage and "unique_opens" in asked), panel["title"]


def test_delivered_is_a_rate_where_channels_are_mixed() -> None:
    """Push and cards report none: as a count it seems that most messages are lost."""
    for panel in panels():
        for name, settings in fields(panel):
            if (name or panel["title"]) == "Delivered":
                assert settings["unit"] == "percentunit", panel["title"]


def test_series_have_colours_of_the_palette() -> None:
    """Without a scheme Grafana takes its own colours, with green and red."""
    for panel in panels():
        if panel["type"] != "timeseries":
            continue
        colour = panel["fieldConfig"]["defaults"]["color"]
        assert colour["mode"] in {"fixed", "shades", "thresholds"}, panel["title"]
        if colour["mode"] != "thresholds":
            assert colour["fixedColor"] in PALETTE, panel["title"]


def test_only_high_rates_of_email_are_coloured() -> None:
    """Ten lines of one colour hide the one that matters; limits have names and lines.

    Later overrides prevail. The values are those of the first frames, without gaps.
    """
    of_email = "braze-email-deliverability"
    graphs = [one for one in panels(of_email) if "rate" in one["title"].lower()]
    graphs = [one for one in graphs if one["type"] == "timeseries"]

    assert len(graphs) == 4
    for panel in graphs:
        config = panel["fieldConfig"]
        assert config["defaults"]["color"] == {"mode": "fixed", "fixedColor": "#999999"}
        by_value = [
            one["matcher"]["options"]
            for one in config["overrides"]
            if one["matcher"]["id"] == "byValue"
        ]
        constants = [
            (float(one["expr"].split()[0]), one["legendFormat"])
            for one in panel["targets"]
            if "{{" not in one["legendFormat"]
        ]
        values = [value for value, _ in constants]
        assert [one["value"] for one in by_value] == [values[0] / 2, *values]
        assert values == sorted(values)
        assert {one["reducer"] for one in by_value} == {"lastNotNull"}
        styled = [one["matcher"]["options"] for one in config["overrides"]]
        assert styled[-len(constants) :] == [f"/^{name}$/" for _, name in constants]


@pytest.mark.parametrize("name", ["braze-email-deliverability", "braze-messaging"])
def test_a_tile_is_as_wide_as_its_values(name: str) -> None:
    """Their sizes are fixed, and their names are not wrapped."""
    for panel in panels(name):
        if panel["type"] == "stat":
            sizes = panel["options"]["text"]
            decimals = panel["fieldConfig"]["defaults"].get("decimals", 1)
            legends = [one["legendFormat"] for one in panel["targets"]]
            room = width(panel, 1280) / len(legends) - STAT_PADDING
            assert DIGIT * sizes["valueSize"] * (decimals + 4) <= room
            if len(legends) > 1:
                longest = max(map(len, legends))
                assert WORD_LETTER * sizes["titleSize"] * longest <= room


@pytest.mark.parametrize("name", ["braze-email-deliverability", "braze-messaging"])
def test_figures_come_before_texts(name: str) -> None:
    document = load(name)
    closed = {
        one["title"] for row in document["panels"] for one in row.get("panels", [])
    }
    texts = {one["title"] for one in panels(name) if one["type"] == "text"}

    assert texts <= closed
    assert document["panels"][-1].get("collapsed")


def test_tables_show_rates_before_counts() -> None:
    """Counts may be cut on narrow screens, rates may not."""
    for table in panels("braze-email-deliverability", "braze-messaging"):
        if table["type"] == "table":
            [organized] = (
                one for one in table["transformations"] if one["id"] == "organize"
            )
            columns = shown(table)
            units = [
                columns[title].get("unit") == "percentunit"
                for title in organized["options"]["renameByName"].values()
                if title not in {"Kind", "Name", "Channel", "Part", "Text", "Workspace"}
            ]
            assert units == sorted(units, reverse=True), table["title"]


def test_a_legend_of_labels_is_a_table_with_values() -> None:
    for panel in panels():
        if panel["type"] != "timeseries":
            continue
        legend = panel["options"]["legend"]
        if any("{{" in each["legendFormat"] for each in panel["targets"]):
            assert legend["displayMode"] == "table", panel["title"]
            assert legend["calcs"] == ["lastNotNull"], panel["title"]
            assert panel["gridPos"]["w"] >= 12, panel["title"]


def test_an_incident_of_the_last_day_is_seen() -> None:
    """A state timeline draws its last value without a width."""
    assert "state-timeline" not in {panel["type"] for panel in panels()}
    for panel in panels():
        if panel["type"] == "status-history":
            assert panel["timeFrom"] == "28d"
            assert panel["targets"][0]["interval"] == "1d"


@pytest.mark.parametrize("name", NAMES)
def test_the_header_is_one_line(name: str) -> None:
    document = load(name)
    variables = [one for one in document["templating"]["list"] if one.get("hide") != 2]
    switches = [one["name"] for one in document["annotations"]["list"]]
    words = [one["label"] for one in variables if not one.get("hide")]
    words += [*switches, *(one["title"] for one in document["links"])]
    needed = VARIABLE_LETTER * sum(map(len, words)) + VARIABLE_PADDING * len(words)
    needed += CHOICE * len(variables) + SWITCH * len(switches)
    needed += LINK_ICONS * len(document["links"])

    for one in document["links"]:
        assert one["asDropdown"] or one["type"] == "link", "one for each dashboard"
    assert all("description" not in one for one in document["templating"]["list"])
    assert needed + TIME_PICKER <= 1440 - GRID_PADDING


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_two_screens_before_closed_headings(name: str) -> None:
    document = load(name)
    end = max(
        one["gridPos"]["y"] + one["gridPos"]["h"]
        for one in document["panels"]
        if one["type"] != "row"
    )

    closed = sum(bool(one.get("collapsed")) for one in document["panels"])
    assert end - closed <= LONGEST


@pytest.mark.parametrize("name", NAMES)
def test_the_first_row_is_low(name: str) -> None:
    """Figures come first, and more than one row of them fits on the first screen."""
    first = [one for one in load(name)["panels"] if one["gridPos"]["y"] == 1]

    assert {one["type"] for one in first} == {"stat"}
    assert max(one["gridPos"]["h"] for one in first) <= 5
    assert sum(one["gridPos"]["w"] for one in first) == 24


@pytest.mark.parametrize("name", NAMES)
def test_the_first_row_states_whether_the_exporter_is_up(name: str) -> None:
    """In words, with a result although nothing is scraped, first and everywhere."""
    first, *others = (one for one in load(name)["panels"] if one["gridPos"]["y"] == 1)
    [query] = first["targets"]
    expected = load("braze-overview")["panels"][1]

    assert "Exporter down" in json.dumps(first)
    assert "Exporter down" not in json.dumps(others)
    assert re.search(r" or \(?vector\(", query["expr"])
    assert "up{" in query["expr"]
    assert first["targets"] == expected["targets"]


def test_processes_are_named_only_under_closed_headings() -> None:
    """A legend cannot leave out an instance that is the only one."""
    closed = {
        panel["title"]
        for name in NAMES
        for heading in load(name)["panels"]
        for panel in heading.get("panels", [])
    }
    for panel in panels():
        legends = " ".join(one["legendFormat"] for one in panel.get("targets", []))
        if "{{instance}}" in legends:
            assert panel["title"] in closed, panel["title"]


def test_classes_of_requests_have_fixed_colours() -> None:
    """Also while some of them, such as 5xx, do not occur."""
    [requests] = (
        one for one in panels() if one["title"] == "Requests per minute by status"
    )
    overrides = requests["fieldConfig"]["overrides"]
    colours = [settings["color"]["fixedColor"] for settings in properties(overrides)]

    assert len(set(colours)) == len(requests["targets"]) == 5
    assert set(colours) <= PALETTE - NEUTRAL


def properties(overrides: list[Document]) -> list[Document]:
    """Return the settings of each override."""
    return [
        {each["id"]: each.get("value") for each in one["properties"]}
        for one in overrides
    ]


def test_keys_that_change_the_layout_are_left_out() -> None:
    for name in NAMES:
        text = json.dumps(load(name))
        for key in ("repeatDirection", "xTickLabelMaxLength", "auto_count"):
            assert f'"{key}"' not in text, name


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_and_its_queries_are_short(name: str) -> None:
    """A ConfigMap's annotation holds 256 KiB, VictoriaMetrics' queries 16 KiB."""
    text = json.dumps(load(name), indent=1, ensure_ascii=False)
    long = {
        panel["title"]: len(target["expr"])
        for panel in panels(name)
        for target in panel.get("targets", [])
        if len(target["expr"]) > LONGEST_QUERY
    }

    assert len(text.encode()) <= WIDEST_JSON
    assert long == {}


@pytest.mark.parametrize("name", NAMES)
def test_events_can_be_shown(name: str) -> None:
    """Alerts; starts, loaded configurations and edits; off until they are chosen."""
    events = load(name)["annotations"]["list"]

    assert [one["enable"] for one in events] == [False] * 2
    assert {one["iconColor"] for one in events} <= PALETTE
    assert all(one["expr"] == one["target"]["expr"] for one in events)


def test_figures_of_complete_days_have_a_point_for_each_day() -> None:
    """A point in each pixel would repeat every figure dozens of times, at that cost."""
    of_days = [
        (panel["title"], target)
        for panel in panels()
        for target in panel.get("targets", [])
        if target["range"]
        and re.search(r"_(last_complete_day|trailing)\W", target["expr"])
        and not re.search(r"_daily\W", target["expr"])
    ]

    assert len(of_days) > 10
    for title, target in of_days:
        assert target["interval"] == "1d", title


def test_other_graphs_have_less_points_than_pixels() -> None:
    for panel in panels():
        if panel["type"] == "timeseries":
            courses = [one for one in panel["targets"] if one["range"]]
            is_by_day = all(one.get("interval") == "1d" for one in courses)
            assert is_by_day or panel["maxDataPoints"] <= 250, panel["title"]


def test_what_needs_rules_says_so() -> None:
    """All other queries read only what the exporter exposes."""
    found = 0
    for panel in panels():
        recorded = [one for one in panel.get("targets", []) if ":" in selected(one)]
        found += len(recorded)
        if recorded:
            assert "grafana/rules" in panel["description"]
            assert "grafana/rules" in json.dumps(
                [settings.get("noValue") for _, settings in fields(panel)]
            )
    assert found


def selected(target: Document) -> str:
    """Return the names of a query's metrics."""
    return " ".join(one.name for one in selectors(target["expr"]))

"""Every query of every dashboard, with a real Prometheus that scrapes the demo."""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings

from tests.dashboards.dashboard_json import (
    NAMES,
    PanelQuery,
    expression,
    filled,
    load,
    queries,
    selectors,
)
from tests.docs.families import exposed, of_canvases
from tests.paths import ROOT
from tests.rules.alert_rules import rules
from tests.support.daemon_process import Process, daemon, get, parse, until
from tests.support.prometheus import (
    Vector,
    ask,
    configuration,
    label_values,
    prometheus,
)

Program = Callable[[str], str]
pytestmark = pytest.mark.slow

CAMPAIGNS = 22
SPRING = "Spring sale 🌷"
CANVASES = 9
SERIES = 20
CHOSEN = {
    "braze-email-deliverability": [
        {"campaign": name} for name in (SPRING, "Win-back after 90 days")
    ],
    "braze-messaging": [
        {"campaign": name}
        for name in (
            *("Flash sale in the app", "Order shipped", "新着アイテムのお知らせ"),
            *("Onboarding tour", "Home feed cards", "Loyalty tier sync"),
        )
    ],
    "braze-campaign": [
        {"campaign": name}
        for name in (SPRING, "Flash sale in the app", "Order shipped")
    ],
    "braze-canvas": [{"canvas": "Onboarding 2026 👋", "baseline": "Control Group"}],
}
"""Campaigns that together use all channels of a dashboard, and a canvas."""
EMPTY = {
    f"braze-campaign / Today against yesterday and last week / {letter}": "no history"
    for letter in "BC"
} | {
    "braze-campaign / How fresh the figures are / D": "campaigns are not discovered",
    "braze-email-deliverability / Unsubscribe rate by day / D": "none is high today",
    **{
        f"braze-workspace / {panel} / {letter}": "no history"
        for panel, letters in (
            ("Users, sessions and purchases, last complete day", "B"),
            ("Segments: which users can be reached", "CD"),
            ("Events: what triggers messages", "C"),
        )
        for letter in letters
    },
}
"""Queries that may have no result on the demo, with the reason."""
NEEDS_A_WEEK = '"direction"'
"""In queries that compare with a week before, which the demo does not have."""
TROUBLE = (
    ("braze-exporter", "Failing, with the reason"),
    ("braze-exporter", "Polled without figures"),
    ("braze-overview", "Firing and pending alerts"),
)
ALL_WELL, NEVER = -1, 10**9
"""Codes in these tables instead of seconds; their panels map them to text."""
TARGETS = """\
global: {scrape_interval: 5s, scrape_timeout: 5s, evaluation_interval: 5s}
rule_files: [RECORDING]
scrape_configs:
  - job_name: one
    static_configs: [{targets: [TARGET]}]
  - job_name: two
    static_configs:
      - targets: [TARGET]
        labels: {instance: a, pod: a, LABELS}
      - targets: [TARGET]
        labels: {instance: b, pod: b, LABELS}
  - job_name: three
    static_configs: [{targets: [TARGET]}]
"""
LABELS = "service: two, namespace: two, container: exporter, endpoint: http, node: n"
RECORDING = ROOT / "grafana/rules/braze-recording.yaml"
RULES = """\
groups:
  - name: test
    rules:
      - alert: BrazeTest
        expr: vector(1)
        labels: {severity: critical, workspace: production, campaign: none}
"""


MONTH = 'braze_canvas_overall_trailing{window="28d", metric="entries"}'
Z_SCORE = "campaign_channel_variation:braze_z_score:ratio_28d"
SCRAPED = (
    f"count(braze_campaign_up == 1) == {4 * CAMPAIGNS}",
    f"count(braze_canvas_up == 1) == {4 * CANVASES}",
    f"count(braze_workspace_series_up == 1) == {4 * SERIES}",
    # Days before those of the first request are requested later.
    f"count({MONTH}) == {4 * CANVASES}",
    'count(rate(braze_exporter_polls_total{result="stored"}[1m]) > 0) == 4',
    f"count(count by (job) ({Z_SCORE})) == 3",
)
"""With a result once four targets have every campaign, and rates of their polls.

And once rules have compared the variations of each job.
"""
KINDS = ("campaign", "canvas")
MESSAGE = {"workspace", "campaign", "channel", "variation"}
"""The labels of recordings that dashboards read."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The demo, and a Prometheus that scrapes it with three jobs.

    The second job scrapes it as two replicas, the third as the same process again.
    """

    demo: str
    prometheus: str
    at: float
    """When it has scraped all; later a slow scrape may leave a gap for a moment."""

    def ask(self, query: PanelQuery | str, **chosen: str) -> Vector:
        """Return the result of a query with filled variables; its values are finite."""
        text = query if isinstance(query, str) else query.expression
        vector = ask(
            self.prometheus,
            filled(text, {**chosen, "__to": f"{self.at:.0f}"}),
            at=self.at,
        )
        assert all(math.isfinite(value) for _, value in vector), query
        return vector


@pytest.fixture(scope="module")
def watched(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """Watch the demo in a time zone in which it is early in the afternoon.

    Shortly after midnight few messages are sent, and their rates are absent.
    """
    # The sign in the name of such a zone is reversed.
    zone = f"--timezone=Etc/GMT{datetime.now(UTC).hour - 13:+d}"
    with Process("demo", "--web.listen-address=127.0.0.1:0", zone) as demo:
        document = TARGETS.replace("TARGET", demo.url.removeprefix("http://"))
        document = document.replace("LABELS", LABELS)
        document = document.replace("RECORDING", str(RECORDING))
        where = tmp_path_factory.mktemp("prometheus")
        with prometheus(program("prometheus"), document, where=where) as url:
            at = until(partial(_complete, url), what=str(SCRAPED))
            yield Watched(demo.url, url, at)


def _complete(prometheus: str) -> float | None:
    """Return the time in whole seconds, as of `__to`, if everything is scraped."""
    now = float(int(time.time()))
    is_complete = all(ask(prometheus, query, at=now) for query in SCRAPED)
    return now if is_complete else None


@pytest.mark.parametrize("job", [None, "one"], ids=["all", "one campaign"])
@pytest.mark.parametrize("name", NAMES)
def test_every_query_has_a_result(watched: Watched, name: str, job: str | None) -> None:
    """With All in every variable, and with one job and some campaign or canvas."""
    choices: list[dict[str, str]] = [{}]
    if job:
        some = CHOSEN.get(name, [{"campaign": SPRING}])
        choices = [{"job": job, **each} for each in some]

    empty = [
        str(query)
        for query in queries(name)
        if str(query) not in EMPTY
        and NEEDS_A_WEEK not in query.expression
        and not any(watched.ask(query, **chosen) for chosen in choices)
    ]

    assert empty == []


def test_queries_that_may_be_empty_exist() -> None:
    assert set(EMPTY) <= {str(query) for name in NAMES for query in queries(name)}


@pytest.mark.parametrize("chosen", [{}, {"job": "two", "campaign": SPRING}])
def test_every_variable_has_values(watched: Watched, chosen: dict[str, str]) -> None:
    for name in NAMES:
        for variable in load(name)["templating"]["list"][1:]:
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert found, variable["query"]
            selector = filled(found[1], chosen)
            assert label_values(watched.prometheus, found[2], selector=selector)


@pytest.mark.parametrize(
    ("kind", "count"), [("campaign", CAMPAIGNS), ("canvas", CANVASES)]
)
def test_any_name_can_be_chosen(watched: Watched, kind: str, count: int) -> None:
    everything = f'braze_{kind}_info{{job="one"}}'
    names = label_values(watched.prometheus, kind, selector=everything)
    by_name = f"count by ({kind}) (braze_{kind}_info{{{kind}=~`${{{kind}:regex}}`}})"

    found = [
        [labels[kind] for labels, _ in watched.ask(by_name, **{kind: name})]
        for name in names
    ]

    assert len(names) == count
    assert {"\\"} <= set("".join(names))
    assert found == [[name] for name in names]


PER_KIND = (
    ("braze-overview", "Campaigns and canvases by state, last complete day"),
    (
        "braze-email-deliverability",
        "Bounces, spam complaints and unsubscribes by campaign and canvas",
    ),
    ("braze-messaging", "Push messages by campaign and canvas, last complete day"),
    ("braze-exporter", "Oldest figures, 50 rows"),
)


@pytest.mark.parametrize(("name", "panel"), PER_KIND, ids=[one[1] for one in PER_KIND])
def test_campaigns_and_canvases_are_in_one_table(
    watched: Watched, name: str, panel: str
) -> None:
    """A chosen campaign leaves the canvases out."""
    asked = f"count by (kind) ({expression(name, panel)})"

    everything = {labels["kind"] for labels, _ in watched.ask(asked)}
    chosen = {labels["kind"] for labels, _ in watched.ask(asked, campaign=SPRING)}

    assert everything == set(KINDS)
    assert chosen <= {"campaign"}


def test_the_canvas_that_sends_nothing_is_found(watched: Watched) -> None:
    """It is entered, and each of its steps is silent; in the others none is."""
    silent = watched.ask(expression("braze-canvas", "Silent steps"))
    found = {labels["canvas"] for labels, value in silent if value >= 0}

    assert "Abandoned checkout" in found
    assert "Onboarding 2026 👋" not in found
    steps = {labels.get("step") for labels, _ in silent}
    assert {"First reminder", "Second reminder"} <= steps


def test_queries_use_only_existing_metrics_and_labels(watched: Watched) -> None:
    scrape = parse(get(f"{watched.demo}/metrics")[2].decode())
    known = (
        exposed()
        | of_canvases()
        | {
            family: {label for labels in samples for label, _ in labels}
            for family, samples in scrape.items()
        }
        | {rule.name: MESSAGE for rule in rules() if not rule.is_alert}
    )
    stats = {
        dict(labels)["metric"]
        for family in scrape
        for labels in scrape[family]
        if any(name == "metric" for name, _ in labels)
    }

    for query in queries():
        for selector in selectors(query.expression):
            if selector.name in {"up", "ALERTS", "ALERTS_FOR_STATE"}:
                continue  # of Prometheus
            families = [one for one in known if re.fullmatch(selector.name, one)]
            assert len(families) >= (1 if selector.name in known else 2), query
            labels = set().union(*(known[family] for family in families))
            for label, operator, value in selector.matchers:
                assert label in {*labels, "job"}, query
                if (label, operator) == ("metric", "="):
                    assert value in stats, query


PAIRS: tuple[tuple[Mapping[str, str], Mapping[str, str], str], ...] = (
    ({"job": "one"}, {"job": "two"}, "_daily|_month_to_date"),
    ({}, {"job": "one"}, r'_daily[{"]|_month_to_date'),
)
"""Choices with equal figures, and a pattern in queries for which that is not so."""
CHANGING = ("time()", "ALERTS", "by (instance", "max without (pod")
"""Parts of queries with results that change, or for each process."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("one", "other", "without"), PAIRS, ids=["replicas", "jobs"])
def test_processes_with_the_same_campaigns_give_the_figures_of_one(
    watched: Watched,
    name: str,
    one: Mapping[str, str],
    other: Mapping[str, str],
    without: str,
) -> None:
    """Figures of whole days of two replicas, or of several jobs, are not added up."""
    whole = [
        query
        for query in queries(name)
        if not any(
            # The time is that of the last point in graphs by day, not in their figures.
            part in query.expression.replace("vector(time())", "")
            for part in CHANGING
        )
        and not re.search(without, query.expression)
    ]

    doubled = ask(watched.prometheus, 'sum(braze_campaign_up{job="two"})')
    assert doubled[0][1] == 2 * CAMPAIGNS
    assert len(whole) > 5

    def is_equal(query: PanelQuery) -> bool:
        found, same = (watched.ask(query, **chosen) for chosen in (one, other))
        return sorted(map(repr, found)) == sorted(map(repr, same))

    assert [str(query) for query in whole if not is_equal(query)] == []


def test_ages_of_two_jobs_are_not_added_up(watched: Watched) -> None:
    """With All every campaign is seconds old."""
    state, oldest = "How fresh the figures are", "Oldest figures, 50 rows"
    fresh = watched.ask(expression("braze-campaign", state))
    fresh += watched.ask(expression("braze-canvas", state))
    oldest_first = watched.ask(expression("braze-exporter", oldest, "B"))

    ages = [age for _, age in (*fresh, *oldest_first)]

    assert len(ages) == 2 * (CAMPAIGNS + CANVASES)
    assert all(-60 < age < 600 for age in ages)


def test_a_process_that_two_jobs_scrape_counts_once(watched: Watched) -> None:
    """Its requests are not doubled, and it is one row of the processes."""
    requests = expression("braze-exporter", "Requests per minute by process")

    def sent(**chosen: str) -> dict[str, float]:
        found = watched.ask(requests, **chosen)
        return {labels["instance"]: value for labels, value in found}

    target = watched.demo.removeprefix("http://")
    up = watched.ask(expression("braze-exporter", "Processes"))
    shown = sent()
    alone = max(sent(job=job)[target] for job in ("one", "three"))

    assert sorted(labels["instance"] for labels, _ in up) == sorted(shown)
    assert set(shown) == {target, "a", "b"}
    assert shown[target] == pytest.approx(alone, rel=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_events_are_instants_in_milliseconds(watched: Watched, name: str) -> None:
    """Those of a process are not doubled by a second job."""
    _, changes = load(name)["annotations"]["list"]
    found = defaultdict(list)
    for labels, value in watched.ask(changes["expr"]):
        assert 1_700_000_000_000 < value < 1000 * watched.at, labels
        found[labels["change"]].append((labels, value))

    target = watched.demo.removeprefix("http://")
    processes = {target, "a", "b"}
    assert set(found) == {
        *("Exporter started", "Configuration loaded", "Edited in Braze"),
    }
    for event in ("Exporter started", "Configuration loaded"):
        assert {labels["instance"] for labels, _ in found[event]} == processes
        assert len(found[event]) == len(processes)


def test_trouble_shows(program: Program, tmp_path: Path) -> None:
    """Tables contain failing campaigns, those without figures, and firing alerts."""
    (tmp_path / "rules.yml").write_text(RULES)
    with Simulator(SimulatorSettings(campaigns=3)) as braze:
        lost, late, _ = braze.campaigns
        braze.set_fault(Fault(status=404), campaign_id=lost.id)
        with daemon(braze) as running:
            running.wait_for("braze_campaign_up", 1, campaign=late.name)
            braze.set_fault(Fault(status=404), campaign_id=late.id)
            running.wait_for("braze_campaign_up", 0, campaign=late.name)
            document = (
                configuration(running.url.removeprefix("http://"))
                + f"rule_files: [{tmp_path / 'rules.yml'}]\n"
            ).replace("scrape_timeout", "evaluation_interval: 1s, scrape_timeout")
            with prometheus(program("prometheus"), document, where=tmp_path) as url:
                until(lambda: ask(url, "ALERTS"))
                until(lambda: ask(url, "count(braze_campaign_up) == 3"))
                trouble = Watched(running.url, url, time.time())
                failing, missing, alerts = (rows(trouble, panel) for panel in TROUBLE)
                reasons = running.scrape()["braze_campaign_failure_info"]

    assert failing[lost.name] == NEVER
    assert failing[late.name] >= 0
    assert missing == {lost.name: 0}
    assert set(alerts) == {"none"}
    assert alerts["none"] >= 0
    labels = {name for one in reasons for name, _ in one}
    assert labels == {"workspace", "campaign", "reason"}


def test_tables_without_trouble_have_one_row(watched: Watched) -> None:
    found = [rows(watched, panel) for panel in TROUBLE]

    assert found == [{"": ALL_WELL}] * 3


def rows(watched: Watched, panel: tuple[str, str]) -> dict[str, float]:
    """Return the values of a table by campaign or canvas."""
    vector = watched.ask(expression(*panel))
    return {labels.get("name", ""): value for labels, value in vector}

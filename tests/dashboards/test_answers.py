"""Every query of every dashboard, with a real Prometheus that scrapes the demo."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings

from tests.dashboards import dashboard_json
from tests.support.daemon_process import Process, Scrape, daemon, get, parse, until
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
CHOSEN = {
    "braze-overview": [SPRING],
    "braze-campaign": [SPRING],
    "braze-email-deliverability": [SPRING],
    "braze-exporter": [SPRING],
    # Campaigns that together use all channels of the panels.
    "braze-messaging": [
        "Flash sale in the app",
        "Order shipped",
        "新着アイテムのお知らせ",
        "Onboarding tour",
        "Home feed cards",
        "Loyalty tier sync",
    ],
}
EMPTY: dict[str, str] = {}
"""Queries without a result on the demo, with the reason."""
TROUBLE = (
    ("braze-exporter", "Failing, with the reason"),
    ("braze-exporter", "Polled without figures"),
    ("braze-overview", "Firing and pending alerts"),
)
ALL_WELL, NEVER = -1, -2
"""Codes in these tables instead of seconds; their panels map them to text."""
TARGETS = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: one
    static_configs:
      - targets: ["{target}"]
  - job_name: two
    static_configs:
      - targets: ["{target}"]
        labels: {{instance: a, pod: a, service: two, namespace: two, {labels}}}
      - targets: ["{target}"]
        labels: {{instance: b, pod: b, service: two, namespace: two, {labels}}}
  - job_name: three
    static_configs:
      - targets: ["{target}"]
"""

RULES = """\
groups:
  - name: test
    rules:
      - alert: BrazeTest
        expr: vector(1)
        labels: {severity: critical, workspace: production, campaign: none}
"""

LABELS = "container: exporter, endpoint: http, node: n"


@dataclass(frozen=True, slots=True)
class Watched:
    """The demo, and a Prometheus that scrapes it with three jobs.

    The second job scrapes it as two replicas, the third as the same process again.
    """

    demo: str
    prometheus: str

    def ask(self, expression: str, **chosen: str) -> Vector:
        """Return the result of a query with filled variables."""
        return ask(self.prometheus, dashboard_json.filled(expression, chosen))

    def scrape(self) -> Scrape:
        """Return a scrape of the demo."""
        return scraped(self.demo)


def scraped(url: str) -> Scrape:
    """Return a scrape of an exporter."""
    return parse(get(f"{url}/metrics")[2].decode())


@pytest.fixture(scope="module")
def watched(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """Watch the demo in a time zone in which it is early in the afternoon.

    Shortly after midnight few messages are sent, and their rates are absent.
    """
    zone = zone_of_hour(13, now=datetime.now(UTC))
    with Process(
        "demo", "--web.listen-address=127.0.0.1:0", f"--timezone={zone}"
    ) as demo:
        target = demo.url.removeprefix("http://")
        document = TARGETS.format(target=target, labels=LABELS)
        where = tmp_path_factory.mktemp("prometheus")
        with prometheus(program("prometheus"), document, where=where) as url:
            wait_until_scraped(url)
            yield Watched(demo.url, url)


def zone_of_hour(hour: int, *, now: datetime) -> str:
    """Return a time zone in which it is this hour; the sign in its name is reversed."""
    behind = now.hour - hour
    return f"Etc/GMT{behind:+d}" if behind else "Etc/GMT"


def test_there_is_a_time_zone_for_every_hour() -> None:
    """The tests do not depend on the time of day."""
    for hour in range(24):
        now = datetime(2026, 3, 29, hour, 59, tzinfo=UTC)

        assert now.astimezone(ZoneInfo(zone_of_hour(13, now=now))).hour == 13


def wait_until_scraped(url: str) -> None:
    """Wait for four targets with every campaign, and for rates of their requests."""
    up = f"count(braze_campaign_up == 1) == {4 * CAMPAIGNS}"
    rates = 'count(rate(braze_exporter_polls_total{result="stored"}[1m]) > 0) == 4'
    until(lambda: ask(url, up), seconds=60, what=up)
    until(lambda: ask(url, rates), seconds=60, what=rates)


def answers(watched: Watched, asked: dashboard_json.Asked, **chosen: str) -> Vector:
    """Return the result of a query; every sample has to be finite."""
    vector = watched.ask(asked.expression, **chosen)
    strange = [labels for labels, value in vector if not math.isfinite(value)]
    assert not strange, f"{asked}: {strange}"
    return vector


def test_every_query_answers_for_all(watched: Watched) -> None:
    """With All in every variable only the queries in EMPTY have no result."""
    for name in dashboard_json.NAMES:
        empty = [
            str(asked)
            for asked in dashboard_json.queries(name)
            if not answers(watched, asked)
        ]

        assert empty == [asked for asked in EMPTY if asked.startswith(f"{name} /")]


def test_every_query_answers_for_one_campaign(watched: Watched) -> None:
    """With one campaign and one job every query has a result for some campaign."""
    for name in dashboard_json.NAMES:
        empty = [
            str(asked)
            for asked in dashboard_json.queries(name)
            if not any(
                answers(watched, asked, campaign=campaign, job="one")
                for campaign in CHOSEN[name]
            )
        ]

        assert empty == [asked for asked in EMPTY if asked.startswith(f"{name} /")]


def test_every_variable_has_values(watched: Watched) -> None:
    """With and without a chosen job and campaign every variable has values."""
    for name in dashboard_json.NAMES:
        for variable in dashboard_json.load(name)["templating"]["list"][1:]:
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert found, variable["query"]
            for chosen in ({}, {"job": "two", "campaign": SPRING}):
                selector = dashboard_json.filled(found[1], chosen)
                values = label_values(watched.prometheus, found[2], selector=selector)
                assert values, (variable["name"], chosen)


def test_any_name_can_be_chosen(watched: Watched) -> None:
    """A name with quotes, backslashes, brackets or emoji selects only its campaign."""
    everything = 'braze_campaign_info{job="one"}'
    names = label_values(watched.prometheus, "campaign", selector=everything)
    by_name = "count by (campaign) (braze_campaign_info{campaign=~`${campaign:regex}`})"

    found = [
        [labels["campaign"] for labels, _ in watched.ask(by_name, campaign=name)]
        for name in names
    ]

    assert len(names) == CAMPAIGNS
    assert any('"' in name for name in names)
    assert any("\\" in name for name in names)
    assert found == [[name] for name in names]


def test_queries_use_only_existing_metrics_and_labels(watched: Watched) -> None:
    """Metrics, labels and Braze's names of figures are those of a scrape."""
    for name in dashboard_json.NAMES:
        scrape = watched.scrape()
        labels = {
            family: {label for sample in samples for label, _ in sample}
            for family, samples in scrape.items()
        }
        # Only while a campaign fails, and with shards.
        labels["braze_campaign_failure_info"] = {"workspace", "campaign", "reason"}
        labels["braze_exporter_shard_info"] = {"shard", "total_shards"}
        stats = {
            value
            for samples in scrape.values()
            for sample in samples
            for label, value in sample
            if label == "metric"
        }
        for asked in dashboard_json.queries(name):
            for selector in dashboard_json.selectors(asked.expression):
                if selector.name == "ALERTS":
                    continue
                assert selector.name in labels, asked
                used = {label for label, _, _ in selector.matchers}
                assert used <= labels[selector.name] | {"job"}, asked
                if ("metric", "=") in [one[:2] for one in selector.matchers]:
                    assert set(selector.values("metric")) <= stats, asked


@pytest.mark.parametrize(
    "name", ["braze-overview", "braze-campaign", "braze-email-deliverability"]
)
def test_two_replicas_give_the_figures_of_one(watched: Watched, name: str) -> None:
    """Figures of whole days are the same whether one or two exporters are scraped."""
    whole = [
        asked
        for asked in dashboard_json.queries(name)
        if "braze_campaign_daily" not in asked.expression
        and "time()" not in asked.expression
        and "ALERTS" not in asked.expression
    ]

    def differing() -> list[str]:
        return [
            str(asked)
            for asked in whole
            if answers(watched, asked, job="one") != answers(watched, asked, job="two")
        ]

    doubled = ask(watched.prometheus, 'sum(braze_campaign_up{job="two"})')
    assert doubled[0][1] == 2 * CAMPAIGNS
    assert len(whole) > 15
    assert differing() == []


def test_two_jobs_give_the_figures_of_one(watched: Watched) -> None:
    """Figures of the same campaigns in several jobs are not added up."""
    for name in dashboard_json.NAMES:
        whole = [
            asked
            for asked in dashboard_json.queries(name)
            if "braze_campaign_daily{" not in asked.expression
            and "time()" not in asked.expression
            and "ALERTS" not in asked.expression
            and "by (instance" not in asked.expression
            and "max without (pod" not in asked.expression
        ]

        differing = [
            str(asked)
            for asked in whole
            if answers(watched, asked) != answers(watched, asked, job="one")
        ]

        assert len(whole) > 5
        assert differing == []


def test_ages_of_two_jobs_are_not_added_up(watched: Watched) -> None:
    """With All every campaign is seconds old."""
    fresh = expression("braze-campaign", "How fresh the figures are", "C")
    oldest = expression("braze-exporter", "Oldest figures, 50 campaigns", "A")

    ages = [value for asked in (fresh, oldest) for _, value in watched.ask(asked)]

    assert len(ages) == 2 * CAMPAIGNS
    assert all(-60 < age < 600 for age in ages)


def test_a_process_that_two_jobs_scrape_counts_once(watched: Watched) -> None:
    """Its requests are not doubled, and it is one process."""
    exporters = expression("braze-exporter", "Exporters", "A")
    polls = expression("braze-exporter", "Polls by result", "A")

    def stored(job: str) -> float:
        [value] = [
            value
            for labels, value in watched.ask(polls, job=job)
            if labels["result"] == "stored"
        ]
        return value

    target = watched.demo.removeprefix("http://")
    shown = {
        labels["instance"]: value
        for labels, value in watched.ask(polls)
        if labels["result"] == "stored"
    }

    assert watched.ask(exporters) == [({}, 3)]
    assert set(shown) == {target, "a", "b"}
    assert shown[target] == pytest.approx(max(stored("one"), stored("three")), rel=0.3)


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
                trouble = Watched(running.url, url)
                failing, missing, alerts = (rows(trouble, panel) for panel in TROUBLE)
                reasons = running.scrape()["braze_campaign_failure_info"]

    assert failing[lost.name] == NEVER
    assert failing[late.name] >= 0
    assert missing == {lost.name: 0}
    assert alerts == {"none": 1}
    assert {name for one in reasons for name, _ in one} == {
        "workspace",
        "campaign",
        "reason",
    }


def test_tables_without_trouble_have_one_row(watched: Watched) -> None:
    """Without failures each of these tables has one row, without a campaign."""
    failing, missing, alerts = (rows(watched, panel) for panel in TROUBLE)

    assert failing == {"": ALL_WELL}
    assert missing == {"": ALL_WELL}
    assert alerts == {"": 0}


def rows(watched: Watched, panel: tuple[str, str]) -> dict[str, float]:
    """Return the values of a table by campaign."""
    vector = watched.ask(expression(*panel, "A"))
    return {labels.get("campaign", ""): value for labels, value in vector}


def expression(name: str, panel: str, letter: str) -> str:
    """Return the committed query of a panel."""
    [asked] = [
        one
        for one in dashboard_json.queries(name)
        if (one.panel, one.letter) == (panel, letter)
    ]
    return asked.expression


def figures(scrape: Scrape, family: str, **wanted: str) -> dict[str, float]:
    """Return the samples of a family with these labels, by variation."""
    return {
        dict(labels).get("variation", ""): value
        for labels, value in scrape[family].items()
        if set(wanted.items()) <= labels
    }


def test_conversions_exclude_the_control_group(watched: Watched) -> None:
    """The funnel's last bar is the sum over the sent variations."""
    family = "braze_campaign_last_complete_day"
    asked = expression("braze-campaign", "Funnel by channel, last complete day", "E")
    of = figures(
        watched.scrape(), family, campaign=SPRING, channel="email", metric="conversions"
    )

    answer = watched.ask(asked, job="one", campaign=SPRING)

    assert of["Control Group"] > 0
    assert answer == [({"channel": "email"}, of["Subject A"] + of["Subject B"])]


def test_the_comparison_matches_the_textbook(watched: Watched) -> None:
    """Rates, Wilson's interval, lift and z match a direct computation."""
    family, window = "braze_campaign_trailing", "28d"
    panel = "Do variations convert better than their control group? 28 days"
    scrape = watched.scrape()

    def counted(metric: str) -> dict[str, float]:
        return figures(scrape, family, campaign=SPRING, metric=metric, window=window)

    def shown(letter: str) -> dict[str, float]:
        asked = expression("braze-campaign", panel, letter)
        answer = watched.ask(asked, job="one", campaign=SPRING)
        return {labels["variation"]: value for labels, value in answer}

    control = "Control Group"
    n = counted("sent") | {control: counted("enrolled")[control]}
    k = counted("conversions")
    p = {name: k[name] / n[name] for name in n}
    low, high = (
        {name: wilson(k[name], n[name], sign=sign) for name in n} for sign in (-1, 1)
    )
    z = {
        name: (p[name] - p[control])
        / math.sqrt(
            (pooled := (k[name] + k[control]) / (n[name] + n[control]))
            * (1 - pooled)
            * (1 / n[name] + 1 / n[control])
        )
        for name in n
        if name != control
    }

    assert set(n) == {control, "Subject A", "Subject B"}
    assert shown("A") == n
    assert shown("C") == pytest.approx(p)
    assert shown("D") == pytest.approx(low, rel=1e-4)
    assert shown("E") == pytest.approx(high, rel=1e-4)
    assert shown("F") == pytest.approx({one: p[one] / p[control] - 1 for one in z})
    assert shown("G") == pytest.approx(z)
    assert shown("H") == pytest.approx(z | {control: 100})


def wilson(successes: float, trials: float, *, sign: int) -> float:
    """Return a bound of the 95 % Wilson interval."""
    share, z = successes / trials, 1.96
    spread = math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return (share + z**2 / (2 * trials) + sign * z * spread) / (1 + z**2 / trials)

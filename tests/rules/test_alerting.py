"""Alerts from end to end: the demo, a real Prometheus with the rules, Alertmanager.

The demo has a bounce spike, a spam spike and a campaign without messages: these three
alerts fire at every hour and on every weekday, and no other alert does.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import yaml
from exporter.metrics import campaign_metrics
from exporter.model.config import Selection
from exporter.series import parse
from exporter.simulator import Incident, Simulator, SimulatorSettings
from prometheus_client.parser import text_string_to_metric_families

from tests.paths import ROOT
from tests.rules.alert_rules import files, rules, scaled
from tests.support.daemon_process import Process, clean_environment, get, until
from tests.support.scripted_peer import closed_port

Program = Callable[[str], str]
pytestmark = pytest.mark.slow
EXPECTED = {
    ("BrazeEmailBounceSpike", "Spring sale 🌷"),
    ("BrazeEmailSpamSpike", "Win-back after 90 days"),
    ("BrazeSendsStopped", "Abandoned basket"),
}
FIRING = {(alert, campaign, "firing") for alert, campaign in EXPECTED}
BRIEFLY = "5s"
"""The value of `for` and `keep_firing_for` in the test."""
QUIET_HERE = {
    "campaign:braze_day_overdue:seconds": "Braze is never late in the demo",
    "campaign:braze_day_gone:seconds": "Braze always returns rows in the demo",
    "campaign:braze_poll_overdue:seconds": "no poll fails in the demo",
    "campaign:braze_poll_unjudged:seconds": "no threshold is missing",
    "campaign:braze_unpolled_since:timestamp": "all campaigns are polled",
    "campaign:braze_stale:seconds": "no figures are stale",
    "campaign:braze_messages:sum_1w_ago": "the test has no data of a week ago",
    "campaign:braze_conversion_1w_ago:ratio": "the test has no data of a week ago",
    "campaign:braze_messages:sum_2w_ago": "the test has no data of two weeks ago",
}
"""Recording rules without a sample, and why."""
SETTLED_SCRAPES = 12
"""Evaluations after the last expected alert in which no other may appear."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A Prometheus and its Alertmanager, watching the demo."""

    prometheus: str
    alertmanager: str

    def ask(self, query: str) -> list[dict[str, str]]:
        """Return the labels of a query's results; AssertionError: the query failed."""
        status, _, body = get(
            f"{self.prometheus}/api/v1/query?{urlencode({'query': query})}"
        )
        assert status == 200, (query, body)
        return [each["metric"] for each in json.loads(body)["data"]["result"]]

    def value(self, query: str) -> float:
        """Return the value of a query's result, 0 without one."""
        _, _, body = get(
            f"{self.prometheus}/api/v1/query?{urlencode({'query': query})}"
        )
        found = json.loads(body)["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def alerts(self) -> set[tuple[str, str, str]]:
        """Return name, campaign and state of the alerts in Prometheus."""
        return {
            (labels["alertname"], labels.get("campaign", ""), labels["alertstate"])
            for labels in self.ask("ALERTS")
        }

    def received(self) -> list[Mapping[str, Mapping[str, str]]]:
        """Return the alerts in Alertmanager."""
        answer = json.loads(get(f"{self.alertmanager}/api/v2/alerts")[2])
        assert isinstance(answer, list)
        return answer

    def rules(self) -> list[Mapping[str, str]]:
        """Return the rules with their health."""
        answer = json.loads(get(f"{self.prometheus}/api/v1/rules")[2])
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


@contextmanager
def running(*arguments: str, ready: str) -> Iterator[None]:
    """Run a server; wait until the URL `ready` responds with 200."""
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    try:
        until(lambda: _is_ready(ready), what=arguments[0])
        yield
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        return get(url)[0] == 200
    except OSError:
        return False


def configured(where: Path, *, exporter: str, alertmanager: str) -> Path:
    """Write the example configuration with local addresses, and the rules."""
    folder = where / "rules"
    folder.mkdir()
    for file in files():
        (folder / file.name).write_text(scaled(file.read_text(), duration=BRIEFLY))
    text = (ROOT / "grafana/prometheus/prometheus.yml").read_text()
    for example, here in (
        ("/etc/prometheus/rules", str(folder)),
        ("exporter:10417", exporter),
        ("alertmanager:9093", alertmanager),
        ("30s", "1s"),
    ):
        assert example in text
        text = text.replace(example, here)
    file = where / "prometheus.yml"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Watch]]:
    """Start demo, Prometheus and Alertmanager at the first call."""
    with ExitStack() as stack:
        started: list[Watch] = []

        def start(*, prometheus: str, alertmanager: str) -> Watch:
            if not started:
                where = tmp_path_factory.mktemp("alerting")
                started.append(_started(stack, where, prometheus, alertmanager))
            return started[0]

        yield start


def _started(
    stack: ExitStack, where: Path, prometheus: str, alertmanager: str
) -> Watch:
    demo = stack.enter_context(Process("demo", "--web.listen-address=127.0.0.1:0"))
    target = demo.url.removeprefix("http://")
    until(lambda: get(f"http://{target}/-/ready")[0] == 200)
    manager, own = (f"127.0.0.1:{closed_port()}" for _ in range(2))
    stack.enter_context(
        running(
            alertmanager,
            f"--config.file={ROOT / 'grafana/alertmanager/alertmanager.yaml'}",
            f"--storage.path={where / 'alertmanager'}",
            f"--web.listen-address={manager}",
            "--cluster.listen-address=",
            ready=f"http://{manager}/-/ready",
        )
    )
    stack.enter_context(
        running(
            prometheus,
            f"--config.file={configured(where, exporter=target, alertmanager=manager)}",
            f"--storage.tsdb.path={where / 'prometheus'}",
            f"--web.listen-address={own}",
            ready=f"http://{own}/-/ready",
        )
    )
    return Watch(prometheus=f"http://{own}", alertmanager=f"http://{manager}")


@pytest.fixture
def settled(program: Program, watch: Callable[..., Watch]) -> Watch:
    """Return the watch once all expected alerts fire and others had time to."""
    started = watch(
        prometheus=program("prometheus"),
        alertmanager=program("prometheus-alertmanager"),
    )
    until(lambda: started.alerts() >= FIRING, what=str(FIRING))
    names = "|".join(alert for alert, _ in EXPECTED)
    fired = f'ALERTS{{alertname=~"{names}",alertstate="firing"}}'
    since_then = f"min(count_over_time({fired}[5m]))"
    until(lambda: started.value(since_then) > SETTLED_SCRAPES, what=since_then)
    return started


def test_exactly_the_incidents_of_the_demo_fire(settled: Watch) -> None:
    """Bounce spike, spam spike and silence reach Alertmanager; no other is pending."""
    until(lambda: len(settled.received()) >= len(EXPECTED))

    received = [
        (each["labels"]["alertname"], each["labels"]["campaign"])
        for each in settled.received()
    ]

    assert settled.alerts() == FIRING
    assert sorted(received) == sorted(EXPECTED)


def test_alerts_contain_figures_and_links(settled: Watch) -> None:
    """All templates are filled; links contain the encoded name of the campaign."""
    until(lambda: len(settled.received()) >= len(EXPECTED))

    for each in settled.received():
        texts = each["annotations"]
        assert not re.search(
            r"<error|<no value>|%!|\s\(\s|\s{2}", " ".join(texts.values())
        )
        assert re.search(r"\d", texts["description"])
        assert re.fullmatch(r"/d/braze-[\w-]+\?[\w=&%.-]+", texts["dashboard_url"])
        assert each["labels"]["severity"] in {"warning", "critical"}


def test_every_rule_is_healthy_and_records_something(settled: Watch) -> None:
    """No rule fails; rules without a sample have a reason."""
    recorded = {rule.name for rule in rules() if not rule.is_alert}

    ill = [(rule["name"], rule) for rule in settled.rules() if rule["health"] != "ok"]
    empty = {name for name in recorded if not settled.ask(f"count({name})")}

    assert ill == []
    assert empty == set(QUIET_HERE)


def test_queries_of_the_runbooks_are_valid(settled: Watch) -> None:
    """Prometheus evaluates each without an error."""
    for file in [*(ROOT / "docs/runbooks").glob("*.md"), ROOT / "docs/alerts.md"]:
        queries = re.findall(r"```promql\n(.*?)```", file.read_text(), flags=re.DOTALL)

        assert queries or file.stem == "alerts", file.name
        for query in queries:
            settled.ask(query)


IN_ORDER = [
    "braze-thresholds",
    "braze-targets",
    "braze-fold",
    "braze-freshness",
    "braze-rates",
    "braze-confidence",
    "braze-judged",
    "braze-deliverability",
    "braze-exporter",
]
"""Groups in the order of their dependencies."""
WEDNESDAY = datetime(2026, 6, 3, tzinfo=UTC)


@pytest.mark.parametrize(("days", "hour"), [*((days, 14) for days in range(7)), (0, 0)])
def test_the_same_alerts_fire_on_every_weekday(
    program: Program, tmp_path: Path, days: int, hour: int
) -> None:
    """Weekly patterns neither fire nor hide an alert, also at midnight."""
    now = WEDNESDAY + timedelta(days=days, hours=hour, minutes=50)
    document = promtool_document(shown(now))
    file = tmp_path / "weekday.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True, width=10_000))
    promtool = program("promtool")

    ended = subprocess.run(
        [promtool, "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


def shown(now: datetime) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the samples of the demo at a point in time."""
    braze = Simulator(SimulatorSettings(clock=now.timestamp))
    reading = parse.ParseOptions(
        today=now.date(),
        timezone=ZoneInfo("UTC"),
        windows=(7, 28),
        channels=Selection(),
        metrics=Selection(),
        series_limit=5000,
    )
    with braze:
        for campaign in braze.campaigns:
            query = urlencode({"campaign_id": campaign.id, "length": 30})
            answer = get(
                f"{braze.url}/campaigns/data_series?{query}",
                headers={"Authorization": f"Bearer {braze.api_key}"},
            )
            snapshot = parse.parse(json.loads(answer[2]), reading)
            subject = campaign_metrics.ObjectLabels(
                "demo", campaign.name, campaign.id, {}
            )
            status = campaign_metrics.PollStatus(
                is_up=True,
                failure=None,
                interval_seconds=15,
                last_success_at=now.timestamp(),
            )
            blocks = (
                campaign_metrics.render_status(subject, status),
                campaign_metrics.render_values(subject, snapshot),
            )
            text = b"".join(campaign_metrics.page(blocks)).decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    is_time = sample.name.endswith("_timestamp_seconds")
                    # The first moment of promtool is the epoch.
                    value = sample.value - (now.timestamp() if is_time else 0)
                    yield sample.name, sample.labels, value


def promtool_document(
    samples: Iterator[tuple[str, dict[str, str], float]],
) -> dict[str, object]:
    """Return a test in which these samples do not change for a minute."""
    series = [
        {"series": 'up{job="braze",instance="a"}', "values": "1 1"},
        {
            "series": 'braze_exporter_build_info{job="braze",instance="a"}',
            "values": "1 1",
        },
    ]
    for name, labels, value in samples:
        selector = ",".join(
            f"{label}={json.dumps(text, ensure_ascii=False)}"
            for label, text in {"job": "braze", "instance": "a", **labels}.items()
        )
        later = value + 60 if "last_success" in name else value
        series.append(
            {"series": f"{name}{{{selector}}}", "values": f"{value:.0f} {later:.0f}"}
        )
    return {
        "rule_files": [str(file) for file in files()],
        "group_eval_order": IN_ORDER,
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": "count by (alertname, campaign) (ALERTS)",
                        "eval_time": "1m",
                        "exp_samples": [
                            {"labels": _labels(alert, campaign), "value": 1}
                            for alert, campaign in EXPECTED
                        ],
                    }
                ],
            }
        ],
    }


def _labels(alert: str, campaign: str) -> str:
    return f'{{alertname="{alert}", campaign="{campaign}"}}'


def test_the_expected_alerts_are_of_the_campaigns_with_incidents() -> None:
    """What the simulator does wrong is what is expected, by name."""
    braze = Simulator(SimulatorSettings())

    incidents = {braze.campaign_with(incident).name for incident in Incident}

    assert {campaign for _, campaign in EXPECTED} == incidents

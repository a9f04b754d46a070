"""Alerts from end to end: the demo, a real Prometheus with the rules, Alertmanager.

The demo has a bounce spike, a spam spike, a campaign without messages and a canvas
without messages although users enter it: their alerts fire at every hour and on every
weekday, and no other alert does. An event that stopped and a segment that collapsed are
compared with past weeks, which Prometheus has from a backfill.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import yaml
from exporter.commands import demo
from exporter.metrics import object_metrics
from exporter.model.config import Selection
from exporter.model.snapshot import Snapshot
from exporter.series import parse
from exporter.series.campaign_rows import CampaignRowParser
from exporter.series.canvas_rows import CanvasStepsRowParser
from exporter.simulator import Incident, Simulator, SimulatorSettings
from exporter.simulator.workspace_specs import (
    COLLAPSED_SEGMENT,
    FAILING_INTEGRATION,
    STOPPED_EVENT,
)
from prometheus_client.parser import text_string_to_metric_families

from tests.paths import ROOT
from tests.rules.alert_rules import files, rules, scaled
from tests.support.command_line import invoke
from tests.support.daemon_process import Process, get, until, written
from tests.support.programs import checked, serving
from tests.support.prometheus import ask, prometheus
from tests.support.scripted_peer import closed_port

Program = Callable[[str], str]
pytestmark = pytest.mark.slow
IDENTITY = (
    *("alertname", "campaign", "canvas", "step"),
    *("event", "segment", "integration"),
)
"""The labels of an alert that are compared."""
CANVAS = "Abandoned checkout"


def alert(name: str, **labels: str) -> tuple[str, ...]:
    """Return the values of these labels."""
    return identity({"alertname": name, **labels})


def identity(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of `IDENTITY`."""
    return tuple(labels.get(name, "") for name in IDENTITY)


ON_MESSAGES = {
    alert("BrazeEmailBounceSpike", campaign="Spring sale 🌷"),
    alert("BrazeEmailSpamSpike", campaign="Win-back after 90 days"),
    alert("BrazeSendsStopped", campaign="Abandoned basket"),
    alert("BrazeSendsStopped", canvas=CANVAS),
    alert("BrazeCanvasStepSilent", canvas=CANVAS, step="First reminder"),
    alert("BrazeCanvasStepSilent", canvas=CANVAS, step="Second reminder"),
}
ON_SERIES = {
    alert("BrazeEventStopped", event=STOPPED_EVENT),
    alert("BrazeSegmentCollapsed", segment=COLLAPSED_SEGMENT),
    alert("BrazeDataIngestionFailing", integration=FAILING_INTEGRATION),
}
EXPECTED = ON_MESSAGES | ON_SERIES
FIRING = {(*expected, "firing") for expected in EXPECTED}
BRIEFLY = "5s"
"""The value of `for` and `keep_firing_for` in the test."""
QUIET_HERE = {
    "campaign:braze_day_overdue:seconds": "Braze is never late in the demo",
    "campaign:braze_day_gone:seconds": "Braze always returns rows in the demo",
    "campaign:braze_today_unreported:seconds": "Braze has rows of today in the demo",
    "campaign:braze_poll_overdue:seconds": "no poll fails in the demo",
    "campaign:braze_poll_unjudged:seconds": "no threshold is missing",
    "campaign:braze_unpolled_since:timestamp": "all campaigns are polled",
    "campaign:braze_stale:seconds": "no figures are stale",
    "campaign:braze_messages:sum_1w_ago": "the test has no data of a week ago",
    "campaign:braze_conversion_1w_ago:ratio": "the test has no data of a week ago",
    "campaign:braze_messages:sum_2w_ago": "the test has no data of two weeks ago",
    "campaign:braze_activity:sum_1w_ago": "the test has no data of a week ago",
    "campaign:braze_activity:sum_2w_ago": "the test has no data of two weeks ago",
    "campaign:braze_messages:days_before_2w": "the test has no data of two weeks ago",
    **{
        f"{name}_{weeks}_ago": "the test has no data of earlier weeks"
        for name in ("campaign:braze_entries:sum", "campaign_step:braze_messages:sum")
        for weeks in ("1w", "2w")
    },
    "integration:braze_usual_sync:seconds": "the test has no data of earlier syncs",
}
"""Recording rules without a sample, and why."""
AT_TIMES = {
    "campaign:braze_messages:max_28d",
    "campaign:braze_broadcast_due:timestamp",
    *(f"campaign:braze_messages_{of}:sum" for of in ("of_today", "before_due")),
    "campaign:braze_messages_since_due:sum",
}
"""Recording rules of moments of a day, which the test may see or not."""
SETTLED_SCRAPES = 12
"""Evaluations after the last expected alert in which no other may appear."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A Prometheus and its Alertmanager, watching the demo."""

    prometheus: str
    alertmanager: str

    def alerts(self) -> set[tuple[str, ...]]:
        """Return identity and state of the alerts in Prometheus."""
        return {
            (*identity(labels), labels["alertstate"])
            for labels, _ in ask(self.prometheus, "ALERTS")
        }

    def received(self) -> list[Mapping[str, Mapping[str, str]]]:
        """Return the alerts in Alertmanager, once the expected number is there."""

        def received() -> Any:
            found = json.loads(get(f"{self.alertmanager}/api/v2/alerts")[2])
            return found if len(found) >= len(EXPECTED) else []

        return list(until(received, what="alerts in Alertmanager"))

    def rules(self) -> list[Mapping[str, str]]:
        """Return the rules with their health."""
        answer = json.loads(get(f"{self.prometheus}/api/v1/rules")[2])
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


def backfill(promtool: str, timezone: str, *, where: Path) -> None:
    """Create blocks with a month of the demo's segments and events."""
    output = str(where / "history.om")
    flags = ("--output", output, "--days=29", "--step=1h")
    with Simulator(SimulatorSettings(timezone=timezone)) as braze:
        document = json.loads(demo.configuration(braze))
        (workspace,) = document["workspaces"]
        del workspace["campaigns"], workspace["discover"]
        series = workspace["series"]
        workspace["series"] = {name: series[name] for name in ("segments", "events")}
        file = written(where / "backfill.yaml", document)
        key = {"BRAZE_API_KEY": braze.api_key}
        ended = invoke("backfill", "--config.file", file, *flags, environment=key)
    assert ended.returncode == 0, ended.stderr
    create = ("tsdb", "create-blocks-from", "openmetrics")
    checked(promtool, *create, "--max-block-duration=1458h", output, where / "data")


def configured(where: Path, *, exporter: str, alertmanager: str) -> str:
    """Return the example configuration with local addresses; write its rules."""
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
    return text


@pytest.fixture(scope="module")
def settled(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watch]:
    """Start all servers; wait until the expected alerts fire and others had time to."""
    where = tmp_path_factory.mktemp("alerting")
    timezone = demo.early_afternoon(time.time())
    backfill(program("promtool"), timezone, where=where)
    manager = f"127.0.0.1:{closed_port()}"
    alertmanager = (
        program("prometheus-alertmanager"),
        f"--config.file={ROOT / 'grafana/alertmanager/alertmanager.yaml'}",
        f"--storage.path={where / 'alertmanager'}",
        f"--web.listen-address={manager}",
        "--cluster.listen-address=",
    )
    with (
        Process(
            *("demo", "--web.listen-address=127.0.0.1:0", f"--timezone={timezone}")
        ) as started,
        serving(*alertmanager, ready=f"http://{manager}/-/ready"),
    ):
        until(lambda: get(f"{started.url}/-/ready")[0] == 200)
        exporter = started.url.removeprefix("http://")
        document = configured(where, exporter=exporter, alertmanager=manager)
        keep = "--storage.tsdb.retention.time=100y"
        with prometheus(
            program("prometheus"), document, where=where, flags=[keep]
        ) as url:
            watch = Watch(prometheus=url, alertmanager=f"http://{manager}")
            until(lambda: watch.alerts() >= FIRING, what=str(FIRING))
            names = "|".join(alert for alert, *_ in EXPECTED)
            fired = f'ALERTS{{alertname=~"{names}",alertstate="firing"}}'
            enough = f"min(count_over_time({fired}[5m])) > {SETTLED_SCRAPES}"
            until(lambda: ask(url, enough), what=enough)
            yield watch


def test_exactly_the_incidents_of_the_demo_fire(settled: Watch) -> None:
    """Spikes and silence reach Alertmanager; no other alert is pending."""
    received = [identity(each["labels"]) for each in settled.received()]

    assert settled.alerts() == FIRING
    assert sorted(received) == sorted(EXPECTED)


def test_alerts_contain_figures_and_links(settled: Watch) -> None:
    """All templates are filled; links contain the encoded name of the campaign."""
    for each in settled.received():
        texts = each["annotations"]
        joined = " ".join(texts.values())
        assert not re.search(r"<error|<no value>|%!|\s\(\s|\s{2}", joined)
        assert re.search(r"\d", texts["description"])
        assert re.fullmatch(r"/d/braze-[\w-]+\?[\w=&%.-]+", texts["dashboard_url"])
        assert each["labels"]["severity"] in {"warning", "critical"}


def test_every_rule_is_healthy_and_records_something(settled: Watch) -> None:
    """No rule fails; rules without a sample have a reason."""
    recorded = {rule.name for rule in rules() if not rule.is_alert}

    def has_sample(name: str) -> bool:
        return bool(ask(settled.prometheus, f"count({name})"))

    assert [rule for rule in settled.rules() if rule["health"] != "ok"] == []
    assert {name for name in QUIET_HERE if has_sample(name)} == set()
    for name in recorded - set(QUIET_HERE) - AT_TIMES:
        # A scrape that takes too long makes series stale for a moment.
        until(partial(has_sample, name), what=name)


def test_queries_of_the_runbooks_are_valid(settled: Watch) -> None:
    for file in [*(ROOT / "docs/runbooks").glob("*.md"), ROOT / "docs/alerts.md"]:
        queries = re.findall(r"```promql\n(.*?)```", file.read_text(), flags=re.DOTALL)

        assert queries or file.stem == "alerts", file.name
        for query in queries:
            ask(settled.prometheus, query)


IN_ORDER = [
    *(
        f"braze-thresholds-{of}"
        for of in ("email", "channels", "campaigns", "workspace", "exporter")
    ),
    *("braze-targets", "braze-fold", "braze-canvases", "braze-history"),
    *("braze-freshness", "braze-series", "braze-broadcasts"),
    *("braze-rates-by-variation", "braze-rates-by-campaign"),
    *("braze-rates-by-channel", "braze-confidence", "braze-judged"),
    *("braze-deliverability", "braze-activity", "braze-workspace", "braze-exporter"),
]
"""Groups in the order of their dependencies."""
WEDNESDAY = datetime(2026, 6, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "hour", "skip_unused"),
    [
        *((days, 14, False) for days in range(7)),
        (0, 0, False),
        *((days, 14, True) for days in range(0, 7, 3)),
    ],
)
def test_the_same_alerts_fire_on_every_weekday(
    program: Program, tmp_path: Path, days: int, hour: int, *, skip_unused: bool
) -> None:
    """Weekly patterns neither fire nor hide an alert, also at midnight.

    Neither do fields that are left out because all their numbers are 0.
    """
    now = WEDNESDAY + timedelta(days=days, hours=hour, minutes=50)
    document = promtool_document(shown(now, skip_unused=skip_unused))
    file = tmp_path / "weekday.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True, width=10_000))

    checked(program("promtool"), "test", "rules", file)


def shown(
    now: datetime, *, skip_unused: bool
) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the samples of the demo, with its canvases, at a point in time."""
    braze = Simulator(SimulatorSettings(clock=now.timestamp))
    reading = parse.ParseOptions(
        row_parser=CampaignRowParser,
        today=now.date(),
        timezone=ZoneInfo("UTC"),
        windows=(7, 28),
        channels=Selection(),
        metrics=Selection(),
        series_limit=5000,
        skip_unused=skip_unused,
    )
    of_canvases = reading._replace(row_parser=CanvasStepsRowParser)
    with braze:
        for campaign in braze.campaigns:
            document = answered(
                braze, "campaigns", {"campaign_id": campaign.id, "length": 30}
            )
            yield from rendered(
                object_metrics.ObjectLabels(
                    "demo", "campaign", campaign.name, campaign.id, {}
                ),
                parse.parse(document, reading),
                now,
            )
        for canvas in braze.canvases:
            yield from rendered(
                object_metrics.ObjectLabels(
                    "demo", "canvas", canvas.name, canvas.id, {}
                ),
                parse.parse(rows_of_canvas(braze, canvas.id, now), of_canvases),
                now,
            )


def answered(braze: Simulator, kind: str, query: Mapping[str, object]) -> Any:
    """Return the data series that Braze responds with."""
    url = f"{braze.url}/{kind}/data_series?{urlencode(query)}"
    return json.loads(get(url, headers={"Authorization": f"Bearer {braze.api_key}"})[2])


def rows_of_canvas(braze: Simulator, canvas_id: str, now: datetime) -> Any:
    """Return 29 days of a canvas as one document: a request covers 14 days."""
    rows: dict[str, Any] = {}
    for age in range(0, 29, 7):
        query = {
            "canvas_id": canvas_id,
            "length": 14,
            "ending_at": f"{now - timedelta(days=age, minutes=1):%Y-%m-%dT%H:%M:%SZ}",
            "include_variant_breakdown": "true",
            "include_step_breakdown": "true",
            "include_deleted_step_data": "true",
        }
        stats = answered(braze, "canvas", query)["data"]["stats"]
        rows |= {row["time"]: row for row in stats}
    return {"data": {"stats": [rows[day] for day in sorted(rows)]}}


def rendered(
    labels: object_metrics.ObjectLabels, snapshot: Snapshot, now: datetime
) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the samples of one object."""
    status = object_metrics.PollStatus(
        is_up=True,
        failure=None,
        interval_seconds=15,
        last_success_at=now.timestamp(),
    )
    blocks = (
        object_metrics.render_status(labels, status),
        object_metrics.render_values(labels, snapshot),
    )
    text = b"".join(object_metrics.page(blocks)).decode()
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
        {"series": f'{name}{{job="braze",instance="a"}}', "values": "1 1"}
        for name in ("up", "braze_exporter_build_info")
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
    fired = [
        ", ".join(
            f'{label}="{value}"'
            for label, value in zip(IDENTITY, expected, strict=True)
            if value
        )
        for expected in ON_MESSAGES
    ]
    case = {
        "expr": f"count by ({', '.join(IDENTITY)}) (ALERTS)",
        "eval_time": "1m",
        "exp_samples": [{"labels": f"{{{labels}}}", "value": 1} for labels in fired],
    }
    return {
        "rule_files": [str(file) for file in files()],
        "group_eval_order": IN_ORDER,
        "evaluation_interval": "1m",
        "tests": [
            {"interval": "1m", "input_series": series, "promql_expr_test": [case]}
        ],
    }


def test_the_expected_alerts_are_of_the_objects_with_incidents() -> None:
    """What the simulator does wrong is what is expected, by name."""
    braze = Simulator(SimulatorSettings())

    objects = (*braze.campaigns, *braze.canvases)
    assert {campaign or canvas for _, campaign, canvas, *_ in ON_MESSAGES} == {
        one.name for one in objects if one.incident
    }
    assert {one[4:] for one in ON_SERIES} == {
        *((one.name, "", "") for one in braze.events if one.stopped_on),
        *(("", one.name, "") for one in braze.segments if one.collapsed_on),
        *(("", "", one.name) for one in braze.integrations if one.failing_since),
    }
    assert {one.incident for one in objects if one.incident} == set(Incident)

"""What the README and its neighbours promise, compared with the code.

Where one of these fails, the document is behind the code (or ahead of it): the message
names what to add and what to delete there.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from importlib import import_module
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from exporter.braze import hosts
from exporter.commands import COMMANDS, DAEMON, backfill
from exporter.config import schema
from exporter.metrics import campaign_metrics
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.self_metrics import SelfMetrics, Served
from exporter.metrics.store import Store
from exporter.model.config import Selection
from exporter.model.errors import FailureReason
from exporter.model.rate_limit_headers import RateLimitHeaders
from exporter.series import parse
from exporter.status.page import StatusPage
from exporter.web.routes import Router, RouterContext
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.paths import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in chain(ROOT.glob("*.md"), ROOT.glob("docs/**/*.md"))
)
README = (ROOT / "README.md").read_text()
READING = parse.ParseOptions(
    today=date(2026, 9, 2),
    timezone=ZoneInfo("UTC"),
    windows=(7,),
    channels=Selection(),
    metrics=Selection(),
    series_limit=5000,
)


def cells(heading: str, document: str = README) -> Iterator[list[str]]:
    """Return the rows of all tables below a heading, up to the next one of its rank."""
    rank = heading.split(" ", maxsplit=1)[0]
    _, found, rest = document.partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    section = re.split(rf"^#{{2,{len(rank)}}} ", rest, flags=re.MULTILINE)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    is_rule = [set(row[0]) <= {"-"} and row[0] != "" for row in rows]
    for number, row in enumerate(rows):
        if not any(is_rule[number : number + 2]):  # neither a rule nor a title
            yield row


def corrections(told: Mapping[str, object], known: Mapping[str, object]) -> list[str]:
    """Return what to do to a document that tells one thing where another is known."""
    return [
        *(f"add {name}: {fact}" for name, fact in known.items() if name not in told),
        *(f"delete {name}" for name in told if name not in known),
        *(
            f"correct {name}: {told[name]} is {fact}"
            for name, fact in known.items()
            if name in told and told[name] != fact
        ),
    ]


def ticked(text: str) -> list[str]:
    """Return what stands in back quotes."""
    return re.findall(r"`([^`]+)`", text)


def blocks(language: str, document: str = README) -> list[str]:
    """Return the contents of fenced blocks."""
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def full_name(family: Metric) -> str:
    """Return a family's name as queries use it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def with_labels(families: Iterable[Metric]) -> dict[str, set[str]]:
    """Return the labels that each family's samples have."""
    return {
        full_name(family): {
            name for sample in family.samples for name in sample.labels if name != "le"
        }
        for family in families
    }


def telemetry() -> SelfMetrics:
    """Return a telemetry that shows a sample of every family."""
    made = SelfMetrics(
        version="1",
        served=lambda: [Served("w", 1, 1, 1, 1, 1)],
    )
    made.expect("w", "campaigns/data_series")
    made.sharded(number=0, total=2)
    made.expect_discovery("w", ["campaigns/list"])
    made.discovery_succeeded("w", now=1)
    made.planned("w", requests_per_minute=1, interval_seconds=1, stretch=1)
    made.allowed("w", "campaigns/data_series", RateLimitHeaders(1, 1, 1.0))
    return made


def exposed() -> dict[str, set[str]]:
    """Return every family with its labels, as they are really exposed."""
    subject = campaign_metrics.ObjectLabels(
        workspace="w", campaign="c", campaign_id="i", labels={"configured": "l"}
    )
    status = campaign_metrics.PollStatus(
        is_up=False,
        failure=FailureReason.TIMEOUT,
        interval_seconds=1,
        last_success_at=1,
    )
    days = [
        {"time": time, "conversions": 1, "messages": {"email": [{"sent": 1}]}}
        for time in ("2026-09-01", "2026-09-02")
    ]
    snapshot = parse.parse({"data": days}, READING)
    page = campaign_metrics.page(
        (
            campaign_metrics.render_status(subject, status),
            campaign_metrics.render_values(subject, snapshot),
        )
    )
    campaigns = with_labels(text_string_to_metric_families(b"".join(page).decode()))
    assert set(campaigns) == {family.name for family in campaign_metrics.FAMILIES}
    campaigns["braze_campaign_info"] -= {"configured"}
    return campaigns | with_labels(telemetry().registry.collect())


def documented() -> dict[str, set[str]]:
    """Return the metric tables."""
    return {
        ticked(name)[0]: set(ticked(labels)) for name, labels, _ in cells("## Metrics")
    }


def test_the_metric_tables_name_every_family_with_its_labels() -> None:
    """Nothing is left out, nothing is invented, and no label is missing."""
    known, told = exposed(), documented()
    if not any(name.startswith("process_") for name in known):  # there is no /proc
        told = {name: told[name] for name in told if not name.startswith("process_")}

    assert corrections(told, known) == []


@pytest.mark.parametrize("file", DOCUMENTS)
def test_no_document_names_a_metric_that_does_not_exist(file: str) -> None:
    """Text, samples and queries speak of families that are exposed."""
    text = (ROOT / file).read_text()

    named = set(re.findall(r"\bbraze_(?:campaign|exporter)_[a-z_]*[a-z]\b", text))

    assert sorted(named - set(exposed())) == []


def test_the_sample_is_what_a_scrape_could_show() -> None:
    """Its families carry the labels of the metric table."""
    (sample,) = blocks("text")

    shown = with_labels(text_string_to_metric_families(sample))

    assert corrections(shown, {name: documented()[name] for name in shown}) == []


def flags_of(
    command: str, capsys: pytest.CaptureFixture[str]
) -> dict[str, tuple[str, str]]:
    """Return a command's flags with twin and default, as its help tells them."""
    with pytest.raises(SystemExit):
        import_module(f"exporter.commands.{command}").main(["--help"], {})
    _, *texts = re.split(
        r"^ +(?:-h, )?(?=--)", capsys.readouterr().out, flags=re.MULTILINE
    )
    flags = {}
    for text in texts:
        twin = re.search(r"\benv: (\w+)\)", text)
        default = re.search(r"\(default: ([^;]*);", text)
        flags[text.split()[0].rstrip(",")] = (
            twin[1] if twin else "",
            default[1] if default else "",
        )
    del flags["--help"]
    return flags


def test_the_flag_tables_name_every_flag_with_its_twin_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the help of the daemon and of each command tells stands in the README."""
    monkeypatch.setenv("COLUMNS", "1000")
    known: dict[str, tuple[str, str]] = {}
    for command in (DAEMON, *COMMANDS):
        known |= flags_of(command, capsys)

    told = {
        ticked(row[0])[0]: (row[1].strip("`"), row[2].strip("`"))
        for row in cells("## Commands, flags and environment")
        if row[0].startswith("`--")
    }

    assert corrections(told, known) == []


def test_the_command_table_names_every_command() -> None:
    """And the daemon, which has no name."""
    told = [
        row[0].strip("`")
        for row in cells("## Commands, flags and environment")
        if row[0].startswith("`braze-exporter")
    ]

    assert told == ["braze-exporter", *(f"braze-exporter {name}" for name in COMMANDS)]


def test_the_path_table_names_every_path() -> None:
    """What the web server answers, and nothing else."""
    pages = ExpositionPages(Store().entries, telemetry(), version=lambda: 0)
    context = RouterContext(
        render_metrics=pages.render,
        is_ready=lambda: True,
        configuration=lambda: "",
        status=lambda: StatusPage(
            entries=tuple,
            desks={},
            discoveries=dict,
            planned=dict,
            now=lambda: 0.0,
            clock_set_by=lambda: 0.0,
            is_ready=lambda: True,
            version="1",
        ),
    )

    told = dict.fromkeys(row[0].strip("`") for row in cells("## Web endpoints"))

    assert corrections(told, dict.fromkeys(Router(context).routes)) == []


LEVELS = {"warning": "warn", "log": "warn", "exception": "error"}


def test_the_event_table_names_every_event_with_its_level() -> None:
    """Whoever searches for a line of the log finds it."""
    source = "".join(path.read_text() for path in (ROOT / "exporter").rglob("*.py"))
    calls = re.findall(r'_log\.(\w+)\(\s*(?:level, )?"([a-z_]+\.[a-z_]+)"', source)
    logged = {event: LEVELS.get(method, method) for method, event in calls}

    told = {row[0].strip("`"): row[1] for row in cells("### Log events")}

    assert corrections(told, logged) == []


def test_the_reason_table_names_every_reason() -> None:
    """Each text of the label `reason` has an advice."""
    told = dict.fromkeys(row[0].strip("`") for row in cells("### Failure reasons"))

    assert corrections(told, dict.fromkeys(FailureReason)) == []


def test_the_endpoint_table_names_the_hosts_we_know() -> None:
    """All listed REST hosts stand there; eight of them as first and last."""
    between = {f"rest.iad-{number:02}.braze.com" for number in range(2, 8)}

    told = set(re.findall(r"https://(rest\.[\w.-]+)", README))

    assert told == hosts._LISTED - between


def yaml_blocks(key: str) -> list[str]:
    """Return the YAML blocks that begin with a key."""
    return [block for block in blocks("yaml") if block.startswith(f"{key}:")]


def test_the_sample_configuration_is_valid() -> None:
    """It can be copied as it stands, and has nothing doubtful in it."""
    (text,) = yaml_blocks("workspaces")

    parsed = schema.parse(
        text,
        file="README.md",
        read_key=lambda _: "0123-4567",
        is_file=lambda _: True,
    )

    assert parsed.warnings == ()


def test_the_scrape_configuration_is_valid(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    """Prometheus takes it as it stands."""
    (text,) = yaml_blocks("scrape_configs")
    file = tmp_path / "prometheus.yml"
    file.write_text(text)

    checked = run(program("promtool"), "check", "config", str(file))

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_query_is_promql(program: Callable[[str], str], tmp_path: Path) -> None:
    """What can be copied into Prometheus can be evaluated there."""
    queries = [
        query
        for file in DOCUMENTS
        for query in blocks("promql", (ROOT / file).read_text())
    ]
    rules = [
        {"record": f"query:{number}", "expr": query}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))

    checked = run(program("promtool"), "check", "rules", str(file))

    assert queries
    assert checked.returncode == 0, checked.stdout + checked.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_link_leads_somewhere(file: str) -> None:
    """Files that are linked exist, and so do the headings."""
    path = ROOT / file
    broken = [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(path.read_text()))
        if "://" not in link and not leads(link, path)
    ]

    assert broken == []


def leads(link: str, source: Path) -> bool:
    """Tell whether a relative link finds its file and heading."""
    name, _, anchor = link.partition("#")
    target = source.parent / name if name else source
    return target.is_file() and (not anchor or anchor in anchors(target.read_text()))


def anchors(document: str) -> set[str]:
    """Return the anchors that a page gives its headings."""
    titles = re.findall(r"^#+ (.+)$", without_blocks(document), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }


def without_blocks(document: str) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", document, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_make_target_and_command_exists(file: str) -> None:
    """Neither blocks nor text tell to run what is not there."""
    text = (ROOT / file).read_text()
    makefile = (ROOT / "Makefile").read_text()
    code = "\n".join((*blocks("sh", text), *ticked(without_blocks(text))))

    targets = set(re.findall(r"^make ([a-z-]+)", code, re.MULTILINE))
    commands = set(re.findall(r"^braze-exporter ([a-z]+)", code, re.MULTILINE))

    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert commands <= set(COMMANDS)


def test_contributing_places_only_modules_that_exist() -> None:
    """The table of floors names none that is gone, and none twice."""
    document = (ROOT / "CONTRIBUTING.md").read_text()

    told = [
        name
        for row in cells("## How the code is laid out", document)
        if row[0].isdigit()
        for name in ticked(row[1])
    ]

    package = ROOT / "exporter"
    assert [
        name
        for name in told
        if not ((package / f"{name}.py").is_file() or (package / name).is_dir())
    ] == []
    assert len(set(told)) == len(told) > 0


def test_the_job_has_one_name() -> None:
    """A history stands beside what is scraped as any of our examples says."""
    examples = [ROOT / one for one in DOCUMENTS]
    examples += (ROOT / "grafana" / "prometheus").glob("*.yml")
    name = re.compile(r"^ *- job_name: (\S*braze\S*)$", flags=re.MULTILINE)

    named = [job for file in examples for job in name.findall(file.read_text())]

    assert len(named) >= 3
    assert set(named) == {backfill.JOB}

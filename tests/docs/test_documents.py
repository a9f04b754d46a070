"""All documents: links, commands, metric names and queries in them are valid."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from exporter.commands import COMMANDS, backfill_options

from tests.docs.families import exposed
from tests.docs.markdown import (
    DOCUMENTS,
    anchors,
    blocks,
    code_spans,
    document,
    without_blocks,
)
from tests.paths import ROOT
from tests.support.programs import checked

BLOB = "https://github.com/braze-exporter/braze-exporter/blob/main/"


def leads(link: str, source: Path) -> bool:
    """Return whether a link of a document has a target: a file, and its heading."""
    name, _, anchor = link.partition("#")
    if name.startswith(BLOB):
        target = ROOT / name.removeprefix(BLOB)
    else:
        target = source.parent / name if name else source
    return target.is_file() and (not anchor or anchor in anchors(target.read_text()))


@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_link_has_a_target(file: str) -> None:
    path = ROOT / file
    links = re.findall(r"\]\(([^)\s]+)\)", without_blocks(document(file)))

    broken = [
        link
        for link in links
        if ("://" not in link or link.startswith(BLOB)) and not leads(link, path)
    ]

    assert broken == []


@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_metric_name_exists(file: str) -> None:
    named = set(
        re.findall(
            r"(?<!:)\bbraze_(?:campaign|canvas|exporter|workspace|segment|event|broadcast|data)"
            r"_[a-z_]*[a-z]\b",
            document(file),
        )
    )

    assert sorted(named - set(exposed())) == []


@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_make_target_and_command_exists(file: str) -> None:
    text = document(file)
    makefile = (ROOT / "Makefile").read_text()
    code = "\n".join((*blocks("sh", text), *code_spans(without_blocks(text))))

    targets = set(re.findall(r"^make ([a-z-]+)", code, re.MULTILINE))
    commands = set(re.findall(r"^braze-exporter ([a-z]+)", code, re.MULTILINE))

    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert commands <= set(COMMANDS)


def test_every_query_is_valid_promql(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    queries = [each for file in DOCUMENTS for each in blocks("promql", document(file))]
    rules = [{"record": "query", "expr": query} for query in queries]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))

    assert queries
    checked(program("promtool"), "check", "rules", str(file))


def test_the_scrape_job_has_one_name() -> None:
    """Backfilled series have the job that every example configures."""
    examples = [ROOT / file for file in DOCUMENTS]
    examples += (ROOT / "grafana" / "prometheus").glob("*.yml")
    job_name = re.compile(r"^ *- job_name: (\S*braze\S*)$", flags=re.MULTILINE)

    jobs = [job for file in examples for job in job_name.findall(file.read_text())]

    assert len(jobs) >= 3
    assert set(jobs) == {backfill_options.JOB}

"""The README is short, and its examples work."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from exporter.config import schema
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.families import of_campaigns, with_labels
from tests.docs.markdown import blocks, corrections, document, first_cells, yaml_block
from tests.paths import ROOT

README = document("README.md")
MAX_LINES = 220


def test_the_readme_is_short() -> None:
    """Everything else is on the pages of docs/."""
    assert len(README.splitlines()) <= MAX_LINES


def test_the_readme_begins_with_two_commands() -> None:
    """The demo and the tests are in the first lines, ready to copy."""
    first = "\n".join(README.splitlines()[:15])

    (commands,) = blocks("sh", first)

    assert [line.split("#")[0].strip() for line in commands.splitlines()] == [
        "make demo",
        "make test",
    ]


def test_the_table_of_families_is_complete() -> None:
    """It contains every family of campaigns."""
    documented = first_cells("## Campaign metrics", README)

    assert corrections(dict.fromkeys(documented), dict.fromkeys(of_campaigns())) == []


def test_the_sample_has_the_labels_of_a_scrape() -> None:
    """Each family of the sample has the labels it has on /metrics."""
    (sample,) = blocks("text", README)

    shown = with_labels(text_string_to_metric_families(sample))

    assert shown
    assert corrections(shown, {name: of_campaigns()[name] for name in shown}) == []


@pytest.mark.parametrize("file", ["README.md", "docs/getting-started.md"])
def test_the_sample_configuration_is_valid(file: str) -> None:
    """It can be copied without a warning."""
    parsed = schema.parse(
        yaml_block("workspaces", document(file)),
        file=file,
        read_key=lambda _: "0123-4567",
        is_file=lambda _: True,
    )

    assert parsed.warnings == ()


@pytest.mark.parametrize("file", ["README.md", "docs/getting-started.md"])
def test_the_scrape_configuration_is_valid(
    file: str, program: Callable[[str], str], tmp_path: Path
) -> None:
    """Prometheus accepts it together with the rules of this repository."""
    text = yaml_block("scrape_configs", document(file))
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/path/to/braze-exporter", str(ROOT)))

    checked = subprocess.run(
        [program("promtool"), "check", "config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr

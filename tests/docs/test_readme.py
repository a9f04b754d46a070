"""The README is short, and its examples work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from exporter.config import schema
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.families import of_campaigns, with_labels
from tests.docs.markdown import blocks, corrections, document, first_cells, yaml_block
from tests.paths import ROOT
from tests.support.programs import checked

README = document("README.md")
MAX_LINES = 220


def test_the_readme_is_short_and_begins_with_demo_and_tests() -> None:
    (commands,) = blocks("sh", "\n".join(README.splitlines()[:15]))

    first = [line.split("#")[0].strip() for line in commands.splitlines()]
    assert first == ["make demo", "make test"]
    assert len(README.splitlines()) <= MAX_LINES


def test_the_table_of_families_is_complete() -> None:
    documented = first_cells("## Campaign metrics", README)

    assert corrections(dict.fromkeys(documented), dict.fromkeys(of_campaigns())) == []


def test_the_sample_has_the_labels_of_a_scrape() -> None:
    (sample,) = blocks("text", README)

    shown = with_labels(text_string_to_metric_families(sample))

    assert shown
    assert corrections(shown, {name: of_campaigns()[name] for name in shown}) == []


@pytest.mark.parametrize("file", ["README.md", "docs/getting-started.md"])
def test_the_sample_configuration_is_valid(file: str) -> None:
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
    text = yaml_block("scrape_configs", document(file))
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/path/to/braze-exporter", str(ROOT)))

    checked(program("promtool"), "check", "config", str(config))

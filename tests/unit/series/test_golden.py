"""The golden files, compared with what is rendered and with the naive oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporter.metrics.object_metrics import page

from tests import golden
from tests.support import naive_oracle


@pytest.mark.parametrize(
    ("path", "name", "revisions"),
    golden.files(),
    ids=[path.stem for path, _, _ in golden.files()],
)
def test_a_document_is_exposed_as_its_golden_file(
    path: Path, name: str, *, revisions: bool
) -> None:
    blocks = golden.render(name, revisions=revisions)
    text = path.read_bytes()

    assert b"".join(page([blocks])) == text
    expected = naive_oracle.expected(
        golden.document(name)["data"],
        today=golden.OPTIONS.today,
        timezone=golden.OPTIONS.timezone,
        windows=golden.OPTIONS.windows,
        subject={
            "workspace": golden.LABELS.workspace,
            "campaign": golden.LABELS.name,
        },
        revisions=revisions,
    )
    assert naive_oracle.parsed(text) == expected
    assert blocks.series == len(expected)

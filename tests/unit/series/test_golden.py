"""The golden files, compared with what is rendered and with the naive oracles."""

from __future__ import annotations

from typing import Any

import pytest
from exporter.metrics.object_metrics import page

from tests import golden
from tests.golden import CANVAS_LABELS, LABELS, OPTIONS, GoldenFile
from tests.support import naive_canvas_oracle, naive_oracle


def expected(file: GoldenFile) -> naive_oracle.Samples:
    """Return the samples by an oracle."""
    documents = file.documents()
    about: dict[str, Any] = {"today": OPTIONS.today, "timezone": OPTIONS.timezone}
    if not file.is_of_canvas:
        return naive_oracle.expected(
            documents[0]["data"],
            windows=OPTIONS.windows,
            subject={"workspace": LABELS.workspace, "campaign": LABELS.name},
            revisions=not file.is_default,
            **about,
        )
    return naive_canvas_oracle.expected(
        # Of a day in several responses the newest is used.
        {
            "data": [
                day
                for one in reversed(documents)
                for day in naive_canvas_oracle.days_of(one)
            ]
        },
        # Each response covers 13 complete days for certain.
        windows=tuple(one for one in OPTIONS.windows if one <= 13 * len(documents)),
        subject={"workspace": CANVAS_LABELS.workspace, "canvas": CANVAS_LABELS.name},
        has_steps=not file.is_default,
        **about,
    )


@pytest.mark.parametrize(
    "file",
    golden.files(),
    ids=[f"{one.document.parent.stem}/{one.path.stem}" for one in golden.files()],
)
def test_a_document_is_exposed_as_its_golden_file(file: GoldenFile) -> None:
    """As text and as OpenMetrics: parsers of both formats read the same samples."""
    blocks = file.render()
    text = file.path.read_bytes()

    assert b"".join(page([blocks])) == text
    samples = naive_oracle.parsed(text)
    assert samples == expected(file)
    assert blocks.series == len(samples)

"""The table of texts of the failure reasons."""

from __future__ import annotations

import re

from exporter.model.errors import FailureReason
from exporter.model.failure_texts import FAILURE_TEXTS


def test_every_failure_reason_has_its_texts() -> None:
    """A cause is a clause; summary and advice are sentences."""
    assert set(FAILURE_TEXTS) == set(FailureReason)
    for text in FAILURE_TEXTS.values():
        assert not text.cause.endswith(".")
        assert re.fullmatch(r"[A-Z][^.]*(\.\w+[^.]*)?\.", text.summary)
        assert re.fullmatch(r"[A-Z].*\.", text.advice)
        filled = f"{text.cause} {text.summary} {text.advice}".format(
            source="file key", permission="campaigns.list", target="host"
        )
        assert "{" not in filled

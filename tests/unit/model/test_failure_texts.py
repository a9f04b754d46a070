"""The table of texts of the failure reasons."""

from __future__ import annotations

import re

from exporter.model.errors import FailureReason
from exporter.model.failure_texts import FAILURE_TEXTS


def test_every_failure_reason_has_its_texts() -> None:
    assert set(FAILURE_TEXTS) == set(FailureReason)
    for text in FAILURE_TEXTS.values():
        assert not text.message.endswith(".")
        assert re.fullmatch(r"[A-Z][^{]*\.", text.cause)
        action = text.action.format(permission="x.y", check="Check it", relief="wait")
        assert re.fullmatch(r"[A-Z][^{]*\.", action)
        filled = text.message.format(source="file key", permission="x.y", target="host")
        assert "{" not in filled

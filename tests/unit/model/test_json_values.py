"""Checks of untrusted values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from exporter.model import json_values


@pytest.mark.parametrize(
    ("check", "valid", "invalid"),
    [
        (json_values.text, ["", "é"], [None, 1, b"a", ["a"]]),
        (json_values.boolean, [True, False], [None, 0, 1, "true"]),
        (json_values.number, [0, -1.5, 2**60], [True, "1", float("nan"), 10**400]),
        (json_values.instant, [0, 1.5], [None, False, float("inf"), "1"]),
        (json_values.count, [0, 2**53], [-1, 1.0, True, 2**53 + 1, "1"]),
        (partial(json_values.count, least=1, most=9), [1, 9], [0, 10]),
        (json_values.mapping, [{}, {"a": 1}], [None, [], "{}"]),
        (json_values.items, [[], [1]], [None, (1,), {}, "[]"]),
    ],
)
def test_a_value_is_returned_or_rejected(
    check: Callable[[object], object], valid: list[object], invalid: list[object]
) -> None:
    assert [check(value) for value in valid] == valid
    for value in invalid:
        with pytest.raises(ValueError, match=r"^expected an? .*, found [a-zA-Z]+$"):
            check(value)

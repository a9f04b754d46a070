"""Strategies of data series with any content."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

NUMBERS = (
    st.sampled_from([0, 1, 3, -2, 0.1, 0.2, 12.5, 2**60, 1e308, 5e-324])
    | st.integers(-(10**308), 10**308)
    | st.integers(-(2**53) - 1, 2**53 + 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "5", "", True, [], {}, math.nan, math.inf, 10**400]
)
_SYNTAX = ['"', "\\", "\n", '\\"', "\\n", "# EOF", "} 1", '",x="', " # {"]
WORDS = (
    st.text(max_size=9)
    | st.lists(st.sampled_from(_SYNTAX) | st.text(max_size=9)).map("".join)
    | st.just("\ud800")
)
"""Texts with characters that are special in the exposition formats."""

_ROW_KEYS = {"time", "messages"}
_NAME_KEYS = {"variation_name", "variation_api_id"}
_FIELDS = [
    "sent",
    "opens",
    "revenue",
    "unique_recipients",
    "enrolled",
    "",
    "f\0",
    "f\1",
]


def times(today: date, ages: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    """Return the dates of days of some ages."""
    return ages.map(lambda age: str(today - timedelta(days=age)))


def rows(
    times: st.SearchStrategy[Any], words: st.SearchStrategy[str] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Return rows; `words` are used as names beside a few that often are equal."""
    words = st.nothing() if words is None else words
    fields = words.filter(lambda name: name not in _ROW_KEYS | _NAME_KEYS)
    stats = st.dictionaries(
        fields | st.sampled_from(_FIELDS), NUMBERS | NUMBERS | ODD, max_size=4
    )
    names = words | st.sampled_from(["", "A", "A #2", "A (aaaaaaaa)", "\0", "\1"])
    ids = words | st.sampled_from(["", "aaaaaaaa1", "aaaaaaaa2", "\0", "\1", "A"])
    about = st.fixed_dictionaries(
        {}, optional={"variation_name": names | ODD, "variation_api_id": ids | ODD}
    )
    entries = st.builds(lambda one, other: {**one, **other}, stats, about)
    messages = st.dictionaries(
        words | st.sampled_from(["email", "sms", "", "c\0", "c\1"]),
        st.lists(entries | ODD, max_size=4) | ODD,
        max_size=3,
    )
    return st.builds(
        lambda fields, time, messages: {**fields, "time": time, "messages": messages},
        stats,
        times,
        messages | messages | ODD,
    )


def canvas_rows(times: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return days of a canvas; names and ids are often equal."""
    fields = st.sampled_from([*_FIELDS, "entries", "conversions", "conversions4"])
    stats = st.dictionaries(fields, NUMBERS | NUMBERS | ODD, max_size=3)
    ids = st.sampled_from(["", "aaaaaaaa1", "aaaaaaaa2", "\0", "\1", "A"])
    name = st.sampled_from(["", "A", "A #2", "A (aaaaaaaa)", "\0"]) | WORDS | ODD
    about = st.fixed_dictionaries({}, optional={"name": name})
    named = st.builds(lambda one, other: {**one, **other}, stats, about)
    channels = st.sampled_from(["email", "sms", "", "c\0", "c\1"])
    messages = st.dictionaries(
        channels, st.lists(stats | stats | ODD, max_size=3) | ODD, max_size=3
    )
    step = st.builds(
        lambda one, messages: {**one, "messages": messages}, named, messages | ODD
    )
    return st.fixed_dictionaries(
        {"time": times},
        optional={
            "total_stats": stats | ODD,
            "variant_stats": st.dictionaries(ids, named | ODD, max_size=3) | ODD,
            "step_stats": st.dictionaries(ids, step | named | ODD, max_size=3) | ODD,
        },
    )

"""Any body of `/canvas/data_series` gives values or a malformed poll.

That holds for its days alone and together with remembered ones, and for what is kept
over a restart.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from exporter.braze.responses import Body
from exporter.metrics.object_metrics import page, render_values
from exporter.model.errors import MalformedSeries, Unavailable
from exporter.model.snapshot import Part, Snapshot
from exporter.series import incremental, older_days, snapshot_json
from exporter.series.incremental import ParsedDocument
from exporter.series.older_days import NOTHING_OLDER, OlderDays
from hypothesis import given
from hypothesis import strategies as st

from tests.support import naive_oracle
from tests.support.bodies import REQUEST
from tests.unit.series.test_canvas_rows import OPTIONS, SUBJECT, TODAY

TODAY_TEXT = str(TODAY)
OLD_DAY = str(TODAY - timedelta(days=20))
WINDOWS = OPTIONS._replace(windows=(7, 28))


def parsed(
    body: bytes, older: OlderDays = NOTHING_OLDER, *, request: int = 0
) -> ParsedDocument | str:
    """Return what a response gives, or why the poll is malformed."""
    try:
        return incremental.parse_part(
            Body(REQUEST, {}, body), WINDOWS, older=older, request=request
        )
    except (Unavailable, MalformedSeries) as error:
        return str(error)


def check_page(snapshot: Snapshot) -> None:
    """Check that a page is valid and has no series twice."""
    rendered = render_values(SUBJECT, snapshot)
    assert len(naive_oracle.parsed(b"".join(page([rendered])))) == rendered.series


def check(body: bytes) -> str:
    """Check a body as the newest and as an older response; return its fault."""
    newest = parsed(body)
    if isinstance(newest, str):
        assert newest.isprintable()
        assert len(newest) < 300
        return newest
    older = parsed(body, newest.older, request=1)
    assert isinstance(older, ParsedDocument), older
    for found in (newest, older):
        check_page(found.snapshot)
        kept = json.loads(json.dumps(snapshot_json.dump(found.snapshot)))
        check_page(snapshot_json.parse(kept))
        days = json.loads(json.dumps(older_days.dump(found.older)))
        assert older_days.parse(days).requested == found.older.requested
        again = parsed(body, older_days.parse(days))
        assert isinstance(again, ParsedDocument), again
        check_page(again.snapshot)
    return ""


NUMBERS = st.sampled_from(
    [
        *("0", "3", "-2.5", "1e308", "1e999", "-1e999", "NaN", "Infinity", "-Infinity"),
        *("1" + "0" * 30, "9" * 400, "-" + "9" * 5000, "5e-324", "-0.0"),
    ]
)
TEXTS = st.sampled_from(
    [
        *("", "A", "time", "name", "entries", "sent", "email", "messages"),
        *("total_stats", "variant_stats", "step_stats", "\0", "\ud800", '"\\\n'),
        *(TODAY_TEXT, OLD_DAY),
    ]
).map(json.dumps)


def listed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inner, max_size=2).map(lambda items: f"[{','.join(items)}]")


def objects(
    inner: st.SearchStrategy[str], keys: st.SearchStrategy[str] = TEXTS
) -> st.SearchStrategy[str]:
    """Return objects, some with a key twice."""
    members = st.tuples(keys, inner).map(":".join)
    return st.lists(members, max_size=3).map(lambda some: f"{{{','.join(some)}}}")


ANY = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["null", "true", "false", "[]", "{}"]),
    lambda inner: listed(inner) | objects(inner),
    max_leaves=5,
)


def with_keys(inner: st.SearchStrategy[str], *keys: str) -> st.SearchStrategy[str]:
    """Return objects with some of these keys, other values, or no objects at all."""
    return objects(inner | ANY, st.sampled_from(keys).map(json.dumps)) | ANY


COUNTERS = with_keys(NUMBERS, "sent", "entries", "revenue", "conversions1", "")
MESSAGES = with_keys(listed(COUNTERS) | COUNTERS, "email", "sms", "", "c\0")
STEPS = with_keys(
    with_keys(MESSAGES, "name", "messages", "revenue"), "", "a", "A", "\0"
)
VARIANTS = with_keys(with_keys(NUMBERS, "name", "entries"), "", "a", "A", "\0")
DAYS = st.builds(
    lambda time, total, variants, steps: (
        f'{{"time":{time},"total_stats":{total},'
        f'"variant_stats":{variants},"step_stats":{steps}}}'
    ),
    st.sampled_from([json.dumps(TODAY_TEXT), json.dumps(OLD_DAY)]) | TEXTS,
    COUNTERS,
    VARIANTS,
    STEPS,
)
DATA = st.builds(
    lambda days: f'{{"message":"success","data":{{"stats":{days}}}}}', listed(DAYS)
)


@given(DATA | with_keys(with_keys(listed(DAYS | ANY), "stats", "name"), "data"))
def test_any_json_gives_values_or_a_malformed_poll(body: str) -> None:
    check(body.encode("utf-8", "surrogatepass"))


def with_steps(steps: Any) -> bytes:
    day = {"time": TODAY_TEXT, "step_stats": steps}
    return json.dumps({"data": {"stats": [day]}}).encode()


def nested(depth: int, *, opening: str, closing: str) -> bytes:
    odd = opening * depth + "0" + closing * depth
    row = f'{{"time":"{TODAY_TEXT}","total_stats":{odd},"entries":{odd}}}'
    return f'{{"data":{{"stats":[{row}]}}}}'.encode()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_nested_row_gives_values_or_a_malformed_poll(
    opening: str, closing: str
) -> None:
    """At any depth around those at which the decoders stop."""
    for depth in (*range(250, 260), *range(960, 1040), 100_000):
        check(nested(depth, opening=opening, closing=closing))


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ({str(n): {} for n in range(100_000)}, ""),
        ({str(n): None for n in range(100_001)}, "entries"),
        ({str(n): {"messages": {"email": []}} for n in range(50_001)}, "entries"),
        ({"a": {"messages": {"email": [{"sent": 1}] * 100_000}}}, "entries"),
        ({"a": {"messages": {str(n): [] for n in range(100_000)}}}, "entries"),
        ([{"name": "Welcome"}] * 100_000, ""),
    ],
)
def test_a_hundred_thousand_steps_are_read_or_malformed(
    steps: object, fault: str
) -> None:
    found = parsed(with_steps(steps))

    if isinstance(found, str):
        assert fault
        assert fault in found
    else:
        assert not fault
        check_page(found.snapshot)


def response(*, newest_age: int, messages: int) -> bytes:
    """Return 14 days of a step with so many messages in one channel."""
    step = {"messages": {"email": [{"sent": 1}] * messages}}
    days = [
        {
            "time": str(TODAY - timedelta(days=newest_age + age)),
            "step_stats": {"a": step},
        }
        for age in range(older_days.DAYS_PER_REQUEST)
    ]
    return json.dumps({"data": {"stats": days}}).encode()


def test_each_of_several_responses_may_have_as_many_entries_as_one() -> None:
    """Each has 98,014."""
    older, messages = NOTHING_OLDER, 7000
    snapshots = []
    for request in range(older_days.requests_needed(WINDOWS.windows) + 1):
        age = request * older_days.SURE_DAYS
        body = response(newest_age=age, messages=messages)
        found = parsed(body, older, request=request)
        assert isinstance(found, ParsedDocument), found
        snapshots.append(found.snapshot)
        older = found.older
    too_many = parsed(response(newest_age=0, messages=4 * messages), older)

    sums = {window: dict(figures) for window, figures in snapshots[-1].trailing}
    assert sums[28][Part("channel", "email")] == {"sent": 28 * messages}
    assert isinstance(too_many, str)
    assert "entries" in too_many

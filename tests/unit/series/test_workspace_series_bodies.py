"""Any body of an endpoint of series of the workspace gives samples or a malformed poll.

That holds for what is kept over a restart, too.
"""

from __future__ import annotations

import json

import pytest
from exporter.braze.responses import document_of
from exporter.metrics.families import BY_KIND
from exporter.metrics.object_metrics import (
    ObjectLabels,
    can_render,
    page,
    render_values,
)
from exporter.model.errors import MalformedSeries
from exporter.model.snapshot import Snapshot
from exporter.polling.kinds import SERIES, Kind
from exporter.series import snapshot_json
from exporter.series.parse import SampleParser
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import naive_oracle
from tests.support.polling_world import config, workspace
from tests.unit.series.test_canvas_bodies import ANY, NUMBERS, TEXTS, listed, with_keys
from tests.unit.series.test_workspace_series import OPTIONS

(SHOP,) = config(
    workspace(
        "",
        series={
            "kpi": ["dau", "mau", "new_users", "uninstalls"],
            "sessions": True,
            "purchases": ["revenue", "quantity"],
            "segments": [{"id": "s", "name": "VIP"}],
            "events": [{"name": "order"}, {"name": "order", "unit": "day"}],
            "broadcasts": True,
            "data_ingestion": True,
        },
    )
).workspaces
OBJECTS = [(kind, one) for kind in SERIES for one in kind.objects(SHOP)]

TIMES = st.sampled_from(
    [
        *("2026-03-10", "2026-03-09", "2026-03-10T11:00:00", "2026-03-08T02:00:00"),
        *("2026-03-10T11:00:00Z", "2026-03-10 11:00:00 -0400", "9999-12-31T23:30:00"),
        *("0001-01-01T00:00:00+14:00", "2026-W11-2T11", "20260310T110000.5Z"),
    ]
).map(json.dumps)
COUNTS = (
    *("dau", "mau", "new_users", "uninstalls", "sessions", "revenue"),
    *("purchase_quantity", "size", "count"),
)
ROWS = st.builds(
    lambda time, name, value: f'{{"time":{time},"{name}":{value}}}',
    TIMES | TEXTS,
    st.sampled_from(COUNTS),
    NUMBERS | ANY,
)
ITEMS = with_keys(
    TIMES | TEXTS | st.sampled_from(['"Campaign"', '"canvas"', '"a"', '"b\\u0000"']),
    *("id", "name", "type", "next_send_time", "integration_id", "integration_name"),
    *("last_job_status", "last_job_start_time", "contact_emails"),
)
BODIES = st.builds(
    lambda key, rows: f'{{"message":"success","{key}":{rows}}}',
    st.sampled_from(["data", "scheduled_broadcasts", "results"]),
    st.lists(ROWS | ITEMS, max_size=4).map(lambda rows: f"[{','.join(rows)}]"),
)


def parsed(body: str, kind: Kind, parser: SampleParser) -> Snapshot | str:
    """Return what a response gives, or why the poll is malformed."""
    try:
        document = document_of(body.encode("utf-8", "surrogatepass"))
        if kind.join_pages is not None:
            document = kind.join_pages(None, document)
            document = kind.join_pages(document, document)
        return parser(document, OPTIONS)
    except (ValueError, MalformedSeries) as error:
        return str(error)


def check(snapshot: Snapshot | str, kind: Kind) -> None:
    if isinstance(snapshot, str):
        assert snapshot.isprintable()
        assert len(snapshot) < 300
        return
    kept = json.loads(json.dumps(snapshot_json.dump(snapshot)))
    assert snapshot_json.parse(kept) == snapshot
    assert can_render(BY_KIND[kind.name], snapshot)
    subject = ObjectLabels("shop", kind.name, kind.name, "i", {})
    rendered = render_values(subject, snapshot)
    assert len(naive_oracle.parsed(b"".join(page([rendered])))) == rendered.series


@pytest.mark.parametrize(
    ("kind", "one"), OBJECTS, ids=[f"{kind.name} {one.id}" for kind, one in OBJECTS]
)
@settings(max_examples=40)
@given(body=BODIES | with_keys(listed(ROWS | ITEMS | ANY), "data", "results"))
def test_any_json_gives_samples_or_a_malformed_poll(
    kind: Kind, one: object, body: str
) -> None:
    parser = kind.sample_parser(one)  # type: ignore[arg-type]  # of the table
    assert parser is not None
    check(parsed(body, kind, parser), kind)

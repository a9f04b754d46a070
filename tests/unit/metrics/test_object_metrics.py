"""Rendered lines, parsed by the official parsers."""

import json
import re
from typing import Any

import pytest
from exporter.metrics.families import BY_KIND
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.metrics.object_metrics import (
    ObjectLabels,
    PollStatus,
    RenderedObject,
    lines_of,
    page,
    render_status,
    render_values,
    renew_latest,
)
from exporter.metrics.series_families import EVENT_COUNT
from exporter.model.errors import FailureReason
from exporter.model.snapshot import VARIATION, Part, Snapshot
from exporter.series.parse import parse
from hypothesis import given
from hypothesis import strategies as st

from tests import golden
from tests.support import data_series, naive_oracle
from tests.support.data_series import ODD, WORDS

OPTIONS = golden.OPTIONS._replace(revisions=True)
TODAY = OPTIONS.today
OBJECT = golden.LABELS
FAMILIES = BY_KIND["campaign"]
EMPTY = Snapshot(parts=(), latest=None, last_complete=None, trailing=())


def served(*entries: RenderedObject) -> bytes:
    return b"".join(page(entries))


def status(**changes: Any) -> PollStatus:
    return PollStatus(True, None, 300.0, 1750600000.12345)._replace(**changes)


def test_families_are_valid_in_both_formats() -> None:
    """HELP needs no escape in either; no gauge has a suffix of a counter."""
    families = {family for kind in BY_KIND.values() for family in kind.all}
    assert len({family.name for family in families}) == len(families)
    suffixes = ("_total", "_count", "_sum", "_bucket", "_created")
    for name, text, _ in families - {EVENT_COUNT}:
        assert re.fullmatch(r'[^\\"]+\.', text)
        assert text.isprintable()
        assert not name.endswith(suffixes)


def test_the_status_has_one_line_per_family() -> None:
    failed = status(is_up=False, failure=FailureReason.TIMEOUT)
    edited = OBJECT._replace(edited_at=1750500000.0)
    page_text = served(render_status(edited, failed)).decode()

    own = 'workspace="production",campaign="Welcome series"'
    assert [line for line in page_text.splitlines() if not line.startswith("#")] == [
        f"braze_campaign_info{{{own},"
        'campaign_id="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",team="crm"} 1',
        f"braze_campaign_up{{{own}}} 0",
        f'braze_campaign_failure_info{{{own},reason="timeout"}} 1',
        f"braze_campaign_interval_seconds{{{own}}} 300.0",
        f"braze_campaign_last_success_timestamp_seconds{{{own}}} 1750600000.123",
        f"braze_campaign_last_edited_timestamp_seconds{{{own}}} 1750500000.0",
    ]


SUCCESS = {"info", "up", "interval_seconds", "last_success_timestamp_seconds"}


@pytest.mark.parametrize(
    ("changes", "families"),
    [
        ({"is_up": None, "last_success_at": None}, {"info", "interval_seconds"}),
        ({}, SUCCESS),
        ({"failure": FailureReason.TIMEOUT}, SUCCESS),
        ({"is_up": False}, SUCCESS),
    ],
    ids=["no poll", "success", "success after a failure", "unknown failure"],
)
def test_what_is_unknown_has_no_line(
    changes: dict[str, Any], families: set[str]
) -> None:
    """After a restart the reason of a failure may be unknown."""
    blocks = render_status(OBJECT, status(**changes))

    samples = naive_oracle.parsed(served(blocks))
    assert {name.removeprefix("braze_campaign_") for name, _ in samples} == families
    assert blocks.series == len(families)


def test_hostile_names_of_a_campaign_are_cleaned_and_escaped() -> None:
    odd = 'a "b" \\ \n\r\0\ud800'
    labels = ObjectLabels(odd, "campaign", odd, odd, {"team": odd})

    samples = naive_oracle.parsed(served(render_status(labels, status())))

    clean = 'a "b" \\ \n\ufffd\ufffd\ufffd'
    own = {"workspace": clean, "campaign": clean, "campaign_id": clean, "team": clean}
    assert ("braze_campaign_info", frozenset(own.items())) in samples


def test_a_page_groups_the_samples_by_family() -> None:
    other = ObjectLabels("production", "campaign", "Other", "id", {})
    entries = [
        render_values(OBJECT, EMPTY),
        render_status(OBJECT, status()),
        render_status(other, status(is_up=None)),
    ]

    samples = naive_oracle.parsed(served(*entries))

    assert len(samples) == sum(blocks.series for blocks in entries) == 7
    assert "braze_campaign_daily" not in served(*entries).decode()


def test_a_page_without_samples_is_empty() -> None:
    assert page([]) == page([render_values(OBJECT, EMPTY)]) == []


def test_a_page_does_not_copy_blocks() -> None:
    """The pages of slow clients share their memory."""
    blocks = render_status(OBJECT, status())

    pieces = page([blocks] * 10_000)

    block = next(block for block in blocks.by_family if block)
    assert all(piece is block for piece in pieces[1:10_001])


def test_large_blocks_are_compressed() -> None:
    names = [family.name for family in FAMILIES.all]
    position = names.index("braze_campaign_variation_info")
    few = tuple(Part(VARIATION, "email", f"v{n}") for n in range(3))
    many = tuple(Part(VARIATION, "email", f"v{n}") for n in range(300))

    blocks = [
        render_values(OBJECT, EMPTY._replace(parts=one)).by_family[position]
        for one in (few, many)
    ]

    assert [isinstance(block, DeflatedBlock) for block in blocks] == [False, True]
    assert [lines_of(block).count(b"\n") for block in blocks] == [3, 300]


def test_only_the_newest_day_is_rendered_again() -> None:
    document = json.loads((golden.SERIES / "multichannel.json").read_text("utf-8"))
    before = parse(document, OPTIONS)
    assert before.latest
    assert before.last_complete
    changed = before.latest._replace(figures=before.last_complete.figures)
    after = before._replace(latest=changed)
    previous = render_values(OBJECT, before)

    renewed = renew_latest(OBJECT, after, previous)

    assert renewed == render_values(OBJECT, after)
    rows = zip(FAMILIES.all, renewed.by_family, previous.by_family, strict=True)
    others = {family.name for family, block, other in rows if block is not other}
    assert others == {"braze_campaign_daily", "braze_campaign_overall_daily"}
    empty = render_values(OBJECT, EMPTY)
    assert renew_latest(OBJECT, EMPTY, empty) == empty


ROWS = data_series.rows(
    data_series.times(TODAY, st.integers(-2, 30)) | ODD | st.just("2025-06-31"), WORDS
)


@given(st.lists(ROWS | ODD, max_size=6), WORDS, WORDS, st.booleans())
def test_every_document_is_rendered_as_by_the_naive_oracle(
    data: list[Any],
    workspace: str,
    campaign: str,
    skip_unused: bool,
) -> None:
    """Days, sums, labels and controls are those of a slow, independent parser."""
    contract = ("sms", "email")
    options = OPTIONS._replace(skip_unused=skip_unused, contract=contract)
    snapshot = parse({"data": data}, options)
    blocks = render_values(
        ObjectLabels(workspace, "campaign", campaign, "id", {}), snapshot
    )

    samples = naive_oracle.parsed(served(blocks))
    assert blocks.series == len(samples)
    assert samples == naive_oracle.expected(
        data,
        today=TODAY,
        timezone=OPTIONS.timezone,
        windows=OPTIONS.windows,
        subject={
            "workspace": naive_oracle.cleaned(workspace),
            "campaign": naive_oracle.cleaned(campaign),
        },
        skip_unused=skip_unused,
        contract=contract,
    )

"""Rendered lines, parsed by the official parsers."""

import math
from datetime import timedelta
from typing import Any

import pytest
from exporter.metrics.campaign_metrics import (
    DAILY,
    FAMILIES,
    OVERALL_DAILY,
    STATUS_FAMILIES,
    VALUE_FAMILIES,
    VARIATION_INFO,
    ObjectLabels,
    PollStatus,
    RenderedObject,
    lines_of,
    page,
    render_status,
    render_values,
    renew_latest,
)
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.model.errors import FailureReason
from exporter.model.snapshot import NO_FIGURES, Day, Figures, Snapshot, Stats, Variation
from exporter.series.parse import parse
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import golden
from tests.support import naive_oracle

OPTIONS = golden.OPTIONS._replace(revisions=True)
TODAY = OPTIONS.today
OBJECT = golden.LABELS
LABELS = {"workspace": OBJECT.workspace, "campaign": OBJECT.campaign}
EMPTY = Snapshot(variations=(), latest=None, last_complete=None, trailing=())


def served(*entries: RenderedObject) -> bytes:
    return b"".join(page(entries))


def status(**changes: Any) -> PollStatus:
    given_ = {
        "is_up": True,
        "failure": None,
        "interval_seconds": 300.0,
        "last_success_at": 1750600000.12345,
    }
    return PollStatus(**(given_ | changes))


def expected(document: Any) -> naive_oracle.Samples:
    return naive_oracle.expected(
        document["data"],
        today=TODAY,
        timezone=OPTIONS.timezone,
        windows=OPTIONS.windows,
        subject=LABELS,
    )


def test_family_names_are_unique() -> None:
    assert FAMILIES == VALUE_FAMILIES + STATUS_FAMILIES
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) == 16


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_valid_in_both_formats(family: Any) -> None:
    assert family.help.isprintable()
    assert not set('\\"') & set(family.help)
    assert family.help.endswith(".")
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_created"))


def test_the_status_has_one_line_per_family() -> None:
    page_text = served(render_status(OBJECT, status())).decode()

    assert [line for line in page_text.splitlines() if not line.startswith("#")] == [
        'braze_campaign_info{workspace="production",campaign="Welcome series",'
        'campaign_id="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",team="crm"} 1',
        'braze_campaign_up{workspace="production",campaign="Welcome series"} 1',
        "braze_campaign_interval_seconds"
        '{workspace="production",campaign="Welcome series"} 300.0',
        "braze_campaign_last_success_timestamp_seconds"
        '{workspace="production",campaign="Welcome series"} 1750600000.123',
    ]


def test_up_is_absent_before_the_first_poll() -> None:
    blocks = render_status(OBJECT, status(is_up=None, last_success_at=None))

    names = {name for name, _ in naive_oracle.parsed(served(blocks))}
    assert names == {"braze_campaign_info", "braze_campaign_interval_seconds"}
    assert blocks.series == 2


@pytest.mark.parametrize("reason", FailureReason)
def test_failure_info_is_present_while_polls_fail(reason: FailureReason) -> None:
    blocks = render_status(OBJECT, status(is_up=False, failure=reason))

    samples = naive_oracle.parsed(served(blocks))
    labels = frozenset({**LABELS, "reason": str(reason)}.items())
    assert samples["braze_campaign_failure_info", labels] == 1
    assert samples["braze_campaign_up", frozenset(LABELS.items())] == 0
    assert blocks.series == 5
    successful = served(render_status(OBJECT, status(failure=reason)))
    assert b"failure_info" not in successful


def test_failure_info_is_absent_without_a_reason() -> None:
    """After a restart the reason may be unknown."""
    assert b"failure_info" not in served(render_status(OBJECT, status(is_up=False)))


def test_hostile_names_of_a_campaign_are_cleaned_and_escaped() -> None:
    odd = 'a "b" \\ \n\r\0\ud800'
    labels = ObjectLabels(odd, odd, odd, {"team": odd})

    samples = naive_oracle.parsed(served(render_status(labels, status())))

    clean = 'a "b" \\ \n\ufffd\ufffd\ufffd'
    own = {"workspace": clean, "campaign": clean, "campaign_id": clean, "team": clean}
    assert ("braze_campaign_info", frozenset(own.items())) in samples


def test_a_page_groups_the_samples_by_family() -> None:
    other = ObjectLabels("production", "Other", "id", {})
    entries = [
        render_values(OBJECT, EMPTY),
        render_status(OBJECT, status()),
        render_status(other, status(is_up=None)),
    ]

    samples = naive_oracle.parsed(served(*entries))

    assert len(samples) == sum(blocks.series for blocks in entries) == 7
    assert "braze_campaign_daily" not in served(*entries).decode()


def test_a_page_without_samples_is_empty() -> None:
    assert page([]) == []
    assert page([render_values(OBJECT, EMPTY)]) == []


def test_a_page_does_not_copy_blocks() -> None:
    """The pages of slow clients share their memory."""
    blocks = render_status(OBJECT, status())

    pieces = page([blocks] * 10_000)

    block = next(block for block in blocks.by_family if block)
    assert all(piece is block for piece in pieces[1:10_001])


def test_large_blocks_are_compressed() -> None:
    position = FAMILIES.index(VARIATION_INFO)
    few = tuple(Variation("email", f"v{n}") for n in range(3))
    many = tuple(Variation("email", f"v{n}") for n in range(300))

    blocks = [
        render_values(OBJECT, EMPTY._replace(variations=one)).by_family[position]
        for one in (few, many)
    ]

    assert [isinstance(block, DeflatedBlock) for block in blocks] == [False, True]
    assert [lines_of(block).count(b"\n") for block in blocks] == [3, 300]


def test_only_the_newest_day_is_rendered_again() -> None:
    before = parse(golden.document("multichannel"), OPTIONS)
    assert before.latest is not None
    figures = before.latest.figures
    changed = figures._replace(
        variations=tuple(
            (one, dict.fromkeys(stats, 77)) for one, stats in figures.variations
        )
    )
    after = before._replace(latest=before.latest._replace(figures=changed))

    previous = render_values(OBJECT, before)
    renewed = renew_latest(OBJECT, after, previous)

    assert renewed == render_values(OBJECT, after)
    assert renewed.text != previous.text
    reused = [
        block is other
        for block, other in zip(renewed.by_family, previous.by_family, strict=True)
    ]
    assert {
        family
        for family, is_reused in zip(FAMILIES, reused, strict=True)
        if not is_reused
    } <= {DAILY, OVERALL_DAILY}
    empty = render_values(OBJECT, EMPTY)
    assert renew_latest(OBJECT, EMPTY, empty) == empty


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=9)
NASTY = st.sampled_from(
    ['"', "\\", "\n", '\\"', "\\n", "# EOF", "} 1", '",x="', " # {"]
)
WORDS = TEXTS | st.lists(NASTY | TEXTS, min_size=1, max_size=4).map("".join)
VALUES = (
    st.integers(-(10**308), 10**308)
    | st.integers(-(2**53) - 1, 2**53 + 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
STATS = st.dictionaries(WORDS, VALUES, min_size=1, max_size=4)
INSTANTS = st.integers(-(10**9), 10**10).map(float)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    keys = st.lists(st.tuples(WORDS, WORDS), unique=True, max_size=4)
    variations = [
        Variation(*key, id=draw(WORDS | st.just("")), is_control=draw(st.booleans()))
        for key in sorted(draw(keys))
    ]

    def figures() -> Figures:
        shown = [one for one in variations if draw(st.booleans())]
        stats = tuple((one, draw(STATS)) for one in shown)
        return Figures(stats, draw(STATS | st.just({})))

    days = [Day(TODAY, draw(INSTANTS), figures()) for _ in range(2)]
    latest, last_complete = (draw(st.sampled_from([day, None])) for day in days)
    windows = draw(st.sets(st.integers(1, 98), max_size=2))
    trailing = tuple((window, figures()) for window in sorted(windows))
    revision = figures() if last_complete else NO_FIGURES
    return Snapshot(
        variations=tuple(variations),
        latest=latest,
        last_complete=last_complete,
        trailing=trailing,
        revision=revision,
    )


def samples_of(
    snapshot: Snapshot, object_labels: dict[str, str]
) -> naive_oracle.Samples:
    found: naive_oracle.Samples = {}

    def add(family: str, value: float, **labels: str) -> None:
        found[family, frozenset({**object_labels, **labels}.items())] = float(value)

    def add_stats(family: str, stats: Stats, **labels: str) -> None:
        for name, value in stats.items():
            add(family, value, metric=name, **labels)

    shown: list[tuple[str, Figures, dict[str, str]]] = []
    for ending, day in (
        ("daily", snapshot.latest),
        ("last_complete_day", snapshot.last_complete),
    ):
        if day:
            add(f"braze_campaign_{ending}_timestamp_seconds", day.starts_at)
            shown.append((ending, day.figures, {}))
    shown.append(("last_complete_day_revision", snapshot.revision, {}))
    for days, sums in snapshot.trailing:
        shown.append(("trailing", sums, {"window": f"{days}d"}))
    for ending, figures, extra in shown:
        add_stats(f"braze_campaign_overall_{ending}", figures.overall, **extra)
        for one, stats in figures.variations:
            labels = {"channel": one.channel, "variation": one.label, **extra}
            add_stats(f"braze_campaign_{ending}", stats, **labels)
    for one in snapshot.variations:
        add(
            "braze_campaign_variation_info",
            1,
            channel=one.channel,
            variation=one.label,
            variation_id=one.id,
            control=str(one.is_control).lower(),
        )
    return found


@settings(deadline=None)
@given(snapshots(), WORDS, WORDS)
def test_the_parsers_return_every_sample_of_a_snapshot(
    snapshot: Snapshot, workspace: str, campaign: str
) -> None:
    blocks = render_values(ObjectLabels(workspace, campaign, "id", {}), snapshot)

    samples = naive_oracle.parsed(served(blocks))

    object_labels = {"workspace": workspace, "campaign": campaign}
    assert samples == samples_of(snapshot, object_labels)
    assert blocks.series == len(samples)


NAMES = st.sampled_from(
    ["", "A", "A #2", "A (aaaaaaaa)", "\0", "\1", '"\\\n', "\ud800"]
)
IDS = st.sampled_from(["", "aaaaaaaa1", "aaaaaaaa2", "\0", "\1", "A"])
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "5", "", True, [], {}, math.nan, math.inf, 10**400]
)
NUMBERS = st.sampled_from([0, 1, 3, -2, 0.1, 0.2, 12.5, 2**60, 1e308, 5e-324])
FIELDS = st.sampled_from(
    ["sent", "opens", "revenue", "unique_recipients", "enrolled", "", "f\0", "f\1"]
)
ENTRY = st.dictionaries(FIELDS, NUMBERS | NUMBERS | ODD, max_size=4).flatmap(
    lambda fields: st.fixed_dictionaries(
        {key: st.just(value) for key, value in fields.items()},
        optional={"variation_name": NAMES | ODD, "variation_api_id": IDS | ODD},
    )
)
CHANNELS = st.sampled_from(["email", "sms", "", "c\0", "c\1"])
MESSAGES = st.dictionaries(
    CHANNELS, st.lists(ENTRY | ODD, max_size=4) | ODD, max_size=3
)
TIMES = st.integers(-2, 30).map(lambda age: str(TODAY - timedelta(days=age)))
ROW = st.builds(
    lambda fields, day, messages: {**fields, "time": day, "messages": messages},
    st.dictionaries(FIELDS, NUMBERS | ODD, max_size=3),
    TIMES | ODD | st.just("2025-06-31"),
    MESSAGES | MESSAGES | ODD,
)


@settings(deadline=None)
@given(st.lists(ROW | ODD, max_size=6))
def test_every_document_is_rendered_as_by_the_naive_oracle(data: list[Any]) -> None:
    snapshot = parse({"data": data}, OPTIONS)
    blocks = render_values(OBJECT, snapshot)

    samples = naive_oracle.parsed(served(blocks))
    assert samples == expected({"data": data})
    assert blocks.series == len(samples)

"""The whole exposition, plain and compressed."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

import pytest
from exporter.metrics import object_metrics
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Store
from exporter.model.snapshot import VARIATION, WHOLE, Day, Part, Snapshot
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

Reader = Callable[[str], Iterable[Metric]]

EMAIL = Part(VARIATION, "email", "default", "v-1")


class ConstantMetrics(SelfMetrics):
    """Metrics of the process whose page never changes."""

    def render(self, *, is_openmetrics: bool) -> bytes:
        end = b"# EOF\n" if is_openmetrics else b""
        return b"# HELP x_y Y.\n# TYPE x_y gauge\nx_y 1.0\n" + end


@dataclass
class Exposition:
    """A store, its pages, and a clock that the test sets."""

    telemetry: SelfMetrics
    store: Store = field(default_factory=Store)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.pages = ExpositionPages(
            self.fresh, self.telemetry, version=lambda: self.store.version
        )

    def fresh(self) -> tuple[Entry, ...]:
        self.store.expire(now=self.now)
        return self.store.entries()


def exposition_of(*entries: Entry) -> Exposition:
    exposition = Exposition(ConstantMetrics(version="1", served=list))
    for one in entries:
        exposition.store.put(one)
    return exposition


def entry(
    name: str,
    *,
    sent: int = 5,
    variations: tuple[Part, ...] = (EMAIL,),
    polled_at: float = 900.0,
    expires_at: float = 2000.0,
) -> Entry:
    labels = object_metrics.ObjectLabels("shop", "campaign", name, f"id-{name}", {})
    status = object_metrics.PollStatus(True, None, 300.0, polled_at)
    counted = [(one, {"sent": sent}) for one in variations]
    figures = ((WHOLE, {"unique_recipients": 4}), *counted)
    snapshot = Snapshot(
        parts=(WHOLE, *variations),
        latest=Day(date(2025, 6, 22), 1750550400.0, figures),
        last_complete=None,
        trailing=(),
    )
    return Entry(
        labels,
        status,
        object_metrics.render_status(labels, status),
        last_read=snapshot,
        values=object_metrics.render_values(labels, snapshot),
        expires_at=expires_at,
    )


def wide(name: str, *, sent: int) -> Entry:
    variations = tuple(
        Part(VARIATION, "email", f"v{n:03}", f"id-{n}") for n in range(100)
    )
    return entry(name, sent=sent, variations=variations)


def plain(exposition: Exposition, *, is_openmetrics: bool = False) -> str:
    chunks = exposition.pages.render(is_gzip=False, is_openmetrics=is_openmetrics)
    return b"".join(chunks).decode()


def compressed(exposition: Exposition, *, is_openmetrics: bool = False) -> bytes:
    chunks = exposition.pages.render(is_gzip=True, is_openmetrics=is_openmetrics)
    return b"".join(chunks)


@pytest.mark.parametrize("is_openmetrics", [False, True])
@pytest.mark.parametrize("campaigns", [0, 1, 300])
def test_a_compressed_page_is_one_member_with_the_plain_page(
    *, campaigns: int, is_openmetrics: bool
) -> None:
    exposition = exposition_of(*(entry(f"c{number}") for number in range(campaigns)))
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)

    page = decompressor.decompress(
        compressed(exposition, is_openmetrics=is_openmetrics)
    )

    assert page.decode() == plain(exposition, is_openmetrics=is_openmetrics)
    assert decompressor.eof
    assert decompressor.unused_data == b""


def test_the_compressed_campaigns_are_cached_until_an_entry_changes() -> None:
    exposition = exposition_of(entry("a"))

    first, *others = (
        exposition.pages.compressed(is_openmetrics=is_openmetrics)[1:-3]
        for is_openmetrics in (False, True, False)
    )

    assert first
    for other in others:
        assert list(map(id, other)) == list(map(id, first))


def test_unchanged_families_are_not_compressed_again() -> None:
    """A poll with the same values changes the time of the last success only."""
    exposition = exposition_of(entry("a"), entry("b"))
    before = exposition.pages.compressed(is_openmetrics=False)[1:-3]

    exposition.store.put(entry("a", polled_at=901.0))
    after = exposition.pages.compressed(is_openmetrics=False)[1:-3]

    changed = [one for one, other in zip(before, after, strict=True) if one != other]
    assert len(changed) == 1
    assert len(set(map(id, before)) & set(map(id, after))) == len(before) - 1


def test_large_blocks_are_not_compressed_again() -> None:
    exposition = exposition_of(
        wide("a", sent=1), entry("b"), wide("c", sent=2), wide("d", sent=3)
    )

    page = compressed(exposition)

    values = exposition.store.entries()[0].values
    assert values is not None
    blocks = [one for one in values.by_family if isinstance(one, DeflatedBlock)]
    assert blocks
    assert all(one.deflated in page for one in blocks)
    assert gzip.decompress(page).decode() == plain(exposition)


def test_a_plain_page_has_few_chunks() -> None:
    """Each of them costs every client time and memory: small blocks are joined."""
    exposition = exposition_of(*(entry(f"c{number:05}") for number in range(2000)))

    chunks = exposition.pages.plain(is_openmetrics=False)

    assert len(chunks) <= 2 + sum(map(len, chunks)) / (64 * 1024)


def test_texts_of_large_blocks_are_cached_between_plain_pages() -> None:
    exposition = exposition_of(wide("a", sent=1), wide("b", sent=1))
    before = exposition.pages.plain(is_openmetrics=False)

    exposition.store.put(wide("b", sent=2))

    after = exposition.pages.plain(is_openmetrics=True)
    large = [chunk for chunk in after if chunk.count(b"\n") >= 100]
    old = {id(chunk) for chunk in before}
    assert [id(one) in old for one in large] == [True, False, True, True]


def test_the_plain_page_is_released_after_five_minutes() -> None:
    """Without a request for it: Prometheus requests gzip."""
    exposition = exposition_of(wide("a", sent=1))
    block = next(
        one
        for one in exposition.pages.plain(is_openmetrics=False)
        if one.count(b"\n") >= 100
    )
    unshared = bytes(1000)
    alone = sys.getrefcount(unshared)

    for _ in range(300):
        exposition.pages.tick()
    assert sys.getrefcount(block) > alone
    exposition.pages.tick()

    assert sys.getrefcount(block) == alone
    assert block in exposition.pages.plain(is_openmetrics=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put(entry("b")),
        lambda store: store.update(("shop", "campaign", "id-a"), lambda _: entry("z")),
        lambda store: store.remove([("shop", "campaign", "id-a")]),
    ],
    ids=["put", "update", "remove"],
)
def test_the_page_changes_when_an_entry_changes(
    change: Callable[[Store], None],
) -> None:
    exposition = exposition_of(entry("a"))
    before = compressed(exposition)

    change(exposition.store)

    page = compressed(exposition)
    assert page != before
    assert gzip.decompress(page).decode() == plain(exposition)


def test_a_page_has_the_stored_values() -> None:
    exposition = exposition_of(entry("a", sent=5), entry("b", sent=7))
    first = plain(exposition)

    exposition.store.put(entry("a", sent=6))

    sample = 'variation="default",metric="sent"}'
    assert f'campaign="a",channel="email",{sample} 5\n' in first
    assert f'campaign="a",channel="email",{sample} 6\n' in plain(exposition)
    assert f'campaign="b",channel="email",{sample} 7\n' in plain(exposition)


def test_stale_values_are_not_served() -> None:
    exposition = exposition_of(entry("a", expires_at=1500.0))
    exposition.now = 1499.9
    before = gzip.decompress(compressed(exposition)).decode()

    exposition.now = 1500.0
    after = gzip.decompress(compressed(exposition)).decode()

    assert "braze_campaign_daily{" in before
    assert "braze_campaign_daily{" not in after
    assert 'braze_campaign_up{workspace="shop",campaign="a"} 1\n' in after
    assert after == plain(exposition)


@pytest.mark.parametrize(
    ("is_openmetrics", "read"), [(False, read_text), (True, read_openmetrics)]
)
def test_a_page_is_read_by_the_parser_of_its_format(
    *, is_openmetrics: bool, read: Reader
) -> None:
    """That of OpenMetrics is strict about order, repeats and the end."""
    exposition = Exposition(SelfMetrics(version="1", served=list))
    exposition.store.put(entry("a"))
    exposition.store.put(entry("b"))

    page = plain(exposition, is_openmetrics=is_openmetrics)

    names = {family.name for family in read(page)}
    assert {"braze_campaign_daily", "braze_exporter_build_info"} <= names
    assert page.count("# TYPE braze_campaign_daily gauge\n") == 1
    assert page.count("# EOF") == page.endswith("\n# EOF\n") == is_openmetrics


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "gzip"])
def test_concurrent_scrapes_get_consistent_pages(*, is_plain: bool) -> None:
    exposition = exposition_of(wide("a", sent=0), wide("b", sent=0))

    def change() -> None:
        for number in range(1, 50):
            exposition.store.put(wide("a", sent=number))
            exposition.store.put(wide("b", sent=number))
            for _ in range(301):
                exposition.pages.tick()

    def scrape(_: int) -> str:
        if is_plain:
            return plain(exposition)
        return gzip.decompress(compressed(exposition)).decode()

    with ThreadPoolExecutor(5) as pool:
        changes = pool.submit(change)
        pages = list(pool.map(scrape, range(200)))
        changes.result()

    read: Reader = read_text
    for page in set(pages):
        (daily,) = (one for one in read(page) if one.name == "braze_campaign_daily")
        ((_, a), (_, b)) = sorted(
            {(one.labels["campaign"], one.value) for one in daily.samples}
        )
        assert len(daily.samples) == 200
        assert a - b in {0, 1}
        assert page.endswith("x_y 1.0\n")

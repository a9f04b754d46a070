"""The whole exposition, plain and compressed."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

import pytest
from exporter.metrics import campaign_metrics
from exporter.metrics.exposition_page import ExpositionPages
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.metrics.self_metrics import SelfMetrics
from exporter.metrics.store import Entry, Store
from exporter.model.snapshot import Day, Figures, Snapshot, Variation
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

Reader = Callable[[str], Iterable[Metric]]

EMAIL = Variation("email", "default", "v-1")


class StillTelemetry(SelfMetrics):
    """Telemetry whose page does not change by itself."""

    def render(self, *, is_openmetrics: bool) -> bytes:
        """Return one family."""
        end = b"# EOF\n" if is_openmetrics else b""
        return b"# HELP x_y Y.\n# TYPE x_y gauge\nx_y 1.0\n" + end


@dataclass
class Scene:
    """A store, its pages, and a clock that moves when it is told to."""

    telemetry: SelfMetrics
    store: Store = field(default_factory=Store)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.pages = ExpositionPages(
            self.fresh, self.telemetry, version=lambda: self.store.version
        )

    def fresh(self) -> tuple[Entry, ...]:
        """Return what may be served now."""
        self.store.expire(now=self.now)
        return self.store.entries()


def scene(*entries: Entry) -> Scene:
    """Return a scene with these entries, in which nothing changes by itself."""
    made = Scene(StillTelemetry(version="1", served=list))
    for one in entries:
        made.store.put(one)
    return made


def entry(name: str, *, sent: int = 5, expires_at: float = 2000.0) -> Entry:
    """Return the entry of a campaign that sent something today."""
    subject = campaign_metrics.ObjectLabels("shop", name, f"id-{name}", {})
    status = campaign_metrics.PollStatus(True, None, 300.0, 900.0)
    figures = Figures(((EMAIL, {"sent": sent}),), {"unique_recipients": 4})
    snapshot = Snapshot(
        variations=(EMAIL,),
        latest=Day(date(2025, 6, 22), 1750550400.0, figures),
        last_complete=None,
        trailing=(),
        dropped_series=0,
        ignored_values=0,
        skipped_rows=0,
    )
    return Entry(
        subject,
        status,
        campaign_metrics.render_status(subject, status),
        last_read=snapshot,
        values=campaign_metrics.render_values(subject, snapshot),
        expires_at=expires_at,
    )


def wide(name: str, *, sent: int) -> Entry:
    """Return the entry of a campaign with a hundred variations."""
    one = entry(name)
    snapshot = one.snapshot
    assert snapshot is not None
    variations = tuple(Variation("email", f"v{n:03}", f"id-{n}") for n in range(100))
    figures = Figures(tuple((each, {"sent": sent}) for each in variations), {})
    snapshot = snapshot._replace(
        variations=variations,
        latest=Day(date(2025, 6, 22), 1750550400.0, figures),
    )
    values = campaign_metrics.render_values(one.subject, snapshot)
    return one._replace(last_read=snapshot, values=values)


def plain(made: Scene, *, is_openmetrics: bool = False) -> str:
    """Return a page as one text."""
    return b"".join(made.pages.plain(is_openmetrics=is_openmetrics)).decode()


def compressed(made: Scene, *, is_openmetrics: bool = False) -> bytes:
    """Return a compressed page in one piece."""
    return b"".join(made.pages.compressed(is_openmetrics=is_openmetrics))


@pytest.mark.parametrize("is_openmetrics", [False, True])
@pytest.mark.parametrize("campaigns", [0, 1, 300])
def test_compressed_and_plain_are_one_page(
    *, campaigns: int, is_openmetrics: bool
) -> None:
    """Unpacked they are equal, byte for byte."""
    made = scene(*(entry(f"c{number}") for number in range(campaigns)))

    packed = compressed(made, is_openmetrics=is_openmetrics)

    assert gzip.decompress(packed).decode() == plain(
        made, is_openmetrics=is_openmetrics
    )


@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_a_compressed_page_is_one_member(*, is_openmetrics: bool) -> None:
    """Its checksum and length cover all of it, and nothing comes after its end."""
    made = scene(entry("a"), entry("b"))
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)

    page = unpacker.decompress(compressed(made, is_openmetrics=is_openmetrics))

    assert unpacker.eof
    assert unpacker.unused_data == b""
    assert page.decode() == plain(made, is_openmetrics=is_openmetrics)


def test_a_compressed_page_is_smaller() -> None:
    """Many campaigns alike take a tenth or less."""
    made = scene(*(entry(f"Campaign {number}") for number in range(500)))

    assert len(compressed(made)) < len(plain(made)) / 10


def test_the_campaigns_part_is_kept_while_nothing_changes() -> None:
    """The same objects come again, for either format; only the rest is packed anew."""
    made = scene(entry("a"))

    first, *others = (
        made.pages.compressed(is_openmetrics=is_openmetrics)[1:-3]
        for is_openmetrics in (False, True, False)
    )

    assert first
    for other in others:
        assert list(map(id, other)) == list(map(id, first))


def test_families_that_did_not_change_are_not_packed_again() -> None:
    """A poll that brings the same numbers moves the time of the last success alone."""
    made = scene(entry("a"), entry("b"))
    before = made.pages.compressed(is_openmetrics=False)[1:-3]

    later = campaign_metrics.PollStatus(True, None, 300.0, 901.0)
    made.store.put(
        entry("a")._replace(
            status=later,
            status_blocks=campaign_metrics.render_status(entry("a").subject, later),
        )
    )
    after = made.pages.compressed(is_openmetrics=False)[1:-3]

    changed = [one for one, other in zip(before, after, strict=True) if one != other]
    assert len(changed) == 1
    assert len(set(map(id, before)) & set(map(id, after))) == len(before) - 1


def test_large_blocks_are_packed_once() -> None:
    """A campaign of many variations is compressed when it is rendered, not scraped."""
    made = scene(wide("a", sent=1), entry("b"), wide("c", sent=2), wide("d", sent=3))

    packed = compressed(made)

    values = made.store.entries()[0].values
    assert values is not None
    parts = [one for one in values.by_family if isinstance(one, DeflatedBlock)]
    assert parts
    assert all(one.deflated in packed for one in parts)
    assert gzip.decompress(packed).decode() == plain(made)


def test_texts_of_large_blocks_are_kept_between_two_plain_pages() -> None:
    """Of what did not change no text is made again."""
    made = scene(wide("a", sent=1), wide("b", sent=1))
    before = made.pages.plain(is_openmetrics=False)

    made.store.put(wide("b", sent=2))

    after = made.pages.plain(is_openmetrics=True)
    large = [chunk for chunk in after if chunk.count(b"\n") >= 100]
    old = {id(chunk) for chunk in before}
    assert [id(one) in old for one in large] == [True, False, True, True]


def test_texts_of_large_blocks_are_let_go_of() -> None:
    """Five minutes after the last plain page: most scrapers ask for gzip."""
    made = scene(wide("a", sent=1))
    block = next(
        one for one in made.pages.plain(is_openmetrics=False) if one.count(b"\n") >= 100
    )
    unshared = bytes(1000)
    alone = sys.getrefcount(unshared)

    for _ in range(300):
        made.pages.beat()
    assert sys.getrefcount(block) > alone
    made.pages.beat()

    assert sys.getrefcount(block) == alone
    assert block in made.pages.plain(is_openmetrics=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put(entry("b")),
        lambda store: store.update(
            ("shop", "id-a"), lambda one: one._replace(values=entry("z").values)
        ),
        lambda store: store.remove([("shop", "id-a")]),
    ],
    ids=["put", "update", "remove"],
)
def test_the_campaigns_part_is_made_anew_when_an_entry_changes(
    change: Callable[[Store], None],
) -> None:
    """The next scrape shows it, compressed or not."""
    made = scene(entry("a"))
    before = compressed(made)

    change(made.store)
    packed = compressed(made)

    assert packed != before
    assert gzip.decompress(packed).decode() == plain(made)


def test_a_page_shows_what_is_stored() -> None:
    """A campaign's new values stand in the place of the old ones."""
    made = scene(entry("a", sent=5), entry("b", sent=7))
    first = plain(made)

    made.store.put(entry("a", sent=6))

    sample = 'variation="default",metric="sent"}'
    assert f'campaign="a",channel="email",{sample} 5\n' in first
    assert f'campaign="a",channel="email",{sample} 6\n' in plain(made)
    assert f'campaign="b",channel="email",{sample} 7\n' in plain(made)


def test_each_family_stands_once() -> None:
    """Its header comes once, and the samples of all campaigns follow it."""
    page = plain(scene(entry("a"), entry("b")))

    lines = page.splitlines()
    header = lines.index("# TYPE braze_campaign_daily gauge")
    assert page.count("# TYPE braze_campaign_daily gauge\n") == 1
    assert [line.split("{")[0] for line in lines[header + 1 : header + 3]] == [
        "braze_campaign_daily",
        "braze_campaign_daily",
    ]


def test_stale_values_leave_the_page() -> None:
    """At the scrape after their end; that the campaign exists is still told."""
    made = scene(entry("a", expires_at=1500.0))
    made.now = 1499.9
    before = gzip.decompress(compressed(made)).decode()

    made.now = 1500.0
    after = gzip.decompress(compressed(made)).decode()

    assert "braze_campaign_daily{" in before
    assert "braze_campaign_daily{" not in after
    assert 'braze_campaign_up{workspace="shop",campaign="a"} 1\n' in after
    assert after == plain(made)


def test_the_text_format_is_read_by_its_parser() -> None:
    """With the real metrics about the process behind the campaigns'."""
    made = Scene(SelfMetrics(version="1", served=list))
    made.store.put(entry("a"))

    names = {family.name for family in read_text(plain(made))}

    assert {"braze_campaign_daily", "braze_exporter_build_info"} <= names


def test_openmetrics_is_read_by_its_parser() -> None:
    """It is strict about order, repeats, and the end that must come last."""
    made = Scene(SelfMetrics(version="1", served=list))
    made.store.put(entry("a"))

    page = plain(made, is_openmetrics=True)

    read: Reader = read_openmetrics
    names = {family.name for family in read(page)}
    assert page.endswith("\n# EOF\n")
    assert page.count("# EOF") == 1
    assert {"braze_campaign_daily", "braze_exporter_build_info"} <= names


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "gzip"])
def test_scrapes_at_once_get_whole_pages(*, is_plain: bool) -> None:
    """While entries change, each page is one that was right at some instant."""
    made = scene(wide("a", sent=0), wide("b", sent=0))

    def change() -> None:
        for number in range(1, 50):
            made.store.put(wide("a", sent=number))
            made.store.put(wide("b", sent=number))
            for _ in range(301):
                made.pages.beat()

    def scrape(_: int) -> str:
        return plain(made) if is_plain else gzip.decompress(compressed(made)).decode()

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

"""The store: entries are replaced as a whole, and stale values expire."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from exporter.metrics import families
from exporter.metrics.object_metrics import (
    ObjectLabels,
    PollStatus,
    RenderedObject,
    render_status,
)
from exporter.metrics.store import Entry, ObjectKey, Store
from exporter.model.snapshot import Snapshot

from tests.support.object_keys import key

SNAPSHOT = Snapshot(parts=(), latest=None, last_complete=None, trailing=())
VALUES = RenderedObject(families.CAMPAIGN, by_family=(b"x 1\n",), series=1)


def entry(campaign_id: str, *, workspace: str = "shop") -> Entry:
    """Return the entry of a campaign without a finished poll."""
    labels = ObjectLabels(
        workspace, "campaign", f"Campaign {campaign_id}", campaign_id, {}
    )
    status = PollStatus(None, None, 300.0, None)
    return Entry(labels, status, render_status(labels, status))


def polled(campaign_id: str, *, expires_at: float) -> Entry:
    return entry(campaign_id)._replace(
        last_read=SNAPSHOT, values=VALUES, expires_at=expires_at
    )


def store_of(*entries: Entry) -> Store:
    store = Store()
    for one in entries:
        store.put(one)
    return store


def test_the_same_id_in_two_workspaces_is_two_campaigns() -> None:
    store = store_of(entry("a"), entry("a", workspace="app"))

    found = [
        store.get(key("a")),
        store.get(key("a", workspace="app")),
        store.get(key("a", workspace="x")),
    ]

    assert found == [entry("a"), entry("a", workspace="app"), None]


def test_entries_are_the_same_tuple_until_one_changes() -> None:
    """So a cache of something made of them can compare by identity."""
    store = store_of(entry("a"))
    before = store.entries()

    same = store.entries()
    store.put(entry("a"))

    assert same is before
    assert store.entries() is not before
    assert before == (entry("a"),)


def test_a_replaced_entry_keeps_its_position() -> None:
    store = store_of(entry("b"), entry("a"))
    before = store.entries()

    store.update(key("b"), lambda _: polled("b", expires_at=10.0))
    store.put(polled("a", expires_at=10.0))

    assert before == (entry("b"), entry("a"))
    assert store.entries() == tuple(polled(id_, expires_at=10.0) for id_ in "ba")


def test_an_update_of_a_removed_campaign_changes_nothing() -> None:
    """A poll may end after its campaign was removed from the configuration."""
    store = store_of(entry("a"), entry("b"), entry("c"))
    store.remove(
        [
            key("a"),
            key("c"),
            key("unknown"),
        ]
    )

    store.update(key("a"), lambda one: one)

    assert store.entries() == (entry("b"),)


def test_stale_values_expire_once() -> None:
    """At `expires_at`; the campaign, its status and its last snapshot stay."""
    old, young = polled("a", expires_at=10.0), polled("b", expires_at=10.1)
    store = store_of(old, young)

    dropped = store.expire(now=10.0)
    after = store.entries()

    assert dropped == (old,)
    assert after == (entry("a")._replace(last_read=old.last_read), young)
    assert after[0].snapshot is None
    assert store.expire(now=10.0) == ()
    assert store.entries() is after


class StoreWithLatePoll(Store):
    """A store in which a poll ends just before an entry is updated."""

    def update(self, key: ObjectKey, change: Callable[[Entry], Entry]) -> None:
        self.put(polled("a", expires_at=100.0))
        super().update(key, change)


def test_values_of_a_poll_that_ends_meanwhile_do_not_expire() -> None:
    store = StoreWithLatePoll()
    store.put(polled("a", expires_at=10.0))

    store.expire(now=20.0)

    assert store.get(key("a")) == polled("a", expires_at=100.0)


def test_no_update_is_lost_between_threads() -> None:
    store = store_of(polled("a", expires_at=0.0))

    def add_one(entry: Entry) -> Entry:
        return entry._replace(expires_at=entry.expires_at + 1)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(2000):
            pool.submit(store.update, key("a"), add_one)

    assert store.entries() == (polled("a", expires_at=2000.0),)


def test_changes_are_published_together() -> None:
    """A reader sees none of them before the last one is made."""
    store = Store()
    store.put(entry("a"))
    before, version = store.entries(), store.version

    with store.published_together():
        store.remove([key("a")])
        store.put(entry("b"))
        assert (store.entries(), store.version) == (before, version)
        assert store.get(key("b")) == entry("b")

    assert store.entries() == (entry("b"),)
    assert store.version > version

"""What is served: entries swapped whole, and values that leave when they are stale."""

from threading import Thread

from exporter.metrics.campaign_metrics import (
    ObjectLabels,
    PollStatus,
    RenderedObject,
    render_status,
)
from exporter.metrics.store import Entry, Store
from exporter.model.snapshot import Snapshot

SNAPSHOT = Snapshot(
    variations=(),
    latest=None,
    last_complete=None,
    trailing=(),
    dropped_series=0,
    ignored_values=0,
    skipped_rows=0,
)
VALUES = RenderedObject(by_family=(b"x 1\n",), series=1)


def entry(campaign_id: str, *, workspace: str = "shop") -> Entry:
    """Return the entry of a campaign that was not polled yet."""
    subject = ObjectLabels(workspace, f"Campaign {campaign_id}", campaign_id, {})
    status = PollStatus(None, None, 300.0, None)
    return Entry(subject, status, render_status(subject, status))


def polled(campaign_id: str, *, expires_at: float) -> Entry:
    """Return the entry of a campaign with values."""
    return entry(campaign_id)._replace(
        last_read=SNAPSHOT, values=VALUES, expires_at=expires_at
    )


def store_of(*entries: Entry) -> Store:
    """Return a store that holds these entries."""
    store = Store()
    for one in entries:
        store.put(one)
    return store


def test_a_new_store_serves_nothing() -> None:
    """It holds no entry and knows no campaign."""
    store = Store()

    assert store.entries() == ()
    assert store.get(("shop", "a")) is None


def test_entries_keep_the_order_in_which_campaigns_came() -> None:
    """A campaign that is put again stays where it was."""
    store = store_of(entry("b"), entry("a"))

    store.put(polled("b", expires_at=10.0))

    assert store.entries() == (polled("b", expires_at=10.0), entry("a"))


def test_one_id_in_two_workspaces_is_two_campaigns() -> None:
    """Ids are unique within a workspace only."""
    store = store_of(entry("a"), entry("a", workspace="app"))

    found = [store.get(key) for key in (("shop", "a"), ("app", "a"))]

    assert found == [entry("a"), entry("a", workspace="app")]


def test_entries_are_the_same_tuple_until_one_changes() -> None:
    """Whoever kept something made of them sees by identity that it is still right."""
    store = store_of(entry("a"))
    before = store.entries()

    same = store.entries()
    store.put(entry("a"))

    assert same is before
    assert store.entries() is not before
    assert before == (entry("a"),)


def test_an_update_swaps_the_entry() -> None:
    """What the function makes of the entry takes its place."""
    store = store_of(entry("a"), entry("b"))
    before = store.entries()

    store.update(("shop", "b"), lambda _: polled("b", expires_at=10.0))

    assert before == (entry("a"), entry("b"))
    assert store.entries() == (entry("a"), polled("b", expires_at=10.0))


def test_an_update_brings_nobody_back() -> None:
    """A poll that ends after its campaign left the configuration changes nothing."""
    store = store_of(entry("a"))
    store.remove([("shop", "a")])

    store.update(("shop", "a"), lambda one: one)

    assert store.entries() == ()


def test_campaigns_leave_whole() -> None:
    """Those that are not there may be named, too."""
    store = store_of(entry("a"), entry("b"), entry("c"))

    store.remove([("shop", "a"), ("shop", "c"), ("shop", "x")])

    assert store.entries() == (entry("b"),)


def test_stale_values_leave() -> None:
    """At the instant of their end; the campaign, its status and what was read stay."""
    old, young = polled("a", expires_at=10.0), polled("b", expires_at=10.1)
    store = store_of(old, young)

    dropped = store.expire(now=10.0)

    assert dropped == (old,)
    assert store.entries() == (entry("a")._replace(last_read=old.last_read), young)
    assert store.entries()[0].snapshot is None


def test_values_leave_once() -> None:
    """A second look finds nothing stale and changes nothing."""
    store = store_of(polled("a", expires_at=10.0))
    store.expire(now=20.0)
    before = store.entries()

    dropped = store.expire(now=30.0)

    assert dropped == ()
    assert store.entries() is before


class Hurried(Store):
    """A store in which a poll ends just after the entries were looked through."""

    def entries(self) -> tuple[Entry, ...]:
        """Return the entries as they were before that poll."""
        before = super().entries()
        self.put(polled("a", expires_at=100.0))
        return before


def test_values_that_a_poll_brought_meanwhile_stay() -> None:
    """Only what is stale when it is swapped is dropped."""
    store = Hurried()
    store.put(polled("a", expires_at=10.0))

    store.expire(now=20.0)

    assert store.get(("shop", "a")) == polled("a", expires_at=100.0)


def test_no_update_is_lost_between_threads() -> None:
    """Four threads that add up in one entry find every step of each other."""
    store = store_of(polled("a", expires_at=0.0))

    def add() -> None:
        for _ in range(500):
            store.update(
                ("shop", "a"), lambda one: one._replace(expires_at=one.expires_at + 1)
            )

    threads = [Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.entries() == (polled("a", expires_at=2000.0),)

"""The limit on pages that slow clients hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.web.held_pages import HeldPage, HeldPages

MIB = 1024 * 1024
PAGE = (bytes(10 * MIB),) * 2


@dataclass
class Clients:
    """Clients that read; each request comes at `now`."""

    now: float = 100.0
    reading: list[HeldPage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pages = HeldPages(clock=lambda: self.now)

    def request(self, *, kind: str = "text") -> HeldPage:
        page = self.pages.newest_if_full(kind) or self.pages.add(kind, PAGE)
        self.reading.append(page)
        return page

    def held(self) -> set[int]:
        return {id(page) for page in self.reading if not page.is_withdrawn()}


def test_every_request_gets_a_new_page_while_few_are_held() -> None:
    clients = Clients()
    for _ in range(50):
        page = clients.request()
        assert page.size == 20 * MIB
        clients.reading.clear()  # it was read to its end

    del page
    pages = [clients.request() for _ in range(4)]

    assert len(set(map(id, pages))) == 4
    assert not any(one.is_withdrawn() for one in pages)


def test_slow_clients_share_pages_once_too_many_are_held() -> None:
    """A page is at most five seconds old, and each may be read for fifteen."""
    clients = Clients()
    first = clients.request()
    for _ in range(500):
        clients.now += 0.1
        page = clients.request()
        assert page.made_at >= clients.now - 5.2
        assert len(clients.held()) <= 4
        for one in clients.reading:
            assert not one.is_withdrawn() or one.made_at < clients.now - 4.9

    assert first.is_withdrawn()


def test_small_pages_are_not_counted_but_weighed() -> None:
    pages = HeldPages(clock=lambda: 0.0)

    held = [pages.add("text", (b"x" * MIB,)) for _ in range(63)]
    assert pages.newest_if_full("text") is None
    held.append(pages.add("text", (b"x" * MIB,)))

    assert pages.newest_if_full("text") is held[-1]


def test_a_page_of_another_kind_withdraws_the_oldest_one() -> None:
    clients = Clients()
    first, second, *_ = (clients.request() for _ in range(4))

    other = clients.request(kind="OpenMetrics")

    assert other.kind == "OpenMetrics"
    assert first.is_withdrawn()
    assert not second.is_withdrawn()
